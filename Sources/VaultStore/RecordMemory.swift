import Synchronization

/// Records that were read, for as long as nothing that a use depends on was changed; then all of them are forgotten.
///
/// The database stays the truth: a transaction that writes takes a record from here only when nobody, in this process or
/// outside of it, has changed any since it was read. What nobody found is not remembered.
package final class RecordMemory: Sendable {
    /// Names a query and what it asks for.
    package struct Key: Hashable, Sendable {
        package enum Query: UInt8, Sendable {
            case actor, apiHosts, app, grant, grantCandidates, hadIdentityProvider, identityProvider, issuer, key,
                keyDigest
            case managedSecret, policies, subject, user, userBySubject, usersBySubject
        }

        private let bytes: [UInt8]

        /// Texts are told apart by their bytes; none holds NUL (`Transaction`).
        package init(_ query: Query, _ texts: String...) {
            var bytes = [UInt8]()
            bytes.reserveCapacity(texts.reduce(1) { $0 + $1.utf8.count + 1 })
            bytes.append(query.rawValue)
            for text in texts {
                bytes.append(contentsOf: text.utf8)
                bytes.append(0)
            }
            self.bytes = bytes
        }

        init(_ query: Query, _ digest: [UInt8]) { bytes = [query.rawValue] + digest }

        package func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }

        /// Spreads keys evenly, whichever of their bytes are the same: eight at a time, by a multiplication each.
        fileprivate func place(of count: Int) -> Int {
            bytes.withUnsafeBytes { bytes in
                var mixed = UInt64(bytes.count)
                for start in stride(from: 0, to: bytes.count, by: 8) {
                    let length = min(8, bytes.count - start)
                    var word: UInt64 = 0
                    withUnsafeMutableBytes(of: &word) {
                        $0.copyMemory(from: .init(rebasing: bytes[start..<start + length]))
                    }
                    mixed = (mixed ^ word) &* 0x9E37_79B9_7F4A_7C15
                    mixed ^= mixed >> 32
                }
                return Int(mixed % UInt64(count))
            }
        }
    }

    /// What is seen of it from one moment on: nothing more once anything was changed.
    package struct View: Sendable {
        let memory: RecordMemory
        fileprivate let generation: UInt64

        func record<Value: Sendable>(_ key: Key) -> Value? {
            let found = memory.part(of: key).withLock { $0.generation == generation ? $0.records[key] : nil }
            return (found as? Remembered<Value>)?.value
        }

        func keep<Value: Sendable>(_ value: Value, as key: Key) {
            let record = Remembered(value)
            memory.part(of: key).withLock { part in
                if part.generation < generation { part = Part(generation: generation) }
                guard part.generation == generation else { return }
                if part.records.count >= RecordMemory.partRecordsMax { part.records = [:] }
                part.records[key] = record
            }
        }
    }

    private final class Remembered<Value: Sendable>: Sendable {
        let value: Value
        init(_ value: Value) { self.value = value }
    }

    /// Some of the records, of one generation.
    private struct Part {
        var generation: UInt64 = 0
        var records: [Key: any Sendable & AnyObject] = [:]
    }

    private final class LockedPart: Sendable {
        private let part = Mutex(Part())
        func withLock<Result: Sendable>(_ body: (inout sending Part) -> sending Result) -> Result {
            part.withLock(body)
        }
    }

    private static let partsCount = 16
    private static let partRecordsMax = 20_000 / partsCount

    /// Tables of which nothing is remembered, and nothing that is remembered hangs on them: what uses leave behind, what is
    /// counted, and sessions. A change of any other makes everything forgotten.
    private static let otherTables: Set<String> = [
        "audit_anchors", "audit_checkpoints", "audit_heads", "audit_records", "audit_streams", "connect_attempts",
        "connect_sessions", "data_keys", "key_destructions", "open_uses", "personal_access_tokens", "portal_sessions",
        "portal_sign_ins", "rate_counters", "rate_uses", "request_nonces", "revocations", "sign_in_attempts",
        "sign_in_failures", "sign_in_sessions", "usage_figures", "usage_progress", "wallet_sessions",
        "webhook_deliveries",
    ]

    /// Whether a statement that writes leaves all that is remembered as it is.
    static func isUnaffected(by sql: String) -> Bool {
        guard sql != "BEGIN IMMEDIATE", sql != Transaction.touchGrantStatement, sql != Transaction.touchUserStatement
        else { return true }
        let begin = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].first(where: sql.hasPrefix)
        return begin.map { otherTables.contains(String(sql.dropFirst($0.count).prefix { $0 != " " })) } ?? false
    }

    /// Counts changes, so that nothing is kept that was read before the last one.
    private let generation = Atomic<UInt64>(0)
    /// Each request asks for ten records and more: under one lock for all, threads would mostly wait for each other.
    private let parts = (0..<partsCount).map { _ in LockedPart() }

    var view: View { View(memory: self, generation: generation.load(ordering: .sequentiallyConsistent)) }

    private func part(of key: Key) -> LockedPart { parts[key.place(of: Self.partsCount)] }

    /// Once it returns, no view of before finds anything.
    func forgetAll() {
        let next = generation.add(1, ordering: .sequentiallyConsistent).newValue
        for part in parts {
            let forgotten = part.withLock { part -> Part? in
                guard part.generation < next else { return nil }
                defer { part = Part(generation: next) }
                return part
            }
            // They end here, and not under the lock.
            _ = forgotten
        }
    }
}

extension Transaction {
    /// Whether nobody has changed a record since `view` was taken: then whatever was read or recalled since is what this
    /// transaction would read, except for tables of which nothing is remembered.
    package func isUnchanged(since view: RecordMemory.View?) throws -> Bool {
        guard recalls, let view, let current = try statements.memory() else { return false }
        return current.memory === view.memory && current.generation == view.generation
    }

    /// The record of before, if it is still what `read` would find.
    package func remembered<Value: Sendable>(_ key: @autoclosure () -> RecordMemory.Key, _ read: () throws -> Value?)
        throws
        -> Value?
    {
        // Asked each time: what the transaction itself changes counts as well.
        guard recalls, let memory = try statements.memory() else { return try read() }
        let key = key()
        if let known: Value = memory.record(key) { return known }
        let found = try read()
        if let found { memory.keep(found, as: key) }
        return found
    }
}
