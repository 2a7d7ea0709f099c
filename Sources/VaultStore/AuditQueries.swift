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

    package init() {}
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

    private static func headBytes(sequence: Int64, hash: [UInt8]) -> [UInt8] {
        Array("audit-head:\(sequence):".utf8) + hash
    }

    /// Appends the entry; it is durable when the transaction is.
    package func appendAudit(_ entry: AuditEntry, key: DigestKey) throws {
        let head = try row("SELECT sequence, hash FROM audit_head WHERE id = 1")
        let sequence = try (head?.integer("sequence") ?? 0) + 1
        let record = JSON.object(entry.json).text
        let hash = Self.hash(previous: try head?.blob("hash") ?? Self.genesis, sequence: sequence, record: record)
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
            """, sequence, hash, key.digest(Self.headBytes(sequence: sequence, hash: hash)))
    }

    package func auditRecords(appID: AppID, filter: AuditFilter, before sequence: Int64, limit: Int) throws
        -> [AuditRecord]
    {
        try rows(
            """
            SELECT sequence, record FROM audit_records WHERE app_id = ?1 AND sequence < ?2
                AND (?3 IS NULL OR occurred_at >= ?3) AND (?4 IS NULL OR occurred_at <= ?4)
                AND (?5 IS NULL OR event = ?5) AND (?6 IS NULL OR decision = ?6) AND (?7 IS NULL OR provider_id = ?7)
                AND (?8 IS NULL OR user_id = ?8) AND (?9 IS NULL OR grant_id = ?9)
            ORDER BY sequence DESC LIMIT ?10
            """, appID, sequence, filter.from, filter.to, filter.event, filter.decision, filter.providerID,
            filter.userID,
            filter.grantID, limit
        ).map { AuditRecord(sequence: try $0.integer("sequence"), record: try $0.object("record")) }
    }

    package func auditRecord(_ id: AuditEventID, appID: AppID) throws -> AuditRecord? {
        try row("SELECT sequence, record FROM audit_records WHERE id = ?1 AND app_id = ?2", id, appID).map {
            AuditRecord(sequence: try $0.integer("sequence"), record: try $0.object("record"))
        }
    }

    /// Reads the whole chain in order and holds every record against it.
    package func verifyAudit(key: DigestKey) throws -> AuditVerification {
        var previous = Self.genesis
        var expected: Int64 = 1
        let pageSize: Int64 = 1000
        while true {
            let page = try rows(
                "SELECT * FROM audit_records WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2", expected, pageSize)
            for row in page {
                let sequence = try row.integer("sequence")
                guard sequence == expected else { return .broken(sequence: expected, reason: "the record is missing") }
                let record = try row.text("record")
                let hash = Self.hash(previous: previous, sequence: sequence, record: record)
                guard try row.blob("hash") == hash else {
                    return .broken(sequence: sequence, reason: "the record does not fit its hash")
                }
                guard try Self.columnsAgree(row, record: record) else {
                    return .broken(sequence: sequence, reason: "the searchable columns differ from the record")
                }
                previous = hash
                expected += 1
            }
            if page.count < pageSize { break }
        }
        // Rows below the first page's start exist only when somebody renumbered them.
        if let stray = try row("SELECT min(sequence) AS lowest FROM audit_records")?.optionalInteger("lowest"),
            stray < 1
        {
            return .broken(sequence: stray, reason: "the record stands before the first")
        }
        return try verifyHead(last: expected - 1, hash: previous, key: key)
    }

    private func verifyHead(last: Int64, hash: [UInt8], key: DigestKey) throws -> AuditVerification {
        guard let head = try row("SELECT sequence, hash, mac FROM audit_head WHERE id = 1") else {
            return last == 0 ? .intact(records: 0) : .broken(sequence: 1, reason: "the head of the chain is missing")
        }
        let headSequence = try head.integer("sequence")
        guard key.matches(try head.blob("mac"), Self.headBytes(sequence: headSequence, hash: try head.blob("hash")))
        else {
            return .broken(sequence: headSequence, reason: "the head of the chain was not written by this installation")
        }
        guard headSequence == last else {
            return .broken(
                sequence: min(last, headSequence) + 1, reason: "the records end before or after the head of the chain")
        }
        guard try head.blob("hash") == hash else {
            return .broken(sequence: last, reason: "the last record does not fit the head")
        }
        return .intact(records: last)
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

    package func openUses() throws -> [(id: AuditEventID, entry: JSONObject)] {
        try rows("SELECT id, entry FROM open_uses ORDER BY created_at, id").map {
            (id: try $0.id("id"), entry: try $0.object("entry"))
        }
    }
}
