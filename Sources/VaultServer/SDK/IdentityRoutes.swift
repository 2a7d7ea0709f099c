import VaultAPI
import VaultService

// Who a user token names (wire contract §4.14).

extension SDKRoutes {
    var identityRoutes: [Route<AppCaller>] {
        [
            Route("POST", "/sdk/identity/resolve", "Say whom a user token names") { caller, exchange in
                try caller.require("idp_users:read")
                let fields = try exchange.fields(.ignored)
                let (userToken, withProfile) = try Self.identityRequest(fields)
                try fields.finish()
                return .json(
                    try await vault.resolveIdentity(caller, userToken: userToken, withProfile: withProfile).json)
            },
            Route("POST", "/sdk/identity/assert", "Sign who a user token names") { caller, exchange in
                try caller.require("idp_users:read")
                let fields = try exchange.fields(.ignored)
                let (userToken, withProfile) = try Self.identityRequest(fields)
                let audience = fields.string("audience", length: 1...10_000)
                let ttlSeconds = fields.optionalInteger("ttl_seconds", in: Limits.assertionSeconds)
                try fields.finish()
                let assertion = try await vault.assertIdentity(
                    caller, userToken: userToken, audience: audience, ttlSeconds: ttlSeconds, withProfile: withProfile)
                return .json([
                    "token": .string(assertion.token), "expires_at": .string(assertion.expiresAt.rfc3339),
                    "identity": .object(assertion.identity.json),
                ])
            },
        ]
    }

    private static func identityRequest(_ fields: Fields) throws -> (userToken: String?, withProfile: Bool) {
        guard fields.value("app_user_id") == nil else {
            throw VaultError(.invalidRequest, "app_user_id is for agents; an app names its user by user_token.")
        }
        return (fields.readUserToken(), fields.optionalBool("include_profile") ?? false)
    }
}
