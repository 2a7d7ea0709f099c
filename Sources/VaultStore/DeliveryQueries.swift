import VaultAPI
import VaultDomain

// The log of lifecycle events that identity providers pushed.

package struct DeliveryRecord: Sendable {
    package let id: DeliveryID
    /// Auth0 `log_id`, Svix message id, or a digest of the event.
    package let deliveryID: String
    package let eventType: String
    package var outcome: String
    package var detail: String?
    package var userID: UserID?
    package let eventAt: Instant?
    package let receivedAt: Instant
    package var replayedAt: Instant?
    /// The members of the event that were read; `nil` when it was none.
    package let source: JSONObject?

    package init(
        deliveryID: String, eventType: String, outcome: String, detail: String?, userID: UserID? = nil,
        eventAt: Instant? = nil, receivedAt: Instant, source: JSONObject? = nil
    ) {
        id = DeliveryID()
        self.deliveryID = deliveryID
        self.eventType = eventType
        self.outcome = outcome
        self.detail = detail
        self.userID = userID
        self.eventAt = eventAt
        self.receivedAt = receivedAt
        self.source = source
    }

    init(_ row: Row) throws {
        id = try row.id("id")
        deliveryID = try row.text("delivery_id")
        eventType = try row.text("event_type")
        outcome = try row.text("outcome")
        detail = try row.optionalText("detail")
        userID = try row.optionalID("user_id")
        eventAt = try row.optionalInstant("event_at")
        receivedAt = try row.instant("received_at")
        replayedAt = try row.optionalInstant("replayed_at")
        source = try row.optionalJSON("source", comesAgain: false)?.object
    }
}

extension Transaction {
    /// Logs the delivery, unless one with its id is there.
    package func insertDelivery(_ delivery: DeliveryRecord, identityProviderID: IdentityProviderID) throws {
        try execute(
            """
            INSERT INTO webhook_deliveries (id, identity_provider_id, delivery_id, event_type, outcome, detail, user_id,
                event_at, received_at, source)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (identity_provider_id, delivery_id) DO NOTHING
            """, delivery.id, identityProviderID, delivery.deliveryID, delivery.eventType, delivery.outcome,
            delivery.detail, delivery.userID, delivery.eventAt, delivery.receivedAt, delivery.source.map(JSON.object))
    }

    /// What became of a delivery when it was applied again.
    package func updateDelivery(_ delivery: DeliveryRecord) throws {
        try execute(
            "UPDATE webhook_deliveries SET outcome = ?2, detail = ?3, user_id = ?4, replayed_at = ?5 WHERE id = ?1",
            delivery.id, delivery.outcome, delivery.detail, delivery.userID, delivery.replayedAt)
    }

    package func delivery(_ id: DeliveryID, identityProviderID: IdentityProviderID) throws -> DeliveryRecord? {
        try row(
            "SELECT * FROM webhook_deliveries WHERE id = ?1 AND identity_provider_id = ?2", id, identityProviderID
        ).map(DeliveryRecord.init)
    }

    package func hasDelivery(identityProviderID: IdentityProviderID, deliveryID: String) throws -> Bool {
        try row(
            "SELECT 1 AS found FROM webhook_deliveries WHERE identity_provider_id = ?1 AND delivery_id = ?2",
            identityProviderID, deliveryID) != nil
    }

    package func deleteIgnoredDeliveries(receivedBefore time: Instant) throws {
        try execute("DELETE FROM webhook_deliveries WHERE outcome = 'ignored' AND received_at < ?1", time)
    }

    package func latestDeliveries(identityProviderID: IdentityProviderID, limit: Int) throws -> [DeliveryRecord] {
        try rows(
            """
            SELECT * FROM webhook_deliveries WHERE identity_provider_id = ?1 ORDER BY received_at DESC, id LIMIT ?2
            """, identityProviderID, limit
        ).map(DeliveryRecord.init)
    }

    package func deliveryCounts(identityProviderID: IdentityProviderID) throws -> [(outcome: String, count: Int64)] {
        try rows(
            """
            SELECT outcome, count(*) AS deliveries FROM webhook_deliveries WHERE identity_provider_id = ?1
            GROUP BY outcome ORDER BY outcome
            """, identityProviderID
        ).map { (outcome: try $0.text("outcome"), count: try $0.integer("deliveries")) }
    }
}
