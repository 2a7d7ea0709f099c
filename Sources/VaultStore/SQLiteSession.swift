import CSQLite
import VaultAPI

/// One connection to an SQLite file, with the statements that were prepared on it.
struct SQLiteSession: ~Copyable {
    private final class Statement {
        let sql: String
        let pointer: OpaquePointer
        var columns: RowColumns
        /// Whether it can change what uses are decided by.
        let changesRecords: Bool
        /// Whether what it changes is counted in rows.
        let changesRows: Bool

        init(sql: String, pointer: OpaquePointer, columns: RowColumns) {
            self.sql = sql
            self.pointer = pointer
            self.columns = columns
            changesRecords = sqlite3_stmt_readonly(pointer) == 0 && !RecordMemory.isUnaffected(by: sql)
            changesRows = ["INSERT ", "UPDATE ", "DELETE "].contains(where: sql.hasPrefix)
        }
    }

    private let pointer: OpaquePointer
    private var statements: [String: Statement] = [:]
    /// The same by where a text was last: hashing it all costs as much as some statements do.
    private var statementsByPlace: [Int: Statement] = [:]
    /// Whether something was changed that uses are decided by, since `takeHasChanged`.
    private(set) var hasChanged = false

    private static let preparedMax = 1000
    /// Lets SQLite copy what is bound (`SQLITE_TRANSIENT`).
    private static let copying = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    /// Opens a file that exists.
    static func open(path: String, busyMilliseconds: Int32) throws -> SQLiteSession {
        var pointer: OpaquePointer?
        let code = sqlite3_open_v2(path, &pointer, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let pointer else {
            sqlite3_close_v2(pointer)
            throw StoreError.unavailable("SQLite \(code)")
        }
        sqlite3_extended_result_codes(pointer, 1)
        sqlite3_busy_timeout(pointer, busyMilliseconds)
        return SQLiteSession(pointer: pointer)
    }

    private init(pointer: OpaquePointer) { self.pointer = pointer }

    deinit {
        for statement in statements.values { sqlite3_finalize(statement.pointer) }
        sqlite3_close_v2(pointer)
    }

    /// Rows changed so far.
    var changes: Int64 { sqlite3_total_changes64(pointer) }

    mutating func takeHasChanged() -> Bool {
        defer { hasChanged = false }
        return hasChanged
    }

    var isInTransaction: Bool { sqlite3_get_autocommit(pointer) == 0 }

    func setBusy(milliseconds: Int32) { sqlite3_busy_timeout(pointer, milliseconds) }

    mutating func rows(_ sql: String, _ arguments: [SQLValue], limit: Int = .max) throws -> [Row] {
        let statement = try prepared(sql)
        if statement.changesRecords { hasChanged = true }
        defer { Self.end(statement.pointer) }
        bind(arguments, to: statement.pointer)
        return try nextRows(of: statement, limit: limit)
    }

    /// The next rows of a statement without parameters, which goes on until `end`.
    mutating func nextRows(_ sql: String, limit: Int) throws -> [Row] { try nextRows(of: prepared(sql), limit: limit) }

    func end(_ sql: String) { if let statement = statements[sql] { Self.end(statement.pointer) } }

    private func nextRows(of statement: Statement, limit: Int) throws -> [Row] {
        var columns = statement.columns
        var rows: [Row] = []
        while rows.count < limit, try step(statement.pointer) {
            let width = sqlite3_column_count(statement.pointer)
            if rows.isEmpty, sqlite3_stmt_status(statement.pointer, SQLITE_STMTSTATUS_REPREPARE, 1) > 0 {
                // SQLite has prepared it anew: perhaps for a schema that another process has changed.
                columns = Self.columns(statement.pointer)
                statement.columns = columns
            }
            rows.append(Row(columns: columns, values: (0..<width).map { Self.value(statement.pointer, $0) }))
        }
        return rows
    }

    mutating func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        let statement = try prepared(sql)
        defer { Self.end(statement.pointer) }
        bind(arguments, to: statement.pointer)
        let before = changes
        while try step(statement.pointer) {}
        if statement.changesRecords, changes != before || !statement.changesRows { hasChanged = true }
        return Int(sqlite3_changes(pointer))
    }

    private mutating func prepared(_ sql: String) throws -> Statement {
        let place = sql.utf8.withContiguousStorageIfAvailable { Int(bitPattern: $0.baseAddress) &+ $0.count } ?? 0
        let statement: Statement
        if let known = statementsByPlace[place], known.sql == sql {
            statement = known
        } else {
            statement = try statements[sql] ?? prepare(sql)
            if statementsByPlace.count >= Self.preparedMax { statementsByPlace = [:] }
            statementsByPlace[place] = statement
        }
        return statement
    }

    private mutating func prepare(_ sql: String) throws -> Statement {
        if statements.count >= Self.preparedMax {
            for statement in statements.values { sqlite3_finalize(statement.pointer) }
            statements = [:]
            statementsByPlace = [:]
        }
        var made: OpaquePointer?
        guard sqlite3_prepare_v3(pointer, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &made, nil) == SQLITE_OK, let made
        else { throw failure() }
        let statement = Statement(sql: sql, pointer: made, columns: Self.columns(made))
        statements[sql] = statement
        return statement
    }

    /// Whether there is a row.
    private func step(_ statement: OpaquePointer) throws -> Bool {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure()
        }
    }

    /// The message of a constraint names table and column; of everything else only the number is told.
    private func failure() -> StoreError {
        let code = sqlite3_extended_errcode(pointer)
        guard code & 0xFF == SQLITE_CONSTRAINT else { return .unavailable("SQLite \(code)") }
        return .constraint(sqlite3_errmsg(pointer).map { String(cString: $0) } ?? "")
    }

    /// What was bound may be secret and is not kept.
    private static func end(_ statement: OpaquePointer) {
        sqlite3_reset(statement)
        sqlite3_clear_bindings(statement)
    }

    // MARK: Values

    private func bind(_ arguments: [SQLValue], to statement: OpaquePointer) {
        var place: Int32 = 0
        for argument in arguments {
            place += 1
            switch argument {
            case .null: sqlite3_bind_null(statement, place)
            case .integer(let integer): sqlite3_bind_int64(statement, place, integer)
            case .text(let text): sqlite3_bind_text(statement, place, text, Int32(text.utf8.count), Self.copying)
            case .blob(let blob):
                _ = blob.withUnsafeBytes { bytes in
                    bytes.isEmpty
                        ? sqlite3_bind_zeroblob(statement, place, 0)
                        : sqlite3_bind_blob(statement, place, bytes.baseAddress, Int32(bytes.count), Self.copying)
                }
            }
        }
    }

    private static func columns(_ statement: OpaquePointer) -> RowColumns {
        RowColumns(
            (0..<sqlite3_column_count(statement)).map { column in
                sqlite3_column_name(statement, column).map { String(cString: $0) } ?? ""
            })
    }

    private static func value(_ statement: OpaquePointer, _ column: Int32) -> SQLValue {
        func bytes(_ start: UnsafeRawPointer?) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(statement, column)))
        }
        switch sqlite3_column_type(statement, column) {
        case SQLITE_INTEGER: return .integer(sqlite3_column_int64(statement, column))
        case SQLITE_TEXT: return .text(String(decoding: bytes(sqlite3_column_text(statement, column)), as: UTF8.self))
        case SQLITE_BLOB: return .blob(Array(bytes(sqlite3_column_blob(statement, column))))
        case SQLITE_FLOAT: return .text(String(sqlite3_column_double(statement, column)))
        default: return .null(.text)
        }
    }
}
