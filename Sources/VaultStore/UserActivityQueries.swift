import VaultAPI

// The audit records about one user, for that user. A trail has millions of records: everything here reads along the index
// of the user's own, and never more of them than it is told to.

/// What a record is searched by, without its text.
package struct AuditSummary: Sendable {
    package let position: Int64
    package let id: AuditEventID
    package let appID: AppID?
    package let occurredAt: Instant
    package let event: String
    package let decision: String
    package let providerID: String?

    init(_ row: Row) throws {
        position = try row.integer("position")
        id = try row.id("id")
        appID = try row.optionalID("app_id")
        occurredAt = try row.instant("occurred_at")
        event = try row.text("event")
        decision = try row.text("decision")
        providerID = try row.optionalText("provider_id")
    }
}

extension Transaction {
    /// Newest first.
    package func auditSummaries(userID: UserID, before position: Int64, limit: Int) throws -> [AuditSummary] {
        // No other condition: it could lead the engine to the index of a whole app.
        try rows(
            """
            SELECT position, id, app_id, occurred_at, event, decision, provider_id FROM audit_records
            WHERE user_id = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3
            """, userID, position, limit
        ).map(AuditSummary.init)
    }

    package func auditRecord(at position: Int64) throws -> AuditRecord? {
        try row("SELECT * FROM audit_records WHERE position = ?1", position).map(AuditRecord.init)
    }

    package func auditPosition(_ id: AuditEventID, userID: UserID) throws -> Int64? {
        try row("SELECT position FROM audit_records WHERE id = ?1 AND user_id = ?2", id, userID)?.integer("position")
    }

    /// The place of the user's first record after `time`; `Int64.max` when there is none. Records stand nearly in the order
    /// of their times, so that it is found by halving, in a few dozen steps whatever their number.
    package func auditPosition(userID: UserID, after time: Instant) throws -> Int64 {
        guard let newest = try auditSummaries(userID: userID, before: .max, limit: 1).first, newest.occurredAt > time
        else { return .max }
        // What is before `low` is not after `time`, and the first record at or after `high` is.
        var low: Int64 = 0
        var high = newest.position
        while low < high {
            let middle = low + (high - low) / 2
            guard
                let found = try row(
                    """
                    SELECT position, occurred_at FROM audit_records WHERE user_id = ?1 AND position >= ?2
                    ORDER BY position LIMIT 1
                    """, userID, middle)
            else { break }
            if try found.instant("occurred_at") > time {
                high = middle
            } else {
                low = try found.integer("position") + 1
            }
        }
        return high
    }

    /// The providers and secrets that the user has or had a grant of.
    package func grantedProviderIDs(userID: UserID, limit: Int) throws -> [String] {
        try rows(
            "SELECT DISTINCT provider_id FROM grants WHERE user_id = ?1 ORDER BY provider_id LIMIT ?2", userID, limit
        ).map { try $0.text("provider_id") }
    }
}
