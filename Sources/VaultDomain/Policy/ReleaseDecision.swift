import VaultAPI

// The one place that decides whether a credential may be used now. Retrieve and proxy ask it alike, twice: before any
// work, and again in the transaction that writes the audit record, with everything read anew.

/// How the credential would be used.
package enum ReleaseMode: String, Sendable {
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
    package var method: String
    package var address: WebAddress
    package var peer: IPAddress?
    /// The app's and the provider's policy, with the layer's name.
    package var policies: [(layer: String, policy: AccessPolicy)]
    /// A one-off rule of the request that this version cannot evaluate.
    package var hasRequestRule: Bool
    package var now: Instant

    package init(
        mode: ReleaseMode, grant: Grant, credential: Credential?, user: User?, hasUserToken: Bool,
        allowedHosts: [HostRule], method: String, address: WebAddress, peer: IPAddress?,
        policies: [(layer: String, policy: AccessPolicy)], hasRequestRule: Bool, now: Instant
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
        self.hasRequestRule = hasRequestRule
        self.now = now
    }
}

/// Allowed, or the refusal in the order of behaviour contract “Order of checks”; with every policy rule's outcome.
package struct ReleaseDecision: Sendable {
    package let refusal: VaultError?
    package let rules: [RuleOutcome]

    package var isAllowed: Bool { refusal == nil }

    package static func decide(_ facts: ReleaseFacts) -> ReleaseDecision {
        let rules = facts.policies.flatMap { layer, policy in
            policy.evaluate(
                PolicyFacts(user: facts.user, method: facts.method, path: facts.address.path, peer: facts.peer),
                layer: layer)
        }
        let refusal =
            userRefusal(facts) ?? grantRefusal(facts) ?? hostRefusal(facts)
            ?? proxyOnlyRefusal(facts) ?? policyRefusal(facts, rules)
        return ReleaseDecision(refusal: refusal, rules: rules)
    }

    /// Whether user and grant still stand, whatever policy says of the call.
    package static func standingRefusal(_ facts: ReleaseFacts) -> VaultError? {
        userRefusal(facts) ?? grantRefusal(facts)
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

    private static func grantRefusal(_ facts: ReleaseFacts) -> VaultError? {
        let grant = facts.grant
        let names: JSONObject = ["grant_id": grant.id.json, "provider_id": .string(grant.providerID)]
        switch grant.status(credential: facts.credential, now: facts.now) {
        case .revoked: return VaultError(.grantRevoked, "The grant was revoked.", members: names)
        case .expired: return VaultError(.grantExpired, "The grant has expired.", details: names, members: names)
        case .needsReauth:
            return VaultError(
                .credentialRevoked, "The provider no longer accepts the stored credential.",
                hint: "Ask the user to connect the account again.", members: names)
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
        guard facts.allowedHosts.contains(where: { $0.matches(facts.address) }) else {
            return VaultError(
                .blockedDestination, "The credential may not be sent to this host.",
                hint: "Add the host to the provider's hosts if it belongs to the provider.",
                details: ["grant_id": facts.grant.id.json])
        }
        return nil
    }

    private static func proxyOnlyRefusal(_ facts: ReleaseFacts) -> VaultError? {
        guard facts.mode == .retrieve, facts.policies.contains(where: { $0.policy.restrictsRequests }) else {
            return nil
        }
        return VaultError(
            .restrictedGrantRequiresProxy, "A policy limits methods or paths, so the call must go through the proxy.",
            hint: "Use proxy_request().", members: ["grant_id": facts.grant.id.json])
    }

    private static func policyRefusal(_ facts: ReleaseFacts, _ rules: [RuleOutcome]) -> VaultError? {
        if facts.hasRequestRule {
            return VaultError(
                .policyViolation, "The request's own rule could not be evaluated.",
                details: ["rule": "request_rule", "layer": "request", "reason": "undecidable rules deny"])
        }
        guard let denied = rules.first(where: { $0.result == .deny }) else { return nil }
        return VaultError(
            .policyViolation, "Refused by policy: \(denied.reason).",
            details: ["rule": .string(denied.rule), "layer": .string(denied.layer), "reason": .string(denied.reason)])
    }
}

extension VaultError {
    package static var userSuspended: VaultError { VaultError(.userSuspended, "The user is suspended.") }
    package static var userDeprovisioned: VaultError { VaultError(.userDeprovisioned, "The user was deprovisioned.") }
}
