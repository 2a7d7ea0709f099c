import VaultAPI
import VaultDomain

// Where apps send their audit records, and how far each has come.

package struct AuditStreamRecord: Sendable {
    package let id: AuditStreamID
    package let appID: AppID
    package let kind: AuditStreamKind
    package let url: String
    /// Sealed with the app's key: the signing secret of a webhook, the headers of a collector.
    package let secret: [UInt8]
    /// The last record of the app's chain that was taken.
    package let sentSequence: Int64
    package let attempts: Int64
    package let lastError: String?
    package let lastSentAt: Instant?
    package let createdAt: Instant

    package init(
        id: AuditStreamID, appID: AppID, kind: AuditStreamKind, url: String, secret: [UInt8], sentSequence: Int64,
        createdAt: Instant
    ) {
        self.id = id
        self.appID = appID
        self.kind = kind
        self.url = url
        self.secret = secret
        self.sentSequence = sentSequence
        attempts = 0
        lastError = nil
        lastSentAt = nil
        self.createdAt = createdAt
    }

    init(_ row: Row) throws {
        id = try row.id("id")
        appID = try row.id("app_id")
        kind = try row.choice("kind")
        url = try row.text("url")
        secret = try row.blob("secret")
        sentSequence = try row.integer("sent_sequence")
        attempts = try row.integer("attempts")
        lastError = try row.optionalText("last_error")
        lastSentAt = try row.optionalInstant("last_sent_at")
        createdAt = try row.instant("created_at")
    }
}

/// A stream with what waits for it.
package struct AuditStreamStatus: Sendable {
    package let stream: AuditStreamRecord
    package let waiting: Int64
}

extension Transaction {
    package func insertAuditStream(_ stream: AuditStreamRecord) throws {
        try execute(
            """
            INSERT INTO audit_streams (id, app_id, kind, url, secret, sent_sequence, attempts, next_attempt_at, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7)
            """, stream.id, stream.appID, stream.kind.rawValue, stream.url, stream.secret, stream.sentSequence,
            stream.createdAt)
    }

    package func auditStreams(appID: AppID) throws -> [AuditStreamStatus] {
        try writeHeads()
        let head = try row("SELECT sequence FROM audit_heads WHERE chain = ?1", appID.text)?.integer("sequence") ?? 0
        return try rows("SELECT * FROM audit_streams WHERE app_id = ?1 ORDER BY id", appID).map {
            let stream = try AuditStreamRecord($0)
            return AuditStreamStatus(stream: stream, waiting: max(0, head - stream.sentSequence))
        }
    }

    package func auditStream(_ id: AuditStreamID) throws -> AuditStreamRecord? {
        try row("SELECT * FROM audit_streams WHERE id = ?1", id).map(AuditStreamRecord.init)
    }

    package func deleteAuditStream(_ id: AuditStreamID, appID: AppID) throws -> Bool {
        try execute("DELETE FROM audit_streams WHERE id = ?1 AND app_id = ?2", id, appID) == 1
    }

    /// Streams that have something to send and may try now.
    package func dueAuditStreams(now: Instant) throws -> [AuditStreamID] {
        try writeHeads()
        return try rows(
            """
            SELECT audit_streams.id FROM audit_streams JOIN audit_heads ON audit_heads.chain = audit_streams.app_id
            WHERE audit_heads.sequence > audit_streams.sent_sequence AND audit_streams.next_attempt_at <= ?1
            ORDER BY audit_streams.next_attempt_at, audit_streams.id
            """, now
        ).map { try $0.id("id") }
    }

    /// - Parameter remark: what the other side said of records that it took and did not keep.
    package func advanceAuditStream(_ id: AuditStreamID, to sequence: Int64, remark: String?, now: Instant) throws {
        try execute(
            """
            UPDATE audit_streams SET sent_sequence = ?2, last_sent_at = ?3, attempts = 0, last_error = ?4
            WHERE id = ?1 AND sent_sequence < ?2
            """, id, sequence, now, remark)
    }

    package func postponeAuditStream(_ id: AuditStreamID, until: Instant, error: String) throws {
        try execute(
            "UPDATE audit_streams SET attempts = attempts + 1, next_attempt_at = ?2, last_error = ?3 WHERE id = ?1", id,
            until, error)
    }
}
