import VaultAPI
import VaultDomain
import VaultStore

// What a draft policy would have decided of the calls on record.

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
        let lifted = wasAllowed ? nil : Self.ruleLifted(record, layer: layer)
        // Refused for something that the draft does not decide: it would have been refused again.
        guard wasAllowed || lifted != nil else { return }
        let call = try read { try PastCall(record, draft: replay.draft, appID: appID, in: $0) }
        if let denied = call.denial(by: replay.draft, counts: &counts) {
            guard wasAllowed else { return }
            outcome.newlyDenied += 1
            note(record, allowed: false, rule: denied.rule, reason: denied.reason, in: &outcome)
        } else {
            call.count(by: replay.draft, in: &counts)
            guard let lifted else { return }
            outcome.newlyAllowed += 1
            note(record, allowed: true, rule: lifted, reason: "the draft has no rule that denies it", in: &outcome)
        }
    }

    /// The rule of the replaced layer that refused the recorded call; `nil` when something else did, too.
    private static func ruleLifted(_ record: JSONObject, layer: PolicyLayer) -> String? {
        guard let error = record["details"]?["error"]?.string.flatMap(ErrorCode.init), policyErrors.contains(error)
        else {
            return nil
        }
        let isProxyOnly = error == .restrictedGrantRequiresProxy || error == .approvalRequiresProxy
        let refusing = (record["details"]?["rules"]?.array ?? []).filter { outcome in
            outcome["result"]?.string == "deny"
                || (isProxyOnly && proxyOnlyRules.contains(outcome["rule"]?.string ?? ""))
        }
        guard refusing.allSatisfy({ $0["layer"]?.string == layer.rawValue }) else { return nil }
        return refusing.first?["rule"]?.string
    }

    private static let proxyOnlyRules: Set<String> = ["methods", "paths", "require_approval"]

    /// Refusals that policies decide; of an expired grant only where a rule says so.
    private static let policyErrors: Set<ErrorCode> = [
        .policyViolation, .rateLimitExceeded, .grantExpired, .restrictedGrantRequiresProxy, .approvalRequiresProxy,
    ]

    private func note(
        _ record: JSONObject, allowed: Bool, rule: String, reason: String, in outcome: inout ReplayOutcome
    ) {
        guard outcome.changes.count < Limits.replayChangesShown else { return }
        outcome.changes.append(
            ReplayOutcome.Change(record: record, wouldBeAllowed: allowed, rule: rule, reason: reason))
    }
}

/// A recorded use, as far as rules look at it.
private struct PastCall {
    private let facts: PolicyFacts
    private let isRetrieve: Bool
    /// Whose uses the draft's limit counts.
    private let subject: String?

    init(_ record: JSONObject, draft: AccessPolicy, appID: AppID, in transaction: Transaction) throws {
        func text(_ name: String) -> String? { record[name]?.string }
        isRetrieve = text("event") == Vault.retrievedEvent
        let user = try text("user_id").flatMap(UserID.init).flatMap { try transaction.user($0, appID: appID)?.user }
        let grant = try text("grant_id").flatMap(GrantID.init).flatMap {
            try transaction.grant($0, appID: appID)?.grant
        }
        let address = text("url").flatMap { try? WebAddress(encoding: $0) }
        facts = PolicyFacts(
            user: user, grant: grant, method: text("method")?.uppercased(),
            path: address.map { RequestPath($0.path) }, peer: text("peer").flatMap { IPAddress($0) },
            now: text("occurred_at").flatMap(Instant.init(rfc3339:)) ?? Instant(milliseconds: 0))
        subject =
            switch draft.rateLimit?.per {
            case .grant: grant.map(Vault.consent)
            case .user: text("user_id")
            case .provider: text("provider_id")
            case .key: record["principal"]?["key_id"]?.string
            case .app: appID.text
            case nil: nil
            }
    }

    /// What the draft refuses the call for, if anything.
    func denial(by draft: AccessPolicy, counts: inout ReplayCounts) -> (rule: String, reason: String)? {
        let proxyOnly = draft.rules.first { $0.restrictsRequests || $0.requiresApproval }
        if isRetrieve, let proxyOnly {
            return (rule: proxyOnly.name, reason: "the call would have to go through the proxy")
        }
        let reading = draft.rateLimit.flatMap { limit in
            subject.map { counts.reading($0, limit: limit, now: facts.now) }
        }
        let outcomes = draft.evaluate(facts, layer: .provider, rate: reading)
        return outcomes.first(where: \.isDenial).map { (rule: $0.rule, reason: $0.verdict.reason) }
    }

    func count(by draft: AccessPolicy, in counts: inout ReplayCounts) {
        if let subject, draft.rateLimit != nil { counts.count(subject, now: facts.now) }
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

    mutating func reading(_ subject: String, limit: RateLimit, now: Instant) -> RateReading {
        let start = now.adding(seconds: -limit.seconds)
        var uses = uses.removeValue(forKey: subject) ?? Uses()
        while uses.first < uses.times.count, uses.times[uses.first] <= start { uses.first += 1 }
        self.uses[subject] = uses
        guard uses.times.count - uses.first >= limit.requests else { return .free }
        return .usedUp(until: uses.times[uses.first].adding(seconds: limit.seconds))
    }

    mutating func count(_ subject: String, now: Instant) {
        uses[subject, default: Uses()].times.append(now)
    }
}
