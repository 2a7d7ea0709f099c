import VaultAPI

/// Where a database is: `sqlite:<path>`, or a connection URI of PostgreSQL (libpq, “Connection URIs”).
package enum DatabaseAddress: Sendable, Equatable {
    case sqlite(path: String)
    /// The URI as it was given. It may hold a password, so that it is never shown.
    case postgresql(uri: String)

    /// `nil` when the text is neither.
    package init?(_ text: String) {
        if text.hasPrefix("sqlite:"), text.utf8.count > "sqlite:".utf8.count {
            self = .sqlite(path: String(text.dropFirst("sqlite:".count)))
        } else if text.hasPrefix("postgresql://") || text.hasPrefix("postgres://") {
            guard PostgresSession.isURI(text) else { return nil }
            self = .postgresql(uri: text)
        } else {
            return nil
        }
    }

    /// What may be logged.
    package var engineName: String {
        switch self {
        case .sqlite: "SQLite"
        case .postgresql: "PostgreSQL"
        }
    }

    /// - Parameter schema: where the tables are on PostgreSQL, made when it is not there; `nil` is where the connection says.
    func open(schema: String?) throws -> any Engine {
        switch self {
        case .sqlite(let path): try SQLiteEngine(path: path)
        case .postgresql(let uri): try PostgresEngine(uri: uri, schema: schema)
        }
    }
}
