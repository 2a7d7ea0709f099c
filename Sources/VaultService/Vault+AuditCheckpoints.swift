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

extension [SavedCheckpoint] {
    /// All of them count: after a roll-back, a newer one states another history than an older one.
    var heads: [AuditChain: [AuditHead]] { Dictionary(grouping: self, by: \.chain).mapValues { $0.map(\.head) } }
}

extension Vault {
    /// A checkpoint of every chain as it is now, for commands on the installation itself.
    package func checkpointAll() async throws -> [AuditCheckpoint] {
        var checkpoints: [AuditCheckpoint] = []
        for chain in try read({ try $0.auditHeads() }).keys.sorted(by: { $0.name < $1.name }) {
            guard try await checkpoint(chain) else {
                throw VaultError(.conflict, "The trail of \(chain.name) does not hold: nothing is signed over it.")
            }
            checkpoints += try read { try $0.checkpoints(chain, before: .max, limit: 1) }
        }
        return checkpoints
    }

    /// Newest first. The newest covers all records that there are when it is asked for.
    package func checkpoints(_ caller: OperatorCaller, appID: String, before sequence: Int64, limit: Int) async throws
        -> [AuditCheckpoint]
    {
        let chain = AuditChain(try app(caller, appID).id)
        if sequence == .max { _ = try await checkpoint(chain) }
        return try read { try $0.checkpoints(chain, before: sequence, limit: limit) }
    }

    /// States where the chain is, unless the last checkpoint says so already. `false` when the chain does not hold: a statement
    /// would make another history look right.
    func checkpoint(_ chain: AuditChain) async throws -> Bool {
        let anchor = try keys.auditAnchors()[chain]
        let found = try read { transaction in
            (
                verification: try verifyAnchor(chain, anchor: anchor, in: transaction),
                ends: try? transaction.auditEnds(chain, key: auditKey),
                last: try transaction.checkpoints(chain, before: .max, limit: 1).first
            )
        }
        guard case .intact = found.verification else { return false }
        guard let ends = found.ends else { return true }
        // A row is believed as far as its signature goes.
        if let statement = found.last?.statement,
            let last = try? SavedCheckpoint(statement, keySet: publishedKeySet()), last.chain == chain,
            last.head == ends.head
        {
            return true
        }
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
        return true
    }

    /// An hour after the last one, where records have come since.
    func checkpointDueChains() async throws {
        let due = now().adding(seconds: -Limits.checkpointSeconds)
        let chains = try read { transaction in
            try transaction.auditHeads().filter { chain, head in
                guard let last = try transaction.checkpoints(chain, before: .max, limit: 1).first else { return true }
                return (last.createdAt < due || last.createdAt > now()) && last.sequence != head.sequence
            }
        }
        for chain in chains.keys {
            await orReport("a checkpoint could not be made") { _ = try await checkpoint(chain) }
        }
    }

    // MARK: Retention

    package func auditRetention(_ caller: OperatorCaller, appID: String) throws -> Int64? {
        let chain = AuditChain(try app(caller, appID).id)
        return try read { try $0.auditEnds(chain, key: auditKey)?.retentionDays }
    }

    /// How long the app's records are kept; `nil` is for ever. Evidence goes with it, so that only admins may.
    package func setAuditRetention(_ caller: OperatorCaller, appID: String, days: Int64?) async throws {
        let app = try app(caller, appID, toWrite: true)
        guard caller.roles[app.organizationID] == .admin else {
            throw VaultError(.forbidden, "Only an admin of the organization decides how long records are kept.")
        }
        let entry = operatorEntry(caller, "audit.retention_changed", app: app)
        let auditKey = auditKey
        try await write { transaction in
            var entry = entry
            entry.details = ["days": days.map { .integer($0) } ?? .null]
            try transaction.appendAudit(entry, key: auditKey)
            try transaction.setAuditRetention(AuditChain(app.id), days: days, key: auditKey)
        }
    }

    /// Removes what is older than each app wants to keep, a page at a time; each removal is itself on record. Where a chain does
    /// not hold, removal ends: what is removed from there on would be missing as evidence.
    func pruneAudit() async throws {
        for chain in try read({ try $0.auditChainsWithRetention() }) {
            await orReport("audit records could not be pruned") { try await prune(chain) }
        }
    }

    private func prune(_ chain: AuditChain) async throws {
        let auditKey = auditKey
        guard let days = try read({ try $0.auditEnds(chain, key: auditKey) })?.retentionDays else { return }
        let limit = now().adding(seconds: -days * 86_400)
        guard let oldest = try read({ try $0.auditRecords(chain, after: 0, limit: 1) }).first,
            let occurredAt = oldest.record["occurred_at"]?.string.flatMap(Instant.init(rfc3339:)), occurredAt < limit
        else { return }
        let anchor = try keys.auditAnchors()[chain]
        guard case .intact = try read({ try verifyAnchor(chain, anchor: anchor, in: $0) }) else { return }
        _ = try await checkpoint(chain)
        let time = now()
        var removed = Limits.auditPage
        while removed == Limits.auditPage {
            removed = try await write { transaction in
                let count = try transaction.pruneAudit(chain, before: limit, limit: Limits.auditPage, key: auditKey)
                guard count > 0 else { return 0 }
                try transaction.appendAudit(
                    AuditEntry(
                        event: "audit.pruned", principal: .system, occurredAt: time, appID: AppID(chain.name),
                        details: ["records": .integer(count), "before": .string(limit.rfc3339)]), key: auditKey)
                return count
            }
        }
    }
}
