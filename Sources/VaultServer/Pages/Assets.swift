import VaultAPI
import VaultCrypto

/// Style sheet and scripts, as they are in `Assets/`, inside the executable.
struct Asset: Sendable {
    let name: String
    let mediaType: String
    let bytes: [UInt8]

    static let all = [
        Asset(name: "sallyport.css", mediaType: "text/css; charset=utf-8", bytes: PackageResources.sallyport_css),
        Asset(name: "sallyport.js", mediaType: "text/javascript; charset=utf-8", bytes: PackageResources.sallyport_js),
    ]

    /// Changes with the content, so that an asset can be kept for ever and is never an old one.
    let version: String

    init(name: String, mediaType: String, bytes: [UInt8]) {
        self.name = name
        self.mediaType = mediaType
        self.bytes = bytes
        version = String(Hex.encode(Digest.sha256(bytes)).prefix(12))
    }

    static let stylesheetPath = address("sallyport.css")
    static let scriptPath = address("sallyport.js")

    private static func address(_ name: String) -> String {
        SitePath.asset(name).path + (all.first { $0.name == name }.map { "?v=" + $0.version } ?? "")
    }

    var route: Route<Visitor> {
        let asset = self
        return Route("GET", SitePath.asset(name).path, "An asset of the pages") { _, exchange in
            let isVersioned = exchange.rawQuery == "v=" + asset.version
            return Answer(
                status: 200,
                headers: [
                    (name: "Content-Type", value: asset.mediaType),
                    (
                        name: "Cache-Control",
                        value: isVersioned ? "public, max-age=31536000, immutable" : "public, max-age=300"
                    ),
                ], body: asset.bytes)
        }
    }
}
