import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Lifecycle events pushed by identity providers. Authenticated over the raw bytes, applied in one transaction, and
// answered only when the effect is durable and the keys are destroyed.

/// A delivery before its body is read.
package struct WebhookHead: Sendable {
    package let endpointID: String
    /// Names in lower case; repeated fields as repeated elements.
    package let headers: [(name: String, value: String)]
    package let origin: RequestOrigin

    package init(endpointID: String, headers: [(name: String, value: String)], origin: RequestOrigin) {
        self.endpointID = endpointID
        self.headers = headers
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
    /// Applies a delivery. Throws 404 for an unknown address, 401 for a wrong secret, 400 when nothing in it is valid. Of
    /// one that its head refuses the body is not read.
    package func receive(_ head: WebhookHead, body: () async throws -> [UInt8]) async throws {
        let (provider, app) = try read { transaction in
            guard let provider = try transaction.identityProvider(webhookEndpointID: head.endpointID),
                let app = try transaction.app(provider.appID)
            else { throw Self.notFound }
            return (provider, app)
        }
        let delivery: Delivery
        do { delivery = try await authenticated(head, body: body, provider: provider, app: app) } catch {
            if (error as? VaultError)?.code == .unauthenticated { metrics.countWebhookEvent("unauthorized") }
            throw error
        }
        // It may wait here, so that the transaction looks at the provider again.
        try await webhookTurnstile.pass(provider.id) {
            try await apply(delivery, provider: provider, app: app, origin: head.origin)
        }
    }

    private struct Delivery {
        let body: [UInt8]
        /// The message's own id where the scheme has one.
        let messageID: String?
    }

    private static var refused: VaultError {
        VaultError(.unauthenticated, "The webhook's authentication does not hold.")
    }

    private func authenticated(
        _ head: WebhookHead, body: () async throws -> [UInt8], provider: IdentityProviderRecord, app: AppRecord
    ) async throws -> Delivery {
        guard let sealed = provider.webhookSecret, provider.webhooksEnabledAt != nil else { throw Self.refused }
        let secret = try openForApp(
            app, sealed, purpose: Self.webhookPurpose, record: provider.id.text, version: provider.webhookVersion)
        guard provider.type == .clerk else {
            guard let authorization = head.header("authorization"),
                WebhookSignature.isAuthentic(authorization: authorization, secret: secret)
            else { throw Self.refused }
            return Delivery(body: try await body(), messageID: nil)
        }
        guard let id = head.header("svix-id", "webhook-id"), LifecycleEvent.isDeliveryID(id),
            let timestamp = head.header("svix-timestamp", "webhook-timestamp"),
            let signatures = head.header("svix-signature", "webhook-signature"),
            WebhookSignature.isFresh(timestamp: timestamp, nowSeconds: now().seconds)
        else { throw Self.refused }
        let bytes = try await body()
        guard
            WebhookSignature.isAuthentic(
                id: id, timestamp: timestamp, signatures: signatures, body: bytes, secret: secret,
                nowSeconds: now().seconds)
        else { throw Self.refused }
        return Delivery(body: bytes, messageID: id)
    }

    /// The provider as it is now. Throws when the secret that a delivery came with has died since: rotated, disabled, removed.
    private static func stillTrusted(_ provider: IdentityProviderRecord, in transaction: Transaction) throws
        -> IdentityProviderRecord
    {
        guard let current = try transaction.identityProvider(appID: provider.appID), current.id == provider.id,
            current.webhookVersion == provider.webhookVersion, current.webhooksEnabledAt != nil
        else { throw refused }
        guard current.eventMap == provider.eventMap else {
            throw VaultError(.serviceUnavailable, "The event map was just changed.", retryAfterSeconds: 1)
        }
        return current
    }

    private func apply(_ delivery: Delivery, provider: IdentityProviderRecord, app: AppRecord, origin: RequestOrigin)
        async throws
    {
        let batch = LifecycleReader(provider.type, map: provider.eventMap)
            .batch(body: delivery.body, messageID: delivery.messageID)
        if !batch.invalid.isEmpty { try await logInvalid(batch.invalid, provider: provider) }
        guard !batch.events.isEmpty else {
            throw VaultError(.invalidRequest, "The delivery holds no event that can be read.")
        }
        var rest = batch.events[...]
        while !rest.isEmpty {
            let part = rest.prefix(Limits.webhookEventsPerTransaction)
            rest = rest.dropFirst(part.count)
            let outcomes = try await write(in: .app(app.id)) { transaction in
                let provider = try Self.stillTrusted(provider, in: transaction)
                return try part.map {
                    try self.apply($0, provider: provider, app: app, origin: origin, in: transaction)
                }
            }
            outcomes.forEach(metrics.countWebhookEvent)
        }
        try await finishKeyDestructions()
        revocationSignal.notify()
    }

    /// What is no event is on the log as well, by its digest: somebody who looks for a missing event finds it there.
    private func logInvalid(_ items: [String], provider: IdentityProviderRecord) async throws {
        let time = now()
        try await write(in: .app(provider.appID)) { transaction in
            for item in items.prefix(Limits.webhookInvalidItemsLogged) {
                try transaction.insertDelivery(
                    DeliveryRecord(
                        deliveryID: Self.digestID(item), eventType: "unknown", outcome: "invalid",
                        detail: "the item is no event: its type or its id is missing or malformed", receivedAt: time),
                    identityProviderID: provider.id)
            }
        }
        items.forEach { _ in metrics.countWebhookEvent("invalid") }
    }

    /// Identifies what came without an id of its own.
    private static func digestID(_ text: String) -> String { "sha256:" + Hex.encode(Digest.sha256(Array(text.utf8))) }

    private func apply(
        _ event: LifecycleEvent, provider: IdentityProviderRecord, app: AppRecord, origin: RequestOrigin,
        in transaction: Transaction
    ) throws -> String {
        let time = now()
        // Without an id, what says the same of the same time is the same event; without a time, nothing is.
        let deliveryID =
            event.deliveryID
            ?? (event.occurredAt == nil
                ? "received:" + DeliveryID().text : Self.digestID(JSON.object(event.source).text))
        guard try !transaction.hasDelivery(identityProviderID: provider.id, deliveryID: deliveryID) else {
            return "duplicate"
        }
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
        return result.outcome
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
            event.occurredAt = delivery.eventAt ?? delivery.receivedAt
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
}
