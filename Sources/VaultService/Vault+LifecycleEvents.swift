import VaultAPI
import VaultDomain
import VaultStore

// What a lifecycle event does to its users, by the behaviour contract (“Lifecycle”): an older event undoes no newer one, what
// ends or blocks somebody holds for those never seen as well, and only an operator lifts what an operator did.

extension Vault {
    struct EventResult {
        /// `deprovisioned`, `suspended`, `restored`, `updated`, `membership_removed`, `unchanged`, `stale` or `ignored`.
        let outcome: String
        var detail: String?
        var userID: UserID?
    }

    /// Applies the event to every user it names. Runs in the transaction that logs the delivery.
    func carryOut(
        _ event: LifecycleEvent, provider: IdentityProviderRecord, app: AppRecord, origin: RequestOrigin,
        in transaction: Transaction
    ) throws -> EventResult {
        guard event.effect != .ignore else { return EventResult(outcome: "ignored", detail: event.note) }
        guard let subject = event.usableSubject else {
            return EventResult(outcome: "ignored", detail: "the event names no user")
        }
        let time = now()
        var records = try transaction.users(appID: app.id, issuer: provider.issuer, subject: subject)
        if records.isEmpty {
            guard event.effect.isKeptForUnseenUsers else {
                return EventResult(outcome: "ignored", detail: "the user was never seen")
            }
            // A tombstone, so that a token which is still valid does not bring the person in again.
            let record = UserRecord(
                user: User(
                    id: UserID(), appID: app.id, issuer: provider.issuer, externalSubjectID: subject, subject: subject,
                    status: .active, firstSeenAt: time))
            try transaction.insertUser(record)
            records = [record]
        }
        let entry = AuditEntry(
            event: "", principal: .identityProvider(deliveryID: event.deliveryID ?? ""), occurredAt: time,
            requestID: origin.requestID, appID: app.id, peer: origin.peer?.description,
            details: ["event_type": .string(event.type)])
        var outcome = "stale"
        for record in records {
            let change = UserChange(record: record, app: app, eventAt: event.occurredAt, now: time, entry: entry)
            if let result = try carryOut(event.effect, change, rule: provider.membershipRemoval, in: transaction) {
                outcome = result
            }
        }
        return EventResult(outcome: outcome, detail: event.note, userID: records.first?.user.id)
    }

    /// One user, and the event that is about them.
    private struct UserChange {
        var record: UserRecord
        let app: AppRecord
        /// `nil` when the event did not say when it happened: it counts as the newest.
        let eventAt: Instant?
        let now: Instant
        private let entry: AuditEntry

        init(record: UserRecord, app: AppRecord, eventAt: Instant?, now: Instant, entry: AuditEntry) {
            self.record = record
            self.app = app
            self.eventAt = eventAt
            self.now = now
            self.entry = entry
        }

        var status: UserStatus { record.user.status }
        /// Whether an operator opened the user again after it.
        var isUndone: Bool {
            guard let eventAt, let reopenedAt = record.reopenedAt else { return false }
            return eventAt < reopenedAt
        }
        var isOlderThanStatus: Bool {
            guard let eventAt, let current = record.statusEventAt else { return false }
            return eventAt < current
        }

        func entry(_ event: String) -> AuditEntry {
            var entry = entry
            entry.id = AuditEventID()
            entry.event = event
            entry.userID = record.user.id
            return entry
        }
    }

    /// The outcome, or `nil` when an older event changes nothing.
    private func carryOut(
        _ effect: LifecycleEffect, _ change: UserChange, rule: MembershipRemovalRule, in transaction: Transaction
    ) throws -> String? {
        switch effect {
        case .ignore: return "ignored"
        case .deprovision: return try deprovision(change, in: transaction)
        case .suspend: return try suspend(change, in: transaction)
        case .restore: return try restore(change, in: transaction)
        case .sync(let profile, let isBlocked):
            var change = change
            let isUpdated = try refresh(profile, &change, in: transaction)
            let status = try isBlocked.map { isBlocked in
                isBlocked ? try suspend(change, in: transaction) : try restore(change, in: transaction)
            }
            // A change of status says more than one of the profile.
            if let status, let outcome = status, outcome != "unchanged" { return outcome }
            return isUpdated ? "updated" : status ?? "unchanged"
        case .removeMembership(let names):
            return try removeMembership(names, change, rule: rule, in: transaction)
        }
    }

    private func deprovision(_ change: UserChange, in transaction: Transaction) throws -> String? {
        guard change.status != .deprovisioned else { return "unchanged" }
        // Nothing but an operator's restoration undoes an end: not that the provider reported something else since.
        if change.isUndone { return nil }
        try deprovision(
            change.record, app: change.app, entry: change.entry("user.deprovisioned"), eventAt: change.eventAt,
            in: transaction)
        return "deprovisioned"
    }

    private func suspend(_ change: UserChange, in transaction: Transaction) throws -> String? {
        if change.isOlderThanStatus { return nil }
        guard change.status != .deprovisioned else { return "unchanged" }
        let isNew = change.status == .active
        try Self.suspend(change.record, by: "provider", eventAt: change.eventAt, in: transaction, now: change.now)
        if isNew { try transaction.appendAudit(change.entry("user.suspended"), key: auditKey) }
        return isNew ? "suspended" : "unchanged"
    }

    private func restore(_ change: UserChange, in transaction: Transaction) throws -> String? {
        if change.isOlderThanStatus { return nil }
        switch change.status {
        case .suspended where change.record.suspendedBy == "provider":
            try Self.restore(change.record, eventAt: change.eventAt, in: transaction, now: change.now)
            try transaction.appendAudit(change.entry("user.restored"), key: auditKey)
            return "restored"
        case .active:
            // Remembered, so that an older suspension that comes later does not win.
            var seen = change.record
            seen.statusEventAt = change.eventAt ?? change.now
            try transaction.updateUser(seen)
            return "unchanged"
        case .suspended, .deprovisioned: return "unchanged"
        }
    }

    /// Whether anything changed. An event weighs a millisecond more than a token of the same time.
    private func refresh(_ profile: UserProfile, _ change: inout UserChange, in transaction: Transaction) throws -> Bool
    {
        guard change.status != .deprovisioned else { return false }
        let asOf = (change.eventAt ?? change.now).adding(milliseconds: 1)
        func isFresh(_ known: Instant?) -> Bool { known.map { asOf >= $0 } ?? true }
        var updated = change.record
        if let email = profile.email, isFresh(updated.emailAsOf) {
            updated.user.email = email
            updated.emailAsOf = asOf
        }
        if let name = profile.displayName, isFresh(updated.displayNameAsOf) {
            updated.user.displayName = name
            updated.displayNameAsOf = asOf
        }
        let isChanged = !updated.user.hasSameFacts(as: change.record.user)
        change.record = updated
        try transaction.updateUser(updated)
        if isChanged { try transaction.appendAudit(change.entry("user.updated"), key: auditKey) }
        return isChanged
    }

    private func removeMembership(
        _ names: [String], _ change: UserChange, rule: MembershipRemovalRule, in transaction: Transaction
    ) throws -> String? {
        guard change.status != .deprovisioned else { return "unchanged" }
        var updated = change.record
        let eventAt = change.eventAt ?? change.now
        // A newer token said which groups there are: it has seen the removal, or the person came back.
        let isOvertaken = updated.groupsAsOf.map { $0 > eventAt } ?? false
        var left: String?
        if !isOvertaken {
            left = names.first { name in updated.user.groups.contains { Array($0.utf8) == Array(name.utf8) } }
            updated.user.groups.removeAll { Array($0.utf8) == left.map { Array($0.utf8) } }
            updated.groupsRemovedAt = max(updated.groupsRemovedAt ?? eventAt, eventAt)
        }
        // Overtaken or not, the end came first: whoever is back since is let in by an operator.
        let isEnd = rule == .alwaysDeprovision || (rule == .lastMembership && updated.user.groups.isEmpty)
        if isEnd, let outcome = try deprovision(change, in: transaction) { return outcome }
        if isOvertaken { return nil }
        try transaction.updateUser(updated)
        var entry = change.entry("user.membership_removed")
        entry.details["organization"] = .strings(names)
        entry.details["group_id"] = left.map(JSON.string)
        try transaction.appendAudit(entry, key: auditKey)
        return "membership_removed"
    }
}

extension LifecycleEffect {
    /// Whether it leaves a record of a user who was never seen: what ends or blocks somebody must hold for the token that
    /// comes later.
    fileprivate var isKeptForUnseenUsers: Bool {
        switch self {
        case .deprovision, .suspend, .removeMembership: true
        case .sync(_, let isBlocked): isBlocked == true
        case .restore, .ignore: false
        }
    }
}
