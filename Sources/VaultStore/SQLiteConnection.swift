import Synchronization

/// A session that is shared in turns, with what transactions are made of.
final class SQLiteConnection: StatementRunner, Sendable {
    private let session: Mutex<SQLiteSession>
    /// Of the transaction that is open.
    private struct Turn {
        var hasSavepoints = true
        var hasToBeUndone = false
        /// What other connections had changed, as SQLite counts it.
        var dataVersion: Int64?
        var memory: RecordMemory?
    }

    private let turn = Mutex(Turn())

    /// Opens the file with what holds for every connection.
    init(path: String, busyMilliseconds: Int32) throws {
        session = Mutex(try SQLiteSession.open(path: path, busyMilliseconds: busyMilliseconds))
        // Statement journals hold pages as they were before: in a temporary file, a copy of what is overwritten.
        for pragma in ["foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"] {
            _ = try execute("PRAGMA \(pragma)")
        }
    }

    var isInTransaction: Bool { session.withLock { $0.isInTransaction } }

    func setBusy(milliseconds: Int32) { session.withLock { $0.setBusy(milliseconds: milliseconds) } }

    func pragma(_ name: String) throws -> String? {
        switch try firstRow("PRAGMA \(name)", [])?.values.first {
        case .integer(let integer): String(integer)
        case .text(let text): text
        default: nil
        }
    }

    // MARK: Statements

    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [Row] {
        try session.withLock { try $0.rows(sql, arguments) }
    }

    func firstRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row? {
        try session.withLock { try $0.rows(sql, arguments, limit: 1).first }
    }

    func execute(_ sql: String, _ arguments: [SQLValue] = []) throws -> Int {
        try session.withLock { try $0.execute(sql, arguments) }
    }

    func post(_ sql: String, _ arguments: [SQLValue], changesOneRow: Bool) throws -> Bool {
        try execute(sql, arguments) == 1
    }

    // MARK: Transactions

    func transaction<Result>(_ begin: String, _ body: () throws -> Result) throws -> Result {
        _ = try execute(begin)
        do {
            let result = try body()
            _ = try execute("COMMIT")
            return result
        } catch {
            // A full disk makes SQLite roll back everything by itself.
            if isInTransaction { _ = try execute("ROLLBACK") }
            throw error
        }
    }

    /// What this connection or any other changes is forgotten from now on.
    func forgetsChanges(in memory: RecordMemory) { turn.withLock { $0.memory = memory } }

    /// What is remembered, unless this transaction has changed something already.
    func memory() -> RecordMemory.View? {
        guard let memory = turn.withLock(\.memory), !session.withLock({ $0.hasChanged }) else { return nil }
        return memory.view
    }

    /// A transaction that writes, beside no other.
    func writing<Result>(withSavepoints: Bool, _ body: (PendingHeads) throws -> Result) throws -> Result {
        let memory = turn.withLock { turn in
            turn.hasSavepoints = withSavepoints
            turn.hasToBeUndone = false
            return turn.memory
        }
        defer {
            // Readers may have kept what they saw before the commit.
            if session.withLock({ $0.takeHasChanged() }) { memory?.forgetAll() }
        }
        return try transaction("BEGIN IMMEDIATE") {
            if let memory { try forgetChangesOfOthers(memory) }
            let heads = PendingHeads()
            let result = try body(heads)
            try Transaction(statements: self, scope: .everything, heads: heads).writeHeads()
            return result
        }
    }

    private func forgetChangesOfOthers(_ memory: RecordMemory) throws {
        let version = try firstRow("PRAGMA data_version", [])?.integer("data_version")
        let isUnchanged = turn.withLock { turn in
            defer { turn.dataVersion = version }
            return version != nil && turn.dataVersion == version
        }
        if !isUnchanged { memory.forgetAll() }
    }

    /// Nobody of a batch may hear “done” when SQLite rolled back everything, or when a part has to be undone.
    func requireWhole() throws {
        guard isInTransaction else { throw StoreError.unavailable("transaction lost") }
        if turn.withLock(\.hasToBeUndone) { throw JobHasToBeUndone() }
    }

    func savepoint(_ body: () throws -> Void) throws {
        guard turn.withLock(\.hasSavepoints) else {
            let before = session.withLock({ $0.changes })
            do { try body() } catch {
                if session.withLock({ $0.changes }) != before { turn.withLock { $0.hasToBeUndone = true } }
                throw error
            }
            return
        }
        _ = try execute("SAVEPOINT job")
        do { try body() } catch {
            guard isInTransaction else { throw error }
            _ = try execute("ROLLBACK TO job")
            _ = try execute("RELEASE job")
            throw error
        }
        _ = try execute("RELEASE job")
    }

    // MARK: Whole databases

    func pages(of table: String, rows: Int, _ body: ([Row]) throws -> Void) throws {
        let sql = "SELECT * FROM \(table)"
        defer { session.withLock { $0.end(sql) } }
        while true {
            let page = try session.withLock { try $0.nextRows(sql, limit: rows) }
            if !page.isEmpty { try body(page) }
            guard page.count == rows else { return }
        }
    }

    func insert(_ rows: [Row], into table: String) throws {
        for row in rows {
            let places = (1...row.values.count).map { "?\($0)" }.joined(separator: ", ")
            let columns = row.columns.names.joined(separator: ", ")
            _ = try execute("INSERT INTO \(table) (\(columns)) VALUES (\(places))", row.values)
        }
    }

    /// SQLite looks for the greatest itself.
    func continueNumbers() {}
}
