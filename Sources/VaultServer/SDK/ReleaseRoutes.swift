import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService

// Using credentials: retrieve and proxy (wire contract §4.1, §4.4).

extension SDKRoutes {
    var releaseRoutes: [Route<AppCaller>] {
        [
            Route("POST", "/sdk/token", "Release a credential for one call") { caller, exchange in
                try await vault.requireScope(caller, for: .retrieve)
                let fields = try exchange.fields(.ignored)
                let request = Self.releaseRequest(fields, from: fields.optionalFields("request"))
                try fields.finish()
                let released = try await vault.retrieve(caller, request)
                return .json(released.json).holding(released.underWay)
            }.committingNonce(),
            Route("POST", "/sdk/proxy", "Call a provider with a credential") { caller, exchange in
                try await vault.requireScope(caller, for: .proxy)
                let fields = try exchange.fields(.ignored)
                let request = ProxyRequest(
                    release: Self.releaseRequest(fields, from: fields), headers: Self.headers(fields),
                    query: Self.query(fields), body: fields.value("body"))
                try fields.finish()
                let answered = try await vault.proxy(caller, request)
                return .json(answered.json).holding(answered.underWay)
            }.committingNonce(),
        ]
    }

    /// The use that a body describes; method and address stand in `target`.
    private static func releaseRequest(_ fields: Fields, from target: Fields?) -> ReleaseRequest {
        let (grantID, providerID) = fields.readAddressing()
        if target == nil, !fields.has("request") { fields.report("request", "is required") }
        return ReleaseRequest(
            grantID: grantID, providerID: providerID, userToken: fields.readUserToken(),
            appUserID: fields.optionalString("app_user_id", length: 1...255),
            account: fields.optionalString("account", length: 1...320),
            label: fields.optionalString("label", length: 1...255),
            reason: fields.readReason(),
            method: (target?.string("method", length: 1...20) ?? "").uppercased(),
            url: target?.string("url", length: 1...Limits.proxyURLCharactersMax) ?? "")
    }

    private static func headers(_ fields: Fields) -> [(name: String, value: String)] {
        (fields.optionalObject("headers")?.members ?? []).compactMap { name, value in
            guard let text = value.string else {
                fields.report("headers.\(name.prefix(64))", "must be a string")
                return nil
            }
            return (name: name, value: text)
        }
    }

    /// Lists repeat their name; scalars are written as JSON writes them.
    private static func query(_ fields: Fields) -> [(name: String, value: String)] {
        (fields.optionalObject("query_params")?.members ?? []).flatMap {
            name, value -> [(name: String, value: String)] in
            (value.array ?? [value]).compactMap { element in
                switch element {
                case .string(let text): (name: name, value: text)
                case .number(let number): (name: name, value: number.text)
                case .bool(let flag): (name: name, value: flag ? "true" : "false")
                case .null: (name: name, value: "")
                case .array, .object:
                    {
                        fields.report("query_params.\(name.prefix(64))", "must be a scalar or a list of scalars")
                        return nil
                    }()
                }
            }
        }
    }
}

extension ReleasedCredential {
    /// Optional members are left out, never null (wire contract §4.1).
    fileprivate var json: JSONObject {
        var object: JSONObject = [
            "access_token": .string(token.revealed()),  // plaintext leaves here
            "grant_id": grantID.json, "provider_id": .string(providerID), "token_type": "Bearer",
            "scopes": .strings(scopes), "scope_mismatch": false, "token_generation": .string(tokenGeneration),
            "injection_header": .string(injection.header), "injection_format": .string(injection.format),
        ]
        object["expires_at"] = expiresAt.map { .string($0.rfc3339) }
        if !injection.additional.isEmpty { object["additional_injections"] = .array(injection.additional.map(\.json)) }
        return object
    }
}

extension ProxyAnswer {
    fileprivate var json: JSONObject {
        var fields = JSONObject()
        for (name, value) in headers { fields[name] = .string(value) }
        var object: JSONObject = [
            "status_code": .integer(status), "body_b64": .string(Data(body).base64EncodedString()),
            "headers": .object(fields),
            "body_truncated": .bool(isTruncated), "duration_ms": .integer(durationMilliseconds),
        ]
        object["credential_hint"] = credentialHint.map(JSON.string)
        return object
    }
}
