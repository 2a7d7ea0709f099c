import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// OAuth clients of an app: built-in templates with the operator's client, or custom providers.

package struct OAuthClientSettings: Sendable {
    package var clientID: String
    package var clientSecret: Secret
    package var configuration: OAuthProviderConfiguration

    package init(clientID: String, clientSecret: Secret, configuration: OAuthProviderConfiguration) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.configuration = configuration
    }
}

/// A provider as an app uses it.
struct ConfiguredProvider: Sendable {
    let record: OAuthProviderRecord
    let configuration: OAuthProviderConfiguration
    let template: OAuthProviderTemplate

    /// What Connect asks for when the session names nothing.
    var scopes: [String] { template.defaultScopes }

    /// The most a session may require: what the operator allowed, or what the built-in template knows.
    func allows(scope: String) -> Bool { template.scopes.contains { $0.name == scope } }
}

extension Vault {
    package var oauthRedirectURI: String { configuration.address(SitePath.oauthCallback.path) }

    private static let clientSecretPurpose = "oauth_provider.client_secret"

    package func setOAuthProvider(
        _ caller: OperatorCaller, appID: String, providerID: String, _ settings: OAuthClientSettings
    ) async throws -> OAuthProviderRecord {
        let app = try app(caller, appID, toWrite: true)
        guard Self.isProviderID(providerID) else {
            throw VaultError.validation(
                "provider_id", "must be 1 to 50 lower-case letters, digits, hyphens or underscores")
        }
        try requireCallable(settings.configuration)
        if try read({ try $0.managedSecret(slug: providerID, appID: app.id) }) != nil {
            throw VaultError(.conflict, "A managed secret of the app has this name.")
        }
        let existing = try read { try $0.oauthProvider(providerID, appID: app.id) }
        let version = (existing?.version ?? 0) + 1
        let time = now()
        let provider = OAuthProviderRecord(
            appID: app.id, providerID: providerID, clientID: settings.clientID,
            clientSecret: try sealForApp(
                app, settings.clientSecret, purpose: Self.clientSecretPurpose, record: providerID, version: version),
            version: version, configuration: settings.configuration.json, createdAt: existing?.createdAt ?? time,
            updatedAt: time)
        try await record(caller, "oauth_provider.saved", app: app, providerID: providerID) {
            try $0.upsertOAuthProvider(provider)
        }
        return provider
    }

    /// What the guarded client would refuse at every call is refused when it is set up.
    private func requireCallable(_ provider: OAuthProviderConfiguration) throws {
        guard let custom = provider.custom, !configuration.isDevelopment else { return }
        let addresses = [
            ("authorization_url", custom.authorizationURL), ("token_url", custom.tokenURL),
            ("revocation_url", custom.revocationURL), ("userinfo_url", custom.userinfoURL),
        ]
        let problems = addresses.compactMap { name, address in
            address?.hasPrefix("https://") == false
                ? FieldProblem(field: name, problem: "must begin with https://") : nil
        }
        if !problems.isEmpty { throw VaultError.validation(problems) }
    }

    static func isProviderID(_ text: String) -> Bool {
        (1...50).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
                    || $0 == UInt8(ascii: "_")
            }
    }

    package func oauthProviders(_ caller: OperatorCaller, appID: String) throws -> [OAuthProviderRecord] {
        let app = try app(caller, appID)
        return try read { try $0.oauthProviders(appID: app.id) }
    }

    package func oauthProvider(_ caller: OperatorCaller, appID: String, providerID: String) throws
        -> OAuthProviderRecord
    {
        let app = try app(caller, appID)
        guard let provider = try read({ try $0.oauthProvider(providerID, appID: app.id) }) else { throw Self.notFound }
        return provider
    }

    package func deleteOAuthProvider(_ caller: OperatorCaller, appID: String, providerID: String) async throws {
        let app = try app(caller, appID, toWrite: true)
        try await record(caller, "oauth_provider.deleted", app: app, providerID: providerID) {
            guard try $0.deleteOAuthProvider(providerID, appID: app.id) else { throw Self.notFound }
        }
    }

    /// The providers that users of the app can connect (`GET /sdk/oauth/provider-catalog`).
    package func connectableProviders(_ caller: AppCaller) throws -> [OAuthProviderTemplate] {
        try read { transaction in
            try transaction.oauthProviders(appID: caller.appID).compactMap { try configured($0).template }
        }
    }

    // MARK: For Connect, refresh and revocation

    private func configured(_ record: OAuthProviderRecord) throws -> ConfiguredProvider {
        let configuration = OAuthProviderConfiguration(
            Fields(record.configuration, unknownMembers: .ignored), providerID: record.providerID)
        guard let template = configuration.template(id: record.providerID) else {
            throw VaultError(
                .internalError, "The provider's template is gone.", cause: "no template \(record.providerID)")
        }
        return ConfiguredProvider(record: record, configuration: configuration, template: template)
    }

    func configuredProvider(_ providerID: String, appID: AppID, in transaction: Transaction) throws
        -> ConfiguredProvider?
    {
        try transaction.oauthProvider(providerID, appID: appID).map(configured)
    }

    func configuredProviders(appID: AppID, in transaction: Transaction) throws -> [ConfiguredProvider] {
        try transaction.oauthProviders(appID: appID).map(configured)
    }

    func template(_ providerID: String, appID: AppID, in transaction: Transaction) throws -> OAuthProviderTemplate? {
        try configuredProvider(providerID, appID: appID, in: transaction)?.template
    }

    /// Where calls with the provider's tokens may go; read anew when what is stored is another text.
    func apiHosts(of providerID: String, appID: AppID, in transaction: Transaction) throws -> [HostRule] {
        let hosts = try transaction.remembered(.init(.apiHosts, providerID, appID.text)) { () -> [HostRule]? in
            guard let text = try transaction.oauthProviderConfiguration(providerID, appID: appID) else { return nil }
            return try apiHostRules.value(for: [providerID, text]) {
                (try template(providerID, appID: appID, in: transaction)?.apiHosts ?? []).compactMap(HostRule.init)
            }
        }
        return hosts ?? []
    }

    /// The client that speaks to the provider's token and revocation addresses.
    func oauthClient(_ provider: ConfiguredProvider, app: AppRecord) throws -> OAuthClient {
        let record = provider.record
        let secret = try openForApp(
            app, record.clientSecret, purpose: Self.clientSecretPurpose, record: record.providerID,
            version: record.version)
        let template = provider.template
        do {
            var revocation: RevocationEndpoint?
            if case .endpoint(let style, let address) = template.revocation {
                revocation = RevocationEndpoint(style, try WebAddress(address), apiHeaders: template.apiHeaders)
            }
            return OAuthClient(
                endpoints: OAuthEndpoints(
                    tokenURL: try WebAddress(template.tokenURL), revocation: revocation, clientID: record.clientID,
                    clientSecret: secret, authentication: template.tokenAuthentication,
                    body: template.tokenRequestBody),
                send: send)
        } catch {
            throw VaultError(.internalError, "The provider's addresses are unusable.", cause: error.reason)
        }
    }
}
