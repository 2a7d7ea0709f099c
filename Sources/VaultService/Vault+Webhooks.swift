import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Lifecycle events pushed by identity providers. Authenticated over the raw bytes, applied in one transaction, and
// answered only when the effect is durable and the keys are destroyed.

/// A delivery as it came in.
package struct WebhookDelivery: Sendable {
    package let endpointID: String
    /// Names in lower case; repeated fields as repeated elements.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]
    package let origin: RequestOrigin

    package init(endpointID: String, headers: [(name: String, value: String)], body: [UInt8], origin: RequestOrigin) {
        self.endpointID = endpointID
        self.headers = headers
        self.body = body
        self.origin = origin
    }

    /// The one value of a field; a repeated field is nobody's.
    fileprivate func header(_ names: String...) -> String? {
        for name in names {
            let values = headers.filter { $0.name == name }.map(\.value)
            if values.count == 1 { return values[0] }
            if values.count > 1 { return nil }
        }
        return nil
    }
}

extension Vault {
    /// Applies a delivery. Throws 404 for an unknown address, 401 for a wrong secret, 400 when nothing in it is valid.
    package func receive(_ delivery: WebhookDelivery) async throws {
        let (provider, app) = try read { transaction in
            guard let provider = try transaction.identityProvider(webhookEndpointID: delivery.endpointID),
                let app = try transaction.app(provider.appID)
            else { throw Self.notFound }
            return (provider, app)
        }
        let messageID = try authenticate(delivery, provider: provider, app: app)
        try await webhookTurnstile.pass {
            try await apply(delivery, messageID: messageID, provider: provider, app: app)
        }
    }

    private func apply(
        _ delivery: WebhookDelivery, messageID: String?, provider: IdentityProviderRecord, app: AppRecord
    ) async throws {
        let batch = LifecycleReader(provider.type, map: provider.eventMap)
            .batch(body: delivery.body, messageID: messageID)
        if !batch.invalid.isEmpty { try await logInvalid(batch.invalid, provider: provider) }
        guard !batch.events.isEmpty else {
            throw VaultError(.invalidRequest, "The delivery holds no event that can be read.")
        }
        var rest = batch.events[...]
        while !rest.isEmpty {
            let part = rest.prefix(Limits.webhookEventsPerTransaction)
            rest = rest.dropFirst(part.count)
            try await write { transaction in
                for event in part {
                    try self.apply(event, provider: provider, app: app, origin: delivery.origin, in: transaction)
                }
            }
        }
        try await finishKeyDestructions()
        revocationSignal.notify()
    }

    /// What is no event is on the log as well, by its digest: somebody who looks for a missing event finds it there.
    private func logInvalid(_ items: [String], provider: IdentityProviderRecord) async throws {
        let time = now()
        try await write { transaction in
            for item in items.prefix(Limits.webhookInvalidItemsLogged) {
                try transaction.insertDelivery(
                    DeliveryRecord(
                        deliveryID: Self.digestID(item), eventType: "unknown", outcome: "invalid",
                        detail: "the item is no event: its type or its id is missing or malformed", receivedAt: time),
                    identityProviderID: provider.id)
            }
        }
    }

    /// Identifies what came without an id of its own.
    private static func digestID(_ text: String) -> String { "sha256:" + Hex.encode(Digest.sha256(Array(text.utf8))) }

    /// The message's own id where the scheme has one.
    private func authenticate(_ delivery: WebhookDelivery, provider: IdentityProviderRecord, app: AppRecord) throws
        -> String?
    {
        let refused = VaultError(.unauthenticated, "The webhook's authentication does not hold.")
        guard let sealed = provider.webhookSecret, provider.webhooksEnabledAt != nil else { throw refused }
        let secret = try openForApp(
            app, sealed, purpose: Self.webhookPurpose, record: provider.id.text, version: provider.webhookVersion)
        if provider.type == .clerk {
            guard let id = delivery.header("svix-id", "webhook-id"), id.utf8.count <= 255,
                let timestamp = delivery.header("svix-timestamp", "webhook-timestamp"),
                let signatures = delivery.header("svix-signature", "webhook-signature"),
                WebhookSignature.isAuthentic(
                    id: id, timestamp: timestamp, signatures: signatures, body: delivery.body, secret: secret,
                    nowSeconds: now().seconds)
            else { throw refused }
            return id
        }
        guard let authorization = delivery.header("authorization"),
            WebhookSignature.isAuthentic(authorization: authorization, secret: secret)
        else { throw refused }
        return nil
    }

    private func apply(
        _ event: LifecycleEvent, provider: IdentityProviderRecord, app: AppRecord, origin: RequestOrigin,
        in transaction: Transaction
    ) throws {
        let time = now()
        let deliveryID = event.deliveryID ?? Self.digestID(JSON.object(event.source).text)
        guard try !transaction.hasDelivery(identityProviderID: provider.id, deliveryID: deliveryID) else { return }
        // A date in the future would outweigh every event to come.
        var event = event
        event.deliveryID = deliveryID
        event.occurredAt = event.occurredAt.map { min($0, time) }
        let result = try carryOut(event, provider: provider, app: app, origin: origin, in: transaction)
        try transaction.insertDelivery(
            DeliveryRecord(
                deliveryID: deliveryID, eventType: event.type, outcome: result.outcome, detail: result.detail,
                userID: result.userID, eventAt: event.occurredAt, receivedAt: time, source: event.source),
            identityProviderID: provider.id)
    }

    /// Applies a logged delivery again, by the event map of today. As ever, an older event undoes no newer one.
    package func replayDelivery(_ caller: OperatorCaller, appID: String, _ id: String) async throws -> DeliveryRecord {
        let app = try app(caller, appID, toWrite: true)
        let provider = try activeIdentityProvider(app)
        let time = now()
        let entry = AuditEntry(
            event: "webhook_delivery.replayed", principal: caller.principal, occurredAt: time,
            requestID: caller.origin.requestID, appID: app.id, peer: caller.origin.peer?.description)
        let auditKey = auditKey
        let replayed = try await write { transaction in
            guard let deliveryID = DeliveryID(id),
                var delivery = try transaction.delivery(deliveryID, identityProviderID: provider.id)
            else { throw Self.notFound }
            guard let source = delivery.source,
                var event = LifecycleReader(provider.type, map: provider.eventMap)
                    .event(source, messageID: delivery.deliveryID)
            else { throw VaultError(.conflict, "The delivery holds no event that could be applied.") }
            event.deliveryID = delivery.deliveryID
            event.occurredAt = delivery.eventAt
            let result = try self.carryOut(
                event, provider: provider, app: app, origin: caller.origin, in: transaction)
            delivery.outcome = result.outcome
            delivery.detail = result.detail
            delivery.userID = result.userID ?? delivery.userID
            delivery.replayedAt = time
            try transaction.updateDelivery(delivery)
            var entry = entry
            entry.userID = delivery.userID
            entry.details = [
                "delivery_id": .string(delivery.deliveryID), "event_type": .string(delivery.eventType),
                "outcome": .string(delivery.outcome),
            ]
            try transaction.appendAudit(entry, key: auditKey)
            return delivery
        }
        try await finishKeyDestructions()
        revocationSignal.notify()
        return replayed
    }

    // MARK: Effects

    private struct EventResult {
        /// `deprovisioned`, `suspended`, `restored`, `updated`, `membership_removed`, `unchanged`, `stale` or `ignored`.
        let outcome: String
        var detail: String?
        var userID: UserID?
    }

    private func carryOut(
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
        // A delete that is older than a restore was undone by it. A suspension undoes no delete.
        if change.status == .active, change.isOlderThanStatus { return nil }
        try deprovision(
            change.record, app: change.app, entry: change.entry("user.deprovisioned"), eventAt: change.eventAt,
            in: transaction)
        return "deprovisioned"
    }

    private func suspend(_ change: UserChange, in transaction: Transaction) throws -> String? {
        if change.isOlderThanStatus { return nil }
        guard change.status != .deprovisioned else { return "unchanged" }
        try Self.suspend(change.record, by: "provider", eventAt: change.eventAt, in: transaction, now: change.now)
        try transaction.appendAudit(change.entry("user.suspended"), key: auditKey)
        return "suspended"
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
        if rule == .alwaysDeprovision || (rule == .lastMembership && updated.user.groups.isEmpty) {
            return try deprovision(change, in: transaction)
        }
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
