import Foundation
import VaultAPI
import VaultCrypto

// Wrapped keys, apart from what they open. It lives in a file of its own beside the master key, so that a backup of the
// main database, restored next to it, opens nothing whose key was destroyed since.

package enum KeyStoreError: Error, Sendable, Equatable {
    /// The key was destroyed, or never existed: what it sealed stays closed.
    case keyDestroyed
    /// The master key is not the one that this store's keys were wrapped with.
    case wrongMasterKey
    case unavailable(String)
}

package struct KeyStore: Sendable {
    private let engine: SQLiteEngine
    private let masterKey: MasterKey

    private static let migrations = [
        Schema.Migration(
            name: "keys-0001",
            statements: [
                """
                CREATE TABLE data_keys (
                    id TEXT PRIMARY KEY NOT NULL, purpose TEXT NOT NULL, wrapped BLOB NOT NULL,
                    created_at INTEGER NOT NULL) STRICT
                """,
                "CREATE TABLE system_keys (name TEXT PRIMARY KEY NOT NULL, wrapped BLOB NOT NULL) STRICT",
            ])
    ]

    /// Opens or creates the store and proves that the master key fits.
    package init(sqlitePath: String, masterKey: MasterKey) throws {
        engine = try SQLiteEngine(path: sqlitePath)
        self.masterKey = masterKey
        try engine.migrate(Self.migrations)
        _ = try systemKey("check")
    }

    /// A random key of the installation, made at first use.
    package func systemKey(_ name: String) throws -> Secret {
        let wrapped = try engine.writeNow { transaction in
            if let row = try transaction.row("SELECT wrapped FROM system_keys WHERE name = ?1", name) {
                return try row.blob("wrapped")
            }
            let fresh = try masterKey.wrap(Secret(RandomBytes.make(32)), name: name)
            try transaction.execute("INSERT INTO system_keys (name, wrapped) VALUES (?1, ?2)", name, fresh)
            return fresh
        }
        do { return try masterKey.unwrapSecret(wrapped, name: name) } catch { throw KeyStoreError.wrongMasterKey }
    }

    /// Makes a data key and returns once it is durable: nothing is ever sealed under a key that could be lost.
    package func createDataKey(purpose: String, now: Instant) throws -> (id: DataKeyID, key: DataKey) {
        let id = DataKeyID()
        let key = DataKey()
        let wrapped = try masterKey.wrap(key, id: id.text)
        try engine.writeNow { transaction in
            _ = try transaction.execute(
                "INSERT INTO data_keys (id, purpose, wrapped, created_at) VALUES (?1, ?2, ?3, ?4)", id, purpose,
                wrapped, now)
        }
        return (id, key)
    }

    /// The key, read from the store at every call: a destroyed key must not live on in memory.
    package func dataKey(_ id: DataKeyID) throws -> DataKey {
        let row = try engine.read { try $0.row("SELECT wrapped FROM data_keys WHERE id = ?1", id) }
        guard let row else { throw KeyStoreError.keyDestroyed }
        do { return try masterKey.unwrap(try row.blob("wrapped"), id: id.text) } catch is SealError {
            throw KeyStoreError.wrongMasterKey
        }
    }

    /// Destroys keys for good: deleted, their pages overwritten, and no earlier page left in the log. Idempotent.
    package func destroyDataKeys(_ ids: [DataKeyID]) throws {
        guard !ids.isEmpty else { return }
        try engine.writeNow { transaction in
            for id in ids { try transaction.execute("DELETE FROM data_keys WHERE id = ?1", id) }
        }
        try engine.checkpointNow()
    }

    package func dataKeyIDs(purpose: String) throws -> [DataKeyID] {
        try engine.read { try $0.rows("SELECT id FROM data_keys WHERE purpose = ?1", purpose).map { try $0.id("id") } }
    }

    package func close() throws { try engine.close() }
}
