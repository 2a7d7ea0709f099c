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
    package func auditRecords(_ caller: OperatorCaller, appID: String, filter: AuditFilter, before: Int64, limit: Int)
        throws -> [AuditRecord]
    {
        let app = try app(caller, appID)
        return try read { try $0.auditRecords(appID: app.id, filter: filter, before: before, limit: limit) }
    }

    package func auditRecord(_ caller: OperatorCaller, appID: String, _ id: String) throws -> AuditRecord {
        let app = try app(caller, appID)
        guard let eventID = AuditEventID(id), let record = try read({ try $0.auditRecord(eventID, appID: app.id) })
        else {
            throw Self.notFound
        }
        return record
    }

    /// Holds the whole chain of the installation against itself, its head, and the last end that the key store knows.
    package func verifyAudit() async throws -> AuditVerification {
        var progress = AuditProgress(anchor: try keys.auditAnchor())
        let pageSize: Int64 = 500
        // One more page is asked for until one is short, so that what is appended meanwhile is verified with the rest.
        while try read({ try $0.verifyAudit(&progress, limit: pageSize) }) == pageSize {
            await Task.yield()
        }
        return try read { transaction in
            while try transaction.verifyAudit(&progress, limit: pageSize) > 0 {}
            return try transaction.verifyAuditEnd(progress, key: auditKey)
        }
    }

    package func verifyAudit(_ caller: OperatorCaller, appID: String) async throws -> AuditVerification {
        _ = try app(caller, appID)
        return try await verifyAudit()
    }

    /// Only the end of the chain, which costs nothing: whether the trail was cut or rolled back.
    func verifyAuditEnd() throws -> AuditVerification {
        let anchor = try keys.auditAnchor()
        return try read { transaction in
            let head: AuditHead?
            do { head = try transaction.auditHead(key: auditKey) } catch StoreError.corrupt {
                return .broken(sequence: 0, reason: "the head of the chain was not written by this installation")
            }
            let end = head?.sequence ?? 0
            guard let anchor else { return .intact(records: end) }
            guard anchor.sequence <= end else {
                return .broken(
                    sequence: end + 1, reason: "the trail was cut or rolled back: it went to \(anchor.sequence)")
            }
            guard try transaction.auditHash(anchor.sequence) == anchor.hash else {
                return .broken(sequence: anchor.sequence, reason: "the record is not the one that was written here")
            }
            return .intact(records: end)
        }
    }

    /// Notes in the key store how far the trail has come, so that a cut or an older copy of the database shows.
    package func noteAuditHead() throws {
        guard case .intact = try verifyAuditEnd(), let head = try read({ try $0.auditHead(key: auditKey) }) else {
            return
        }
        try keys.setAuditAnchor(head)
    }

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
        let isFound = try await write { transaction in
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
