import Logging
import VaultAPI
import VaultDomain
import VaultStore

// Reading the audit trail, verifying it, and what apps report of their own calls.

/// An app's report of a call that it made with a retrieved credential (wire contract §4.2).
package struct CallReport: Sendable {
    package var grantID: String
    package var providerID: String?
    package var tokenGeneration: String?
    package var method: String
    package var url: String
    package var status: Int
    package var latencyMilliseconds: Int64?
    package var reason: String?
    package var context: JSONObject?
    package var details: JSONObject

    package init(
        grantID: String, providerID: String?, tokenGeneration: String?, method: String, url: String, status: Int,
        latencyMilliseconds: Int64?, reason: String?, context: JSONObject?, details: JSONObject
    ) {
        self.grantID = grantID
        self.providerID = providerID
        self.tokenGeneration = tokenGeneration
        self.method = method
        self.url = url
        self.status = status
        self.latencyMilliseconds = latencyMilliseconds
        self.reason = reason
        self.context = context
        self.details = details
    }
}

extension Vault {
    package func auditRecords(
        _ caller: OperatorCaller, appID: String, filter: AuditFilter, before id: String?, limit: Int
    )
        throws -> [AuditRecord]
    {
        let app = try app(caller, appID)
        return try read { transaction in
            var before = Int64.max
            if let id {
                guard let last = try AuditEventID(id).flatMap({ try transaction.auditRecord($0, appID: app.id) }) else {
                    throw VaultError.validation("cursor", "does not belong to this list")
                }
                before = last.position
            }
            return try transaction.auditRecords(appID: app.id, filter: filter, before: before, limit: limit)
        }
    }

    package func auditRecord(_ caller: OperatorCaller, appID: String, _ id: String) throws -> AuditRecord {
        let app = try app(caller, appID)
        guard let eventID = AuditEventID(id), let record = try read({ try $0.auditRecord(eventID, appID: app.id) })
        else {
            throw Self.notFound
        }
        return record
    }

    /// All that one request left, for commands on the installation itself.
    package func auditRecords(requestID: String) throws -> [AuditRecord] {
        try read { try $0.auditRecords(requestID: requestID) }
    }

    // MARK: Verifying

    /// Holds every chain of the installation against itself, its head, the last place that the key store knows, and checkpoints
    /// that somebody saved.
    package func verifyAudit(against saved: [SavedCheckpoint] = []) async throws -> AuditVerification {
        let anchors = try keys.auditAnchors()
        let saved = saved.heads
        var installation = progress(.installation, anchors: anchors, saved: saved)
        var total = try await verify(&installation)
        let chains = Set(try read { try $0.auditChains() }).union(anchors.keys).union(saved.keys).union(
            installation.begun)
        for chain in chains.sorted(by: { $0.name < $1.name }) where chain != .installation {
            guard case .intact(let records) = total else { return total }
            var progress = progress(chain, anchors: anchors, saved: saved)
            let found = try await verify(&progress, wasBegun: installation.begun.contains(chain))
            guard case .intact(let more) = found else { return found }
            total = .intact(records: records + more)
        }
        return total
    }

    /// The app's chain; and that of the installation where it holds older records of the app.
    package func verifyAudit(_ caller: OperatorCaller, appID: String) async throws -> AuditVerification {
        let app = try app(caller, appID)
        let anchors = try keys.auditAnchors()
        var begun: Set<AuditChain> = []
        let hasOldRecords = try read { try $0.hasRecordsOfOldChain(app.id) }
        if hasOldRecords {
            var old = progress(.installation, anchors: anchors, saved: [:])
            let found = try await verify(&old)
            guard case .intact = found else { return found }
            begun = old.begun
        }
        // That the app was created is on record, in one of the two.
        var progress = progress(AuditChain(app.id), anchors: anchors, saved: [:])
        return try await verify(&progress, wasBegun: !hasOldRecords || begun.contains(progress.chain))
    }

    private func progress(
        _ chain: AuditChain, anchors: [AuditChain: AuditHead], saved: [AuditChain: [AuditHead]]
    ) -> AuditProgress {
        AuditProgress(chain: chain, witnesses: (saved[chain] ?? []) + [anchors[chain]].compactMap(\.self))
    }

    private func verify(_ progress: inout AuditProgress, wasBegun: Bool = false) async throws -> AuditVerification {
        let pageSize = Int64(Limits.auditPage)
        // One more page is asked for until one is short, so that what is appended meanwhile is verified with the rest.
        while try read({ try $0.verifyAudit(&progress, limit: pageSize, key: auditKey) }) == pageSize {
            await Task.yield()
        }
        return try read { transaction in
            while try transaction.verifyAudit(&progress, limit: pageSize, key: auditKey) > 0 {}
            return try transaction.verifyAuditEnd(progress, wasBegun: wasBegun, key: auditKey)
        }
    }

    /// Only the ends of the chains, which costs next to nothing: whether one was cut or rolled back.
    func checkAuditEnds() throws {
        let anchors = try keys.auditAnchors()
        let found = try read { transaction in
            try Set(try transaction.auditHeads().keys).union(anchors.keys).map {
                ($0, try verifyAnchor($0, anchor: anchors[$0], in: transaction))
            }
        }
        for (chain, verification) in found { report(verification, of: chain) }
    }

    /// Says once that a chain does not hold, and keeps the figure of those that do not.
    private func report(_ verification: AuditVerification, of chain: AuditChain) {
        switch verification {
        case .intact: metrics.setBroken(chain, false)
        case .broken(_, let sequence, let reason):
            guard metrics.setBroken(chain, true) else { return }
            logger.critical(
                "the audit trail does not hold",
                metadata: ["chain": "\(chain.name)", "record": "\(sequence)", "reason": "\(reason)"])
        }
    }

    func verifyAnchor(_ chain: AuditChain, anchor: AuditHead?, in transaction: Transaction) throws
        -> AuditVerification
    {
        func broken(_ sequence: Int64, _ reason: String) -> AuditVerification {
            .broken(chain: chain, sequence: sequence, reason: reason)
        }
        let ends: AuditEnds?
        do { ends = try transaction.auditEnds(chain, key: auditKey) } catch StoreError.corrupt {
            return broken(0, "the head of the chain was not written by this installation")
        }
        let end = ends?.head.sequence ?? 0
        guard let anchor else { return .intact(records: end) }
        guard anchor.sequence <= end else {
            return broken(end + 1, "the trail was cut or rolled back: it went to \(anchor.sequence)")
        }
        let removed = ends.map { $0.start.sequence >= anchor.sequence } ?? false
        guard try removed || transaction.auditHash(chain, anchor.sequence) == anchor.hash else {
            return broken(anchor.sequence, "the record is not the one that was written here")
        }
        return .intact(records: end)
    }

    /// Notes in the key store how far each chain has come, so that a cut or an older copy of the database shows. One that does
    /// not hold keeps the place that it had.
    package func noteAuditHeads() throws {
        let anchors = try keys.auditAnchors()
        let moved = try read { transaction in
            let heads = try transaction.auditHeads()
            return try Set(heads.keys).union(anchors.keys).filter { heads[$0] != anchors[$0] }.map {
                ($0, heads[$0], try verifyAnchor($0, anchor: anchors[$0], in: transaction))
            }
        }
        var noted: [AuditChain: AuditHead] = [:]
        for (chain, head, verification) in moved {
            report(verification, of: chain)
            if case .intact = verification { noted[chain] = head }
        }
        try keys.setAuditAnchors(noted)
    }

    // MARK: Reports of apps

    /// Records the report. A 401 for the very token that is stored means that it died early.
    package func recordCall(_ caller: AppCaller, _ report: CallReport) async throws {
        let time = now()
        var entry = caller.entry("call.reported", .none, at: time)
        entry.method = report.method
        entry.url = report.url
        entry.status = report.status
        entry.latencyMilliseconds = report.latencyMilliseconds
        entry.reason = report.reason
        entry.context = report.context ?? entry.context
        entry.details = report.details
        let reported = entry
        let auditKey = auditKey
        let isFound = try await write(in: .app(caller.appID)) { transaction in
            guard !caller.isAgentKey, let grantID = GrantID(report.grantID),
                let record = try transaction.grant(grantID, appID: caller.appID)
            else {
                return false
            }
            var entry = reported
            entry.grantID = grantID
            entry.userID = record.grant.userID
            entry.providerID = record.grant.providerID
            try transaction.appendAudit(entry, key: auditKey)
            if report.status == 401, let credential = record.credential?.credential {
                try self.noteUnauthorized(
                    credential, grant: record.grant, tokenGeneration: report.tokenGeneration, at: time, in: transaction)
            }
            return true
        }
        guard isFound else { throw VaultError(.grantNotFound, "No such grant.") }
    }
}
