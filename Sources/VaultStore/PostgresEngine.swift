import Synchronization
import VaultAPI

// PostgreSQL's own ways: connections, locks among nodes, group commit. A transaction that writes has its scope for itself by
// advisory locks, so that what holds with SQLite's one writer holds here with many.

struct PostgresEngine: Engine {
    private let connections: PostgresConnections
    /// Of the main database.
    private let memory: PostgresRecordMemory?
    private let schema: String?
    private let lockSpace: Int32
    /// Each commits by itself; an app always has the same one.
    private let writers: [CommitQueue]
    let executor: BlockingExecutor?
    let leases: Leases
    var isShared: Bool { true }

    /// Threads for tasks that read, each of which takes a connection while it does.
    private static let readers = 8
    private static let writersCount = 2

    init(uri: String, schema: String?) throws {
        let connections = PostgresConnections(uri: uri, schema: schema)
        let memory = schema == nil ? PostgresRecordMemory() : nil
        let lockSpace: Int32 = schema == nil ? 0x5A11 : 0x5A12
        writers = (1...Self.writersCount).map { number in
            CommitQueue(label: "sallyport.store.writer-\(number)") { batch in
                try connections.use { connection in
                    func commit(isCareful: Bool) throws {
                        let scopes = Set(batch.map(\.scope))
                        try Self.writing(scopes, on: connection, memory, lockSpace: lockSpace, isCareful: isCareful) {
                            for job in batch {
                                job.run(by: connection, heads: $0)
                                try connection.requireWhole()
                            }
                        }
                    }
                    do { try commit(isCareful: false) } catch is JobHasToBeUndone { try commit(isCareful: true) }
                }
            }
        }
        executor = BlockingExecutor(name: "store", threads: Self.readers)
        leases = Leases { try PostgresConnection(uri: uri, schema: schema) }
        self.connections = connections
        self.memory = memory
        self.schema = schema
        self.lockSpace = lockSpace
    }

    func read<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try LateReader.read(connections, body)
    }

    func readRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row? {
        try connections.use { try $0.firstRow(sql, arguments) }
    }

    func recall<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try LateReader.read(connections, memory: recordView, body)
    }

    var recordView: RecordMemory.View? { memory?.view }

    func readAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try connections.useOnce { connection in
            try connection.liftDeadlines()
            try connection.beginReading()
            defer { connection.endReading() }
            return try body(Transaction(statements: connection, scope: .everything, heads: nil))
        }
    }

    func write<Result: Sendable>(
        _ scope: WriteScope, recalls: Bool, _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        let writer: CommitQueue
        switch scope {
        case .everything, .expired: writer = writers[0]
        case .app(let id): writer = writers[Int(PostgresLocks.key(id).magnitude >> 1) % writers.count]
        }
        return try await writer.run(scope, recalls: recalls, body)
    }

    /// A transaction that has the scopes for itself.
    private static func writing<Result>(
        _ scopes: Set<WriteScope>, on connection: PostgresConnection, _ memory: PostgresRecordMemory?, lockSpace: Int32,
        isCareful: Bool, _ body: (PendingHeads) throws -> Result
    ) throws -> Result {
        do {
            connection.startTurn(memory, isCareful: isCareful)
            // Readers may have kept what they saw before the commit.
            defer { if connection.endTurn() { memory?.forgetAll() } }
            try connection.begin(scopes, lockSpace: lockSpace)
            let heads = PendingHeads()
            let result = try body(heads)
            try Transaction(statements: connection, scope: .everything, heads: heads).writeHeads()
            try connection.commit()
            return result
        } catch {
            connection.rollBack()
            throw error
        }
    }

    func writeNow<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try connections.use { try writeNow(on: $0, memory, body) }
    }

    func writeAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try connections.useOnce { connection in
            try connection.liftDeadlines()
            // It is used where the tables are made.
            return try writeNow(on: connection, nil, body)
        }
    }

    func tables() throws -> [String] {
        try read {
            try $0.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").map {
                try $0.text("tablename")
            }
        }
    }

    func place() throws -> String {
        let row = try read { transaction in
            try transaction.row(
                """
                SELECT system_identifier, (SELECT oid::BIGINT FROM pg_database WHERE datname = current_database()) AS database,
                    coalesce(current_schema(), '') AS schema
                FROM pg_control_system()
                """)
        }
        guard let row else { throw StoreError.unavailable("PostgreSQL: no database") }
        return try "\(row.integer("system_identifier")):\(row.integer("database")):\(row.text("schema"))"
    }

    private func writeNow<Result>(
        on connection: PostgresConnection, _ memory: PostgresRecordMemory?, _ body: (Transaction) throws -> Result
    ) throws -> Result {
        try Self.writing([.everything], on: connection, memory, lockSpace: lockSpace, isCareful: true) {
            try body(Transaction(statements: connection, scope: .everything, heads: $0))
        }
    }

    /// PostgreSQL keeps what was deleted until VACUUM, and in its log for as long as that is kept: docs/POSTGRESQL.md says what
    /// follows from it.
    func writeAndErase(_ body: @escaping @Sendable (Transaction) throws -> Void) async throws {
        try await writers[0].run(.everything, body)
        try await erase()
    }

    func erase() async throws {
        guard schema != nil else { return }
        try await writers[0].between {
            // The table that holds what must not come back; it is small.
            try connections.use { _ = try $0.run("VACUUM (SKIP_LOCKED, TRUNCATE FALSE) data_keys") }
        }
    }

    func migrate<Result: Sendable>(_ migrations: [Schema.Migration], then body: (Transaction) throws -> Result) throws
        -> Result
    {
        try writeAtLength { transaction in
            try requireLocks()
            if let schema { try transaction.execute("CREATE SCHEMA IF NOT EXISTS \(schema)") }
            let own = schema == nil ? [PostgresRecordMemory.migration] : []
            try Schema.apply(migrations + own, in: transaction, translate: PostgresDialect.definition)
            return try body(transaction)
        }
    }

    /// Asked by another connection while this transaction has everything for itself. What speaks PostgreSQL's protocol may take
    /// such locks and hold nobody off, and then each node would decide beside the others.
    private func requireLocks() throws {
        let other = try connections.use { try $0.firstRow(PostgresLocks.tryEverything(space: lockSpace), []) }
        guard try other?.bool("taken") == false else {
            throw StoreError.unavailable("PostgreSQL: its advisory locks hold nobody off")
        }
    }

    func settings() throws -> [String: String] {
        var settings = ["engine": "PostgreSQL"]
        let row = try read { transaction in
            try transaction.row(
                """
                SELECT current_setting('server_version') AS server_version, current_setting('fsync') AS fsync,
                    current_setting('full_page_writes') AS full_page_writes,
                    current_setting('synchronous_commit') AS synchronous_commit,
                    (SELECT CASE WHEN ssl THEN 'on' ELSE 'off' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls
                """)
        }
        for name in ["server_version", "fsync", "full_page_writes", "synchronous_commit", "tls"] {
            settings[name] = try row?.optionalText(name)
        }
        return settings
    }

    func close() throws {
        connections.close()
        executor?.stop()
    }
}

/// Connections, made when they are needed and kept for the next. What ended one, such as a change of the tables or a server that
/// is gone, concerns all that were there before: they are not used again.
final class PostgresConnections: ReaderPool, Sendable {
    private struct State {
        var idle: [PostgresConnection] = []
        var isClosed = false
        /// How many connections have ended while they were used.
        var ended = 0
        /// When the last attempt to connect failed, and how.
        var failure: (at: ContinuousClock.Instant, error: StoreError)?
    }

    private let uri: String
    private let schema: String?
    private let state = Mutex(State())

    /// While the server is away, those who ask hear it at once, and one attempt is made in this time.
    private static let pauseAfterFailure = Duration.milliseconds(500)

    init(uri: String, schema: String?) {
        self.uri = uri
        self.schema = schema
    }

    func use<Result>(_ body: (PostgresConnection) throws -> Result) throws -> Result {
        let connection = try idleOne() ?? connect()
        defer { keep(connection) }
        return try body(connection)
    }

    func takeReader() throws -> PostgresConnection {
        let connection = try idleOne() ?? connect()
        do { try connection.beginReading() } catch {
            keep(connection)
            throw error
        }
        return connection
    }

    func giveBack(_ reader: PostgresConnection) {
        reader.endReading()
        keep(reader)
    }

    /// For work that changes the session.
    func useOnce<Result>(_ body: (PostgresConnection) throws -> Result) throws -> Result { try body(connect()) }

    private func idleOne() -> PostgresConnection? {
        while let connection = state.withLock({ $0.idle.popLast() }) {
            if connection.isAlive() { return connection }
        }
        return nil
    }

    private func connect() throws -> PostgresConnection {
        let recent = state.withLock { state in
            state.failure.flatMap { $0.at.duration(to: .now) < Self.pauseAfterFailure ? $0.error : nil }
        }
        if let recent { throw recent }
        let ended = state.withLock { $0.ended }
        do {
            return try PostgresConnection(uri: uri, schema: schema, madeAfter: ended)
        } catch let error as StoreError {
            state.withLock { $0.failure = (.now, error) }
            throw error
        }
    }

    private func keep(_ connection: PostgresConnection) {
        let isBroken = connection.isBroken
        let dropped = state.withLock { state -> [PostgresConnection] in
            guard isBroken else {
                if !state.isClosed, state.ended == connection.madeAfter { state.idle.append(connection) }
                return []
            }
            state.ended += 1
            defer { state.idle = [] }
            return state.idle
        }
        // They end with their last reference.
        _ = dropped
    }

    func close() {
        let idle = state.withLock { state in
            defer { state.idle = [] }
            state.isClosed = true
            return state.idle
        }
        // They end with their last reference.
        _ = idle
    }
}
