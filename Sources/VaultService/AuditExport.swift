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
    fileprivate static let linkMembers = ["chain", "sequence", "previous_hash", "hash"]

    /// The record as it was written, and its place in its chain.
    package var json: JSONObject {
        var object = record.record
        object["chain"] = .string(record.chain.name)
        object["sequence"] = .integer(record.sequence)
        object["previous_hash"] = .string(Hex.encode(previousHash))
        object["hash"] = .string(Hex.encode(record.hash))
        return object
    }

    package static let csvHeader: [UInt8] = Array((csvColumns.joined(separator: ",") + "\r\n").utf8)

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
        let cells = Self.csvColumns.map { Self.cell(special[$0] ?? object[$0]) }
        return Array((cells.joined(separator: ",") + "\r\n").utf8)
    }

    /// Spreadsheets run what begins like a formula: an apostrophe makes it text.
    private static func cell(_ value: JSON?) -> String {
        guard let value, !value.isNull else { return "" }
        var text = value.string ?? value.text
        if value.string != nil, let first = text.unicodeScalars.first, "=+-@\t\r\n".unicodeScalars.contains(first) {
            text = "'" + text
        }
        guard text.utf8.contains(where: { "\",;\t\r\n".utf8.contains($0) }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
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

// MARK: - Verifying a file

/// Holds an exported file against itself, line by line, without the vault: changed, missing and reordered records show, and
/// with saved checkpoints a cut end and an older state as well.
package struct AuditFileVerification: Sendable {
    /// What a file holds of one chain.
    package struct Span: Sendable {
        /// What its first record comes after.
        fileprivate let start: AuditHead
        fileprivate var end: AuditHead

        package var first: Int64 { start.sequence + 1 }
        package var last: Int64 { end.sequence }
    }

    private let saved: [AuditChain: AuditHead]
    private var records: Int64 = 0
    package private(set) var spans: [AuditChain: Span] = [:]

    package init(against checkpoints: [SavedCheckpoint]) { saved = checkpoints.newest }

    /// Reads one line. The answer is what does not fit, if anything; then the rest tells nothing more.
    package mutating func read(_ line: String) -> AuditVerification? {
        guard let object = (try? JSON(parsing: line))?.object, let name = object["chain"]?.string,
            let sequence = object["sequence"]?.number?.integer,
            let previousHash = object["previous_hash"]?.string.flatMap({ Hex.decode($0) }),
            let hash = object["hash"]?.string.flatMap({ Hex.decode($0) })
        else {
            return .broken(
                chain: AuditChain(name: "file"), sequence: records + 1, reason: "the line is no exported record")
        }
        let chain = AuditChain(name: name)
        func broken(_ reason: String, at place: Int64? = nil) -> AuditVerification {
            .broken(chain: chain, sequence: place ?? sequence, reason: reason)
        }
        if let end = spans[chain]?.end {
            guard sequence > end.sequence else { return broken("the record is out of order") }
            // In the chain of the installation those in between are of others.
            if chain != .installation {
                guard sequence == end.sequence + 1 else { return broken("the record is missing", at: end.sequence + 1) }
                guard previousHash == end.hash else { return broken("the record does not follow the one before it") }
            }
        } else {
            guard sequence > 1 || previousHash == chain.origin.hash else {
                return broken("the record does not begin its chain")
            }
            let start = AuditHead(sequence: sequence - 1, hash: previousHash)
            spans[chain] = Span(start: start, end: start)
        }
        var record = object
        for member in ExportedAuditRecord.linkMembers { record[member] = nil }
        guard hash == AuditChain.hash(previous: previousHash, sequence: sequence, record: JSON.object(record).text)
        else { return broken("the record does not fit its hash") }
        if let stated = saved[chain], stated.sequence == sequence, stated.hash != hash {
            return broken("the record is not the one that the checkpoint states")
        }
        spans[chain]?.end = AuditHead(sequence: sequence, hash: hash)
        records += 1
        return nil
    }

    /// A checkpoint that the file does not reach, or begins after, cannot be held against it: that is no “holds”.
    package func finish() -> AuditVerification {
        for (chain, stated) in saved.sorted(by: { $0.key.name < $1.key.name }) {
            func broken(_ sequence: Int64, _ reason: String) -> AuditVerification {
                .broken(chain: chain, sequence: sequence, reason: reason)
            }
            guard let span = spans[chain], span.last >= stated.sequence else {
                let end = spans[chain]?.last ?? 0
                return broken(end + 1, "the file ends before the checkpoint, which states \(stated.sequence)")
            }
            guard span.start.sequence <= stated.sequence else {
                return broken(span.first, "the file begins after the checkpoint, and cannot be held against it")
            }
            guard span.start.sequence < stated.sequence || span.start.hash == stated.hash else {
                return broken(span.first, "the file does not go on where the checkpoint was")
            }
        }
        return .intact(records: records)
    }
}
