import VaultCrypto

/// The ends of audit chains as a transaction has them. Each chain's row is written once, when the transaction ends, however
/// many records it got.
final class PendingHeads {
    private struct Entry {
        var ends: AuditEnds
        /// Authenticates ends that were moved; `nil` for those that were only read.
        var key: DigestKey?
    }

    private var entries: [AuditChain: Entry] = [:]
    /// What `undo` brings back, in the order in which it was changed.
    private var changed: [(chain: AuditChain, before: Entry?)] = []

    subscript(chain: AuditChain) -> AuditEnds? { entries[chain]?.ends }

    /// Ends as the row has them.
    func noteRead(_ ends: AuditEnds) { entries[ends.chain] = Entry(ends: ends) }

    func move(to ends: AuditEnds, key: DigestKey) {
        let before = entries.updateValue(Entry(ends: ends, key: key), forKey: ends.chain)
        changed.append((chain: ends.chain, before: before))
    }

    /// From here on, `undo` goes back to this.
    func mark() { changed.removeAll(keepingCapacity: true) }

    func undo() {
        for (chain, before) in changed.reversed() { entries[chain] = before }
        mark()
    }

    /// Hands out what has to be written, and takes it for written.
    func takeMoved() -> [(ends: AuditEnds, key: DigestKey)] {
        let moved = entries.values.compactMap { entry in entry.key.map { (ends: entry.ends, key: $0) } }
        for (ends, _) in moved {
            // What is written in the middle of a job is undone with it.
            changed.append((chain: ends.chain, before: entries[ends.chain]))
            entries[ends.chain]?.key = nil
        }
        return moved.sorted { $0.ends.chain.name < $1.ends.chain.name }
    }
}
