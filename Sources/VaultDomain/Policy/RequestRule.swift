import VaultAPI

/// A one-off rule that a caller ties its own request with (`X-Alter-Request-Rule`, wire contract §2.6). It denies what
/// matches, and can allow nothing.
///
/// Of `json_match`, every condition of `when` has to hold: `method`, `provider_id`, `grant_id`, each a text or a list of
/// texts. A retrieved credential can make calls of any method, so that a method always matches there; a condition on
/// something else cannot be decided and counts as matching. `content_match` looks into calls by their provider's
/// specification, of which there is none here yet: it matches every call.
package struct RequestRule: Sendable {
    private let conditions: [(name: String, values: [String]?)]

    /// Throws `invalid_request_rule` for what is not such a rule.
    package init(_ rule: JSON) throws {
        let malformed = VaultError(.invalidRequestRule, "X-Alter-Request-Rule is malformed.")
        guard let body = rule["rule_body"]?.object else { throw malformed }
        switch rule["rule_type"]?.string {
        case "json_match":
            guard body["effect"]?.string == "deny", let when = body["when"]?.object, !when.isEmpty else {
                throw malformed
            }
            conditions = when.members.map { name, value in
                let list = value.array.map { $0.compactMap(\.string) }
                let isWhole = list.map { $0.count == value.array?.count } ?? false
                return (name: name, values: value.string.map { [$0] } ?? (isWhole ? list : nil))
            }
        case "content_match":
            guard body["match"]?.object != nil, ["deny", "redact", "step_up"].contains(body["effect"]?.string) else {
                throw malformed
            }
            conditions = []
        default: throw malformed
        }
    }

    package func evaluate(_ facts: PolicyFacts, mode: ReleaseMode) -> RuleOutcome {
        let isMatch = conditions.allSatisfy { condition in
            guard let values = condition.values else { return true }
            switch condition.name {
            case "method":
                guard mode == .proxy, let method = facts.method else { return true }
                return values.contains { $0.uppercased() == method }
            case "provider_id": return facts.grant.map { values.contains($0.providerID) } ?? true
            case "grant_id": return facts.grant.map { values.contains($0.id.text) } ?? true
            default: return true
            }
        }
        return RuleOutcome(
            rule: "request_rule", layer: .request,
            verdict: isMatch
                ? .deny("the request's own rule denies it", needed: "another request, or none of the rule's matches")
                : .allow("the request's own rule does not match"))
    }
}
