import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Records that leave the vault: one JSON object a line (NDJSON), which verifies without the vault, or CSV (RFC 4180).

package enum AuditExportFormat: String, Sendable, CaseIterable { case csv, ndjson }

/// A record with what it hangs on.
package struct ExportedAuditRecord: Sendable {
    let record: AuditRecord
    let previousHash: [UInt8]

    /// Members beside those of the record itself.
    static let linkMembers = ["chain", "sequence", "previous_hash", "hash"]

    /// The record as it was written, and its place in its chain.
    package var json: JSONObject {
        var object = record.record
        object["chain"] = .string(record.chain.name)
        object["sequence"] = .integer(record.sequence)
        object["previous_hash"] = .string(Hex.encode(previousHash))
        object["hash"] = .string(Hex.encode(record.hash))
        return object
    }

    package static let csvHeader = CSVText.line(csvColumns)

    private static let csvColumns = [
        "sequence", "id", "occurred_at", "event", "decision", "request_id", "trace_id", "principal_type", "principal",
        "caller", "user_id", "grant_id", "provider_id", "method", "url", "status", "latency_ms", "reason", "error",
        "denied_by", "peer", "context", "hash",
    ]

    package var csvLine: [UInt8] {
        let object = record.record
        let principal = object["principal"]
        let denied = object["details"]?["rules"]?.array?.first { $0["result"]?.string == "deny" }
        let special: [String: JSON?] = [
            "sequence": .integer(record.sequence), "principal_type": principal?["type"],
            "principal": ["key_prefix", "operator_id", "delivery_id", "user_id"].lazy.compactMap { principal?[$0] }
                .first,
            "caller": principal?["caller"], "error": object["details"]?["error"],
            "denied_by": denied.map { .string("\($0["layer"]?.string ?? "")/\($0["rule"]?.string ?? "")") },
            "hash": .string(Hex.encode(record.hash)),
        ]
        return CSVText.line(Self.csvColumns.map { Self.cell(special[$0] ?? object[$0]) })
    }

    private static func cell(_ value: JSON?) -> String {
        guard let value, !value.isNull else { return "" }
        return value.string.map { CSVText.cell($0) } ?? CSVText.quoted(value.text)
    }
}

/// An export under way: oldest first, page by page, up to the last record that there was at its beginning.
package struct AuditExport: Sendable {
    private let vault: Vault
    private let appID: AppID
    private let filter: AuditFilter
    private let end: Int64
    private var position: Int64 = 0
    /// The last record seen of each chain.
    private var last: [AuditChain: AuditHead] = [:]

    init(vault: Vault, appID: AppID, filter: AuditFilter, end: Int64) {
        self.vault = vault
        self.appID = appID
        self.filter = filter
        self.end = end
    }

    /// The next records; empty at the end.
    package mutating func next() throws -> [ExportedAuditRecord] {
        guard position < end else { return [] }
        let (appID, filter, position) = (appID, filter, position)
        var last = last
        let page = try vault.read { transaction in
            try transaction.auditRecordsAscending(
                appID: appID, filter: filter, after: position, limit: Limits.auditPage
            ).map { record in
                let previous: [UInt8]
                if let known = last[record.chain], known.sequence == record.sequence - 1 {
                    previous = known.hash
                } else {
                    previous = try vault.previousHash(of: record, in: transaction)
                }
                last[record.chain] = AuditHead(sequence: record.sequence, hash: record.hash)
                return ExportedAuditRecord(record: record, previousHash: previous)
            }
        }
        self.last = last
        self.position = page.last?.record.position ?? end
        return page.filter { $0.record.position <= end }
    }
}

extension Vault {
    /// Begins an export of the app's records; that it was made is itself on record.
    package func exportAudit(
        _ caller: OperatorCaller, appID: String, filter: AuditFilter, format: AuditExportFormat
    ) async throws -> AuditExport {
        let app = try app(caller, appID)
        try await record(
            caller, "audit.exported", app: app, details: ["format": .string(format.rawValue)]
        ) { _ in }
        let end = try read { try $0.auditRecords(appID: app.id, filter: AuditFilter(), before: .max, limit: 1) }
        return AuditExport(vault: self, appID: app.id, filter: filter, end: end.first?.position ?? 0)
    }

    fileprivate func previousHash(of record: AuditRecord, in transaction: Transaction) throws -> [UInt8] {
        if let hash = try transaction.auditHash(record.chain, record.sequence - 1) { return hash }
        return try transaction.auditEnds(record.chain, key: auditKey)?.start.hash ?? record.chain.origin.hash
    }
}
