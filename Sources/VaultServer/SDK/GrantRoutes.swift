import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Grants as apps see them, and what the SDK reports about its own calls (wire contract §4.2, §4.3, §4.9).

extension SDKRoutes {
    var grantRoutes: [Route<AppCaller>] {
        [
            Route("POST", "/sdk/grants/list", "List grants") { caller, exchange in
                try caller.require("grants:read")
                return try await list(caller, try exchange.fields(.ignored))
            },
            Route("POST", "/sdk/oauth/grants/{grant_id}/revoke", "Revoke a grant") { caller, exchange in
                try caller.require("grants:write", instance: [exchange.parameter("grant_id")])
                let fields = try exchange.fields(.ignored)
                let reason = fields.readReason()
                let userToken = fields.readUserToken()
                try fields.finish()
                let revoked = try await vault.revokeGrant(
                    caller, exchange.parameter("grant_id"), userToken: userToken, reason: reason)
                return .json([
                    "success": true, "message": "The grant was revoked.", "grant_id": revoked.id.json,
                    "revoked_at": .string(revoked.at.rfc3339),
                ])
            }.endingUses(),
            Route("POST", "/sdk/grants/{grant_id}/mint", "Mint a sibling grant", status: 201) { caller, exchange in
                try caller.require("grants:write", instance: [exchange.parameter("grant_id")])
                let fields = try exchange.fields(.ignored)
                let label = fields.string("label", length: 1...255)
                let terms = try Self.mintTerms(fields)
                try fields.finish()
                let minted = try await vault.mintGrant(
                    caller, exchange.parameter("grant_id"), label: label, terms: terms)
                return .json(minted.sdkJSON, status: 201)
            },
            Route(
                "POST", "/sdk/grants/{grant_id}/report-scope-mismatch",
                "Report that a provider refused for missing scopes",
                status: 204
            ) { caller, exchange in
                try caller.requireSome("tokens:retrieve")
                try await reportScopeMismatch(caller, exchange)
                return .noContent
            },
            Route("POST", "/sdk/oauth/audit/api-call", "Report a call made with a retrieved credential") {
                caller, exchange in
                try caller.require("audit:emit")
                let fields = try exchange.fields(.ignored)
                let report = Self.callReport(fields)
                try fields.finish()
                try await vault.recordCall(caller, report)
                return .json(["accepted": true])
            },
        ]
    }

    private func list(_ caller: AppCaller, _ fields: Fields) async throws -> Answer {
        let limit = fields.optionalInteger("limit", in: 1...1000) ?? 100
        let offset = fields.optionalInteger("offset", in: 0...1_000_000_000) ?? 0
        let filter = GrantFilter(
            providerID: fields.optionalString("provider_id", length: 1...255),
            account: fields.optionalString("account", length: 1...320),
            label: fields.optionalString("label", length: 1...255),
            status: fields.optionalChoice("status", GrantStatus.self))
        let userToken = fields.readUserToken()
        try fields.finish()
        let page = try await vault.grants(caller, filter: filter, userToken: userToken, offset: offset, limit: limit)
        return .json([
            "grants": .array(page.grants.map(\.sdkJSON)), "total": .integer(page.total), "limit": .integer(limit),
            "offset": .integer(offset), "has_more": .bool(offset + Int64(page.grants.count) < page.total),
        ])
    }

    /// What is wrong with the terms has its own code (wire contract §4.9).
    private static func mintTerms(_ fields: Fields) throws -> GrantPolicyTerms {
        guard let object = fields.optionalObject("grant_policy") else { return GrantPolicyTerms() }
        let policy = Fields(object, unknownMembers: .ignored, prefix: "grant_policy.")
        let terms = GrantPolicyTerms(policy)
        do {
            try policy.finish()
        } catch let error as VaultError {
            throw VaultError(.invalidGrantPolicy, error.message, details: error.details)
        }
        return terms
    }

    private func reportScopeMismatch(_ caller: AppCaller, _ exchange: Exchange) async throws {
        let fields = try exchange.fields(.ignored)
        var details = JSONObject()
        details["provider_status_code"] = fields.optionalInteger("provider_status_code", in: 100...999).map {
            .integer($0)
        }
        details["provider_error_code"] = fields.optionalString("provider_error_code", length: 0...256).map(JSON.string)
        details["missing_scopes"] = fields.optionalStrings("missing_scopes", countMax: 50, length: 1...256).map(
            JSON.strings)
        details["raw_www_authenticate"] = fields.optionalString("raw_www_authenticate", length: 0...4096).map(
            JSON.string)
        details["api_endpoint"] = fields.optionalString("api_endpoint", length: 0...2048).map(JSON.string)
        details["detection_source"] = fields.optionalString("detection_source", length: 0...64).map(JSON.string)
        details["sdk_correlation_id"] = fields.optionalString("sdk_correlation_id", length: 0...64).map(JSON.string)
        try fields.finish()
        try await vault.reportScopeMismatch(caller, exchange.parameter("grant_id"), details: details)
    }

    private static func callReport(_ fields: Fields) -> CallReport {
        var details = JSONObject()
        for name in ["request_headers", "response_headers"] {
            details[name] = fields.optionalObject(name).map { .object(SensitiveHeaders.removed(from: $0)) }
        }
        for name in ["request_body", "response_body"] {
            guard let value = fields.value(name) else { continue }
            // As text: a record must be readable again, however deep a body nests.
            let text = value.string ?? value.text
            details[name] = .string(
                text.utf8.count <= Limits.auditBodyBytesMax ? text : "<\(text.utf8.count) bytes, not kept>")
        }
        return CallReport(
            grantID: fields.string("grant_id", length: 1...64),
            providerID: fields.optionalString("provider_id", length: 0...255),
            tokenGeneration: fields.optionalString("token_generation", length: 1...64),
            method: fields.string("method", length: 1...20), url: fields.string("url", length: 1...65_536),
            status: Int(fields.optionalInteger("response_status", in: 0...999) ?? 0),
            latencyMilliseconds: fields.optionalInteger("latency_ms", in: 0...86_400_000),
            reason: fields.readReason(), context: fields.optionalObject("context").map(Self.texts),
            details: details)
    }
}

extension SDKRoutes {
    /// The string members of a caller's context, as its signed header has them (wire contract §2.2).
    private static func texts(_ object: JSONObject) -> JSONObject {
        var kept = JSONObject()
        for (name, value) in object.members.prefix(20) {
            kept[name] = value.string.map { .string(String($0.prefix(512))) }
        }
        return kept
    }
}

/// Headers that hold credentials and have no place in a record.
enum SensitiveHeaders {
    private static let names: Set<String> = [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
        "x-amz-security-token",
        "x-goog-authorization", "authentication",
    ]

    static func removed(from object: JSONObject) -> JSONObject {
        var kept = JSONObject()
        for (name, value) in object.members.prefix(Limits.auditHeadersMax) where !names.contains(name.lowercased()) {
            kept[name] = value.string.map(JSON.string)
        }
        return kept
    }
}
