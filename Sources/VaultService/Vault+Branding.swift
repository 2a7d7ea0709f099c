import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// How the pages of an app's users look: Wallet, Connect, sign-in. Operators set it, and everybody may see it.

package struct AppBranding: Sendable {
    package let appID: AppID
    package let appName: String
    /// `nil` where the pages keep their own colour.
    package let accentColor: AccentColor?
    /// `nil` where there is no logo.
    package let logoVersion: String?
}

package enum AppLogoChange: Sendable {
    case keep
    case remove
    case replace([UInt8])
}

extension Vault {
    /// - Parameter accentColor: `nil` leaves it, `.some(nil)` takes it away.
    package func setBranding(
        _ caller: OperatorCaller, appID: String, accentColor: String??, logo: AppLogoChange
    ) async throws {
        let app = try app(caller, appID, toWrite: true)
        var problems: [FieldProblem] = []
        var color: AccentColor?
        if case .some(.some(let text)) = accentColor {
            color = AccentColor(text)
            if color == nil { problems.append(FieldProblem(field: "accent_color", problem: "must be like #1f5f5b")) }
        }
        var record: AppLogoRecord?
        if case .replace(let bytes) = logo {
            do { record = try Self.logo(bytes) } catch { problems.append(error.problem) }
        }
        guard problems.isEmpty else { throw VaultError.validation(problems) }
        var details = JSONObject()
        if accentColor != nil { details["accent_color"] = .optional(color?.text) }
        switch logo {
        case .keep: break
        case .remove: details["logo"] = "removed"
        case .replace: details["logo"] = record.map { .string($0.mediaType) }
        }
        let (newColor, newLogo) = (color?.text, record)
        try await self.record(caller, "app.branding_changed", app: app, details: details) { transaction in
            if accentColor != nil { try transaction.setAccentColor(newColor, appID: app.id) }
            if case .remove = logo { try transaction.deleteAppLogo(appID: app.id) }
            if let newLogo { try transaction.upsertAppLogo(newLogo, appID: app.id) }
        }
    }

    private struct LogoRefusal: Error {
        let problem: FieldProblem

        init(_ problem: String) { self.problem = FieldProblem(field: "logo", problem: problem) }
    }

    private static func logo(_ bytes: [UInt8]) throws(LogoRefusal) -> AppLogoRecord {
        guard bytes.count <= LogoFormat.bytesMax else {
            throw LogoRefusal("must have at most \(LogoFormat.bytesMax / 1000) kB")
        }
        guard let format = LogoFormat(bytes) else { throw LogoRefusal("must be a PNG, JPEG, GIF or WebP picture") }
        return AppLogoRecord(
            mediaType: format.rawValue, bytes: bytes, version: String(Hex.encode(Digest.sha256(bytes)).prefix(12)))
    }

    // MARK: For everybody

    /// Unknown, malformed and archived apps get the same answer.
    package func branding(appID text: String) throws -> AppBranding {
        try read { transaction in try branding(of: try visibleApp(text, in: transaction), in: transaction) }
    }

    package func branding(of app: AppRecord) throws -> AppBranding {
        try read { try branding(of: app, in: $0) }
    }

    private func branding(of app: AppRecord, in transaction: Transaction) throws -> AppBranding {
        AppBranding(
            appID: app.id, appName: app.name, accentColor: app.accentColor.flatMap { AccentColor($0) },
            logoVersion: try transaction.appLogoVersion(appID: app.id))
    }

    package func logo(appID text: String) throws -> AppLogoRecord {
        try read { transaction in
            guard let logo = try transaction.appLogo(appID: try visibleApp(text, in: transaction).id) else {
                throw Self.notFound
            }
            return logo
        }
    }

    private func visibleApp(_ text: String, in transaction: Transaction) throws -> AppRecord {
        guard let id = AppID(text), let app = try transaction.app(id), app.archivedAt == nil else {
            throw Self.notFound
        }
        return app
    }
}
