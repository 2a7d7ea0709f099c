import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

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

    private let saved: [AuditChain: [AuditHead]]
    private var records: Int64 = 0
    package private(set) var spans: [AuditChain: Span] = [:]

    package init(against checkpoints: [SavedCheckpoint]) { saved = checkpoints.heads }

    /// Reads one line. The answer is what does not fit, if anything; then the rest tells nothing more.
    package mutating func read(_ line: String) -> AuditVerification? {
        guard let object = (try? JSON(parsing: line))?.object, let name = object["chain"]?.string,
            let sequence = object["sequence"]?.number?.integer, sequence >= 1,
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
        if saved[chain]?.contains(where: { $0.sequence == sequence && $0.hash != hash }) == true {
            return broken("the record is not the one that the checkpoint states")
        }
        spans[chain]?.end = AuditHead(sequence: sequence, hash: hash)
        records += 1
        return nil
    }

    /// A checkpoint that the file does not reach, or begins after, cannot be held against it: that is no “holds”. Those of chains
    /// that are not in the file are of no concern, unless there are no others.
    package func finish() -> AuditVerification {
        let concerned = saved.filter { spans[$0.key] != nil }
        for (chain, heads) in (concerned.isEmpty ? saved : concerned).sorted(by: { $0.key.name < $1.key.name }) {
            for stated in heads {
                if let broken = Self.broken(chain, spans[chain], stated) { return broken }
            }
        }
        return .intact(records: records)
    }

    private static func broken(_ chain: AuditChain, _ span: Span?, _ stated: AuditHead) -> AuditVerification? {
        func broken(_ sequence: Int64, _ reason: String) -> AuditVerification {
            .broken(chain: chain, sequence: sequence, reason: reason)
        }
        guard let span, span.last >= stated.sequence else {
            return broken((span?.last ?? 0) + 1, "the file ends before the checkpoint, which states \(stated.sequence)")
        }
        guard span.start.sequence <= stated.sequence else {
            return broken(span.first, "the file begins after the checkpoint, and cannot be held against it")
        }
        guard span.start.sequence < stated.sequence || span.start.hash == stated.hash else {
            return broken(span.first, "the file does not go on where the checkpoint was")
        }
        return nil
    }
}
