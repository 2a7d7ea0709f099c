import Foundation
import VaultAPI
import VaultDomain
import VaultService

// What the pages of an app's users look like.

extension ManagementRoutes {
    /// The longest logo in base64.
    private static var logoTextMax: Int { (LogoFormat.bytesMax + 2) / 3 * 4 + 4 }

    var appBrandingRoutes: [Route<OperatorCaller>] {
        [
            Route("GET", Self.app + "/branding", "Read an app's colour and logo") { caller, exchange in
                .json(try vault.branding(of: try vault.app(caller, exchange.appID)).json)
            }
            .answering("AppBranding"),
            Route("PATCH", Self.app + "/branding", "Change an app's colour or logo (base64); null takes it away") {
                caller, exchange in
                let fields = try exchange.fields(.refused)
                let color: String?? =
                    fields.isPresent("accent_color")
                    ? .some(fields.optionalString("accent_color", length: 1...64)) : nil
                let logo = Self.logoChange(fields)
                try fields.finish()
                try await vault.setBranding(caller, appID: exchange.appID, accentColor: color, logo: logo)
                return .json(try vault.branding(of: try vault.app(caller, exchange.appID)).json)
            }
            .taking(body: [.optional("accent_color"), .optional("logo")]).answering("AppBranding"),
        ]
    }

    private static func logoChange(_ fields: Fields) -> AppLogoChange {
        guard fields.isPresent("logo") else { return .keep }
        guard fields.has("logo") else { return .remove }
        guard let text = fields.optionalString("logo", length: 1...logoTextMax) else { return .keep }
        guard let bytes = Data(base64Encoded: text) else {
            fields.report("logo", "must be base64")
            return .keep
        }
        return .replace(Array(bytes))
    }
}

extension AppBranding {
    fileprivate var json: JSONObject {
        [
            "accent_color": .optional(accentColor?.text),
            "logo_url": .optional(logoVersion.map { SitePath.appLogo(appID.text).path + "?v=" + $0 }),
        ]
    }
}
