import VaultAPI
import VaultCrypto
import VaultService

// Browser sign-in as apps see it (wire contract §4.8): exactly 201 for a new session, and every outcome of a poll is a 200.

extension SDKRoutes {
    var signInRoutes: [Route<AppCaller>] {
        [
            Route("POST", "/sdk/auth/session", "Open a browser sign-in", status: 201) { caller, exchange in
                try caller.require("idp_users:write")
                try exchange.fields(.ignored, allowsEmpty: true).finish()
                let opened = try await vault.openSignIn(caller)
                let session: JSONObject = [
                    "session_token": .string(opened.sessionToken), "auth_url": .string(opened.authURL),
                    "expires_in": .integer(Limits.signInSessionSeconds),
                    "expires_at": .string(opened.expiresAt.rfc3339),
                ]
                return .json(session, status: 201)
            },
            Route("POST", "/sdk/auth/poll", "Poll a browser sign-in") { caller, exchange in
                try caller.require("idp_users:read")
                let fields = try exchange.fields(.ignored)
                let token = fields.string("session_token", length: 1...512)
                let wait = fields.optionalInteger("wait_ms", in: 0...Limits.signInWaitMillisecondsMax) ?? 0
                try fields.finish()
                return .json(try await vault.pollSignIn(caller, token: token, waitMilliseconds: wait).json)
            },
        ]
    }
}

extension SignInPoll {
    fileprivate var json: JSONObject {
        switch self {
        case .pending: return ["status": "pending"]
        case .expired: return ["status": "expired"]
        case .failed(let code, let message):
            return ["status": "error", "error_code": .string(code), "error_message": .string(message)]
        case .completed(let userToken, let subject, let email, let name):
            var info: JSONObject = ["sub": .string(subject)]
            info["email"] = email.map(JSON.string)
            info["name"] = name.map(JSON.string)
            return [
                "status": "completed", "user_token": .string(userToken.revealed()),  // plaintext leaves here
                "user_info": .object(info),
            ]
        }
    }
}
