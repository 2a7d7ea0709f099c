import VaultAPI
import VaultDomain

/// An open transaction. SQL is written with parameters `?1`, `?2`, … and in what both engines understand.
package struct Transaction {
    let statements: any StatementRunner
    /// What the transaction has for itself. Whatever it changes must lie in there.
    let scope: WriteScope
    /// `nil` in transactions that only read.
    let heads: PendingHeads?
    /// Whether what earlier transactions read may stand for rows that have not changed since.
    let recalls: Bool

    init(statements: any StatementRunner, scope: WriteScope, heads: PendingHeads?, recalls: Bool = false) {
        self.statements = statements
        self.scope = scope
        self.heads = heads
        self.recalls = recalls
    }

    package func rows<each Argument: SQLBindable>(_ sql: String, _ arguments: repeat each Argument) throws -> [Row] {
        try statements.rows(sql, Self.values(repeat each arguments))
    }

    package func rows(_ sql: String, arguments: [any SQLBindable]) throws -> [Row] {
        try statements.rows(sql, arguments.map { try Self.value($0) })
    }

    package func row<each Argument: SQLBindable>(_ sql: String, _ arguments: repeat each Argument) throws -> Row? {
        try statements.firstRow(sql, Self.values(repeat each arguments))
    }

    /// The number of rows changed: “the delete returned one row” is how single use is decided.
    @discardableResult
    package func execute<each Argument: SQLBindable>(_ sql: String, _ arguments: repeat each Argument) throws -> Int {
        try statements.execute(sql, Self.values(repeat each arguments))
    }

    /// Runs a statement that is right in nearly every case, without waiting for its answer where that takes time: what goes
    /// wrong makes the whole transaction begin again, with each answer waited for.
    ///
    /// - Parameter changesOneRow: whether going wrong includes that it does not change one row.
    /// - Returns: whether it changes one row, as far as that is known or asked for.
    @discardableResult
    package func post<each Argument: SQLBindable>(
        _ sql: String, changesOneRow: Bool = false, _ arguments: repeat each Argument
    ) throws -> Bool {
        try statements.post(sql, Self.values(repeat each arguments), changesOneRow: changesOneRow)
    }

    private static func values<each Argument: SQLBindable>(_ arguments: repeat each Argument) throws -> [SQLValue] {
        var values: [SQLValue] = []
        for argument in repeat each arguments { values.append(try value(argument)) }
        return values
    }

    private static func value(_ argument: some SQLBindable) throws -> SQLValue {
        let value = argument.sqlValue
        // The engines end a text at NUL, and would keep another one than was meant.
        if case .text(let text) = value, holdsNUL(text) { throw StoreError.constraint("a text holds NUL") }
        return value
    }

    private static func holdsNUL(_ text: String) -> Bool {
        text.utf8.withContiguousStorageIfAvailable { $0.contains(0) } ?? text.utf8.contains(0)
    }
}

/// What a writing transaction has for itself while it runs. SQLite has one writer, so that every transaction has everything.
package enum WriteScope: Sendable, Hashable {
    case everything
    /// Rows of one app: its users, keys, grants, limits and its audit chain. Transactions of different apps run side by side.
    case app(AppID)
    /// Rows that nobody decides by any more, and which only one of all deletes.
    case expired

    /// What the entry's record needs.
    package init(of entry: AuditEntry) { self = entry.appID.map(WriteScope.app) ?? .everything }

    func covers(_ appID: AppID?) -> Bool {
        switch self {
        case .everything: true
        case .app(let own): appID == own
        case .expired: false
        }
    }
}

/// What an engine does with the statements of one open transaction.
protocol StatementRunner {
    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [Row]
    func firstRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row?
    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int
    /// Runs a statement, perhaps without waiting for its answer (`Transaction.post`).
    func post(_ sql: String, _ arguments: [SQLValue], changesOneRow: Bool) throws -> Bool
    /// Runs `body` and undoes what it did, and only that, when it throws.
    func savepoint(_ body: () throws -> Void) throws
    /// What earlier transactions read that nobody has changed since; `nil` where that cannot be told.
    func memory() throws -> RecordMemory.View?

    // For moving a whole database.

    /// Every row of the table, some at a time.
    func pages(of table: String, rows: Int, _ body: ([Row]) throws -> Void) throws
    /// Inserts rows as they are.
    func insert(_ rows: [Row], into table: String) throws
    /// Lets the numbers that the engine gives out go on after the greatest that was inserted.
    func continueNumbers() throws
}
