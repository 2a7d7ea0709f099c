import Synchronization

/// A session that is shared in turns, with what transactions are made of.
final class SQLiteConnection: StatementRunner, Sendable {
    private let session: Mutex<SQLiteSession>

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

    func savepoint(_ body: () throws -> Void) throws {
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
        var last: Int64 = 0
        while true {
            let page = try self.rows(
                "SELECT rowid AS row_number, * FROM \(table) WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
                [.integer(last), .integer(Int64(rows))])
            guard let end = page.last else { return }
            last = try end.integer("row_number")
            let columns = RowColumns(Array(end.columns.names.dropFirst()))
            try body(page.map { Row(columns: columns, values: Array($0.values.dropFirst())) })
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
