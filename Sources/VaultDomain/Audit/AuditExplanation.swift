import VaultAPI

// Why a request was decided as it was, from what its record says, and what would have to change.

package struct AuditExplanation: Sendable {
    /// What was asked and decided.
    package let summary: [String]
    /// Every rule with its outcome.
    package let rules: [String]
    /// What would have to change for it to be allowed; empty when it was.
    package let changes: [String]

    package init(_ record: JSONObject) {
        func text(_ name: String) -> String? { record[name]?.string }
        let isDenied = text("decision") == AuditDecision.deny.rawValue
        let error = record["details"]?["error"]?.string
        var summary = ["\(text("event") ?? "?") at \(text("occurred_at") ?? "?"): \(text("decision") ?? "?")"]
        if let method = text("method"), let url = text("url") { summary.append("\(method) \(url)") }
        let names = ["provider_id", "user_id", "grant_id", "peer", "reason"].compactMap { name in
            text(name).map { "\(name.replacing("_id", with: "")) \($0)" }
        }
        if !names.isEmpty { summary.append(names.joined(separator: ", ")) }
        if let error, isDenied { summary.append("refused with \(error)") }
        self.summary = summary
        let outcomes = record["details"]?["rules"]?.array ?? []
        rules = outcomes.map { outcome in
            func part(_ name: String) -> String { outcome[name]?.string ?? "?" }
            return "\(part("result")): \(part("layer")) policy, \(part("rule")): \(part("reason"))"
        }
        guard isDenied else {
            changes = []
            return
        }
        let denied = outcomes.filter { $0["result"]?.string == RuleVerdict.Result.deny.rawValue }
        let needed = denied.map { outcome in
            "\(outcome["layer"]?.string ?? "?") policy, \(outcome["rule"]?.string ?? "?"): needs "
                + (outcome["needed"]?.string ?? "another outcome")
        }
        let missing = record["details"]?["missing_scopes"]?.array?.compactMap(\.string) ?? []
        let scopes = missing.isEmpty ? [] : ["The key needs the scope " + missing.joined(separator: " or ") + "."]
        let other = error.flatMap(ErrorCode.init).flatMap(Self.remedy)
        changes = (Self.isOfPolicy(error) ? [] : other.map { [$0] } ?? []) + scopes + needed
    }

    private static func isOfPolicy(_ error: String?) -> Bool {
        error == ErrorCode.policyViolation.rawValue || error == ErrorCode.rateLimitExceeded.rawValue
    }

    /// What lifts a refusal that no policy decided.
    private static func remedy(_ code: ErrorCode) -> String? {
        switch code {
        case .userSuspended: "An operator, or the identity provider if it suspended the user, has to restore the user."
        case .userDeprovisioned, .grantDeleted:
            "The user was deprovisioned: an operator has to restore the user, who then connects anew."
        case .grantRevoked: "The grant was revoked for good: the user has to connect the account again."
        case .grantExpired: "The grant's term is over: an operator has to extend it, or the user to connect again."
        case .credentialRevoked, .scopeMismatch: "The user has to connect the account again."
        case .grantNotFound: "The grant has to exist, to belong to this app, and to this user where one is named."
        case .ambiguousGrant: "The request has to name the account, the label, or the grant."
        case .blockedDestination: "The host has to be one of the provider's or the secret's hosts."
        case .restrictedGrantRequiresProxy, .approvalRequiresProxy: "The call has to go through the proxy."
        case .insufficientScope: nil
        case .jwtValidationError: "The request needs a valid token of the user from the app's identity provider."
        case .identityProviderInactive, .identityProviderNotConfigured: "The app needs its identity provider set up."
        case .tokenRefreshFailed, .tokenRefreshInProgress, .providerUnreachable:
            "The provider has to answer; the same request may succeed later."
        case .systemGrantUserTokenMismatch: "The grant is the app's own: the request must not name a user."
        case .validationFailed, .invalidRequest, .invalidRequestRule, .queryTooLong:
            "The request has to be well-formed."
        default: nil
        }
    }
}
