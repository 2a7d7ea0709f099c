import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// An app's name, colours and logo on the pages of its users. Both files are open to everybody, as the pages are.

/// What pages show of the app they are for.
struct AppBrand: Sendable {
    let name: String
    /// `nil` where the app has not set a colour.
    var stylesheet: HTML?
    var logo: HTML?

    init(name: String, stylesheet: HTML? = nil, logo: HTML? = nil) {
        self.name = name
        self.stylesheet = stylesheet
        self.logo = logo
    }

    init(_ branding: AppBranding) {
        name = branding.appName
        stylesheet = branding.accentColor.map { color -> HTML in
            let address = SitePath.appStyle(branding.appID.text).path + "?v=" + BrandingRoutes.version(of: color)
            return "<link rel=\"stylesheet\" href=\"\(address)\">"
        }
        logo = branding.logoVersion.map { version -> HTML in
            let address = SitePath.appLogo(branding.appID.text).path + "?v=" + version
            return "<img class=\"app-logo\" src=\"\(address)\" alt=\"\(branding.appName)\">"
        }
    }
}

extension Vault {
    /// A page that cannot be dressed is shown plain, not refused.
    func brand(of app: AppRecord) -> AppBrand {
        (try? branding(of: app)).map { AppBrand($0) } ?? AppBrand(name: app.name)
    }

    /// `nil` for an app that is not there.
    func brand(appID: String) -> AppBrand? { (try? branding(appID: appID)).map { AppBrand($0) } }
}

struct BrandingRoutes: Sendable {
    let vault: Vault

    /// Grows when the same colour is made into other ones than before, so that nobody keeps the old style sheet.
    private static let paletteVersion = 1

    static func version(of color: AccentColor) -> String { "\(color.text.dropFirst())-\(paletteVersion)" }

    var routes: [Route<Visitor>] {
        [
            Route("GET", SitePath.appStyle("{app_id}").path, "The colours of an app") { _, exchange in
                guard let color = try vault.branding(appID: exchange.parameter("app_id")).accentColor else {
                    throw VaultError(.notFound, "The app has no colours of its own.")
                }
                return Self.file(
                    Array(color.styleSheet.utf8), mediaType: "text/css; charset=utf-8",
                    version: Self.version(of: color), exchange)
            },
            Route("GET", SitePath.appLogo("{app_id}").path, "The logo of an app") { _, exchange in
                let logo = try vault.logo(appID: exchange.parameter("app_id"))
                return Self.file(logo.bytes, mediaType: logo.mediaType, version: logo.version, exchange)
            },
        ]
    }

    /// The edge adds `nosniff`. Somebody else's bytes at our address: whatever they hold, nothing of it may load or run.
    private static func file(_ bytes: [UInt8], mediaType: String, version: String, _ exchange: Exchange) -> Answer {
        let isVersioned = exchange.rawQuery == "v=" + version
        return Answer(
            status: 200,
            headers: [
                (name: "Content-Type", value: mediaType),
                (name: "Content-Security-Policy", value: "default-src 'none'"),
                (
                    name: "Cache-Control",
                    value: isVersioned ? "public, max-age=31536000, immutable" : "public, max-age=300"
                ),
            ], body: bytes)
    }
}
