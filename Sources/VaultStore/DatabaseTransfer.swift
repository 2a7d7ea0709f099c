import VaultAPI

// Moving an installation to another database: every row of the database and of its key store, as they are at one moment.

package enum DatabaseTransferError: Error, Sendable, Equatable {
    /// The target holds an installation, or a part of one that is not a copy of this.
    case targetInUse(String)
    /// After copying, a table of the target does not have as many rows as it should.
    case incomplete(table: String)
}

package enum DatabaseTransfer {
    /// Rows that travel at a time.
    private static let pageRows = 500

    /// Copies into databases that hold nothing yet; how many rows each table has. The keys go first. Each of the two databases is
    /// complete or as empty as before, so that one that was interrupted can be begun again, and nobody can serve from it.
    ///
    /// - Parameter onTable: hears of each table of the database once its rows are copied.
    package static func copy(
        _ store: Store, _ keys: KeyStore, to target: DatabaseAddress, keyStore: DatabaseAddress,
        onTable: (_ table: String, _ rows: Int) -> Void
    ) throws -> [String: Int] {
        let database = try target.open(schema: nil)
        let keyDatabase = try keyStore.open(schema: KeyStore.schema)
        defer {
            // Nothing is lost by a connection that does not close well after its commit.
            try? database.close()
            try? keyDatabase.close()
        }
        for engine in [database, keyDatabase] where try engine.isNew() {
            guard try engine.tables().isEmpty else {
                throw DatabaseTransferError.targetInUse("the database is not empty: it holds tables of something else")
            }
        }
        let isUsed = try !database.isNew() && database.read { try $0.row("SELECT id FROM installation LIMIT 1") != nil }
        guard !isUsed else {
            throw DatabaseTransferError.targetInUse("the database is not empty: it holds an installation")
        }
        guard try keys.engine.place() != keyDatabase.place() else {
            throw DatabaseTransferError.targetInUse("the key store is in use by the original")
        }
        if try !keyDatabase.isNew() {
            let keysID = try keyDatabase.read { try $0.row("SELECT id FROM installation")?.text("id") }
            guard try keysID == nil || keysID == store.installationID(), try isCopy(keyDatabase, of: keys),
                try isOnTrail(keyDatabase, of: store)
            else { throw DatabaseTransferError.targetInUse("the key store is in use by an installation") }
        }
        _ = try copy(KeyStore.tables, from: keys.engine, to: keyDatabase, KeyStore.migrations) { _, _ in }
        return try copy(Schema.tables, from: store.engine, to: database, Schema.migrations, onTable: onTable)
    }

    /// Whether every key in `engine` is one of `keys`: what an interrupted copy has left, and nothing that was made since.
    private static func isCopy(_ engine: any Engine, of keys: KeyStore) throws -> Bool {
        try engine.readAtLength { transaction in
            var isCopy = true
            for (table, column) in [("data_keys", "id"), ("ended_users", "id"), ("signing_keys", "id")] {
                try transaction.statements.pages(of: table, rows: pageRows) { rows in
                    isCopy =
                        try isCopy
                        && keys.engine.read { original in
                            try rows.allSatisfy { row in
                                try original.row(
                                    "SELECT 1 AS found FROM \(table) WHERE \(column) = ?1", row.text(column)) != nil
                            }
                        }
                }
            }
            return isCopy
        }
    }

    /// Whether every place of the trail that `engine` remembers is one that the original has had, too: a copy that serves goes on
    /// its own way, and may have destroyed keys since.
    private static func isOnTrail(_ engine: any Engine, of store: Store) throws -> Bool {
        let places = try engine.read { try $0.rows("SELECT chain, sequence, hash FROM audit_anchors") }
        return try store.read { original in
            try places.allSatisfy { place in
                let sequence = try place.integer("sequence")
                let record = try original.row(
                    "SELECT sequence, hash FROM audit_records WHERE chain = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT 1",
                    place.text("chain"), sequence)
                guard let record else { return false }
                // Retention may have removed that record, but never the last one.
                return try record.integer("sequence") > sequence || record.blob("hash") == place.blob("hash")
            }
        }
    }

    private static func copy(
        _ tables: [String], from source: any Engine, to target: any Engine, _ migrations: [Schema.Migration],
        onTable: (String, Int) -> Void
    ) throws -> [String: Int] {
        try source.readAtLength { original in
            // The tables come with their rows: whoever is cut off leaves either or neither.
            try target.migrate(migrations) { copy in
                // What migrations have put there, and what an interrupted copy of the keys has left.
                for table in tables.reversed() { try copy.execute("DELETE FROM \(table)") }
                var counts: [String: Int] = [:]
                for table in tables {
                    try original.statements.pages(of: table, rows: pageRows) { rows in
                        try copy.statements.insert(rows, into: table)
                    }
                    let rows = try count(table, in: original)
                    guard try count(table, in: copy) == rows else {
                        throw DatabaseTransferError.incomplete(table: table)
                    }
                    counts[table] = rows
                    onTable(table, rows)
                }
                if counts[Schema.numberedTable] != nil { try copy.statements.continueNumbers() }
                return counts
            }
        }
    }

    private static func count(_ table: String, in transaction: Transaction) throws -> Int {
        Int(try transaction.row("SELECT count(*) AS total FROM \(table)")?.integer("total") ?? 0)
    }
}
