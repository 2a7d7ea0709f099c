import VaultAPI
import VaultCrypto
import VaultDomain

// The audit chain. Record n carries SHA-256(hash of n−1 ‖ n ‖ text of n); the head moves in the same transaction and is
// authenticated with a key of the key store, so that cutting the tail, or rewriting it and the chain after it, shows.

/// One written record.
package struct AuditRecord: Sendable {
    package let sequence: Int64
    package let record: JSONObject
}

package struct AuditFilter: Sendable {
    package var from: Instant?
    package var to: Instant?
    package var event: String?
    package var decision: String?
    package var providerID: String?
    package var userID: UserID?
    package var grantID: GrantID?
    /// Of a managed agent. There are none yet, so that any of them narrows the list to nothing.
    package var agentID: String?

    package init() {}
}

/// Where the chain ends.
package struct AuditHead: Sendable, Equatable {
    package let sequence: Int64
    package let hash: [UInt8]

    package init(sequence: Int64, hash: [UInt8]) {
        self.sequence = sequence
        self.hash = hash
    }
}

/// A verification under way. It reads page by page, so that no long read keeps the database's log from being emptied.
package struct AuditProgress: Sendable {
    /// The last record that was read; the chain begins with zeros.
    fileprivate(set) var end = AuditHead(sequence: 0, hash: [UInt8](repeating: 0, count: 32))
    /// An end that the chain is known to have had, kept apart from the database.
    let anchor: AuditHead?
    fileprivate(set) var broken: AuditVerification?

    package init(anchor: AuditHead?) { self.anchor = anchor }
}

/// What verification found.
package enum AuditVerification: Sendable, Equatable {
    case intact(records: Int64)
    /// The first record that does not fit, and why.
    case broken(sequence: Int64, reason: String)
}

extension Transaction {
    private static let genesis = [UInt8](repeating: 0, count: 32)

    private static func hash(previous: [UInt8], sequence: Int64, record: String) -> [UInt8] {
        Digest.sha256(previous + Array("\(sequence):".utf8) + Array(record.utf8))
    }

    private static func headBytes(_ head: AuditHead) -> [UInt8] {
        Array("audit-head:\(head.sequence):".utf8) + head.hash
    }

    /// The end of the chain, held against its authentication; `nil` before the first record.
    package func auditHead(key: DigestKey) throws -> AuditHead? {
        guard let row = try row("SELECT sequence, hash, mac FROM audit_head WHERE id = 1") else { return nil }
        let head = AuditHead(sequence: try row.integer("sequence"), hash: try row.blob("hash"))
        guard key.matches(try row.blob("mac"), Self.headBytes(head)) else { throw StoreError.corrupt("audit_head.mac") }
        return head
    }

    package func auditHash(_ sequence: Int64) throws -> [UInt8]? {
        try row("SELECT hash FROM audit_records WHERE sequence = ?1", sequence)?.blob("hash")
    }

    /// Appends the entry; it is durable when the transaction is. A head that this installation did not write is never
    /// built upon: signing what comes after it would make it look right.
    package func appendAudit(_ entry: AuditEntry, key: DigestKey) throws {
        let head = try auditHead(key: key)
        let sequence = (head?.sequence ?? 0) + 1
        let record = JSON.object(entry.json).text
        let hash = Self.hash(previous: head?.hash ?? Self.genesis, sequence: sequence, record: record)
        try execute(
            """
            INSERT INTO audit_records (sequence, id, occurred_at, app_id, event, decision, provider_id, user_id, grant_id,
                record, hash)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """, sequence, entry.id, entry.occurredAt, entry.appID, entry.event, entry.decision.rawValue,
            entry.providerID, entry.userID, entry.grantID, record, hash)
        try execute(
            """
            INSERT INTO audit_head (id, sequence, hash, mac) VALUES (1, ?1, ?2, ?3)
            ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, mac = excluded.mac
            """, sequence, hash, key.digest(Self.headBytes(AuditHead(sequence: sequence, hash: hash))))
    }

    package func auditRecords(appID: AppID, filter: AuditFilter, before sequence: Int64, limit: Int) throws
        -> [AuditRecord]
    {
        try rows(
            """
            SELECT sequence, record FROM audit_records WHERE app_id = ?1 AND sequence < ?2
                AND (?3 IS NULL OR occurred_at >= ?3) AND (?4 IS NULL OR occurred_at <= ?4)
                AND (?5 IS NULL OR event = ?5) AND (?6 IS NULL OR decision = ?6) AND (?7 IS NULL OR provider_id = ?7)
                AND (?8 IS NULL OR user_id = ?8) AND (?9 IS NULL OR grant_id = ?9) AND ?10 IS NULL
            ORDER BY sequence DESC LIMIT ?11
            """, appID, sequence, filter.from, filter.to, filter.event, filter.decision, filter.providerID,
            filter.userID,
            filter.grantID, filter.agentID, limit
        ).map { AuditRecord(sequence: try $0.integer("sequence"), record: try $0.object("record")) }
    }

    package func auditRecord(_ id: AuditEventID, appID: AppID) throws -> AuditRecord? {
        try row("SELECT sequence, record FROM audit_records WHERE id = ?1 AND app_id = ?2", id, appID).map {
            AuditRecord(sequence: try $0.integer("sequence"), record: try $0.object("record"))
        }
    }

    /// Holds the next records against the chain, at most `limit` of them; how many there were. None once it is broken.
    package func verifyAudit(_ progress: inout AuditProgress, limit: Int64) throws -> Int {
        guard progress.broken == nil else { return 0 }
        let page = try rows(
            "SELECT * FROM audit_records WHERE sequence > ?1 ORDER BY sequence LIMIT ?2", progress.end.sequence, limit)
        for row in page where progress.broken == nil {
            let sequence = try row.integer("sequence")
            let record = try row.text("record")
            let hash = Self.hash(previous: progress.end.hash, sequence: sequence, record: record)
            if sequence != progress.end.sequence + 1 {
                progress.broken = .broken(sequence: progress.end.sequence + 1, reason: "the record is missing")
            } else if try row.blob("hash") != hash {
                progress.broken = .broken(sequence: sequence, reason: "the record does not fit its hash")
            } else if try !Self.columnsAgree(row, record: record) {
                progress.broken = .broken(
                    sequence: sequence, reason: "the searchable columns differ from the record")
            }
            progress.end = AuditHead(sequence: sequence, hash: hash)
            if sequence == progress.anchor?.sequence, hash != progress.anchor?.hash {
                progress.broken = .broken(sequence: sequence, reason: "the record is not the one that was written here")
            }
        }
        return page.count
    }

    /// Whether the chain ends where its head says, and not before the last end that the key store knows.
    package func verifyAuditEnd(_ progress: AuditProgress, key: DigestKey) throws -> AuditVerification {
        if let broken = progress.broken { return broken }
        // Rows below the first page's start exist only when somebody renumbered them.
        if let stray = try row("SELECT min(sequence) AS lowest FROM audit_records")?.optionalInteger("lowest"),
            stray < 1
        {
            return .broken(sequence: stray, reason: "the record stands before the first")
        }
        let end = progress.end
        let head: AuditHead?
        do { head = try auditHead(key: key) } catch StoreError.corrupt {
            return .broken(sequence: end.sequence, reason: "the head of the chain was not written by this installation")
        }
        if head ?? AuditHead(sequence: 0, hash: Self.genesis) != end {
            return .broken(
                sequence: min(end.sequence, head?.sequence ?? 0) + 1,
                reason: "the records end before or after the head of the chain")
        }
        if let anchor = progress.anchor, anchor.sequence > end.sequence {
            return .broken(
                sequence: end.sequence + 1, reason: "the trail was cut or rolled back: it went to \(anchor.sequence)")
        }
        return .intact(records: end.sequence)
    }

    private static func columnsAgree(_ row: Row, record: String) throws -> Bool {
        guard let json = try? JSON(parsing: record), let object = json.object else { return false }
        return try row.text("id") == object["id"]?.string && row.text("event") == object["event"]?.string
            && row.text("decision") == object["decision"]?.string
            && row.optionalText("app_id") == object["app_id"]?.string
            && row.optionalText("user_id") == object["user_id"]?.string
            && row.optionalText("grant_id") == object["grant_id"]?.string
            && row.optionalText("provider_id") == object["provider_id"]?.string
            && row.instant("occurred_at").rfc3339 == object["occurred_at"]?.string
    }

    // MARK: Uses under way

    /// Notes a proxied call before it is made, so that a crash in between still leaves its one record.
    package func insertOpenUse(_ id: AuditEventID, entry: JSONObject, now: Instant) throws {
        try execute("INSERT INTO open_uses (id, entry, created_at) VALUES (?1, ?2, ?3)", id, JSON.object(entry), now)
    }

    package func deleteOpenUse(_ id: AuditEventID) throws -> Bool {
        try execute("DELETE FROM open_uses WHERE id = ?1", id) == 1
    }

    package func openUses(startedBefore limit: Instant) throws -> [(id: AuditEventID, entry: JSONObject)] {
        try rows("SELECT id, entry FROM open_uses WHERE created_at < ?1 ORDER BY created_at, id", limit).map {
            (id: try $0.id("id"), entry: try $0.object("entry"))
        }
    }
}
