import Dispatch
import Foundation
import GRDB
import Synchronization
import VaultAPI

// SQLite's own ways: opening, pragmas, checkpoints, group commit. WAL with synchronous FULL: a commit that was
// acknowledged survives a power cut.

/// An open transaction. SQL is written with parameters `?1`, `?2`, … and in what both engines understand.
package struct Transaction {
    fileprivate let connection: Database

    package func rows(_ sql: String, _ arguments: (any SQLBindable)...) throws -> [Row] {
        try rows(sql, arguments: arguments)
    }

    package func rows(_ sql: String, arguments: [any SQLBindable]) throws -> [Row] {
        try Self.translatingErrors {
            let statement = try connection.cachedStatement(sql: sql)
            let columns = statement.columnNames
            let cursor = try GRDB.Row.fetchCursor(statement, arguments: try Self.bind(arguments))
            var rows: [Row] = []
            while let row = try cursor.next() {
                rows.append(Row(columns: columns, values: row.databaseValues.map(Self.value)))
            }
            return rows
        }
    }

    package func row(_ sql: String, _ arguments: (any SQLBindable)...) throws -> Row? {
        try Self.translatingErrors {
            let statement = try connection.cachedStatement(sql: sql)
            guard let row = try GRDB.Row.fetchOne(statement, arguments: try Self.bind(arguments)) else { return nil }
            return Row(columns: statement.columnNames, values: row.databaseValues.map(Self.value))
        }
    }

    /// The number of rows changed: “the delete returned one row” is how single use is decided.
    @discardableResult
    package func execute(_ sql: String, _ arguments: (any SQLBindable)...) throws -> Int {
        try Self.translatingErrors {
            try connection.cachedStatement(sql: sql).execute(arguments: try Self.bind(arguments))
            return connection.changesCount
        }
    }

    private static func bind(_ arguments: [any SQLBindable]) throws -> StatementArguments {
        StatementArguments(
            try arguments.map { argument -> DatabaseValue in
                switch argument.sqlValue {
                case .null: return .null
                case .integer(let integer): return integer.databaseValue
                case .text(let text):
                    // The engines end a text at NUL, and would keep another one than was meant.
                    guard !text.utf8.contains(0) else { throw StoreError.constraint("a text holds NUL") }
                    return text.databaseValue
                case .blob(let bytes): return Data(bytes).databaseValue
                }
            })
    }

    private static func value(_ value: DatabaseValue) -> SQLValue {
        switch value.storage {
        case .null: .null
        case .int64(let integer): .integer(integer)
        case .double(let double): .text(String(double))
        case .string(let text): .text(text)
        case .blob(let data): .blob(Array(data))
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
}

/// One SQLite file with its readers and its one writer.
struct SQLiteEngine: Sendable {
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
        commits = CommitQueue(pool: pool)
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

    func read<Result>(_ body: (Transaction) throws -> Result) throws -> Result {
        try Transaction.translatingErrors { try pool.read { try body(Transaction(connection: $0)) } }
    }

    func write<Result: Sendable>(_ body: @escaping @Sendable (Transaction) throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            commits.enqueue(CommitJob(body: body, continuation: continuation))
        }
    }

    /// A write on the calling thread: for start-up and for the key store, where nothing else waits.
    func writeNow<Result>(_ body: (Transaction) throws -> Result) throws -> Result {
        try Transaction.translatingErrors { try pool.write { try body(Transaction(connection: $0)) } }
    }

    /// A write of its own, after which the write-ahead log holds no earlier page any more. Waits for readers as long as for
    /// writers.
    func writeAndCheckpoint(_ body: @escaping @Sendable (Transaction) throws -> Void) async throws {
        try await onWriterQueue {
            try writeNow(body)
            try emptyLog(waiting: Self.busyMillisecondsMax)
        }
    }

    /// Waits for readers only shortly, because all writes wait meanwhile.
    func checkpoint() async throws {
        try await onWriterQueue { try emptyLog(waiting: Self.checkpointMillisecondsMax) }
    }

    private func emptyLog(waiting milliseconds: Int) throws {
        try Transaction.translatingErrors {
            try pool.writeWithoutTransaction { database in
                try database.execute(sql: "PRAGMA busy_timeout = \(milliseconds)")
                let result = Result { try database.checkpoint(.truncate) }
                try database.execute(sql: "PRAGMA busy_timeout = \(Self.busyMillisecondsMax)")
                _ = try result.get()
            }
        }
    }

    private func onWriterQueue(_ work: @escaping @Sendable () throws -> Void) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            commits.queue.async { continuation.resume(with: Result { try work() }) }
        }
    }

    func settings() throws -> [String: String] {
        try Transaction.translatingErrors {
            try pool.writeWithoutTransaction { database in
                var settings: [String: String] = [:]
                for name in ["journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store"] {
                    settings[name] = try String.fetchOne(database, sql: "PRAGMA \(name)")
                }
                return settings
            }
        }
    }

    /// Applies, in order and in one transaction, the migrations this file has not seen.
    func migrate(_ migrations: [Schema.Migration]) throws {
        try writeNow { transaction in
            try transaction.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY NOT NULL) STRICT")
            let applied = Set(try transaction.rows("SELECT name FROM schema_migrations").map { try $0.text("name") })
            for migration in migrations where !applied.contains(migration.name) {
                for statement in migration.statements { try transaction.execute(statement) }
                try transaction.execute("INSERT INTO schema_migrations (name) VALUES (?1)", migration.name)
            }
        }
    }

    func close() throws { try pool.close() }
}

// MARK: - Group commit

private protocol PendingCommit: Sendable {
    func run(in transaction: Transaction)
    func finish(commitError: (any Error)?)
}

/// One caller's transaction, waiting for the commit that carries it.
private final class CommitJob<Outcome: Sendable>: PendingCommit {
    private let body: @Sendable (Transaction) throws -> Outcome
    private let continuation: CheckedContinuation<Outcome, any Error>
    private let outcome = Mutex<Result<Outcome, any Error>?>(nil)

    init(
        body: @escaping @Sendable (Transaction) throws -> Outcome, continuation: CheckedContinuation<Outcome, any Error>
    ) {
        self.body = body
        self.continuation = continuation
    }

    func run(in transaction: Transaction) {
        let result = Result {
            try Transaction.translatingErrors {
                var value: Outcome?
                try transaction.connection.inSavepoint {
                    value = try body(transaction)
                    return .commit
                }
                guard let value else { throw StoreError.unavailable("savepoint without a result") }
                return value
            }
        }
        outcome.withLock { $0 = result }
    }

    func finish(commitError: (any Error)?) {
        if let commitError {
            continuation.resume(throwing: commitError)
        } else {
            continuation.resume(
                with: outcome.withLock { $0 } ?? .failure(StoreError.unavailable("the transaction did not run")))
        }
    }
}

/// Runs what arrived meanwhile as one transaction with a savepoint each, commits once, then answers everybody.
private final class CommitQueue: Sendable {
    private struct State {
        var jobs: [any PendingCommit] = []
        var isDraining = false
    }

    /// Jobs of one commit: bounds how long the first waits for the last.
    private static let batchMax = 256

    let queue = DispatchQueue(label: "sallyport.store.writer", qos: .userInitiated)
    private let pool: DatabasePool
    private let state = Mutex(State())

    init(pool: DatabasePool) { self.pool = pool }

    func enqueue(_ job: any PendingCommit) {
        let mustStart = state.withLock { state in
            state.jobs.append(job)
            defer { state.isDraining = true }
            return !state.isDraining
        }
        if mustStart { queue.async { self.drain() } }
    }

    /// One batch, then whatever else waits for the writer: a checkpoint must not starve under load.
    private func drain() {
        guard let batch = nextBatch() else { return }
        var commitError: (any Error)?
        do {
            try Transaction.translatingErrors { try commit(batch) }
        } catch {
            commitError = error
        }
        for job in batch { job.finish(commitError: commitError) }
        queue.async { self.drain() }
    }

    private func nextBatch() -> [any PendingCommit]? {
        state.withLock { state in
            guard !state.jobs.isEmpty else {
                state.isDraining = false
                return nil
            }
            let batch = Array(state.jobs.prefix(Self.batchMax))
            state.jobs.removeFirst(batch.count)
            return batch
        }
    }

    private func commit(_ batch: [any PendingCommit]) throws {
        try pool.writeWithoutTransaction { database in
            try database.inTransaction(.immediate) {
                for job in batch {
                    job.run(in: Transaction(connection: database))
                    // A full disk makes SQLite roll back everything by itself: nobody of this batch may hear “done”.
                    guard database.isInsideTransaction else { throw StoreError.unavailable("transaction lost") }
                }
                return .commit
            }
        }
    }
}
