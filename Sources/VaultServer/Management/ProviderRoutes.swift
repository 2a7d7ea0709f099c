import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// OAuth providers and managed secrets of an app.

extension ManagementRoutes {
    var oauthProviderRoutes: [Route<OperatorCaller>] {
        let provider = Self.app + "/oauth-providers/{provider_id}"
        return [
            Route("GET", "/api/v1/oauth-provider-catalog", "List the built-in provider templates") { _, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                return paging.answer(all: OAuthProviderCatalog.all, id: \.id, json: \.managementJSON)
            }
            .answering(pagesOf: "OAuthProviderTemplate"),
            Route("PUT", provider, "Set up an OAuth provider") { caller, exchange in
                let providerID = exchange.parameter("provider_id")
                let fields = try exchange.fields(.refused)
                let settings = OAuthClientSettings(fields, providerID: providerID)
                try fields.finish()
                return .json(
                    json(
                        try await vault.setOAuthProvider(
                            caller, appID: exchange.appID, providerID: providerID, settings)))
            }
            .taking(body: [
                .required("client_id"), .required("client_secret"), .optional("scopes", .strings),
                .optional("display_name"), .optional("authorization_url"), .optional("token_url"),
                .optional("revocation_url"), .optional("userinfo_url"), .optional("api_hosts", .strings),
                .optional("pkce"), .optional("token_auth"), .optional("account_claim"),
            ]).answering("OAuthProvider"),
            Route("GET", Self.app + "/oauth-providers", "List OAuth providers") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let providers = try vault.oauthProviders(caller, appID: exchange.appID)
                return paging.answer(all: providers, id: \.providerID, json: { .object(json($0)) })
            }
            .answering(pagesOf: "OAuthProvider"),
            Route("GET", provider, "Read an OAuth provider") { caller, exchange in
                .json(
                    json(
                        try vault.oauthProvider(
                            caller, appID: exchange.appID, providerID: exchange.parameter("provider_id"))))
            }
            .answering("OAuthProvider"),
            Route("DELETE", provider, "Remove an OAuth provider", status: 204) { caller, exchange in
                try await vault.deleteOAuthProvider(
                    caller, appID: exchange.appID, providerID: exchange.parameter("provider_id"))
                return .noContent
            },
        ]
    }

    private func json(_ provider: OAuthProviderRecord) -> JSONObject {
        var object: JSONObject = [
            "provider_id": .string(provider.providerID), "client_id": .string(provider.clientID),
            "redirect_uri": .string(vault.oauthRedirectURI),
            "custom": .bool(OAuthProviderCatalog.template(provider.providerID) == nil),
            "created_at": .string(provider.createdAt.rfc3339), "updated_at": .string(provider.updatedAt.rfc3339),
        ]
        for (name, value) in provider.configuration.members { object[name] = value }
        return object
    }

    var managedSecretRoutes: [Route<OperatorCaller>] {
        let secrets = Self.app + "/managed-secrets"
        return [
            Route("POST", secrets, "Create a managed secret with an app-wide grant", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = ManagedSecretSettings(fields)
                try fields.finish()
                return .json(
                    try await vault.createManagedSecret(caller, appID: exchange.appID, settings).json, status: 201)
            }
            .taking(body: [
                .required("slug"), .required("name"), .required("credential_type"), .required("value", .object),
                .required("allowed_hosts", .strings), .optional("injection", .object),
            ]).answering("ManagedSecret"),
            Route("GET", secrets, "List managed secrets") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let items = try vault.managedSecrets(
                    caller, appID: exchange.appID, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    items, position: { PagePosition(at: $0.record.createdAt.milliseconds, id: $0.record.id.text) },
                    json: { .object($0.json) })
            }
            .answering(pagesOf: "ManagedSecret"),
            Route("PUT", secrets + "/{secret_id}/value", "Replace the value of a managed secret", status: 204) {
                caller, exchange in
                let id = exchange.parameter("secret_id")
                let secret = try vault.managedSecret(caller, appID: exchange.appID, id)
                let fields = try exchange.fields(.refused)
                let type = ManagedCredentialType(rawValue: secret.credentialType) ?? .bearer
                // The body is the value itself, or `{value: {…}}` as at creation.
                let value = type.value(fields.optionalFields("value") ?? fields)
                try fields.finish()
                try await vault.replaceManagedSecretValue(caller, appID: exchange.appID, id, value: value)
                return .noContent
            }
            .taking(body: [
                .optional("value", .object), .optional("token"), .optional("key"), .optional("username"),
                .optional("password"),
            ]),
            Route("DELETE", secrets + "/{secret_id}", "Delete a managed secret and its grants", status: 204) {
                caller, exchange in
                try await vault.deleteManagedSecret(caller, appID: exchange.appID, exchange.parameter("secret_id"))
                return .noContent
            },
        ]
    }
}

extension OAuthClientSettings {
    init(_ fields: Fields, providerID: String) {
        self.init(
            clientID: fields.string("client_id", length: 1...512),
            clientSecret: Secret(fields.string("client_secret", length: 1...4096)),
            configuration: OAuthProviderConfiguration(fields, providerID: providerID))
    }
}

extension ManagedSecretSettings {
    init(_ fields: Fields) {
        let slug = fields.string("slug", length: 1...50)
        if !slug.isEmpty,
            !slug.utf8.allSatisfy({
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
            })
        {
            fields.report("slug", "must be lower-case letters, digits and hyphens")
        }
        if !fields.has("credential_type") { fields.report("credential_type", "is required") }
        let type = fields.optionalChoice("credential_type", ManagedCredentialType.self) ?? .bearer
        let value = fields.optionalFields("value")
        if value == nil { fields.report("value", "is required") }
        let hosts = fields.optionalStrings("allowed_hosts", countMax: 50, length: 1...255) ?? []
        if hosts.isEmpty { fields.report("allowed_hosts", "must name at least one host") }
        for (index, host) in hosts.enumerated() where HostRule(host) == nil {
            fields.report("allowed_hosts[\(index)]", "must be a host or host:port")
        }
        let suggested = type.defaultInjection
        let injection = fields.optionalFields("injection").map {
            CredentialInjection($0, defaultHeader: suggested.header, defaultFormat: suggested.format)
        }
        self.init(
            slug: slug, name: fields.string("name", length: 1...200), type: type,
            value: value.map(type.value) ?? Secret(""),
            allowedHosts: hosts, injection: injection ?? suggested)
    }
}

extension ManagedSecretDetails {
    fileprivate var json: JSONObject {
        [
            "id": record.id.json, "slug": .string(record.slug), "name": .string(record.name),
            "credential_type": .string(record.credentialType), "allowed_hosts": .strings(record.allowedHosts),
            "injection": .object(record.injection), "grant_id": grantID?.json ?? .null,
            "created_at": .string(record.createdAt.rfc3339),
        ]
    }
}

extension OAuthProviderTemplate {
    fileprivate var managementJSON: JSON {
        [
            "id": .string(id), "display_name": .string(displayName), "category": .string(category),
            "description": .string(description),
            "documentation_url": .string(documentationURL), "authorization_url": .string(authorizationURL),
            "token_url": .string(tokenURL), "revocation_url": .optional(revocation.address),
            "userinfo_url": .optional(userinfoURL),
            "scopes": .array(
                scopes.map {
                    ["name": .string($0.name), "description": .string($0.description), "default": .bool($0.isDefault)]
                }),
            "pkce": .string(pkce.rawValue), "token_auth": .string(tokenAuthentication.rawValue),
            "supports_refresh": .bool(supportsRefresh), "api_hosts": .strings(apiHosts),
        ]
    }
}
