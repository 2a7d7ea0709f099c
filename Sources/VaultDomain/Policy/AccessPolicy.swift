import VaultAPI

// One layer's rules: the document of behaviour contract “Policies”, read once into what can be asked quickly. Pure: the
// facts come in as a value, each outcome explains itself, and the same words reach the audit record, the simulation and
// the error. What a rule cannot decide it denies.

/// Where a policy applies. All layers must allow.
package enum PolicyLayer: String, Sendable, CaseIterable { case app, provider, grant, agent, key, request }

/// One layer's policy, compiled.
package struct AccessPolicy: Sendable {
    /// The document as it is stored and answered.
    package let json: JSONObject
    package let rules: [PolicyRule]

    /// Reads the document and reports what is wrong with it to `fields`.
    package init(_ fields: Fields) {
        let read = PolicyDocument.read(fields)
        json = read.json
        rules = read.rules
    }

    private init(json: JSONObject, rules: [PolicyRule]) {
        self.json = json
        self.rules = rules
    }

    /// Denies everything.
    package static let unreadable = AccessPolicy(json: [:], rules: [.unreadable])

    /// A document of the database. One that cannot be read denies everything until it is set anew.
    package init(stored document: JSONObject) {
        let fields = Fields(document, unknownMembers: .refused)
        let read = AccessPolicy(fields)
        do {
            try fields.finish()
            self = read
        } catch {
            self = .unreadable
        }
    }

    /// Whether the credential must not leave: what the caller does with it could not be checked any more.
    package var restrictsRequests: Bool { rules.contains(where: \.restrictsRequests) }

    /// The rules that decide whom a provider is offered to.
    package var connectRules: AccessPolicy {
        AccessPolicy(
            json: json,
            rules: rules.filter {
                switch $0 {
                case .allowedGroups, .allowedRoles, .unreadable: true
                default: false
                }
            })
    }

    package var requiresApproval: Bool { rules.contains(where: \.requiresApproval) }

    package var rateLimit: RateLimit? {
        for case .rateLimit(let limit) in rules { return limit }
        return nil
    }

    package var grantTTL: GrantTTL? {
        for case .grantTTL(let ttl) in rules { return ttl }
        return nil
    }

    /// Every rule with its outcome; all must allow.
    package func evaluate(_ facts: PolicyFacts, layer: PolicyLayer, rate: RateReading?) -> [RuleOutcome] {
        rules.map { rule in
            let verdict = rule.evaluate(facts, rate: rate)
            return RuleOutcome(rule: rule.name, layer: layer, verdict: verdict)
        }
    }
}

/// One rule of one layer.
package enum PolicyRule: Sendable {
    case allowedGroups(NameSet)
    case allowedRoles(NameSet)
    case time(TimeRule)
    case ipAllowlist([IPRange])
    case methods(Set<String>)
    case paths([PathPattern])
    case grantTTL(GrantTTL)
    case requireApproval(ApprovalRule)
    case rateLimit(RateLimit)
    /// The stored document is not one.
    case unreadable

    /// Whether only the vault can hold a call against it.
    package var restrictsRequests: Bool {
        switch self {
        case .methods, .paths: true
        default: false
        }
    }

    package var requiresApproval: Bool { if case .requireApproval = self { true } else { false } }

    package var name: String {
        switch self {
        case .allowedGroups: "allowed_groups"
        case .allowedRoles: "allowed_roles"
        case .time: "time"
        case .ipAllowlist: "ip_allowlist"
        case .methods: "methods"
        case .paths: "paths"
        case .grantTTL: "grant_ttl"
        case .requireApproval: "require_approval"
        case .rateLimit: "rate_limit"
        case .unreadable: "policy"
        }
    }
}

/// Names compared byte by byte: Swift's `==` takes two Unicode forms of one text, or a Kelvin sign and a K, for the same.
package struct NameSet: Sendable {
    package let names: [String]
    private let keys: Set<[UInt8]>

    package init(_ names: [String]) {
        self.names = names
        keys = Set(names.map { Array($0.utf8) })
    }

    package func contains(anyOf others: [String]) -> Bool { others.contains { keys.contains(Array($0.utf8)) } }
}

/// How long the term of a grant lasts: what it gets when nobody says, and the most that it can have.
package struct GrantTTL: Sendable, Equatable {
    package var defaultSeconds: Int64?
    package var maxSeconds: Int64?

    package static let none = GrantTTL(defaultSeconds: nil, maxSeconds: nil)

    package init(defaultSeconds: Int64?, maxSeconds: Int64?) {
        self.defaultSeconds = defaultSeconds
        self.maxSeconds = maxSeconds
    }
}

/// Which calls somebody has to approve first.
package struct ApprovalRule: Sendable {
    package enum Approvers: String, Sendable, CaseIterable { case user, `operator` }

    package let methods: Set<String>?
    package let paths: [PathPattern]?
    package let approvers: Approvers

    /// Whether the call is one of them; what is not known counts as one.
    package func covers(_ facts: PolicyFacts) -> Bool {
        if let methods, let method = facts.method, !methods.contains(method) { return false }
        if let paths, let path = facts.path { return PathPattern.anyMatches(paths, path) ?? true }
        return true
    }
}

/// At most `requests` uses in any `seconds`, counted for each `per`.
package struct RateLimit: Sendable, Equatable {
    package enum Subject: String, Sendable, CaseIterable { case grant, user, provider, key, app }

    package let requests: Int64
    package let seconds: Int64
    package let per: Subject

    package init(requests: Int64, seconds: Int64, per: Subject) {
        self.requests = requests
        self.seconds = seconds
        self.per = per
    }
}

/// A limit as it is counted: the source names the rule, the subject whose uses they are.
package struct RateCounter: Sendable {
    package let source: String
    package let subject: String
    package let limit: Int64
    package let seconds: Int64

    package init(source: String, subject: String, limit: Int64, seconds: Int64) {
        self.source = source
        self.subject = subject
        self.limit = limit
        self.seconds = seconds
    }
}

/// What the count behind a rate rule says now.
package enum RateReading: Sendable, Equatable {
    case free
    /// Used up until then.
    case usedUp(until: Instant)
}
