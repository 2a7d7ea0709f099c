import VaultAPI

// What waits, for those who watch.

/// Figures of the queues that are rows.
package struct QueueFigures: Sendable {
    /// Rows in each queue.
    package let depths: [(queue: String, depth: Int64)]
    /// Since when the longest-waiting revocation waits.
    package let oldestRevocationAt: Instant?
    /// Records that the stream furthest behind has not sent.
    package let streamLagMax: Int64
}

extension Transaction {
    package func queueFigures() throws -> QueueFigures {
        try writeHeads()
        let lags = try row(
            """
            SELECT CAST(sum(audit_heads.sequence - audit_streams.sent_sequence) AS BIGINT) AS total,
                max(audit_heads.sequence - audit_streams.sent_sequence) AS longest
            FROM audit_streams JOIN audit_heads ON audit_heads.chain = audit_streams.app_id
            """)
        let revocations = try row(
            "SELECT count(*) AS total, min(created_at) AS oldest FROM revocations WHERE status = 'pending'")
        func count(_ table: String) throws -> Int64 {
            try row("SELECT count(*) AS total FROM \(table)")?.integer("total") ?? 0
        }
        return QueueFigures(
            depths: [
                (queue: "provider_revocations", depth: try revocations?.integer("total") ?? 0),
                (queue: "key_destructions", depth: try count("key_destructions")),
                (queue: "open_uses", depth: try count("open_uses")),
                (queue: "audit_streams", depth: try lags?.optionalInteger("total") ?? 0),
            ], oldestRevocationAt: try revocations?.optionalInstant("oldest"),
            streamLagMax: try lags?.optionalInteger("longest") ?? 0)
    }
}
