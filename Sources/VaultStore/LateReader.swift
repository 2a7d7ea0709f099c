/// Sessions for reading, which are lent with a transaction open.
protocol ReaderPool {
    associatedtype Reader: StatementRunner
    func takeReader() throws -> Reader
    /// Ends the transaction.
    func giveBack(_ reader: Reader)
}

/// Takes a session, and with it one state of the database, once something is asked that is not remembered.
final class LateReader<Pool: ReaderPool>: StatementRunner {
    private let view: RecordMemory.View?
    private let pool: Pool
    private var taken: Pool.Reader?

    private init(_ pool: Pool, memory: RecordMemory.View?) {
        self.pool = pool
        view = memory
    }

    /// Runs `body` in a transaction that reads, and recalls where there is a memory.
    static func read<Result>(_ pool: Pool, memory: RecordMemory.View? = nil, _ body: (Transaction) throws -> Result)
        throws
        -> Result
    {
        let reader = LateReader(pool, memory: memory)
        defer { if let taken = reader.taken { pool.giveBack(taken) } }
        return try body(
            Transaction(statements: reader, scope: .everything, heads: nil, recalls: memory != nil))
    }

    func memory() -> RecordMemory.View? { view }

    private func reader() throws -> Pool.Reader {
        if let taken { return taken }
        let reader = try pool.takeReader()
        taken = reader
        return reader
    }

    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [Row] { try reader().rows(sql, arguments) }
    func firstRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row? { try reader().firstRow(sql, arguments) }
    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int { try reader().execute(sql, arguments) }
    func post(_ sql: String, _ arguments: [SQLValue], changesOneRow: Bool) throws -> Bool {
        try reader().post(sql, arguments, changesOneRow: changesOneRow)
    }
    func savepoint(_ body: () throws -> Void) throws { try reader().savepoint(body) }
    func pages(of table: String, rows: Int, _ body: ([Row]) throws -> Void) throws {
        try reader().pages(of: table, rows: rows, body)
    }
    func insert(_ rows: [Row], into table: String) throws { try reader().insert(rows, into: table) }
    func continueNumbers() throws { try reader().continueNumbers() }
}
