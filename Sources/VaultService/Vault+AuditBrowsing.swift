import VaultAPI
import VaultDomain
import VaultStore

// The audit trail as people look through it in the Portal.

/// A page of the trail, with who the operators in it are.
package struct AuditListing: Sendable {
    package let window: AuditWindow
    /// E-mail addresses by operator id.
    package let operators: [String: String]
}

package struct AuditView: Sendable {
    package let record: AuditRecord
    package let operators: [String: String]
}

extension Vault {
    /// Newest first, before a record. Looks at a bounded number of records, and says when that was not all of them.
    package func auditListing(
        _ caller: OperatorCaller, appID: String, filter: AuditFilter, before id: String?, limit: Int
    ) throws -> AuditListing {
        let app = try app(caller, appID)
        return try read { transaction in
            var before = Int64.max
            if let id {
                guard let last = try AuditEventID(id).flatMap({ try transaction.auditRecord($0, appID: app.id) }) else {
                    throw VaultError.validation("cursor", "does not belong to this list")
                }
                before = last.position
            }
            let window = try transaction.auditWindow(
                appID: app.id, filter: filter, before: before, limit: limit, lookedAtMax: Limits.auditLookedAtMax,
                slackSeconds: Limits.auditSlackSeconds)
            return AuditListing(window: window, operators: try operators(in: window.records, transaction))
        }
    }

    package func auditView(_ caller: OperatorCaller, appID: String, _ id: String) throws -> AuditView {
        let record = try auditRecord(caller, appID: appID, id)
        return AuditView(record: record, operators: try read { try operators(in: [record], $0) })
    }

    private func operators(in records: [AuditRecord], _ transaction: Transaction) throws -> [String: String] {
        let ids = Set(records.compactMap { $0.record["principal"]?["operator_id"]?.string }.compactMap(OperatorID.init))
        var emails: [String: String] = [:]
        for id in ids { emails[id.text] = try transaction.operatorAccount(id)?.email }
        return emails
    }
}
