import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Signed statements of where a chain was. Saved elsewhere, one shows later that nothing before it was changed, cut or rolled
// back, whoever holds the database and its keys by then. And retention: what is old goes, and the chain still verifies.

/// A checkpoint that came back from where it was saved, its signature verified.
package struct SavedCheckpoint: Sendable {
    package let chain: AuditChain
    package let head: AuditHead

    static let type = "audit-checkpoint+jwt"

    /// Reads a compact JWS of type `audit-checkpoint+jwt` and holds it against a key set.
    package init(_ statement: String, keySet: JSON) throws(StatementError) {
        let claims = try SignedStatement.claims(of: statement, type: Self.type, named: "checkpoint", keySet: keySet)
        guard let chain = claims["chain"]?.string, let sequence = claims["sequence"]?.number?.integer,
            let hash = claims["hash"]?.string.flatMap({ Hex.decode($0) }), hash.count == 32
        else { throw .statement("checkpoint", "it does not say where which chain was") }
        self.chain = AuditChain(name: chain)
        head = AuditHead(sequence: sequence, hash: hash)
    }
}

extension Vault {
    /// Newest first. The newest covers all records that there are when it is asked for.
    package func checkpoints(_ caller: OperatorCaller, appID: String, before sequence: Int64, limit: Int) async throws
        -> [AuditCheckpoint]
    {
        let chain = AuditChain(try app(caller, appID).id)
        if sequence == .max { try await checkpoint(chain) }
        return try read { try $0.checkpoints(chain, before: sequence, limit: limit) }
    }

    /// States where the chain is, unless the last checkpoint says so already.
    func checkpoint(_ chain: AuditChain) async throws {
        let found = try read { transaction in
            (
                ends: try transaction.auditEnds(chain, key: auditKey),
                last: try transaction.checkpoints(chain, before: .max, limit: 1).first
            )
        }
        guard let ends = found.ends, found.last?.sequence != ends.head.sequence else { return }
        let time = now()
        var claims: JSONObject = [
            "iss": .string(configuration.publicURL), "iat": .integer(time.seconds), "chain": .string(chain.name),
            "sequence": .integer(ends.head.sequence), "hash": .string(Hex.encode(ends.head.hash)),
            "begins_after": .integer(ends.start.sequence),
        ]
        if chain != .installation { claims["app_id"] = .string(chain.name) }
        let checkpoint = AuditCheckpoint(
            chain: chain, sequence: ends.head.sequence, createdAt: time,
            statement: try signed(claims, type: SavedCheckpoint.type))
        try await write { try $0.insertCheckpoint(checkpoint, now: time) }
    }

    /// An hour after the last one, where records have come since.
    func checkpointDueChains() async throws {
        let due = now().adding(seconds: -Limits.checkpointSeconds)
        let chains = try read { transaction in
            try transaction.auditHeads().filter { chain, head in
                guard let last = try transaction.checkpoints(chain, before: .max, limit: 1).first else { return true }
                return last.createdAt < due && last.sequence != head.sequence
            }
        }
        for chain in chains.keys { try await checkpoint(chain) }
    }

    // MARK: Retention

    /// Removes what is older than each app wants to keep, a page at a time. A checkpoint of what goes is made first, and the
    /// removal is itself on record.
    func pruneAudit() async throws {
        let auditKey = auditKey
        for (appID, days) in try read({ try $0.auditRetentions() }) {
            let chain = AuditChain(appID)
            let limit = now().adding(seconds: -days * 86_400)
            guard let oldest = try read({ try $0.auditRecords(chain, after: 0, limit: 1) }).first,
                let occurredAt = oldest.record["occurred_at"]?.string.flatMap(Instant.init(rfc3339:)),
                occurredAt < limit
            else { continue }
            try await checkpoint(chain)
            var removed: Int64 = 0
            while true {
                let count = try await write {
                    try $0.pruneAudit(chain, before: limit, limit: Limits.auditPage, key: auditKey)
                }
                removed += count
                guard count == Limits.auditPage else { break }
            }
            let entry = AuditEntry(
                event: "audit.pruned", principal: .system, occurredAt: now(), appID: appID,
                details: ["records": .integer(removed), "before": .string(limit.rfc3339)])
            try await write { try $0.appendAudit(entry, key: auditKey) }
        }
    }
}
