import VaultAPI

// What each rule says of one call.

/// The facts that rules look at. What is absent is not known, and a rule that needs it denies.
package struct PolicyFacts: Sendable {
    /// The grant's own user.
    package var user: User?
    package var grant: Grant?
    package var method: String?
    package var path: RequestPath?
    package var peer: IPAddress?
    package var now: Instant

    package init(
        user: User?, grant: Grant?, method: String?, path: RequestPath?, peer: IPAddress?, now: Instant
    ) {
        self.user = user
        self.grant = grant
        self.method = method
        self.path = path
        self.peer = peer
        self.now = now
    }
}

/// What one rule says, in words for the caller, and what it would have taken, for operators.
package struct RuleVerdict: Sendable, Equatable {
    package enum Result: String, Sendable { case allow, deny, notApplicable = "not_applicable" }

    package let result: Result
    package let reason: String
    package var needed: String?
    /// When a limit of this rule has room again.
    package var retryAt: Instant?

    static func allow(_ reason: String) -> RuleVerdict { RuleVerdict(result: .allow, reason: reason) }
    static func notApplicable(_ reason: String) -> RuleVerdict { RuleVerdict(result: .notApplicable, reason: reason) }

    static func deny(_ reason: String, needed: String, retryAt: Instant? = nil) -> RuleVerdict {
        RuleVerdict(result: .deny, reason: reason, needed: needed, retryAt: retryAt)
    }
}

package struct RuleOutcome: Sendable, Equatable {
    package let rule: String
    package let layer: PolicyLayer
    package let verdict: RuleVerdict

    package var isDenial: Bool { verdict.result == .deny }

    /// For operators: records, simulations.
    package var json: JSON {
        var object: JSONObject = [
            "rule": .string(rule), "layer": .string(layer.rawValue), "result": .string(verdict.result.rawValue),
            "reason": .string(verdict.reason),
        ]
        object["needed"] = verdict.needed.map(JSON.string)
        return .object(object)
    }

    /// For whoever was refused: what decided, without what the operator wrote.
    package var details: JSONObject {
        ["rule": .string(rule), "layer": .string(layer.rawValue), "reason": .string(verdict.reason)]
    }
}

extension PolicyRule {
    package func evaluate(_ facts: PolicyFacts, rate: RateReading?) -> RuleVerdict {
        switch self {
        case .allowedGroups(let names):
            guard let user = facts.user else {
                return .deny("no user, so groups cannot be decided", needed: Self.oneOf(names))
            }
            return names.contains(anyOf: user.groups)
                ? .allow("member of an allowed group")
                : .deny("in none of the allowed groups", needed: Self.oneOf(names))
        case .allowedRoles(let names):
            guard let user = facts.user else {
                return .deny("no user, so roles cannot be decided", needed: Self.oneOf(names))
            }
            return names.contains(anyOf: user.roles)
                ? .allow("holds an allowed role") : .deny("holds none of the allowed roles", needed: Self.oneOf(names))
        case .time(let rule):
            guard let isInside = rule.allows(facts.now) else {
                return .deny("the policy's time zone is not known here", needed: rule.description)
            }
            return isInside
                ? .allow("inside the allowed hours") : .deny("outside the allowed hours", needed: rule.description)
        case .ipAllowlist(let ranges):
            let needed = { "an address in one of: " + Self.shortened(ranges.map(\.description)) }
            guard let peer = facts.peer else { return .deny("the caller's address is not known", needed: needed()) }
            return ranges.contains { $0.contains(peer) }
                ? .allow("address is listed") : .deny("address is not listed", needed: needed())
        case .methods(let methods):
            guard let method = facts.method else {
                return .deny("the method is not known", needed: Self.oneOf(methods.sorted()))
            }
            return methods.contains(method)
                ? .allow("method is listed") : .deny("method is not listed", needed: Self.oneOf(methods.sorted()))
        case .paths(let patterns):
            let needed = { "a path that matches one of: " + Self.shortened(patterns.map(\.text)) }
            guard let path = facts.path else { return .deny("the path is not known", needed: needed()) }
            return PathPattern.anyMatches(patterns, path) == true
                ? .allow("path matches") : .deny("path matches no pattern", needed: needed())
        case .grantTTL(let ttl): return Self.evaluate(ttl, facts)
        case .requireApproval(let rule):
            return rule.covers(facts)
                ? .deny(
                    "the call needs an approval, and none was given",
                    needed: "an approval by \(rule.approvers == .user ? "the user" : "an operator")")
                : .notApplicable("the call needs no approval")
        case .rateLimit(let limit): return Self.evaluate(limit, rate)
        case .unreadable:
            return .deny("the stored policy cannot be read", needed: "the policy to be set again")
        }
    }

    private static func evaluate(_ ttl: GrantTTL, _ facts: PolicyFacts) -> RuleVerdict {
        guard let grant = facts.grant, let end = grant.termEnd(ttl) else {
            return .notApplicable("there is no term to hold against it")
        }
        return facts.now < end
            ? .allow("the grant is inside its term")
            : .deny("the grant is older than its longest term", needed: "a new consent, or an extension")
    }

    private static func evaluate(_ limit: RateLimit, _ rate: RateReading?) -> RuleVerdict {
        let needed = "no more than \(limit.requests) uses in \(limit.seconds) s per \(limit.per.rawValue)"
        switch rate {
        case .free: return .allow("inside the limit")
        case .usedUp(let until): return .deny("the limit is used up", needed: needed, retryAt: until)
        case nil: return .deny("there is no \(limit.per.rawValue) to count for", needed: needed)
        }
    }

    private static func oneOf(_ names: NameSet) -> String { oneOf(names.names) }
    private static func oneOf(_ names: [String]) -> String {
        names.isEmpty ? "nobody is allowed" : "one of: " + shortened(names)
    }

    /// A record need not hold a long list to be understood.
    private static func shortened(_ texts: [String]) -> String {
        let shown = 10
        let rest = texts.count - shown
        return texts.prefix(shown).joined(separator: ", ") + (rest > 0 ? ", and \(rest) more" : "")
    }
}

extension Grant {
    /// When the term ends that the rule gives it at most; `nil` where there is none. A term begins with consent or extension.
    /// Grants of the app itself have no person who could consent again, and no term.
    package func termEnd(_ ttl: GrantTTL) -> Instant? {
        guard principalType != .system, let seconds = ttl.maxSeconds else { return nil }
        return termStartedAt.adding(seconds: seconds)
    }
}
