import Synchronization

/// What was made of the few texts that come again and again. The texts are read each time, so that nothing here can be out of
/// date; they are the same when their bytes are.
final class Memo<Value: Sendable>: Sendable {
    private let limit: Int
    private let values = Mutex<[[[UInt8]]: Value]>([:])

    init(limit: Int) { self.limit = limit }

    func value(for texts: [String], make: () throws -> Value) rethrows -> Value {
        let key = texts.map { Array($0.utf8) }
        if let known = values.withLock({ $0[key] }) { return known }
        let made = try make()
        values.withLock { values in
            if values.count >= limit { values = [:] }
            values[key] = made
        }
        return made
    }
}
