import Foundation
import GRDB

// SQLite's own ways: opening, pragmas, checkpoints. WAL with synchronous FULL: a commit that was
// acknowledged survives a power cut.

/// The statements of one SQLite connection.
private struct SQLiteStatements: StatementRunner {
    let connection: Database

    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [Row] {
        try SQLiteEngine.translatingErrors {
            let statement = try connection.cachedStatement(sql: sql)
            let columns = statement.columnNames
            let cursor = try GRDB.Row.fetchCursor(statement, arguments: Self.bind(arguments))
            var rows: [Row] = []
            while let row = try cursor.next() {
                rows.append(Row(columns: columns, values: row.databaseValues.map(Self.value)))
            }
            return rows
        }
    }

    func firstRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row? {
        try SQLiteEngine.translatingErrors {
            let statement = try connection.cachedStatement(sql: sql)
            guard let row = try GRDB.Row.fetchOne(statement, arguments: Self.bind(arguments)) else { return nil }
            return Row(columns: statement.columnNames, values: row.databaseValues.map(Self.value))
        }
    }

    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        try SQLiteEngine.translatingErrors {
            try connection.cachedStatement(sql: sql).execute(arguments: Self.bind(arguments))
            return connection.changesCount
        }
    }

    func savepoint(_ body: () throws -> Void) throws {
        try SQLiteEngine.translatingErrors {
            try connection.inSavepoint {
                try body()
                return .commit
            }
        }
    }

    func pages(of table: String, rows: Int, _ body: ([Row]) throws -> Void) throws {
        var last: Int64 = 0
        while true {
            let page = try self.rows(
                "SELECT rowid AS row_number, * FROM \(table) WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
                [.integer(last), .integer(Int64(rows))])
            guard let end = page.last else { return }
            last = try end.integer("row_number")
            try body(page.map { Row(columns: Array($0.columns.dropFirst()), values: Array($0.values.dropFirst())) })
        }
    }

    func insert(_ rows: [Row], into table: String) throws {
        for row in rows {
            let places = (1...row.columns.count).map { "?\($0)" }.joined(separator: ", ")
            let columns = row.columns.joined(separator: ", ")
            _ = try execute("INSERT INTO \(table) (\(columns)) VALUES (\(places))", row.values)
        }
    }

    /// SQLite looks for the greatest itself.
    func continueNumbers() {}

    private static func bind(_ arguments: [SQLValue]) -> StatementArguments {
        StatementArguments(
            arguments.map { argument -> DatabaseValue in
                switch argument {
                case .null: .null
                case .integer(let integer): integer.databaseValue
                case .text(let text): text.databaseValue
                case .blob(let bytes): Data(bytes).databaseValue
                }
            })
    }

    private static func value(_ value: DatabaseValue) -> SQLValue {
        switch value.storage {
        case .null: .null(.text)
        case .int64(let integer): .integer(integer)
        case .double(let double): .text(String(double))
        case .string(let text): .text(text)
        case .blob(let data): .blob(Array(data))
        }
    }
}

/// One SQLite file with its readers and its one writer.
struct SQLiteEngine: Engine {
    /// A local read takes microseconds.
    var executor: BlockingExecutor? { nil }
    var isShared: Bool { false }
    let leases = Leases(connect: nil)

    private let pool: DatabasePool
    private let commits: CommitQueue

    private static let busyMillisecondsMax = 5000
    private static let checkpointMillisecondsMax = 250

    init(path: String) throws {
        do {
            var configuration = GRDB.Configuration()
            configuration.busyMode = .timeout(Double(Self.busyMillisecondsMax) / 1000)
            configuration.foreignKeysEnabled = true
            configuration.publicStatementArguments = false
            configuration.prepareDatabase { database in
                try database.execute(sql: "PRAGMA secure_delete = ON")
                // Statement journals hold pages as they were before: in a temporary file, a copy of what is overwritten.
                try database.execute(sql: "PRAGMA temp_store = MEMORY")
            }
            try Self.createPrivately(path)
            pool = try DatabasePool(path: path, configuration: configuration)
            // GRDB sets NORMAL after `prepareDatabase`; read back, because a silent NORMAL loses commits.
            let level = try pool.writeWithoutTransaction { database in
                try database.execute(sql: "PRAGMA synchronous = FULL")
                return try Int.fetchOne(database, sql: "PRAGMA synchronous")
            }
            guard level == 2 else { throw StoreError.unavailable("synchronous is not FULL") }
        } catch let error as DatabaseError {
            throw StoreError.unavailable("SQLite \(error.extendedResultCode.rawValue)")
        }
        commits = CommitQueue(label: "sallyport.store.writer") { [pool] batch in
            try Self.translatingErrors { try Self.commit(batch, on: pool) }
        }
    }

    private static func commit(_ batch: [any PendingCommit], on pool: DatabasePool) throws {
        try pool.writeWithoutTransaction { database in
            try database.inTransaction(.immediate) {
                for job in batch {
                    job.run(by: SQLiteStatements(connection: database))
                    // A full disk makes SQLite roll back everything by itself: nobody of this batch may hear “done”.
                    guard database.isInsideTransaction else { throw StoreError.unavailable("transaction lost") }
                }
                return .commit
            }
        }
    }

    fileprivate static func translatingErrors<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            // The message of a constraint names the table and column; statements and arguments stay out.
            if error.resultCode == .SQLITE_CONSTRAINT { throw StoreError.constraint(error.message ?? "") }
            throw StoreError.unavailable("SQLite \(error.extendedResultCode.rawValue)")
        }
    }

    /// SQLite gives its log the mode of the database file, so that the file has to be private before it is opened. One that
    /// exists is not opened here: closing it would drop the locks of every connection of this process.
    private static func createPrivately(_ path: String) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
        if descriptor >= 0 {
            Foundation.close(descriptor)
        } else if chmod(path, 0o600) != 0 {
            throw StoreError.unavailable("the file cannot be made, or its mode not be set")
        }
    }

    func read<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try Self.translatingErrors { try pool.read { try body(Self.transaction($0)) } }
    }

    func write<Result: Sendable>(_ scope: WriteScope, _ body: @escaping @Sendable (Transaction) throws -> Result)
        async throws -> Result
    {
        try await commits.run(scope, body)
    }

    func writeNow<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try Self.translatingErrors { try pool.write { try body(Self.transaction($0)) } }
    }

    func writeAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result { try writeNow(body) }

    func isNew() throws -> Bool {
        try read { try $0.row("SELECT 1 AS found FROM sqlite_master WHERE name = 'schema_migrations'") == nil }
    }

    private static func transaction(_ connection: Database) -> Transaction {
        Transaction(statements: SQLiteStatements(connection: connection), scope: .everything)
    }

    /// The write-ahead log holds no earlier page any more afterwards. Waits for readers as long as for writers.
    func writeAndErase(_ body: @escaping @Sendable (Transaction) throws -> Void) async throws {
        try await commits.between {
            try writeNow(body)
            try emptyLog(waiting: Self.busyMillisecondsMax)
        }
    }

    /// Waits for readers only shortly, because all writes wait meanwhile.
    func erase() async throws {
        try await commits.between { try emptyLog(waiting: Self.checkpointMillisecondsMax) }
    }

    private func emptyLog(waiting milliseconds: Int) throws {
        try Self.translatingErrors {
            try pool.writeWithoutTransaction { database in
                try database.execute(sql: "PRAGMA busy_timeout = \(milliseconds)")
                let result = Result { try database.checkpoint(.truncate) }
                try database.execute(sql: "PRAGMA busy_timeout = \(Self.busyMillisecondsMax)")
                _ = try result.get()
            }
        }
    }

    func settings() throws -> [String: String] {
        try Self.translatingErrors {
            try pool.writeWithoutTransaction { database in
                var settings: [String: String] = [:]
                for name in ["journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store"] {
                    settings[name] = try String.fetchOne(database, sql: "PRAGMA \(name)")
                }
                return settings
            }
        }
    }

    func migrate(_ migrations: [Schema.Migration]) throws {
        try writeNow { try Schema.apply(migrations, in: $0) { $0 } }
    }

    func close() throws { try pool.close() }
}
