import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// OAuth providers in the Portal: what an app has set up, the built-in ones to choose from, and ones of one's own. The
// address of a provider's form is the same before and after it is set up, as it is for the API's PUT.

extension PortalRoutes {
    var oauthProviderRoutes: [Route<PortalCaller>] {
        let providers = Self.app + "/providers"
        return [
            Route("GET", providers, "OAuth providers of an app") { caller, exchange in
                try providersPage(caller, exchange)
            },
            Route("GET", providers + "/catalog", "The built-in OAuth providers") { caller, exchange in
                try catalogPage(caller, exchange)
            },
            Route("GET", providers + "/custom", "A new custom OAuth provider") { caller, exchange in
                try customProviderPage(caller, exchange, FormState())
            },
            Route("POST", providers + "/custom", "Set up a new custom OAuth provider") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try customProviderPage(caller, exchange, $0)
                } _: {
                    let id = form["provider_id"]
                    let fields = Self.customFields(form)
                    let settings = OAuthClientSettings(fields, providerID: id)
                    try reportTaken(id, caller, exchange, to: fields)
                    try fields.finish()
                    return try await save(caller, exchange, id, settings)
                }
            },
            Route("GET", providers + "/{provider_id}/edit", "The form of an OAuth provider") { caller, exchange in
                try providerPage(caller, exchange, nil)
            },
            Route("POST", providers + "/{provider_id}/edit", "Set up an OAuth provider") { caller, exchange in
                let form = exchange.form
                let id = exchange.parameter("provider_id")
                let isBuiltIn = OAuthProviderCatalog.template(id) != nil
                // A custom one is made on its own page.
                if !isBuiltIn { _ = try vault.oauthProvider(caller.account, appID: exchange.appID, providerID: id) }
                return try await exchange.submitting(form) {
                    try providerPage(caller, exchange, $0)
                } _: {
                    let fields = isBuiltIn ? Self.builtInFields(form) : Self.customFields(form)
                    let settings = OAuthClientSettings(fields, providerID: id)
                    try fields.finish()
                    return try await save(caller, exchange, id, settings)
                }
            },
            Route("GET", providers + "/{provider_id}/delete", "Before an OAuth provider is removed") {
                caller, exchange in
                try providerDeletionPage(caller, exchange)
            },
            Route("POST", providers + "/{provider_id}/delete", "Remove an OAuth provider") { caller, exchange in
                try await vault.deleteOAuthProvider(
                    caller.account, appID: exchange.appID, providerID: exchange.parameter("provider_id"))
                return done(.deleted, .portalApp(exchange.appID, "providers"))
            },
        ]
    }

    // MARK: Reading

    private static func builtInFields(_ form: FormValues) -> Fields {
        var body = form.object([.text("client_id"), .secret("client_secret"), .optional("display_name")])
        // What was typed comes first, so that a problem tells its place there. Nothing at all is a choice too.
        body["scopes"] = .strings(form.words("other_scopes") + form.all("scopes"))
        return Fields(body, unknownMembers: .refused)
    }

    private static func customFields(_ form: FormValues) -> Fields {
        var body = form.object([
            .text("client_id"), .secret("client_secret"), .optional("display_name"), .text("authorization_url"),
            .text("token_url"), .optional("revocation_url"), .optional("userinfo_url"), .list("api_hosts"),
            .optional("pkce"), .optional("token_auth"), .optional("account_claim"),
        ])
        if !form.words("scopes").isEmpty { body["scopes"] = .strings(form.words("scopes")) }
        return Fields(body, unknownMembers: .refused)
    }

    /// A new provider takes nobody's place.
    private func reportTaken(_ id: String, _ caller: PortalCaller, _ exchange: Exchange, to fields: Fields) throws {
        if id.isEmpty {
            fields.report("provider_id", "is required")
        } else if OAuthProviderCatalog.template(id) != nil {
            fields.report("provider_id", "is the name of a built-in provider")
        } else if try vault.oauthProviders(caller.account, appID: exchange.appID).contains(where: {
            $0.providerID == id
        }) {
            fields.report("provider_id", "is taken by another provider of this app")
        }
    }

    private func save(
        _ caller: PortalCaller, _ exchange: Exchange, _ providerID: String, _ settings: OAuthClientSettings
    ) async throws -> Answer {
        _ = try await vault.setOAuthProvider(
            caller.account, appID: exchange.appID, providerID: providerID, settings)
        return done(.saved, .portalApp(exchange.appID, "providers"))
    }

    // MARK: Pages

    private func providersPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let list = ProviderListPage(
            app: app, mayChange: caller.mayChange(app),
            providers: try vault.oauthProviders(caller.account, appID: exchange.appID),
            redirectURI: vault.oauthRedirectURI)
        return page(caller, exchange, "OAuth providers", app: app, section: .providers, list.html)
    }

    private func catalogPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let fields = Fields(try exchange.query(), unknownMembers: .refused)
        let search = fields.optionalString("q", length: 0...100) ?? ""
        let category = fields.optionalString("category", length: 0...50) ?? ""
        try fields.finish()
        let catalog = ProviderCatalogPage(
            app: app, search: search, category: category,
            configured: Set(try vault.oauthProviders(caller.account, appID: exchange.appID).map(\.providerID)))
        return page(caller, exchange, "Add an OAuth provider", app: app, section: .providers, catalog.html)
    }

    private func customProviderPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let form = CustomProviderPage(
            app: app, provider: nil, path: exchange.path, csrfToken: caller.csrfToken,
            redirectURI: vault.oauthRedirectURI, state: state)
        return page(caller, exchange, "Custom OAuth provider", app: app, section: .providers, form.html)
    }

    /// - Parameter sent: what came with a refused form; without it the form shows what is stored.
    private func providerPage(_ caller: PortalCaller, _ exchange: Exchange, _ sent: FormState?) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let id = exchange.parameter("provider_id")
        let providers = try vault.oauthProviders(caller.account, appID: exchange.appID)
        let stored = providers.first { $0.providerID == id }
        if let template = OAuthProviderCatalog.template(id) {
            let form = BuiltInProviderPage(
                app: app, template: template, isConfigured: stored != nil, csrfToken: caller.csrfToken,
                redirectURI: vault.oauthRedirectURI, state: sent ?? FormState.stored(stored, of: template))
            return page(caller, exchange, template.displayName, app: app, section: .providers, form.html)
        }
        guard let stored else {
            throw VaultError(.notFound, "The app has no such OAuth provider.")
        }
        let form = CustomProviderPage(
            app: app, provider: stored, path: exchange.path, csrfToken: caller.csrfToken,
            redirectURI: vault.oauthRedirectURI, state: sent ?? FormState.stored(stored))
        return page(caller, exchange, stored.displayName, app: app, section: .providers, form.html)
    }

    private func providerDeletionPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let provider = try vault.oauthProvider(
            caller.account, appID: exchange.appID, providerID: exchange.parameter("provider_id"))
        let name = provider.displayName
        let question = ConfirmationPage(
            title: "Remove \(name)?",
            text: """
                <p>The app loses its client of <code>\(provider.providerID)</code>, client secret included. From then on:</p>
                <ul class="steps">
                <li>No user can connect \(name).</li>
                <li>No call with a grant of \(name) goes through, and no token is renewed. The grants stay in the lists.</li>
                <li>\(name) cannot be told when one of these grants is revoked: revoke them first where that matters.</li>
                </ul>
                <p>The tokens of users stay stored, encrypted. Set up again with the same client, the provider’s grants work \
                as before.</p>
                """,
            path: exchange.path, csrfToken: caller.csrfToken, label: "Remove the provider",
            backPath: SitePath.portalApp(app.id.text, "providers").path)
        return page(caller, exchange, "Remove an OAuth provider", app: app, section: .providers, question.html)
    }
}

extension OAuthProviderRecord {
    var settings: OAuthProviderConfiguration {
        OAuthProviderConfiguration(Fields(configuration, unknownMembers: .ignored), providerID: providerID)
    }

    var displayName: String { settings.template(id: providerID)?.displayName ?? providerID }
}

extension FormState {
    /// The form of a built-in provider as it begins: with what is stored, or with the provider's own defaults.
    static func stored(_ provider: OAuthProviderRecord?, of template: OAuthProviderTemplate) -> FormState {
        let known = Set(template.scopes.map(\.name))
        let scopes = provider?.settings.scopes ?? template.defaultScopes
        var values = [
            (name: "client_id", value: provider?.clientID ?? ""),
            (name: "display_name", value: provider?.settings.displayName ?? ""),
            (name: "other_scopes", value: scopes.filter { !known.contains($0) }.joined(separator: "\n")),
        ]
        for scope in scopes where known.contains(scope) { values.append((name: "scopes", value: scope)) }
        return FormState(values)
    }

    static func stored(_ provider: OAuthProviderRecord) -> FormState {
        let settings = provider.settings
        var values = [
            (name: "client_id", value: provider.clientID), (name: "display_name", value: settings.displayName ?? ""),
            (name: "scopes", value: (settings.scopes ?? []).joined(separator: "\n")),
        ]
        if let custom = settings.custom {
            values += [
                (name: "authorization_url", value: custom.authorizationURL),
                (name: "token_url", value: custom.tokenURL),
                (name: "revocation_url", value: custom.revocationURL ?? ""),
                (name: "userinfo_url", value: custom.userinfoURL ?? ""),
                (name: "api_hosts", value: custom.apiHosts.joined(separator: "\n")),
                (name: "pkce", value: custom.usesPKCE ? "S256" : "none"),
                (name: "token_auth", value: custom.tokenAuthentication.rawValue),
                (name: "account_claim", value: custom.accountClaim ?? ""),
            ]
        }
        return FormState(values)
    }
}
