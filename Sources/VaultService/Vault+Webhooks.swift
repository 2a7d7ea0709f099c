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
        guard let provider = try read({ try $0.identityProvider(webhookEndpointID: delivery.endpointID) }),
            let app = try read({ try $0.app(provider.appID) })
        else { throw Self.notFound }
        let messageID = try authenticate(delivery, provider: provider, app: app)
        let events: [LifecycleEvent]
        do {
            events =
                provider.type == .clerk
                ? [try ClerkWebhook.event(body: delivery.body, messageID: messageID)]
                : try Auth0LogStream.events(body: delivery.body)
        } catch {
            throw VaultError(.invalidRequest, "The delivery holds no event that can be read.")
        }
        var rest = events[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Limits.webhookEventsPerTransaction)
            rest = rest.dropFirst(batch.count)
            try await write { transaction in
                for event in batch {
                    try self.apply(event, provider: provider, app: app, origin: delivery.origin, in: transaction)
                }
            }
        }
        try await finishKeyDestructions()
        revocationSignal.notify()
    }

    /// The message's own id where the scheme has one.
    private func authenticate(_ delivery: WebhookDelivery, provider: IdentityProviderRecord, app: AppRecord) throws
        -> String
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
        return ""
    }

    private func apply(
        _ event: LifecycleEvent, provider: IdentityProviderRecord, app: AppRecord, origin: RequestOrigin,
        in transaction: Transaction
    ) throws {
        let time = now()
        // A date in the future would outweigh every event to come.
        let event = event.occurring(at: event.occurredAt.map { min($0, time) })
        guard try !transaction.hasDelivery(identityProviderID: provider.id, deliveryID: event.deliveryID) else {
            return
        }
        let effect = try effect(of: event, provider: provider, app: app, origin: origin, in: transaction)
        _ = try transaction.insertDelivery(
            identityProviderID: provider.id, deliveryID: event.deliveryID, eventType: event.type,
            outcome: effect.outcome,
            detail: effect.detail ?? event.note, userID: effect.userID, eventAt: event.occurredAt, now: time)
    }

    private struct Effect {
        let outcome: String
        var detail: String?
        var userID: UserID?
    }

    private func effect(
        of event: LifecycleEvent, provider: IdentityProviderRecord, app: AppRecord, origin: RequestOrigin,
        in transaction: Transaction
    ) throws -> Effect {
        guard event.action != .ignore else { return Effect(outcome: "ignored") }
        guard let subject = event.subject, !subject.isEmpty, subject.unicodeScalars.count <= 255 else {
            return Effect(outcome: "ignored", detail: "the event names no user")
        }
        let time = now()
        var records = try transaction.users(appID: app.id, issuer: provider.issuer, subject: subject)
        if records.isEmpty {
            guard event.action != .restore else { return Effect(outcome: "ignored", detail: "the user was never seen") }
            // A tombstone, so that a token which is still valid does not bring the person in again.
            let record = UserRecord(
                user: User(
                    id: UserID(), appID: app.id, issuer: provider.issuer, externalSubjectID: subject, subject: subject,
                    status: .active, firstSeenAt: time))
            try transaction.insertUser(record)
            records = [record]
        }
        var outcome = "stale"
        for record in records {
            let entry = AuditEntry(
                event: Self.eventName(event.action), principal: .identityProvider(deliveryID: event.deliveryID),
                occurredAt: time,
                requestID: origin.requestID, appID: app.id, userID: record.user.id, peer: origin.peer?.description,
                details: ["event_type": .string(event.type)])
            if let result = try change(record, event, app: app, entry: entry, in: transaction, now: time) {
                outcome = result
            }
        }
        return Effect(outcome: outcome, userID: records.first?.user.id)
    }

    private static func eventName(_ action: LifecycleAction) -> String {
        switch action {
        case .deprovision: "user.deprovisioned"
        case .suspend: "user.suspended"
        case .restore: "user.restored"
        case .ignore: "webhook.ignored"
        }
    }

    /// Applies the action to one user; `nil` when an older or repeated event changes nothing.
    private func change(
        _ record: UserRecord, _ event: LifecycleEvent, app: AppRecord, entry: AuditEntry, in transaction: Transaction,
        now: Instant
    ) throws -> String? {
        if event.action == .deprovision {
            guard record.user.status != .deprovisioned else { return "unchanged" }
            // A delete that is older than a restore was undone by it. A suspension undoes no delete.
            if record.user.status == .active, let eventAt = event.occurredAt, let current = record.statusEventAt,
                eventAt < current
            {
                return nil
            }
            try deprovision(record, app: app, entry: entry, eventAt: event.occurredAt, in: transaction)
            return "deprovisioned"
        }
        if let eventAt = event.occurredAt, let current = record.statusEventAt, eventAt < current { return nil }
        switch (event.action, record.user.status) {
        case (.suspend, .active), (.suspend, .suspended):
            try Self.suspend(record, by: "provider", eventAt: event.occurredAt, in: transaction, now: now)
            try transaction.appendAudit(entry, key: auditKey)
            return "suspended"
        case (.restore, .suspended) where record.suspendedBy == "provider":
            try Self.restore(record, eventAt: event.occurredAt, in: transaction, now: now)
            try transaction.appendAudit(entry, key: auditKey)
            return "restored"
        case (.restore, .active):
            // Remembered, so that an older suspension that comes later does not win.
            var seen = record
            seen.statusEventAt = max(record.statusEventAt ?? event.occurredAt ?? now, event.occurredAt ?? now)
            try transaction.updateUser(seen)
            return "unchanged"
        default: return "unchanged"
        }
    }
}
