import Synchronization

/// What was made of the few texts that come again and again. The texts are read each time, so that nothing here can be out of
/// date; they are the same when their bytes are.
final class Memo<Value: Sendable>: Sendable {
    private struct Key: Hashable {
        let bytes: [UInt8]

        /// Each text after its length, so that no others give the same.
        init(_ texts: [String]) {
            bytes = texts.reduce(into: []) { bytes, text in
                withUnsafeBytes(of: text.utf8.count) { bytes.append(contentsOf: $0) }
                bytes.append(contentsOf: text.utf8)
            }
        }

        func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }
    }

    private let limit: Int
    private let values = Mutex<[Key: Value]>([:])

    init(limit: Int) { self.limit = limit }

    func value(for texts: [String], make: () throws -> Value) rethrows -> Value {
        let key = Key(texts)
        if let known = values.withLock({ $0[key] }) { return known }
        let made = try make()
        values.withLock { values in
            if values.count >= limit { values = [:] }
            values[key] = made
        }
        return made
    }
}
