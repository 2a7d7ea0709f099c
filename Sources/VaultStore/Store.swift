import Foundation
import VaultAPI

// The database: one schema and one SQL text. This file and those named after nouns know no engine; what SQLite and PostgreSQL
// do their own ways sits in SQLiteEngine.swift and in the files named after PostgreSQL. Functions on an open `Transaction` are synchronous, and the caller owns its
// borders, because only the caller knows the invariant.

package enum StoreError: Error, Sendable, Equatable {
    /// The database is away, full, read-only or broken. Nothing of the transaction happened.
    case unavailable(String)
    /// A constraint of the schema refused the write.
    case constraint(String)
    /// A stored value is not what the schema promises. Names the column, never the value.
    case corrupt(String)
}

/// The main database of an installation.
package struct Store: Sendable {
    let engine: any Engine

    /// Opens the database and brings its schema up to date.
    ///
    /// - Parameter creating: whether one that has no schema yet is taken for a new one.
    package init(_ address: DatabaseAddress, creating: Bool = true) throws {
        engine = try address.open(schema: nil)
        guard try creating || !engine.isNew() else { throw StoreError.unavailable("it holds no installation") }
        try engine.migrate(Schema.migrations)
    }

    /// Where tasks run that read here, when reads may block for longer than a task may hold a thread of everybody's.
    package var executor: BlockingExecutor? { engine.executor }

    /// Runs `body` on one committed state. Blocks: for the microseconds of a local read, or for a round trip to a server.
    package func read<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try engine.read(body)
    }

    /// The same for a first look at what a transaction decides that is going to write: what earlier ones read may stand for rows
    /// that nobody in this process has changed since.
    package func recall<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        try engine.recall(body)
    }

    /// The records as they are remembered now, for a transaction to tell whether that is how they are
    /// (`Transaction.isUnchanged`).
    package var recordView: RecordMemory.View? { engine.recordView }

    /// Runs `body` in a transaction of its own and returns once it is durable. Nothing in `scope` is changed by anybody else
    /// meanwhile, on no node, so that what `body` reads there holds until it is committed.
    ///
    /// Transactions that arrive together are committed together; each keeps its own all-or-nothing. A throw rolls
    /// `body` back, and only it: what must outlive a refusal is returned, then thrown.
    ///
    /// - Parameter recalls: whether what earlier transactions read may stand for rows that have not changed since, whoever
    ///   could have changed them.
    package func write<Result: Sendable>(
        in scope: WriteScope = .everything, recalls: Bool = false,
        _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        try await engine.write(scope, recalls: recalls, body)
    }

    /// What one of the nodes does at a time.
    package var leases: Leases { engine.leases }

    /// Whether other nodes serve from the same database.
    package var isShared: Bool { engine.isShared }

    /// Erases what was overwritten or deleted, as far as the engine can: on SQLite, no file holds it any more.
    package func erase() async throws { try await engine.erase() }

    /// Facts for the start-up log and the tests, such as SQLite's journal mode and synchronous level.
    package func settings() throws -> [String: String] { try engine.settings() }

    package func close() throws { try engine.close() }

    // MARK: What the key store is held against

    package func installationID() throws -> String? {
        try engine.read { try $0.row("SELECT id FROM installation")?.text("id") }
    }

    /// The id that the database has, which is `id` when it has none yet.
    package func installationID(orSet id: String) throws -> String {
        try engine.writeNow { try $0.installationID(orSet: id) }
    }

    /// Whether nobody has used the database yet.
    package func isEmpty() throws -> Bool {
        try engine.read { try $0.row("SELECT 1 AS found FROM operators LIMIT 1") == nil }
    }
}

extension Transaction {
    func installationID(orSet id: String) throws -> String {
        if let known = try row("SELECT id FROM installation")?.text("id") { return known }
        try execute("INSERT INTO installation (id) VALUES (?1)", id)
        return id
    }
}

// MARK: - Values

package enum SQLType: Sendable {
    case integer, text, blob
}

package enum SQLValue: Sendable, Equatable {
    /// Of what is absent: PostgreSQL wants to know it.
    case null(SQLType)
    case integer(Int64)
    case text(String)
    case blob([UInt8])
}

/// What can stand for a numbered parameter.
package protocol SQLBindable: Sendable {
    static var sqlType: SQLType { get }
    var sqlValue: SQLValue { get }
}

extension SQLBindable { package static var sqlType: SQLType { .text } }

extension String: SQLBindable { package var sqlValue: SQLValue { .text(self) } }
extension Identifier: SQLBindable { package var sqlValue: SQLValue { .text(text) } }
extension JSON: SQLBindable { package var sqlValue: SQLValue { .text(text) } }

package protocol SQLInteger: SQLBindable {}
extension SQLInteger { package static var sqlType: SQLType { .integer } }
extension Int: SQLInteger { package var sqlValue: SQLValue { .integer(Int64(self)) } }
extension Int64: SQLInteger { package var sqlValue: SQLValue { .integer(self) } }
extension Bool: SQLInteger { package var sqlValue: SQLValue { .integer(self ? 1 : 0) } }
extension Instant: SQLInteger { package var sqlValue: SQLValue { .integer(milliseconds) } }

extension [UInt8]: SQLBindable {
    package static var sqlType: SQLType { .blob }
    package var sqlValue: SQLValue { .blob(self) }
}

extension Optional: SQLBindable where Wrapped: SQLBindable {
    package static var sqlType: SQLType { Wrapped.sqlType }
    package var sqlValue: SQLValue {
        switch self {
        case .some(let value): value.sqlValue
        case .none: .null(Wrapped.sqlType)
        }
    }
}

/// The names of a statement's columns, and where each is.
final class RowColumns: Sendable {
    let names: [String]
    /// Places by a few bytes of the name, one after the other where these are the same; `-1` where there is none.
    private let places: [Int16]

    init(_ names: [String]) {
        self.names = names
        var places = [Int16](repeating: -1, count: max(8, names.count * 4).nextPowerOfTwo)
        for (index, name) in names.enumerated().reversed() {
            var place = Self.hash(name) & (places.count - 1)
            while places[place] >= 0, names[Int(places[place])] != name { place = (place + 1) & (places.count - 1) }
            places[place] = Int16(index)
        }
        self.places = places
    }

    func place(of name: String) -> Int? {
        var place = Self.hash(name) & (places.count - 1)
        while places[place] >= 0 {
            let index = Int(places[place])
            if names[index] == name { return index }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private static func hash(_ name: String) -> Int {
        let bytes = name.utf8
        guard let first = bytes.first, let last = bytes.last else { return 0 }
        return Int(first) &* 31 &+ Int(last) &* 7 &+ bytes.count &* 131
    }
}

extension Int {
    fileprivate var nextPowerOfTwo: Int { 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}

/// One row of an answer.
package struct Row: Sendable {
    let columns: RowColumns
    let values: [SQLValue]

    private func value(_ column: String) throws -> SQLValue {
        guard let index = columns.place(of: column) else { throw StoreError.corrupt(column) }
        return values[index]
    }

    package func optionalText(_ column: String) throws -> String? {
        switch try value(column) {
        case .null: nil
        case .text(let text): text
        default: throw StoreError.corrupt(column)
        }
    }

    package func text(_ column: String) throws -> String {
        guard let text = try optionalText(column) else { throw StoreError.corrupt(column) }
        return text
    }

    package func optionalInteger(_ column: String) throws -> Int64? {
        switch try value(column) {
        case .null: nil
        case .integer(let integer): integer
        default: throw StoreError.corrupt(column)
        }
    }

    package func integer(_ column: String) throws -> Int64 {
        guard let integer = try optionalInteger(column) else { throw StoreError.corrupt(column) }
        return integer
    }

    package func bool(_ column: String) throws -> Bool { try integer(column) != 0 }

    package func optionalBlob(_ column: String) throws -> [UInt8]? {
        switch try value(column) {
        case .null: nil
        case .blob(let bytes): bytes
        default: throw StoreError.corrupt(column)
        }
    }

    package func blob(_ column: String) throws -> [UInt8] {
        guard let bytes = try optionalBlob(column) else { throw StoreError.corrupt(column) }
        return bytes
    }

    package func optionalInstant(_ column: String) throws -> Instant? {
        try optionalInteger(column).map(Instant.init(milliseconds:))
    }

    package func instant(_ column: String) throws -> Instant { Instant(milliseconds: try integer(column)) }

    package func optionalID<Noun>(_ column: String) throws -> Identifier<Noun>? {
        guard let text = try optionalText(column) else { return nil }
        guard let id = Identifier<Noun>(text) else { throw StoreError.corrupt(column) }
        return id
    }

    package func id<Noun>(_ column: String) throws -> Identifier<Noun> {
        guard let id: Identifier<Noun> = try optionalID(column) else { throw StoreError.corrupt(column) }
        return id
    }

    package func choice<Choice: RawRepresentable<String>>(_ column: String) throws -> Choice {
        guard let choice = Choice(rawValue: try text(column)) else { throw StoreError.corrupt(column) }
        return choice
    }

    /// - Parameter comesAgain: whether the same text is read at many uses, so that what it says is worth keeping.
    package func optionalJSON(_ column: String, comesAgain: Bool = true) throws -> JSON? {
        guard let text = try optionalText(column) else { return nil }
        do { return comesAgain ? try ParsedDocuments.json(text) : try JSON(parsing: text) } catch {
            throw StoreError.corrupt(column)
        }
    }

    package func object(_ column: String, comesAgain: Bool = true) throws -> JSONObject {
        guard let object = try optionalJSON(column, comesAgain: comesAgain)?.object else {
            throw StoreError.corrupt(column)
        }
        return object
    }

    package func optionalStrings(_ column: String) throws -> [String]? {
        guard let json = try optionalJSON(column) else { return nil }
        guard let array = json.array else { throw StoreError.corrupt(column) }
        return array.compactMap(\.string)
    }

    package func strings(_ column: String) throws -> [String] { try optionalStrings(column) ?? [] }
}
