import VaultAPI
import VaultDomain
import VaultStore

// Asking policies without acting: what would be decided of a call now, and what a draft would have decided of past calls.

/// A call as an operator imagines it; what is left open is not known to the rules.
package struct ImaginedCall: Sendable {
    package var providerID: String?
    package var grantID: GrantID?
    package var userID: UserID?
    package var keyID: APIKeyID?
    package var mode: ReleaseMode
    package var method: String?
    package var address: WebAddress?
    package var peer: IPAddress?
    package var at: Instant?

    package init(
        providerID: String?, grantID: GrantID?, userID: UserID?, keyID: APIKeyID?, mode: ReleaseMode, method: String?,
        address: WebAddress?, peer: IPAddress?, at: Instant?
    ) {
        self.providerID = providerID
        self.grantID = grantID
        self.userID = userID
        self.keyID = keyID
        self.mode = mode
        self.method = method
        self.address = address
        self.peer = peer
        self.at = at
    }
}

package struct Simulation: Sendable {
    package let isAllowed: Bool
    /// What has to hold before any policy is asked, in the form of outcomes, then every rule.
    package let rules: [JSON]
}

extension Vault {
    /// Decides the call as a real one would be, and changes nothing: no count, no record, no refresh.
    package func simulate(_ caller: OperatorCaller, appID: String, _ call: ImaginedCall) throws -> Simulation {
        let app = try app(caller, appID)
        return try read { transaction in
            let time = call.at ?? now()
            let (grant, credential) = try imaginedGrant(call, app: app, now: time, in: transaction)
            let user = try grant.userID.flatMap { try transaction.user($0, appID: app.id)?.user }
            if let keyID = call.keyID, try transaction.key(keyID, appID: app.id) == nil { throw Self.notFound }
            let (policies, _) = try policiesInForce(grant, keyID: call.keyID, in: transaction, now: time)
            let facts = ReleaseFacts(
                mode: call.mode, grant: grant, credential: credential, user: user, hasUserToken: user != nil,
                allowedHosts: try allowedHosts(of: grant, in: transaction), method: call.method, address: call.address,
                peer: call.peer, policies: policies, requestRule: nil, now: time)
            // A question about no grant and no address is not refused for the lack of them.
            let open: Set<String> = Set(
                (credential == nil && call.grantID == nil ? ["grant_state"] : [])
                    + (call.address == nil ? ["allowed_hosts"] : []) + (grant.userID == nil ? ["user_status"] : []))
            let rules = ReleaseDecision.decide(facts).rules
            let foundations = ReleaseDecision.foundations(facts, rules).map { rule, refusal -> (JSON, Bool) in
                let isOpen = open.contains(rule)
                let json: JSON = [
                    "rule": .string(rule), "layer": "vault",
                    "result": .string(isOpen ? "not_applicable" : refusal == nil ? "allow" : "deny"),
                    "reason": .string(
                        isOpen
                            ? "not part of the question"
                            : refusal.map { "\($0.code.rawValue): \($0.message)" } ?? "holds"
                    ),
                ]
                return (json, isOpen || refusal == nil)
            }
            let issuer = try issuerOutcome(of: user, app: app, in: transaction)
            return Simulation(
                isAllowed: issuer.isAllowed && foundations.allSatisfy(\.1) && !rules.contains(where: \.isDenial),
                rules: [issuer.json] + foundations.map(\.0) + rules.map(\.json))
        }
    }

    /// Whether the user's identity provider is still the app's.
    private func issuerOutcome(of user: User?, app: AppRecord, in transaction: Transaction) throws -> (
        json: JSON, isAllowed: Bool
    ) {
        func json(_ result: RuleVerdict.Result, _ reason: String) -> JSON {
            [
                "rule": "identity_provider", "layer": "vault", "result": .string(result.rawValue),
                "reason": .string(reason),
            ]
        }
        guard let user else { return (json(.notApplicable, "no user is part of the question"), true) }
        do { try requireActiveIssuer(user.issuer, appID: app.id, in: transaction) } catch let error as VaultError {
            return (json(.deny, error.message), false)
        }
        return (json(.allow, "holds"), true)
    }

    /// The grant that is asked about, or one that could be.
    private func imaginedGrant(_ call: ImaginedCall, app: AppRecord, now: Instant, in transaction: Transaction) throws
        -> (Grant, Credential?)
    {
        if let grantID = call.grantID {
            guard let record = try transaction.grant(grantID, appID: app.id),
                call.userID == nil || record.grant.userID == call.userID
            else { throw Self.notFound }
            return (record.grant, record.credential?.credential)
        }
        if let userID = call.userID, try transaction.user(userID, appID: app.id) == nil { throw Self.notFound }
        let providerID = call.providerID ?? ""
        let candidates = try transaction.candidateGrants(
            appID: app.id, providerID: providerID, principalType: call.userID == nil ? .system : .user,
            userID: call.userID, account: nil, label: nil, limit: Limits.ambiguousCandidatesMax)
        let live = candidates.first { $0.grant.status(credential: $0.credential?.credential, now: now) == .active }
        if let found = live ?? candidates.first { return (found.grant, found.credential?.credential) }
        let secret = try transaction.managedSecret(slug: providerID, appID: app.id)
        return (
            Grant(
                id: GrantID(), appID: app.id, kind: secret == nil ? .oauth : .managedSecret, providerID: providerID,
                credentialID: nil, managedSecretID: secret?.id, principalType: call.userID == nil ? .system : .user,
                userID: call.userID, createdAt: now), nil
        )
    }
}

// MARK: - Past calls under a draft

/// A draft policy and the past that it is tried on.
package struct PolicyReplay: Sendable {
    package let providerID: String
    package let draft: AccessPolicy
    package let from: Instant
    package let to: Instant

    package init(providerID: String, draft: AccessPolicy, from: Instant, to: Instant) {
        self.providerID = providerID
        self.draft = draft
        self.from = from
        self.to = to
    }
}

package struct ReplayOutcome: Sendable {
    package struct Change: Sendable {
        package let record: JSONObject
        package let wouldBeAllowed: Bool
        /// The draft's rule that denies, or the recorded one that would no longer.
        package let rule: String
        package let reason: String
    }

    package var calls = 0
    /// Whether every recorded call of the time was looked at.
    package var isComplete = true
    package var newlyDenied = 0
    package var newlyAllowed = 0
    /// The first of them.
    package var changes: [Change] = []
}

extension Vault {
    package func replay(_ caller: OperatorCaller, appID: String, _ replay: PolicyReplay) async throws -> ReplayOutcome {
        try await self.replay(appID: try app(caller, appID).id, replay)
    }

    /// Which of the recorded uses the draft would have decided otherwise, standing where that provider's policy stands (or
    /// the app's, for `*`). Calls, times and addresses are those of the records; users are judged by the groups and roles
    /// that they have now, and limits are counted from the first record on.
    package func replay(appID: AppID, _ replay: PolicyReplay) async throws -> ReplayOutcome {
        let layer: PolicyLayer = replay.providerID == "*" ? .app : .provider
        var filter = AuditFilter()
        filter.from = replay.from
        filter.to = replay.to
        filter.providerID = layer == .app ? nil : replay.providerID
        var outcome = ReplayOutcome()
        var counts = ReplayCounts()
        var after: Int64 = 0
        var records = 0
        while true {
            guard records < Limits.replayRecordsMax else {
                outcome.isComplete = false
                return outcome
            }
            let page = try read {
                try $0.auditRecordsAscending(
                    appID: appID, filter: filter, after: after, limit: Limits.auditPage)
            }
            for found in page where Self.useEvents.contains(found.record["event"]?.string ?? "") {
                try judge(found.record, replay, layer: layer, appID: appID, counts: &counts, into: &outcome)
            }
            records += page.count
            guard page.count == Limits.auditPage, let last = page.last else { return outcome }
            after = last.position
            await Task.yield()
        }
    }

    static let useEvents: Set<String> = [retrievedEvent, proxiedEvent]

    private func judge(
        _ record: JSONObject, _ replay: PolicyReplay, layer: PolicyLayer, appID: AppID, counts: inout ReplayCounts,
        into outcome: inout ReplayOutcome
    ) throws {
        outcome.calls += 1
        let wasAllowed = record["decision"]?.string == AuditDecision.allow.rawValue
        let error = record["details"]?["error"]?.string ?? ""
        // Refused for something that no policy decides: it would have been refused again.
        guard wasAllowed || Self.policyErrors.contains(error) else { return }
        let verdict = try read { try self.verdict(of: replay.draft, on: record, appID: appID, counts: &counts, in: $0) }
        if let denied = verdict {
            guard wasAllowed else { return }
            outcome.newlyDenied += 1
            note(record, allowed: false, rule: denied.rule, reason: denied.reason, in: &outcome)
        } else if !wasAllowed, let rule = Self.ruleLifted(record, error: error, layer: layer) {
            outcome.newlyAllowed += 1
            note(record, allowed: true, rule: rule, reason: "the draft has no rule that denies it", in: &outcome)
        }
    }

    /// The rule of the replaced layer that refused the recorded call; `nil` when another layer's did, too.
    private static func ruleLifted(_ record: JSONObject, error: String, layer: PolicyLayer) -> String? {
        let isProxyOnly = proxyOnlyErrors.contains(error)
        let refusing = (record["details"]?["rules"]?.array ?? []).filter { outcome in
            let rule = outcome["rule"]?.string ?? ""
            return outcome["result"]?.string == "deny" || (isProxyOnly && proxyOnlyRules.contains(rule))
        }
        guard refusing.allSatisfy({ $0["layer"]?.string == layer.rawValue }) else { return nil }
        return refusing.first?["rule"]?.string
    }

    private static let proxyOnlyRules: Set<String> = ["methods", "paths", "require_approval"]

    private static let proxyOnlyErrors: Set<String> = [
        ErrorCode.restrictedGrantRequiresProxy.rawValue, ErrorCode.approvalRequiresProxy.rawValue,
    ]

    private static let policyErrors = proxyOnlyErrors.union([
        ErrorCode.policyViolation.rawValue, ErrorCode.rateLimitExceeded.rawValue,
    ])

    private func note(
        _ record: JSONObject, allowed: Bool, rule: String, reason: String, in outcome: inout ReplayOutcome
    ) {
        guard outcome.changes.count < Limits.replayChangesShown else { return }
        outcome.changes.append(
            ReplayOutcome.Change(record: record, wouldBeAllowed: allowed, rule: rule, reason: reason))
    }

    /// What the draft refuses the recorded call for, if anything.
    private func verdict(
        of draft: AccessPolicy, on record: JSONObject, appID: AppID, counts: inout ReplayCounts,
        in transaction: Transaction
    ) throws -> (rule: String, reason: String)? {
        if record["event"]?.string == Self.retrievedEvent {
            if let rule = draft.rules.first(where: \.restrictsRequests) {
                return (rule: rule.name, reason: "the call would have to go through the proxy")
            }
            if draft.requiresApproval {
                return (rule: "require_approval", reason: "the call would have to go through the proxy")
            }
        }
        let time = record["occurred_at"]?.string.flatMap(Instant.init(rfc3339:)) ?? now()
        let user = try record["user_id"]?.string.flatMap(UserID.init).flatMap {
            try transaction.user($0, appID: appID)?.user
        }
        let grant = try record["grant_id"]?.string.flatMap(GrantID.init).flatMap {
            try transaction.grant($0, appID: appID)?.grant
        }
        let address = record["url"]?.string.flatMap { try? WebAddress(encoding: $0) }
        let facts = PolicyFacts(
            user: user, grant: grant, method: record["method"]?.string, path: address.map { RequestPath($0.path) },
            peer: record["peer"]?.string.flatMap { IPAddress($0) }, now: time)
        let subject = draft.rateLimit.flatMap { ReplayCounts.subject(of: record, per: $0.per, appID: appID) }
        let reading = draft.rateLimit.map { limit -> RateReading in
            subject.map { counts.reading($0, limit: limit, now: time) } ?? .undecidable
        }
        let outcomes = draft.evaluate(facts, layer: .provider, rate: reading)
        if let denied = outcomes.first(where: \.isDenial) { return (rule: denied.rule, reason: denied.verdict.reason) }
        if let subject, let limit = draft.rateLimit { counts.count(subject, limit: limit, now: time) }
        return nil
    }
}

/// The uses that a draft's limit would have counted.
private struct ReplayCounts {
    /// The times of one subject's uses; those before `first` have left the window.
    private struct Uses {
        var times: [Instant] = []
        var first = 0
    }

    private var uses: [String: Uses] = [:]

    static func subject(of record: JSONObject, per: RateLimit.Subject, appID: AppID) -> String? {
        switch per {
        case .grant: record["grant_id"]?.string
        case .user: record["user_id"]?.string
        case .provider: record["provider_id"]?.string
        case .key: record["principal"]?["key_id"]?.string
        case .app: appID.text
        }
    }

    mutating func reading(_ subject: String, limit: RateLimit, now: Instant) -> RateReading {
        let start = now.adding(seconds: -limit.seconds)
        var uses = uses.removeValue(forKey: subject) ?? Uses()
        while uses.first < uses.times.count, uses.times[uses.first] <= start { uses.first += 1 }
        self.uses[subject] = uses
        guard uses.times.count - uses.first >= limit.requests else { return .free }
        return .usedUp(until: uses.times[uses.first].adding(seconds: limit.seconds))
    }

    mutating func count(_ subject: String, limit: RateLimit, now: Instant) {
        uses[subject, default: Uses()].times.append(now)
    }
}
