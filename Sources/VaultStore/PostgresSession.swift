import CPostgres
import Foundation
import VaultAPI

// One session with a PostgreSQL server by libpq, in pipeline mode (PostgreSQL 14 and later, libpq “Pipeline Mode”): what needs
// no answer of its own travels with the next statement that does. Values travel in binary form.

struct PostgresSession: ~Copyable {
    /// What a statement answered.
    struct Answer {
        var rows: [Row] = []
        var changed = 0
        /// The command's tag, such as `COMMIT` or `UPDATE 1`.
        var tag = ""
    }

    /// A statement is prepared for the types of its arguments.
    private struct StatementKey: Hashable {
        let sql: String
        let types: [UInt32]
    }

    /// What was sent and is not answered, in order.
    private enum Expected {
        case preparation(StatementKey)
        case answer
        /// Of a statement that was posted.
        case change(ofOneRow: Bool)
        case sync
    }

    private let pointer: OpaquePointer
    private var statements: [StatementKey: String] = [:]
    private var lastStatement = 0
    private var expected: [Expected] = []
    /// Whether it can be used no more: the server is away, or nobody knows what it will answer.
    private(set) var isBroken = false
    /// Whether a statement of the transaction took, or waited for somebody else's lock, as long as it may.
    private(set) var isHeldUp = false
    /// Whether a statement of the transaction failed in another way, or did not change the one row that it had to.
    private(set) var hasFailed = false

    /// How long the server may take for one answer. It ends statements by itself somewhat earlier.
    private var answerSecondsMax = 10
    private static let statementMillisecondsMax = 8000
    private static let lockMillisecondsMax = 5000
    /// A node that stops in the middle of a transaction must not keep its locks from the others.
    private static let idleInTransactionMillisecondsMax = 10_000
    private static let preparedMax = 1000

    /// libpq's OpenSSL frees at the process's exit what each thread has of it, while threads that end free that themselves, and a
    /// stop could crash (OPENSSL_init_crypto(3), `OPENSSL_INIT_NO_ATEXIT`). Before anything of OpenSSL is used.
    private static let keepsOpenSSLAtExit: Void = {
        _ = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil)
    }()

    /// Whether libpq can read the text.
    static func isURI(_ text: String) -> Bool {
        guard let options = PQconninfoParse(text, nil) else { return false }
        PQconninfoFree(options)
        return true
    }

    /// Connects. Blocks for three seconds at most for each address of the URI, unless it says otherwise.
    ///
    /// - Parameter schema: the first one in which tables are looked for; `nil` leaves that to the connection.
    static func connect(uri: String, schema: String?) throws -> PostgresSession {
        _ = keepsOpenSSLAtExit
        let parameters = [
            "connect_timeout": "3", "fallback_application_name": "sallyport", "client_encoding": "UTF8",
            "tcp_user_timeout": "10000", "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3",
        ]
        // Of two values for one parameter the later counts: what the URI says.
        let connected = withCStrings(Array(parameters.keys) + ["dbname"]) { names in
            withCStrings(Array(parameters.values) + [uri]) { PQconnectdbParams(names, $0, 1) }
        }
        guard let connected else { throw StoreError.unavailable("PostgreSQL: no memory for a connection") }
        guard PQstatus(connected) == CONNECTION_OK else {
            let reason = reason(connected)
            PQfinish(connected)
            throw StoreError.unavailable("PostgreSQL: \(reason)")
        }
        PQsetNoticeProcessor(connected, { _, _ in }, nil)
        var session = PostgresSession(pointer: connected)
        try session.setUp(schema: schema)
        return session
    }

    private init(pointer: OpaquePointer) { self.pointer = pointer }

    deinit { PQfinish(pointer) }

    private mutating func setUp(schema: String?) throws {
        guard PQserverVersion(pointer) >= 130_000 else {
            throw StoreError.unavailable("PostgreSQL: version 13 or later is needed")
        }
        guard PQsetnonblocking(pointer, 1) == 0, PQenterPipelineMode(pointer) == 1 else {
            throw StoreError.unavailable("PostgreSQL: no pipeline")
        }
        let settings = [
            "statement_timeout = \(Self.statementMillisecondsMax)", "lock_timeout = \(Self.lockMillisecondsMax)",
            "idle_in_transaction_session_timeout = \(Self.idleInTransactionMillisecondsMax)",
            // A node that is gone without a word must not keep its locks and leases.
            "tcp_keepalives_idle = 5", "tcp_keepalives_interval = 2", "tcp_keepalives_count = 3",
            "tcp_user_timeout = 10000", "default_transaction_isolation = 'read committed'",
            "standard_conforming_strings = on",
        ]
        for setting in settings + (schema.map { ["search_path = \($0)"] } ?? []) { try queue("SET \(setting)") }
        // Durable before acknowledged. What is stronger than “on” stays.
        _ = try run(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            [])
    }

    /// The first line of what libpq says about a failed connection: addresses, names of users and databases, no password.
    private static func reason(_ pointer: OpaquePointer) -> String {
        let message = PQerrorMessage(pointer).map { String(cString: $0) } ?? ""
        let line = message.split(separator: "\n").first.map(String.init) ?? "no connection"
        guard let password = PQpass(pointer).map({ String(cString: $0) }), !password.isEmpty else { return line }
        return line.replacing(password, with: "…")
    }

    // MARK: Statements

    /// For a change of the schema, which takes as long as it takes.
    mutating func liftDeadlines() throws {
        answerSecondsMax = 3600
        for name in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
            try queue("SET \(name) = 0")
        }
    }

    /// Sends a statement without arguments along with the next one that is run, or at `flush`. An error of it is thrown there.
    mutating func queue(_ sql: String) throws {
        guard !isBroken else { throw lost() }
        try dispatch(sql, name: nil, [])
    }

    /// The same with arguments, whose types the server finds out, as it can where it inserts.
    mutating func queueInsert(_ sql: String, _ arguments: [SQLValue]) throws {
        try send(sql, arguments, areTypesInferred: true)
    }

    /// The same with arguments. What goes wrong is thrown where an answer is waited for.
    ///
    /// - Parameter changesOneRow: whether it is an error that it does not.
    mutating func post(_ sql: String, _ arguments: [SQLValue], changesOneRow: Bool) throws {
        try send(sql, arguments, expecting: .change(ofOneRow: changesOneRow))
    }

    var owesAnswers: Bool { !expected.isEmpty }

    /// Whether a statement without an answer yet has to change one row. A commit that is sent along would not mind.
    var owesRow: Bool {
        expected.contains { if case .change(ofOneRow: true) = $0 { true } else { false } }
    }

    /// Runs a statement, after those that were queued.
    mutating func run(_ sql: String, _ arguments: [SQLValue]) throws -> Answer {
        try send(sql, arguments)
        return try settle()
    }

    /// Sends what is queued without waiting for answers; they are read before the next one is.
    mutating func flush() throws {
        guard PQpipelineSync(pointer) == 1 else { throw lost() }
        expected.append(.sync)
        guard PQflush(pointer) >= 0 else { throw lost() }
    }

    /// Whether the server has ended the session since it was last used.
    mutating func noticeEnd() {
        // What it says when it ends comes before the end itself, and after the answers that nobody has read yet.
        while !isBroken {
            var watched = pollfd(fd: PQsocket(pointer), events: Int16(POLLIN), revents: 0)
            guard poll(&watched, 1, 0) > 0 else { return }
            if PQconsumeInput(pointer) == 0 || PQstatus(pointer) != CONNECTION_OK { isBroken = true }
        }
    }

    private mutating func send(
        _ sql: String, _ arguments: [SQLValue], areTypesInferred: Bool = false, expecting: Expected = .answer
    ) throws {
        guard !isBroken else { throw lost() }
        let key = StatementKey(sql: sql, types: areTypesInferred ? [] : arguments.map(Self.type))
        let name: String
        if let known = statements[key] {
            name = known
        } else {
            if statements.count >= Self.preparedMax {
                try dispatch("DEALLOCATE ALL", name: nil, [])
                statements = [:]
            }
            lastStatement += 1
            name = "s\(lastStatement)"
            guard
                PQsendPrepare(pointer, name, PostgresDialect.statement(sql), Int32(key.types.count), key.types) == 1
            else { throw lost() }
            expected.append(.preparation(key))
            statements[key] = name
        }
        try dispatch(sql, name: name, arguments, expecting: expecting)
    }

    private mutating func dispatch(
        _ sql: String, name: String?, _ arguments: [SQLValue], expecting: Expected = .answer
    ) throws {
        var bytes: [UInt8] = []
        var lengths: [Int32] = []
        for argument in arguments {
            let start = bytes.count
            switch argument {
            case .null: break
            case .integer(let integer): withUnsafeBytes(of: integer.bigEndian) { bytes.append(contentsOf: $0) }
            case .text(let text): bytes.append(contentsOf: text.utf8)
            case .blob(let blob): bytes.append(contentsOf: blob)
            }
            lengths.append(Int32(bytes.count - start))
        }
        // An address inside, also of an empty value at the end.
        bytes.append(0)
        let formats = [Int32](repeating: 1, count: arguments.count)
        let isSent = bytes.withUnsafeBytes { buffer in
            var offset = 0
            let values = zip(arguments, lengths).map { argument, length -> UnsafePointer<CChar>? in
                defer { offset += Int(length) }
                if case .null = argument { return nil }
                return buffer.baseAddress?.advanced(by: offset).assumingMemoryBound(to: CChar.self)
            }
            guard let name else {
                return PQsendQueryParams(pointer, sql, 0, nil, nil, nil, nil, 1)
            }
            return PQsendQueryPrepared(pointer, name, Int32(values.count), values, lengths, formats, 1)
        }
        guard isSent == 1 else { throw lost() }
        expected.append(expecting)
    }

    /// Sends what is queued, reads every answer, and returns the last one; throws the first error among them.
    mutating func settle() throws -> Answer {
        guard !isBroken else { throw lost() }
        guard PQpipelineSync(pointer) == 1 else { throw lost() }
        expected.append(.sync)
        var answer = Answer()
        var failure: StoreError?
        let awaited = expected
        expected = []
        for item in awaited {
            let deadline = ContinuousClock.now.advanced(by: .seconds(answerSecondsMax))
            try waitForResult(until: deadline)
            let result = PQgetResult(pointer)
            defer { PQclear(result) }
            let status = PQresultStatus(result)
            if case .sync = item {
                guard status == PGRES_PIPELINE_SYNC else { throw lost(failure) }
                continue
            }
            switch status {
            case PGRES_COMMAND_OK, PGRES_TUPLES_OK:
                switch item {
                case .answer where failure == nil: answer = try Self.answer(result)
                case .change(ofOneRow: true) where Self.changed(result) != 1:
                    hasFailed = true
                    failure = failure ?? .unavailable("PostgreSQL: a statement did not change its row")
                default: break
                }
            case PGRES_FATAL_ERROR, PGRES_PIPELINE_ABORTED:
                if case .preparation(let key) = item { statements[key] = nil }
                let found = Self.error(of: result)
                if found.isHeldUp { isHeldUp = true } else { hasFailed = true }
                if status == PGRES_FATAL_ERROR, failure == nil { failure = found.error }
                if found.endsSession || PQstatus(pointer) != CONNECTION_OK { throw lost(failure) }
            default: throw lost(failure)
            }
            // The end of this statement's answers.
            try waitForResult(until: deadline)
            guard PQgetResult(pointer) == nil else { throw lost(failure) }
        }
        if let failure { throw failure }
        return answer
    }

    private mutating func waitForResult(until deadline: ContinuousClock.Instant) throws {
        while true {
            let unsent = PQflush(pointer)
            guard unsent >= 0 else { throw lost() }
            if PQisBusy(pointer) == 0 { return }
            let left = deadline - .now
            guard left > .zero else { throw lost() }
            let milliseconds = Int32(left.components.seconds * 1000 + 1)
            var watched = pollfd(
                fd: PQsocket(pointer), events: Int16(POLLIN) | (unsent > 0 ? Int16(POLLOUT) : 0), revents: 0)
            guard poll(&watched, 1, milliseconds) >= 0 || errno == EINTR else { throw lost() }
            guard PQconsumeInput(pointer) == 1 else { throw lost() }
        }
    }

    /// It is not used again.
    mutating func giveUp() { isBroken = true }

    /// A transaction begins.
    mutating func forgetFailures() {
        isHeldUp = false
        hasFailed = false
    }

    /// Gives the session up: what was sent may have happened or not.
    private mutating func lost(_ failure: StoreError? = nil) -> StoreError {
        isBroken = true
        return failure ?? .unavailable("PostgreSQL: the connection was lost")
    }

    // MARK: Values

    /// Object identifiers of PostgreSQL's built-in types (`pg_type.dat`).
    private enum TypeID {
        static let bool: UInt32 = 16
        static let bytea: UInt32 = 17
        static let name: UInt32 = 19
        static let int8: UInt32 = 20
        static let int2: UInt32 = 21
        static let int4: UInt32 = 23
        static let text: UInt32 = 25
        static let unknown: UInt32 = 705
        static let varchar: UInt32 = 1043
        static let void: UInt32 = 2278
    }

    private static func type(_ value: SQLValue) -> UInt32 {
        switch value {
        case .integer, .null(.integer): TypeID.int8
        case .text, .null(.text): TypeID.text
        case .blob, .null(.blob): TypeID.bytea
        }
    }

    private static func answer(_ result: OpaquePointer?) throws -> Answer {
        var answer = Answer()
        answer.tag = PQcmdStatus(result).map { String(cString: $0) } ?? ""
        answer.changed = changed(result)
        let rows = PQntuples(result)
        guard rows > 0 else { return answer }
        let width = PQnfields(result)
        let columns = RowColumns((0..<width).map { PQfname(result, $0).map { String(cString: $0) } ?? "" })
        let types = (0..<width).map { PQftype(result, $0) }
        answer.rows.reserveCapacity(Int(rows))
        for row in 0..<rows {
            let values = try (0..<width).map { column in
                try value(result, row, column, type: types[Int(column)])
            }
            answer.rows.append(Row(columns: columns, values: values))
        }
        return answer
    }

    private static func changed(_ result: OpaquePointer?) -> Int {
        PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
    }

    private static func value(_ result: OpaquePointer?, _ row: Int32, _ column: Int32, type: UInt32) throws -> SQLValue
    {
        guard PQgetisnull(result, row, column) == 0 else { return .null(.text) }
        let bytes = UnsafeRawBufferPointer(
            start: PQgetvalue(result, row, column), count: Int(PQgetlength(result, row, column)))
        func integer<Number: FixedWidthInteger>(_: Number.Type) -> SQLValue {
            .integer(Int64(bytes.loadUnaligned(as: Number.self).bigEndian))
        }
        switch type {
        case TypeID.int8: return integer(Int64.self)
        case TypeID.int4: return integer(Int32.self)
        case TypeID.int2: return integer(Int16.self)
        case TypeID.bool: return .integer(bytes.first == 1 ? 1 : 0)
        case TypeID.text, TypeID.varchar, TypeID.name, TypeID.unknown:
            return .text(String(decoding: bytes, as: UTF8.self))
        case TypeID.bytea: return .blob(Array(bytes))
        case TypeID.void: return .null(.text)
        default: throw StoreError.corrupt("a column of type \(type)")
        }
    }

    // MARK: Errors

    /// By SQLSTATE (PostgreSQL, appendix A). Details, which hold values, stay out.
    private static func error(of result: OpaquePointer?) -> (error: StoreError, endsSession: Bool, isHeldUp: Bool) {
        func field(_ code: Character) -> String {
            PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) } ?? ""
        }
        let state = field("C")
        if state.hasPrefix("23") { return (.constraint(field("M")), false, false) }
        // Connection failures, an administrator's end, a server that only reads (a failover), statements that were forgotten, or
        // prepared before a newer version changed their table.
        let endsSession =
            ["08", "57P"].contains(where: state.hasPrefix) || ["25006", "26000", "0A000"].contains(state)
        return (.unavailable("PostgreSQL \(state)"), endsSession, ["55P03", "57014"].contains(state))
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result?
    ) -> Result? {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        let pointers = copies.map { UnsafePointer<CChar>($0) } + [nil]
        return pointers.withUnsafeBufferPointer { buffer in buffer.baseAddress.flatMap(body) }
    }
}
