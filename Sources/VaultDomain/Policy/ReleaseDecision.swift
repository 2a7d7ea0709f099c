import VaultAPI

// The one place that decides whether a credential may be used now. Retrieve and proxy ask it alike, twice: before any
// work, and again in the transaction that writes the audit record, with everything read anew.

/// How the credential would be used.
package enum ReleaseMode: String, Sendable, CaseIterable {
    /// It leaves to the caller, who makes the call.
    case retrieve
    /// The vault makes the call.
    case proxy
}

/// What the decision looks at, all of one moment.
package struct ReleaseFacts: Sendable {
    package var mode: ReleaseMode
    package var grant: Grant
    package var credential: Credential?
    /// The grant's own user.
    package var user: User?
    /// Whether the caller named the user by a token.
    package var hasUserToken: Bool
    package var allowedHosts: [HostRule]
    /// Method and address are unknown only where a simulation leaves them open.
    package var method: String?
    package var address: WebAddress?
    package var peer: IPAddress?
    package var policies: [LayeredPolicy]
    package var requestRule: RequestRule?
    package var now: Instant

    package init(
        mode: ReleaseMode, grant: Grant, credential: Credential?, user: User?, hasUserToken: Bool,
        allowedHosts: [HostRule], method: String?, address: WebAddress?, peer: IPAddress?,
        policies: [LayeredPolicy], requestRule: RequestRule?, now: Instant
    ) {
        self.mode = mode
        self.grant = grant
        self.credential = credential
        self.user = user
        self.hasUserToken = hasUserToken
        self.allowedHosts = allowedHosts
        self.method = method
        self.address = address
        self.peer = peer
        self.policies = policies
        self.requestRule = requestRule
        self.now = now
    }
}

/// A policy where it applies, with what its rate rule has counted.
package struct LayeredPolicy: Sendable {
    package let layer: PolicyLayer
    package let policy: AccessPolicy
    /// `nil` also where a rate rule has nobody to count for: a rule per user, and a grant of the app.
    package let counter: RateCounter?
    /// A rate rule refuses until it is read.
    package var rate: RateReading?

    package init(layer: PolicyLayer, policy: AccessPolicy, counter: RateCounter? = nil, rate: RateReading? = nil) {
        self.layer = layer
        self.policy = policy
        self.counter = counter
        self.rate = rate
    }

    package func evaluate(_ facts: PolicyFacts) -> [RuleOutcome] {
        policy.evaluate(facts, layer: layer, rate: rate)
    }
}

/// Allowed, or the refusal in the order of behaviour contract “Order of checks”; with every policy rule's outcome.
package struct ReleaseDecision: Sendable {
    package let refusal: VaultError?
    package let rules: [RuleOutcome]

    package var isAllowed: Bool { refusal == nil }

    package static func decide(_ facts: ReleaseFacts) -> ReleaseDecision {
        let call = PolicyFacts(
            user: facts.user, grant: facts.grant, method: facts.method?.uppercased(),
            path: facts.address.map { RequestPath($0.path) }, peer: facts.peer, now: facts.now)
        var rules = facts.policies.flatMap { $0.evaluate(call) }
        if let rule = facts.requestRule { rules.append(rule.evaluate(call, mode: facts.mode)) }
        let refusal = foundations(facts, rules).lazy.compactMap(\.refusal).first ?? policyRefusal(facts, rules)
        return ReleaseDecision(refusal: refusal, rules: rules)
    }

    /// What has to hold before any policy is asked.
    package static func foundations(_ facts: ReleaseFacts, _ rules: [RuleOutcome]) -> [(
        rule: String, refusal: VaultError?
    )] {
        [
            (rule: "user_status", refusal: userRefusal(facts)),
            (rule: "grant_state", refusal: grantRefusal(facts, rules)),
            (rule: "allowed_hosts", refusal: hostRefusal(facts)),
            (rule: "proxy_only", refusal: proxyOnlyRefusal(facts)),
        ]
    }

    /// Whether user and grant still stand, whatever policy says of the call.
    package static func standingRefusal(_ facts: ReleaseFacts) -> VaultError? {
        userRefusal(facts) ?? grantRefusal(facts, [])
    }

    private static func userRefusal(_ facts: ReleaseFacts) -> VaultError? {
        let grant = facts.grant
        guard grant.principalType == .user else { return nil }
        guard let user = facts.user else { return VaultError(.grantNotFound, "No such grant.") }
        switch user.status {
        case .active: return nil
        case .suspended: return .userSuspended
        case .deprovisioned where facts.hasUserToken: return .userDeprovisioned
        case .deprovisioned:
            return VaultError(
                .grantDeleted, "The grant's user was deprovisioned and the stored tokens were destroyed.",
                members: ["grant_id": grant.id.json])
        }
    }

    private static func grantRefusal(_ facts: ReleaseFacts, _ rules: [RuleOutcome]) -> VaultError? {
        let grant = facts.grant
        let names = names(grant)
        switch grant.status(credential: facts.credential, now: facts.now) {
        case .revoked: return VaultError(.grantRevoked, "The grant was revoked.", members: names)
        case .expired: return expired(grant, rules)
        case .needsReauth:
            return VaultError(
                .credentialRevoked, "The provider no longer accepts the stored credential.",
                hint: "Ask the user to connect the account again.", members: names)
        case .active where rules.contains(where: isTermOver): return expired(grant, rules)
        case .active: break
        }
        guard !grant.hasScopeMismatch else {
            return VaultError(
                .scopeMismatch, "The provider reported missing scopes.",
                hint: "Ask the user to connect the account again.",
                details: names)
        }
        return nil
    }

    private static func hostRefusal(_ facts: ReleaseFacts) -> VaultError? {
        guard let address = facts.address, facts.allowedHosts.contains(where: { $0.matches(address) }) else {
            return VaultError(
                .blockedDestination, "The credential may not be sent to this host.",
                hint: "Add the host to the provider's hosts if it belongs to the provider.",
                details: ["grant_id": facts.grant.id.json])
        }
        return nil
    }

    private static func proxyOnlyRefusal(_ facts: ReleaseFacts) -> VaultError? {
        guard facts.mode == .retrieve else { return nil }
        func refusal(_ code: ErrorCode, _ message: String) -> VaultError {
            VaultError(code, message, hint: "Use proxy_request().", members: ["grant_id": facts.grant.id.json])
        }
        if facts.policies.contains(where: \.policy.restrictsRequests) {
            return refusal(
                .restrictedGrantRequiresProxy,
                "A policy limits methods or paths, so the call must go through the proxy.")
        }
        guard facts.policies.contains(where: \.policy.requiresApproval) else { return nil }
        return refusal(
            .approvalRequiresProxy, "A policy lets people approve calls, so the call must go through the proxy.")
    }

    /// A limit comes last: waiting helps only where nothing else refuses.
    private static func policyRefusal(_ facts: ReleaseFacts, _ rules: [RuleOutcome]) -> VaultError? {
        let denials = rules.filter(\.isDenial)
        guard let denied = denials.first(where: { $0.verdict.retryAt == nil }) ?? denials.first else { return nil }
        if let retryAt = denied.verdict.retryAt { return rateRefusal(facts, denied, retryAt: retryAt) }
        return VaultError(
            .policyViolation, "Refused by policy: \(denied.verdict.reason).", details: denied.details)
    }

    private static func rateRefusal(_ facts: ReleaseFacts, _ denied: RuleOutcome, retryAt: Instant) -> VaultError {
        let seconds = max(1, (retryAt.milliseconds - facts.now.milliseconds + 999) / 1000)
        var members: JSONObject = ["retry_after": .integer(seconds), "scope": "policy"]
        if let limit = facts.policies.first(where: { $0.layer == denied.layer })?.policy.rateLimit {
            members["limit"] = .integer(limit.requests)
            members["window_seconds"] = .integer(limit.seconds)
        }
        return VaultError(
            .rateLimitExceeded, "Refused by policy: \(denied.verdict.reason).", details: denied.details,
            members: members, retryAfterSeconds: Int(seconds))
    }

    private static func names(_ grant: Grant) -> JSONObject {
        ["grant_id": grant.id.json, "provider_id": .string(grant.providerID)]
    }

    private static func isTermOver(_ outcome: RuleOutcome) -> Bool { outcome.rule == "grant_ttl" && outcome.isDenial }

    /// By its own end, or by the longest term of a policy, which is then named.
    private static func expired(_ grant: Grant, _ rules: [RuleOutcome]) -> VaultError {
        var details = names(grant)
        for (name, value) in rules.first(where: isTermOver)?.details.members ?? [] { details[name] = value }
        return VaultError(.grantExpired, "The grant has expired.", details: details, members: names(grant))
    }
}

extension VaultError {
    package static var userSuspended: VaultError { VaultError(.userSuspended, "The user is suspended.") }
    package static var userDeprovisioned: VaultError { VaultError(.userDeprovisioned, "The user was deprovisioned.") }
}
