import VaultAPI
import VaultCrypto
import VaultDomain

// The audit trail: one chain for each app, and one for what concerns the installation. Record n of a chain carries
// SHA-256(hash of n−1 ‖ n ‖ text of n); the chain's head moves in the same transaction and is authenticated with a key of
// the key store, so that cutting the tail, or rewriting it and what comes after it, shows.

/// A place in a chain.
package struct AuditHead: Sendable, Equatable {
    package let sequence: Int64
    package let hash: [UInt8]

    package init(sequence: Int64, hash: [UInt8]) {
        self.sequence = sequence
        self.hash = hash
    }
}

/// One written record.
package struct AuditRecord: Sendable {
    /// Where it is among all records; for paging only.
    package let position: Int64
    package let chain: AuditChain
    package let sequence: Int64
    package let record: JSONObject
    package let hash: [UInt8]

    init(_ row: Row) throws {
        position = try row.integer("position")
        chain = AuditChain(name: try row.text("chain"))
        sequence = try row.integer("sequence")
        record = try row.object("record", comesAgain: false)
        hash = try row.blob("hash")
    }
}

package struct AuditFilter: Sendable {
    package var from: Instant?
    package var to: Instant?
    package var event: String?
    package var decision: String?
    package var providerID: String?
    package var userID: UserID?
    package var grantID: GrantID?
    package var requestID: String?
    package var traceID: String?
    /// Of a managed agent. There are none yet, so that any of them narrows the list to nothing.
    package var agentID: String?

    package init() {}
}

/// A chain's two ends.
package struct AuditEnds: Sendable, Equatable {
    package let chain: AuditChain
    /// The last record that retention has removed; a chain begins with record 1 after its origin.
    package var start: AuditHead
    package var head: AuditHead
    /// How many days its records are kept; `nil` is for ever. Held under the same authentication: whoever can write to the
    /// database only must not make the vault delete its evidence.
    package var retentionDays: Int64?
}

/// A verification under way. It reads page by page, so that no long read keeps the database's log from being emptied.
package struct AuditProgress: Sendable {
    package let chain: AuditChain
    /// Chains that the records read so far say were begun.
    package fileprivate(set) var begun: Set<AuditChain> = []
    /// The last record that was read.
    fileprivate(set) var end: AuditHead
    fileprivate var position: Int64 = 0
    /// Places that the chain is known to have had, kept apart from the database.
    fileprivate let witnesses: [AuditHead]
    fileprivate(set) var broken: AuditVerification?

    package init(chain: AuditChain, witnesses: [AuditHead]) {
        self.chain = chain
        end = chain.origin
        self.witnesses = witnesses
    }
}

/// What verification found.
package enum AuditVerification: Sendable, Equatable {
    case intact(records: Int64)
    /// The first record that does not fit, and why.
    case broken(chain: AuditChain, sequence: Int64, reason: String)
}

extension Transaction {
    // MARK: Ends

    private static func headBytes(_ ends: AuditEnds) -> [UInt8] {
        let name = ends.chain == .installation ? "" : ends.chain.name + ":"
        let head = Array("audit-head:\(name)\(ends.head.sequence):".utf8) + ends.head.hash
        let start = ends.start.sequence == 0 ? [] : Array(":from:\(ends.start.sequence):".utf8) + ends.start.hash
        return head + start + Array((ends.retentionDays.map { ":keep:\($0)" } ?? "").utf8)
    }

    /// The ends of the chain, held against their authentication; `nil` before the first record.
    package func auditEnds(_ chain: AuditChain, key: DigestKey) throws -> AuditEnds? {
        if let ends = heads?[chain] { return ends }
        guard let row = try row("SELECT * FROM audit_heads WHERE chain = ?1", chain.name) else { return nil }
        let removed = try row.integer("start_sequence")
        let ends = AuditEnds(
            chain: chain,
            start: removed == 0 ? chain.origin : AuditHead(sequence: removed, hash: try row.blob("start_hash")),
            head: AuditHead(sequence: try row.integer("sequence"), hash: try row.blob("hash")),
            retentionDays: try row.optionalInteger("retention_days"))
        guard key.matches(try row.blob("mac"), Self.headBytes(ends)) else {
            throw StoreError.corrupt("audit_heads.mac")
        }
        heads?.noteRead(ends)
        return ends
    }

    /// Writes the ends that the transaction has moved: before it is committed, and before anybody reads the rows.
    func writeHeads() throws {
        for (ends, key) in heads?.takeMoved() ?? [] { try write(ends, key: key) }
    }

    private func write(_ ends: AuditEnds, key: DigestKey) throws {
        try post(
            """
            INSERT INTO audit_heads (chain, sequence, hash, start_sequence, start_hash, retention_days, mac)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash,
                start_sequence = excluded.start_sequence, start_hash = excluded.start_hash,
                retention_days = excluded.retention_days, mac = excluded.mac
            """, ends.chain.name, ends.head.sequence, ends.head.hash, ends.start.sequence, ends.start.hash,
            ends.retentionDays, key.digest(Self.headBytes(ends)))
    }

    private func move(to ends: AuditEnds, key: DigestKey) throws {
        guard let heads else { throw StoreError.unavailable("a transaction that reads moves nothing") }
        heads.move(to: ends, key: key)
    }

    package func setAuditRetention(_ chain: AuditChain, days: Int64?, key: DigestKey) throws {
        guard var ends = try auditEnds(chain, key: key) else { return }
        ends.retentionDays = days
        try move(to: ends, key: key)
    }

    /// Chains that do not keep their records for ever, as the rows say.
    package func auditChainsWithRetention() throws -> [AuditChain] {
        try writeHeads()
        return try rows("SELECT chain FROM audit_heads WHERE retention_days IS NOT NULL").map {
            AuditChain(name: try $0.text("chain"))
        }
    }

    /// Every chain that has an end or a record.
    package func auditChains() throws -> [AuditChain] {
        try writeHeads()
        return try rows("SELECT chain FROM audit_heads UNION SELECT DISTINCT chain FROM audit_records ORDER BY chain")
            .map {
                AuditChain(name: try $0.text("chain"))
            }
    }

    /// Where each chain ends, as the rows say.
    package func auditHeads() throws -> [AuditChain: AuditHead] {
        try writeHeads()
        let pairs = try rows("SELECT chain, sequence, hash FROM audit_heads").map {
            (
                AuditChain(name: try $0.text("chain")),
                AuditHead(sequence: try $0.integer("sequence"), hash: try $0.blob("hash"))
            )
        }
        return Dictionary(uniqueKeysWithValues: pairs)
    }

    package func auditHash(_ chain: AuditChain, _ sequence: Int64) throws -> [UInt8]? {
        try row("SELECT hash FROM audit_records WHERE chain = ?1 AND sequence = ?2", chain.name, sequence)?
            .blob("hash")
    }

    // MARK: Writing

    /// Appends the entry; it is durable when the transaction is. A head that this installation did not write is never
    /// built upon: signing what comes after it would make it look right.
    package func appendAudit(_ entry: AuditEntry, key: DigestKey) throws {
        guard scope.covers(entry.appID) else { throw ScopeExceeded() }
        let chain = AuditChain(entry.appID)
        var ends =
            try auditEnds(chain, key: key)
            ?? AuditEnds(chain: chain, start: chain.origin, head: chain.origin, retentionDays: nil)
        if ends.head.sequence == 0, chain != .installation {
            try appendAudit(.chainStarted(chain, by: entry), key: key)
        }
        let previous = ends.head
        let sequence = previous.sequence + 1
        let record = JSON.object(entry.json).text
        let hash = AuditChain.hash(previous: previous.hash, sequence: sequence, record: record)
        try post(
            """
            INSERT INTO audit_records (chain, sequence, id, occurred_at, app_id, event, decision, provider_id, user_id,
                grant_id, request_id, trace_id, record, hash)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
            """, chain.name, sequence, entry.id, entry.occurredAt, entry.appID, entry.event, entry.decision.rawValue,
            entry.providerID, entry.userID, entry.grantID, entry.requestID, entry.trace?.traceID, record, hash)
        ends.head = AuditHead(sequence: sequence, hash: hash)
        try move(to: ends, key: key)
    }

    /// Removes the oldest records of the chain that lie before `time`, at most `limit` of them, and never the last one. What
    /// is left begins where they ended; how many there were. Each is held against the chain first: whoever can write to the
    /// database only must not make fresh evidence look old.
    package func pruneAudit(_ chain: AuditChain, before time: Instant, limit: Int, key: DigestKey) throws -> Int {
        guard var ends = try auditEnds(chain, key: key) else { return 0 }
        let oldest = try rows(
            "SELECT * FROM audit_records WHERE chain = ?1 AND sequence < ?2 ORDER BY sequence LIMIT ?3", chain.name,
            ends.head.sequence, limit)
        var count = 0
        for row in oldest {
            let sequence = try row.integer("sequence")
            let record = try row.text("record")
            let hash = AuditChain.hash(previous: ends.start.hash, sequence: sequence, record: record)
            guard sequence == ends.start.sequence + 1, try row.blob("hash") == hash,
                try Self.columnsAgree(row, record: record), try row.instant("occurred_at") < time
            else { break }
            ends.start = AuditHead(sequence: sequence, hash: hash)
            count += 1
        }
        guard count > 0 else { return 0 }
        try execute("DELETE FROM audit_records WHERE chain = ?1 AND sequence <= ?2", chain.name, ends.start.sequence)
        try move(to: ends, key: key)
        return count
    }

    // MARK: Reading

    static let filterCondition = """
        app_id = ?1 AND (?3 IS NULL OR occurred_at >= ?3) AND (?4 IS NULL OR occurred_at <= ?4)
            AND (?5 IS NULL OR event = ?5) AND (?6 IS NULL OR decision = ?6) AND (?7 IS NULL OR provider_id = ?7)
            AND (?8 IS NULL OR user_id = ?8) AND (?9 IS NULL OR grant_id = ?9) AND (?10 IS NULL OR request_id = ?10)
            AND (?11 IS NULL OR trace_id = ?11) AND ?12 IS NULL
        """

    /// Newest first.
    package func auditRecords(appID: AppID, filter: AuditFilter, before position: Int64, limit: Int) throws
        -> [AuditRecord]
    {
        try auditRecords(
            "SELECT * FROM audit_records WHERE \(Self.filterCondition) AND position < ?2 ORDER BY position DESC LIMIT ?13",
            appID, filter, position, limit)
    }

    /// Oldest first.
    package func auditRecordsAscending(appID: AppID, filter: AuditFilter, after position: Int64, limit: Int) throws
        -> [AuditRecord]
    {
        try auditRecords(
            "SELECT * FROM audit_records WHERE \(Self.filterCondition) AND position > ?2 ORDER BY position LIMIT ?13",
            appID, filter, position, limit)
    }

    private func auditRecords(_ sql: String, _ appID: AppID, _ filter: AuditFilter, _ position: Int64, _ limit: Int)
        throws -> [AuditRecord]
    {
        try rows(
            sql, appID, position, filter.from, filter.to, filter.event, filter.decision, filter.providerID,
            filter.userID, filter.grantID, filter.requestID, filter.traceID, filter.agentID,
            limit
        ).map(AuditRecord.init)
    }

    /// The next records of one chain.
    package func auditRecords(_ chain: AuditChain, after sequence: Int64, limit: Int) throws -> [AuditRecord] {
        try rows(
            "SELECT * FROM audit_records WHERE chain = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3", chain.name,
            sequence, limit
        ).map(AuditRecord.init)
    }

    package func auditRecord(_ id: AuditEventID, appID: AppID) throws -> AuditRecord? {
        try row("SELECT * FROM audit_records WHERE id = ?1 AND app_id = ?2", id, appID).map(AuditRecord.init)
    }

    /// Whether records of the app stand in the installation's chain: those of before apps had chains of their own.
    package func hasRecordsOfOldChain(_ appID: AppID) throws -> Bool {
        try row(
            "SELECT 1 AS found FROM audit_records WHERE app_id = ?1 AND chain = ?2 LIMIT 1", appID,
            AuditChain.installation.name) != nil
    }

    /// All that one request left, in the order in which it was written.
    package func auditRecords(requestID: String) throws -> [AuditRecord] {
        try rows("SELECT * FROM audit_records WHERE request_id = ?1 ORDER BY position", requestID).map(AuditRecord.init)
    }

    // MARK: Verifying

    /// Holds the next records against the chain, at most `limit` of them; how many there were. None once it is broken.
    package func verifyAudit(_ progress: inout AuditProgress, limit: Int64, key: DigestKey) throws -> Int {
        guard progress.broken == nil else { return 0 }
        let chain = progress.chain
        // What retention removed, meanwhile as well, is not missing. A forged head is found at the end.
        if let start = try? auditEnds(chain, key: key)?.start, start.sequence > progress.end.sequence {
            progress.end = start
        }
        let page = try rows(
            """
            SELECT chain, sequence, position, hash, record, id, occurred_at, event, decision, request_id, trace_id, app_id,
                user_id, grant_id, provider_id
            FROM audit_records WHERE chain = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3
            """, chain.name, progress.end.sequence, limit)
        for row in page where progress.broken == nil {
            let sequence = try row.integer("sequence")
            let record = try row.text("record")
            let hash = AuditChain.hash(previous: progress.end.hash, sequence: sequence, record: record)
            let position = try row.integer("position")
            func broken(_ reason: String, at place: Int64? = nil) -> AuditVerification {
                .broken(chain: chain, sequence: place ?? sequence, reason: reason)
            }
            if sequence != progress.end.sequence + 1 {
                progress.broken = broken("the record is missing", at: progress.end.sequence + 1)
            } else if try row.blob("hash") != hash {
                progress.broken = broken("the record does not fit its hash")
            } else if try position <= progress.position || !Self.columnsAgree(row, record: record) {
                progress.broken = broken("the searchable columns differ from the record")
            } else if progress.witnesses.contains(where: { $0.sequence == sequence && $0.hash != hash }) {
                progress.broken = broken("the record is not the one that was written here")
            }
            if try row.text("event") == AuditEntry.chainStartedEvent, let begun = Self.chainStarted(record) {
                progress.begun.insert(begun)
            }
            progress.position = position
            progress.end = AuditHead(sequence: sequence, hash: hash)
        }
        return page.count
    }

    private static func chainStarted(_ record: String) -> AuditChain? {
        (try? JSON(parsing: record))?["details"]?["chain"]?.string.map(AuditChain.init(name:))
    }

    /// Whether the chain ends where its head says, and not before a place that is known from elsewhere.
    ///
    /// - Parameter wasBegun: whether it is known that the chain has records.
    package func verifyAuditEnd(_ progress: AuditProgress, wasBegun: Bool = false, key: DigestKey) throws
        -> AuditVerification
    {
        if let broken = progress.broken { return broken }
        let chain = progress.chain
        let end = progress.end
        let ends: AuditEnds?
        do { ends = try auditEnds(chain, key: key) } catch StoreError.corrupt {
            return .broken(
                chain: chain, sequence: end.sequence,
                reason: "the head of the chain was not written by this installation")
        }
        if ends == nil, wasBegun { return .broken(chain: chain, sequence: 1, reason: "the whole chain is missing") }
        let start = ends?.start ?? chain.origin
        // Rows before the start exist only when somebody renumbered them.
        let lowest = try row("SELECT min(sequence) AS lowest FROM audit_records WHERE chain = ?1", chain.name)?
            .optionalInteger("lowest")
        if let lowest, lowest <= start.sequence {
            return .broken(chain: chain, sequence: lowest, reason: "the record stands before the first")
        }
        if ends?.head ?? chain.origin != end {
            return .broken(
                chain: chain, sequence: min(end.sequence, ends?.head.sequence ?? 0) + 1,
                reason: "the records end before or after the head of the chain")
        }
        for witness in progress.witnesses {
            if witness.sequence > end.sequence {
                return .broken(
                    chain: chain, sequence: end.sequence + 1,
                    reason: "the trail was cut or rolled back: it went to \(witness.sequence)")
            }
            if witness.sequence == start.sequence, witness.hash != start.hash {
                return .broken(
                    chain: chain, sequence: start.sequence,
                    reason: "the records that were removed did not end where they should")
            }
        }
        return .intact(records: end.sequence - start.sequence)
    }

    private static func columnsAgree(_ row: Row, record: String) throws -> Bool {
        // In the order in which a record has them.
        var members: [(name: String, value: String?)] = [
            (name: "id", value: try row.text("id")),
            (name: "occurred_at", value: try row.instant("occurred_at").rfc3339),
            (name: "event", value: try row.text("event")), (name: "decision", value: try row.text("decision")),
        ]
        // Records of before there were these columns; apps have had them since they have chains.
        let isOld = try row.text("chain") == AuditChain.installation.name && row.optionalText("request_id") == nil
        let names = ["request_id", "trace_id", "app_id", "user_id", "grant_id", "provider_id"]
        for name in isOld ? names.dropFirst(2) : names[...] {
            members.append((name: name, value: try row.optionalText(name)))
        }
        return RecordText(record).holds(members)
    }

    // MARK: Checkpoints

    /// Keeps a checkpoint, in place of another one at the same place. Of one hour only the last stays.
    package func insertCheckpoint(_ checkpoint: AuditCheckpoint, now: Instant) throws {
        let hour = now.milliseconds - now.milliseconds % 3_600_000
        try execute(
            "DELETE FROM audit_checkpoints WHERE chain = ?1 AND created_at >= ?2 AND sequence < ?3",
            checkpoint.chain.name, hour, checkpoint.sequence)
        try execute(
            """
            INSERT INTO audit_checkpoints (chain, sequence, created_at, statement) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (chain, sequence) DO UPDATE SET created_at = excluded.created_at, statement = excluded.statement
            """, checkpoint.chain.name, checkpoint.sequence, now, checkpoint.statement)
    }

    /// Newest first, before a sequence.
    package func checkpoints(_ chain: AuditChain, before sequence: Int64, limit: Int) throws -> [AuditCheckpoint] {
        try rows(
            "SELECT * FROM audit_checkpoints WHERE chain = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3",
            chain.name, sequence, limit
        ).map {
            AuditCheckpoint(
                chain: chain, sequence: try $0.integer("sequence"), createdAt: try $0.instant("created_at"),
                statement: try $0.text("statement"))
        }
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
            (id: try $0.id("id"), entry: try $0.object("entry", comesAgain: false))
        }
    }
}

/// A signed statement of where a chain was.
package struct AuditCheckpoint: Sendable {
    package let chain: AuditChain
    package let sequence: Int64
    package let createdAt: Instant
    /// Compact JWS.
    package let statement: String

    package init(chain: AuditChain, sequence: Int64, createdAt: Instant, statement: String) {
        self.chain = chain
        self.sequence = sequence
        self.createdAt = createdAt
        self.statement = statement
    }
}
