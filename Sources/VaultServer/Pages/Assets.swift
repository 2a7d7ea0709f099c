import VaultAPI
import VaultCrypto

/// Style sheet and scripts, as they are in `Assets/`, inside the executable.
struct Asset: Sendable {
    let name: String
    let mediaType: String
    let bytes: [UInt8]
    /// Without the version.
    let path: String
    /// Whether pages of other sites load it (Fetch Standard, `Cross-Origin-Resource-Policy`).
    let isForOtherSites: Bool

    static let all = [
        Asset(name: "sallyport.css", mediaType: "text/css; charset=utf-8", bytes: PackageResources.sallyport_css),
        Asset(name: "sallyport.js", mediaType: "text/javascript; charset=utf-8", bytes: PackageResources.sallyport_js),
        Asset(
            name: "connect-return.js", mediaType: "text/javascript; charset=utf-8",
            bytes: PackageResources.connect_return_js),
        // What apps load. Its address is part of their pages, so that it carries no version.
        Asset(
            name: "connect.js", mediaType: "text/javascript; charset=utf-8", bytes: PackageResources.connect_js,
            path: SitePath.connectScript.path, isForOtherSites: true),
    ]

    /// Changes with the content, so that an asset can be kept for ever and is never an old one.
    let version: String

    init(name: String, mediaType: String, bytes: [UInt8], path: String? = nil, isForOtherSites: Bool = false) {
        self.name = name
        self.mediaType = mediaType
        self.bytes = bytes
        self.path = path ?? SitePath.asset(name).path
        self.isForOtherSites = isForOtherSites
        version = String(Hex.encode(Digest.sha256(bytes)).prefix(12))
    }

    static let stylesheetPath = address("sallyport.css")
    static let scriptPath = address("sallyport.js")
    static let connectReturnPath = address("connect-return.js")

    private static func address(_ name: String) -> String {
        all.first { $0.name == name }.map { $0.path + "?v=" + $0.version } ?? SitePath.asset(name).path
    }

    var route: Route<Visitor> {
        let asset = self
        return Route("GET", path, "An asset of the pages") { _, exchange in
            let isVersioned = exchange.rawQuery == "v=" + asset.version
            return Answer(
                status: 200,
                headers: [
                    (name: "Content-Type", value: asset.mediaType),
                    (
                        name: "Cache-Control",
                        value: isVersioned ? "public, max-age=31536000, immutable" : "public, max-age=300"
                    ),
                    (
                        name: "Cross-Origin-Resource-Policy",
                        value: asset.isForOtherSites ? "cross-origin" : "same-origin"
                    ),
                ], body: asset.bytes)
        }
    }
}
