import Synchronization

/// What one process works off right now, so that nobody else does: the revocations at one provider, the records of one stream.
///
/// Each is held until it is given back, or until the process or its connection ends. Whoever loses one without noticing writes
/// results that are held against versions and states of rows, so that doing a thing twice costs a call and harms nothing.
package final class Leases: Sendable {
    private struct State {
        var taken: [String: PostgresConnection?] = [:]
        var connection: PostgresConnection?
    }

    private let state = Mutex(State())
    /// To the database that other nodes share; `nil` where there are none.
    private let connect: (@Sendable () throws -> PostgresConnection)?

    init(connect: (@Sendable () throws -> PostgresConnection)?) { self.connect = connect }

    /// Whether the caller is the one who has `name` until `giveBack`.
    package func take(_ name: String) throws -> Bool {
        try state.withLock { state in
            guard state.taken[name] == nil else { return false }
            guard let connect else {
                state.taken[name] = .some(nil)
                return true
            }
            if state.connection?.isAlive() != true { state.connection = nil }
            let connection = try state.connection ?? connect()
            state.connection = connection
            guard try connection.run(PostgresLocks.tryLease(name)).rows.first?.bool("taken") == true else {
                return false
            }
            state.taken[name] = connection
            return true
        }
    }

    package func giveBack(_ name: String) {
        state.withLock { state in
            guard let holder = state.taken.removeValue(forKey: name), let holder, holder === state.connection else {
                return
            }
            // A connection that cannot answer has lost the lease with everything else.
            _ = try? holder.run(PostgresLocks.endLease(name))
        }
    }
}
