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
    }

    /// What one transaction sees of it: nothing more once anything was changed.
    struct View {
        let memory: RecordMemory
        fileprivate let generation: UInt64

        func record<Value: Sendable>(_ key: Key) -> Value? {
            let found = memory.state.withLock { $0.generation == generation ? $0.records[key] : nil }
            return (found as? Remembered<Value>)?.value
        }

        func keep<Value: Sendable>(_ value: Value, as key: Key) {
            let record = Remembered(value)
            memory.state.withLock { state in
                guard state.generation == generation else { return }
                if state.records.count >= RecordMemory.recordsMax { state.records = [:] }
                state.records[key] = record
            }
        }
    }

    private final class Remembered<Value: Sendable>: Sendable {
        let value: Value
        init(_ value: Value) { self.value = value }
    }

    private struct State {
        /// Counts changes, so that nothing is kept that was read before the last one.
        var generation: UInt64 = 0
        var records: [Key: any Sendable & AnyObject] = [:]
    }

    private static let recordsMax = 20_000

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

    private let state = Mutex(State())

    var view: View { View(memory: self, generation: state.withLock(\.generation)) }

    func forgetAll() {
        let forgotten = state.withLock { state in
            state.generation += 1
            defer { state.records = [:] }
            return state.records
        }
        // They end here, and not under the lock.
        _ = forgotten
    }
}

extension Transaction {
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
