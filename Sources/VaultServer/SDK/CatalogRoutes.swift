import VaultAPI
import VaultDomain
import VaultService

// What apps can look up: scopes, connectable providers, and whether a user token is good (wire contract §4.8, §4.11, §4.12).

extension SDKRoutes {
    var catalogRoutes: [Route<AppCaller>] {
        [
            Route("POST", "/sdk/auth/verify-token", "Check a user token") { caller, exchange in
                try caller.require("idp_users:read")
                let fields = try exchange.fields(.ignored)
                guard let token = fields.readUserToken("token") else {
                    throw VaultError(.jwtValidationError, "The user token was refused: there is none.")
                }
                return .json(["sub": .string(try await vault.verifyUserToken(caller, token: token))])
            },
            Route("GET", "/sdk/scopes", "List the scopes of API keys") { _, _ in
                var resources = JSONObject()
                for (name, verbs) in KeyScopeCatalog.verbs.sorted(by: { $0.key < $1.key }) {
                    resources[name] = ["verbs": .strings(verbs)]
                }
                return .json([
                    "scope_version": .integer(KeyScopeCatalog.version), "resources": .object(resources),
                    "action_verbs": .strings(KeyScopeCatalog.actionVerbs), "deprecated": [],
                ])
            },
            Route("GET", "/sdk/oauth/provider-catalog", "List the providers that users can connect") { caller, _ in
                try caller.require("providers:read")
                var providers = JSONObject()
                for template in try vault.connectableProviders(caller) { providers[template.id] = template.sdkJSON }
                return .json(["providers": .object(providers)])
            },
        ]
    }
}

extension OAuthProviderTemplate {
    fileprivate var sdkJSON: JSON {
        var available = JSONObject()
        for scope in scopes {
            available[scope.name] = [
                "description": .string(scope.description), "required": false, "is_default": .bool(scope.isDefault),
                "requires": [],
            ]
        }
        return [
            "id": .string(id), "name": .string(id), "display_name": .string(displayName), "category": .string(category),
            "description": .string(description), "supports_refresh": .bool(supportsRefresh),
            "supports_pkce": .bool(pkce.sendsChallenge), "available_scopes": .object(available),
            "default_scopes": .strings(defaultScopes), "required_scopes": [], "status": "active",
        ]
    }
}
