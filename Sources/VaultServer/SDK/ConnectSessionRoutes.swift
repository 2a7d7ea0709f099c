import VaultAPI
import VaultDomain
import VaultService

// Connect sessions as apps see them (wire contract §4.6).

extension SDKRoutes {
    var connectSessionRoutes: [Route<AppCaller>] {
        [
            Route("POST", "/sdk/oauth/connect/session", "Open a Connect session") { caller, exchange in
                try caller.requireSome("connect:initiate")
                let fields = try exchange.fields(.ignored)
                let request = try Self.connectRequest(fields)
                try fields.finish()
                let session = try await vault.openConnectSession(caller, request)
                return .json([
                    "session_token": .string(session.sessionToken), "connect_url": .string(session.connectURL),
                    "expires_in": .integer(session.expiresInSeconds), "expires_at": .string(session.expiresAt.rfc3339),
                    "single_provider": .bool(session.isSingleProvider), "direct": false,
                    "scope_constraint_warnings": [],
                ])
            },
            Route("POST", "/sdk/oauth/connect/session/poll", "Poll a Connect session") { caller, exchange in
                try caller.requireSome("connect:initiate")
                let fields = try exchange.fields(.ignored)
                let token = fields.string("session_token", length: 1...512)
                try fields.finish()
                return .json(try vault.pollConnectSession(caller, token: token).json)
            },
        ]
    }

    private static func connectRequest(_ fields: Fields) throws -> ConnectRequest {
        var requiredScopes: [String: [String]] = [:]
        if let required = fields.optionalFields("required_scopes"),
            let object = fields.optionalObject("required_scopes")
        {
            if object.names.count > 100 { fields.report("required_scopes", "must name at most 100 providers") }
            for name in object.names.prefix(100) { requiredScopes[name] = required.optionalStrings(name) ?? [] }
        }
        let terms = fields.optionalFields("grant_policy").map(GrantPolicyTerms.init) ?? GrantPolicyTerms()
        let requested = fields.optionalFields("requested_grant")
        if requested?.has("restrictions") == true {
            requested?.report("restrictions", "are not taken by this version; use a policy of the app")
        }
        let providers = fields.optionalStrings("allowed_providers", countMax: 100, length: 1...255)
        if let providers, providers.isEmpty {
            fields.report("allowed_providers", "must name at least one provider, or be left out")
        }
        let label = requested?.optionalString("label", length: 1...255)
        return ConnectRequest(
            allowedProviders: providers, requiredScopes: requiredScopes, returnURL: fields.optionalString("return_url"),
            allowedOrigin: fields.optionalString("allowed_origin", length: 0...2048), label: label, terms: terms,
            repairGrantID: fields.optionalString("repair_grant_id", length: 1...64),
            agent: fields.optionalString("agent", length: 1...255),
            hasScopeConstraint: fields.value("scope_constraint") != nil,
            userToken: fields.readUserToken())
    }
}

extension ConnectPoll {
    /// Outcomes are 200s with a status (wire contract §3.3).
    fileprivate var json: JSONObject {
        switch self {
        case .pending(let declined):
            var object: JSONObject = ["status": "pending"]
            if !declined.isEmpty { object["declined_providers"] = .array(declined) }
            return object
        case .completed(let grants, let failures):
            return ["status": "completed", "grants": .array(grants), "failed_grants": .array(failures)]
        case .failed(let code, let message):
            return ["status": "error", "error": ["error_code": .string(code), "error_message": .string(message)]]
        case .expired: return ["status": "expired"]
        }
    }
}
