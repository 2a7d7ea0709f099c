import Foundation
import Synchronization

// SQLite's own ways: opening, pragmas, checkpoints. WAL with synchronous FULL: a commit that was acknowledged survives a
// power cut.

/// One SQLite file with its readers and its one writer.
struct SQLiteEngine: Engine {
    /// A local read takes microseconds.
    var executor: BlockingExecutor? { nil }
    var isShared: Bool { false }
    let leases = Leases(connect: nil)

    private let path: String
    private let memory = RecordMemory()
    private let readers: SQLiteReaders
    private let writer: SQLiteConnection
    /// Whoever uses the writer does so on its queue.
    private let commits: CommitQueue

    private static let busyMillisecondsMax: Int32 = 5000
    private static let checkpointMillisecondsMax: Int32 = 250

    init(path: String) throws {
        try Self.createPrivately(path)
        let writer = try SQLiteConnection(path: path, busyMilliseconds: Self.busyMillisecondsMax)
        for pragma in ["journal_mode = WAL", "synchronous = FULL"] { _ = try writer.execute("PRAGMA \(pragma)") }
        // Read back, because a silent NORMAL loses commits.
        guard try writer.pragma("journal_mode") == "wal", try writer.pragma("synchronous") == "2" else {
            throw StoreError.unavailable("SQLite: commits would not be durable")
        }
        self.path = path
        self.writer = writer
        writer.forgetsChanges(in: memory)
        readers = SQLiteReaders(path: path, busyMilliseconds: Self.busyMillisecondsMax)
        commits = CommitQueue(label: "sallyport.store.writer") { batch in
            do { try Self.commit(batch, on: writer, withSavepoints: false) } catch is JobHasToBeUndone {
                try Self.commit(batch, on: writer, withSavepoints: true)
            }
        }
    }

    /// Savepoints cost two statements for each job, and hardly any has to be undone: the batch runs without, and once more with
    /// them when one has.
    private static func commit(_ batch: [any PendingCommit], on writer: SQLiteConnection, withSavepoints: Bool) throws {
        try writer.writing(withSavepoints: withSavepoints) { heads in
            for job in batch {
                job.run(by: writer, heads: heads)
                try writer.requireWhole()
            }
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
        try LateReader.read(readers, body)
    }

    func readRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row? {
        try readers.use { try $0.firstRow(sql, arguments) }
    }

    func recall<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try LateReader.read(readers, memory: recordView, body)
    }

    var recordView: RecordMemory.View? { memory.view }

    func readAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result { try read(body) }

    func write<Result: Sendable>(
        _ scope: WriteScope, recalls: Bool, _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        try await commits.run(scope, recalls: recalls, body)
    }

    func writeNow<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try commits.queue.sync { try writeOnQueue(body) }
    }

    func writeAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result { try writeNow(body) }

    private func writeOnQueue<Result>(_ body: (Transaction) throws -> Result) throws -> Result {
        try writer.writing(withSavepoints: true) {
            try body(Transaction(statements: writer, scope: .everything, heads: $0))
        }
    }

    /// The write-ahead log holds no earlier page any more afterwards. Waits for readers as long as for writers.
    func writeAndErase(_ body: @escaping @Sendable (Transaction) throws -> Void) async throws {
        try await commits.between {
            try writeOnQueue(body)
            try emptyLog(waitingMilliseconds: Self.busyMillisecondsMax)
        }
    }

    /// Waits for readers only shortly, because all writes wait meanwhile.
    func erase() async throws {
        try await commits.between { try emptyLog(waitingMilliseconds: Self.checkpointMillisecondsMax) }
    }

    private func emptyLog(waitingMilliseconds: Int32) throws {
        writer.setBusy(milliseconds: waitingMilliseconds)
        defer { writer.setBusy(milliseconds: Self.busyMillisecondsMax) }
        guard try writer.firstRow("PRAGMA wal_checkpoint(TRUNCATE)", [])?.bool("busy") == false else {
            throw StoreError.unavailable("SQLite: somebody reads the log")
        }
    }

    func settings() throws -> [String: String] {
        let names = ["journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store"]
        return try commits.queue.sync {
            try Dictionary(names.map { ($0, try writer.pragma($0) ?? "") }, uniquingKeysWith: { first, _ in first })
        }
    }

    func migrate<Result: Sendable>(_ migrations: [Schema.Migration], then body: (Transaction) throws -> Result) throws
        -> Result
    {
        try writeNow { transaction in
            try Schema.apply(migrations, in: transaction) { $0 }
            return try body(transaction)
        }
    }

    func tables() throws -> [String] {
        try read { try $0.rows("SELECT name FROM sqlite_master WHERE type = 'table'").map { try $0.text("name") } }
    }

    func place() throws -> String {
        var file = stat()
        guard stat(path, &file) == 0 else { throw StoreError.unavailable("SQLite: the file is gone") }
        return "\(file.st_dev):\(file.st_ino)"
    }

    /// Leaves everything in the one file. Connections end with their last reference.
    func close() throws {
        readers.close()
        try commits.queue.sync { try emptyLog(waitingMilliseconds: Self.checkpointMillisecondsMax) }
    }
}

/// Connections for reading, made when they are needed and kept for the next.
private final class SQLiteReaders: ReaderPool, Sendable {
    private let path: String
    private let busyMilliseconds: Int32
    private let idle = Mutex<[SQLiteConnection]>([])

    init(path: String, busyMilliseconds: Int32) {
        self.path = path
        self.busyMilliseconds = busyMilliseconds
    }

    func use<Result>(_ body: (SQLiteConnection) throws -> Result) throws -> Result {
        let connection = try take()
        defer { keep(connection) }
        return try body(connection)
    }

    private func take() throws -> SQLiteConnection { try idle.withLock { $0.popLast() } ?? make() }

    private func keep(_ connection: SQLiteConnection) { idle.withLock { $0.append(connection) } }

    func takeReader() throws -> SQLiteConnection {
        let connection = try take()
        _ = try connection.execute("BEGIN")
        return connection
    }

    /// One that cannot end its transaction is not used again.
    func giveBack(_ reader: SQLiteConnection) {
        do { _ = try reader.execute("COMMIT") } catch { return }
        keep(reader)
    }

    private func make() throws -> SQLiteConnection {
        let connection = try SQLiteConnection(path: path, busyMilliseconds: busyMilliseconds)
        _ = try connection.execute("PRAGMA query_only = ON")
        return connection
    }

    func close() { idle.withLock { $0 = [] } }
}
