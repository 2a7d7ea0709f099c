import Synchronization
import VaultAPI

/// A session that is shared in turns, with what transactions are made of.
final class PostgresConnection: StatementRunner, Sendable {
    private let session: Mutex<PostgresSession>
    private let savepoints = Atomic<UInt64>(0)

    private struct Turn {
        var memory: PostgresRecordMemory?
        var hasChanged = false
        /// Of the job that runs or, unless it is careful, of the transaction.
        var records: RecordMemory?
        /// As of which change the records are.
        var change: Int64?
        /// Whether answers are waited for that hardly ever say anything, and jobs can be undone one by one.
        var isCareful = true
        /// Statements that may have changed something.
        var changes = 0
        var hasToBeUndone = false
    }

    private let turn = Mutex(Turn())

    /// How many others of its pool had ended.
    let madeAfter: Int

    init(uri: String, schema: String?, madeAfter: Int = 0) throws {
        self.madeAfter = madeAfter
        session = Mutex(try PostgresSession.connect(uri: uri, schema: schema))
    }

    var isBroken: Bool { session.withLock { $0.isBroken } }

    /// Whether a statement of the transaction took, or waited for somebody else's lock, as long as it may.
    var isHeldUp: Bool { session.withLock { $0.isHeldUp } }

    /// Whether it is still there, as far as can be told without asking.
    func isAlive() -> Bool {
        session.withLock { session in
            session.noticeEnd()
            return !session.isBroken
        }
    }

    /// For a change of the schema, which takes as long as it takes.
    func liftDeadlines() throws { try session.withLock { try $0.liftDeadlines() } }

    /// What is remembered, unless this transaction has changed something already. It is asked for once the locks are there, and
    /// where jobs can be undone one by one by each anew: somebody who takes no locks of ours may have changed something meanwhile.
    func memory() throws -> RecordMemory.View? {
        let turn = turn.withLock { $0 }
        guard let memory = turn.memory, !turn.hasChanged else { return nil }
        if let records = turn.records { return records.view }
        guard let change = try firstRow(PostgresRecordMemory.changeStatement, [])?.integer("number") else { return nil }
        let records = memory.records(asOf: change)
        self.turn.withLock {
            $0.records = records
            $0.change = change
        }
        return records.view
    }

    /// A transaction that has `memory` begins.
    ///
    /// - Parameter isCareful: whether each job can be undone by itself, for which every answer is waited for.
    func startTurn(_ memory: PostgresRecordMemory?, isCareful: Bool) {
        turn.withLock { $0 = Turn(memory: memory, isCareful: isCareful) }
    }

    /// Whether it has changed what uses are decided by.
    func endTurn() -> Bool {
        turn.withLock { turn in
            defer { turn = Turn() }
            return turn.hasChanged
        }
    }

    private func noteChange(by sql: String) {
        let changesRecords = !RecordMemory.isUnaffected(by: sql)
        turn.withLock { turn in
            turn.changes += 1
            if changesRecords { turn.hasChanged = true }
        }
    }

    // MARK: Statements

    func run(_ sql: String, _ arguments: [SQLValue] = []) throws -> PostgresSession.Answer {
        try session.withLock { try $0.run(sql, arguments) }
    }

    /// Waits for what is queued.
    private func settle() throws { _ = try session.withLock { try $0.settle() } }

    func queue(_ sql: String) throws { try session.withLock { try $0.queue(sql) } }

    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [Row] { try run(sql, arguments).rows }

    func firstRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row? { try run(sql, arguments).rows.first }

    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        let changed = try run(sql, arguments).changed
        if changed > 0 { noteChange(by: sql) }
        return changed
    }

    func post(_ sql: String, _ arguments: [SQLValue], changesOneRow: Bool) throws -> Bool {
        guard !turn.withLock(\.isCareful) else { return try execute(sql, arguments) == 1 }
        noteChange(by: sql)
        try session.withLock { try $0.post(sql, arguments, changesOneRow: changesOneRow) }
        return true
    }

    // MARK: Whole databases

    func pages(of table: String, rows: Int, _ body: ([Row]) throws -> Void) throws {
        let cursor = "rows_of_\(table)"
        _ = try run("DECLARE \(cursor) NO SCROLL CURSOR FOR SELECT * FROM \(table)")
        while true {
            let page = try self.rows("FETCH \(rows) FROM \(cursor)", [])
            guard !page.isEmpty else { break }
            try body(page)
        }
        _ = try run("CLOSE \(cursor)")
    }

    /// The server knows the types of the columns, and an absent value does not.
    func insert(_ rows: [Row], into table: String) throws {
        for row in rows {
            let places = (1...row.values.count).map { "?\($0)" }.joined(separator: ", ")
            let columns = row.columns.names.joined(separator: ", ")
            try session.withLock {
                try $0.queueInsert("INSERT INTO \(table) (\(columns)) VALUES (\(places))", row.values)
            }
        }
        _ = try run("SELECT 1 AS one")
    }

    func continueNumbers() throws {
        _ = try run(
            """
            SELECT setval(pg_get_serial_sequence('audit_records', 'position'), coalesce(max(position), 0) + 1, false)
            FROM audit_records
            """)
    }

    // MARK: Transactions

    /// A savepoint costs no round trip of its own. Each has its own name: what cannot be released is not rolled back to by
    /// whoever comes next, which would undo a job that was told that it is done.
    func savepoint(_ body: () throws -> Void) throws {
        let before = turn.withLock { $0 }
        guard before.isCareful else {
            do { try body() } catch {
                turn.withLock { $0.hasToBeUndone = $0.hasToBeUndone || $0.changes != before.changes }
                throw error
            }
            return
        }
        turn.withLock { $0.records = nil }
        let name = "job\(savepoints.wrappingAdd(1, ordering: .relaxed).newValue)"
        try queue("SAVEPOINT \(name)")
        do { try body() } catch {
            // Where the session is lost, everything is undone.
            guard !isBroken else { throw error }
            try queue("ROLLBACK TO SAVEPOINT \(name)")
            try settle()
            throw error
        }
        try queue("RELEASE SAVEPOINT \(name)")
    }

    /// One state for all that is read.
    func beginReading() throws { try queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") }

    /// Is not waited for.
    func endReading() {
        guard !isBroken else { return }
        session.withLock { session in
            do {
                try session.queue("ROLLBACK")
                try session.flush()
            } catch {
                session.giveUp()
            }
        }
    }

    /// Begins a transaction that has `scope` for itself among all nodes. Waits for those who have it.
    func begin(_ scopes: Set<WriteScope>, lockSpace: Int32) throws {
        session.withLock { $0.forgetFailures() }
        try queue("BEGIN ISOLATION LEVEL READ COMMITTED")
        try queue(PostgresLocks.statement(scopes, space: lockSpace))
        // What jobs are decided by that are undone together is asked for along with the locks.
        if turn.withLock(\.isCareful) { try settle() } else { _ = try memory() }
    }

    /// Throws where the next jobs would wait for what this one has waited for, each as long and all for each other, and where all of
    /// them have to be run again.
    func requireWhole() throws {
        guard !isHeldUp else { throw StoreError.unavailable("PostgreSQL: held up by somebody") }
        let turn = turn.withLock { $0 }
        if !turn.isCareful, turn.hasToBeUndone || session.withLock({ $0.hasFailed && !$0.isBroken }) {
            throw JobHasToBeUndone()
        }
    }

    func commit() throws {
        do {
            if session.withLock({ $0.owesRow }) { try settle() }
            try requireUnchanged()
            // A transaction that failed is rolled back by it, and says so.
            guard try run("COMMIT").tag == "COMMIT" else {
                throw StoreError.unavailable("PostgreSQL: nothing was committed")
            }
        } catch {
            try requireWhole()
            throw error
        }
    }

    /// Fails the transaction, and the commit that is sent along, where somebody who takes no locks of ours has changed what its
    /// jobs were decided by, while one of their statements waited.
    private func requireUnchanged() throws {
        let turn = turn.withLock { $0 }
        guard !turn.isCareful, let change = turn.change else { return }
        // What it has changed itself counts once.
        let most = turn.hasChanged ? change + 1 : change
        try session.withLock {
            try $0.post(
                PostgresRecordMemory.unchangedStatement, [.integer(change), .integer(most)], changesOneRow: false)
        }
    }

    func rollBack() {
        // What nobody has waited for may have failed; that is undone as well.
        if session.withLock({ $0.owesAnswers }) { try? settle() }
        guard !isBroken else { return }
        // A session that cannot be rolled back is not used again, which ends its transaction.
        do { _ = try run("ROLLBACK") } catch { session.withLock { $0.giveUp() } }
    }
}

/// Advisory locks stand for scopes: everything is a lock of its own, which transactions of an app share. They are held until the
/// transaction has ended, so that whoever gets one sees all that was committed under it (PostgreSQL, “Advisory Locks”).
enum PostgresLocks {
    static func statement(_ scopes: Set<WriteScope>, space: Int32) -> String {
        let apps = scopes.compactMap { if case .app(let id) = $0 { key(id) } else { nil } }
        // Without apps, what is left keeps out of the way of whoever has everything.
        guard !scopes.contains(.everything) else { return "SELECT pg_advisory_xact_lock(\(space), 0)" }
        // In one order for all, so that nobody waits in a circle.
        let locks = Set(apps).sorted().map { "pg_advisory_xact_lock(\(space), \($0))" }
        return "SELECT " + (["pg_advisory_xact_lock_shared(\(space), 0)"] + locks).joined(separator: ", ")
    }

    /// Whether nobody has anything.
    static func tryEverything(space: Int32) -> String { "SELECT pg_try_advisory_xact_lock(\(space), 0) AS taken" }

    static func key(_ id: AppID) -> Int32 { key(id.text) }

    /// Of a whole session and not of a transaction.
    static func tryLease(_ name: String) -> String {
        "SELECT pg_try_advisory_lock(\(leaseSpace), \(key(name))) AS taken"
    }

    static func endLease(_ name: String) -> String { "SELECT pg_advisory_unlock(\(leaseSpace), \(key(name)))" }

    private static let leaseSpace: Int32 = 0x5A13

    /// Two names with one key wait for each other, and nothing worse.
    private static func key(_ name: String) -> Int32 {
        // FNV-1a: the same on every node. Never 0, which stands for everything.
        let hash = name.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return Int32(bitPattern: hash | 1)
    }
}
