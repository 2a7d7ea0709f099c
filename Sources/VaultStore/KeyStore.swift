import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain

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
    let engine: any Engine
    private let masterKey: MasterKey

    /// Where it is on PostgreSQL, so that it can be left out of a backup of the database.
    static let schema = "sallyport_keys"

    /// In the order in which rows can be inserted.
    static let tables = ["installation", "data_keys", "system_keys", "signing_keys", "ended_users", "audit_anchors"]

    static let migrations = [
        Schema.Migration(
            name: "keys-0001",
            statements: [
                """
                CREATE TABLE data_keys (
                    id TEXT PRIMARY KEY NOT NULL, purpose TEXT NOT NULL, wrapped BLOB NOT NULL,
                    created_at INTEGER NOT NULL) STRICT
                """,
                "CREATE TABLE system_keys (name TEXT PRIMARY KEY NOT NULL, wrapped BLOB NOT NULL) STRICT",
            ]),
        Schema.Migration(
            name: "keys-0002",
            statements: [
                "CREATE TABLE installation (id TEXT PRIMARY KEY NOT NULL) STRICT",
                """
                CREATE TABLE audit_anchor (
                    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1), sequence INTEGER NOT NULL, hash BLOB NOT NULL) STRICT
                """,
            ]),
        Schema.Migration(
            name: "keys-0003",
            statements: [
                """
                CREATE TABLE signing_keys (
                    id TEXT PRIMARY KEY NOT NULL, public_key TEXT NOT NULL, wrapped BLOB, signs_from INTEGER NOT NULL) STRICT
                """
            ]),
        Schema.Migration(
            name: "keys-0004",
            statements: [
                """
                CREATE TABLE ended_users (
                    id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL, issuer TEXT NOT NULL,
                    external_subject_id TEXT NOT NULL, subjects TEXT NOT NULL, epoch INTEGER NOT NULL,
                    created_at INTEGER NOT NULL) STRICT
                """
            ]),
        Schema.Migration(
            name: "keys-0005",
            statements: [
                "CREATE TABLE audit_anchors (chain TEXT PRIMARY KEY NOT NULL, sequence INTEGER NOT NULL, hash BLOB NOT NULL) STRICT",
                "INSERT INTO audit_anchors (chain, sequence, hash) SELECT 'installation', sequence, hash FROM audit_anchor",
                "DROP TABLE audit_anchor",
            ]),
        Schema.Migration(
            name: "keys-0006",
            statements: [
                // Each start looks for a few among as many keys as there are users.
                "CREATE INDEX data_keys_by_purpose ON data_keys (purpose, created_at)"
            ]),
    ]

    /// Opens or creates the store and proves that the master key fits.
    ///
    /// - Parameter masterKey: reads the key, or makes one where the store has nothing yet. A store without its key must never
    ///   get a new one: everything in it would be lost silently.
    package init(_ address: DatabaseAddress, masterKey: (_ isNew: Bool) throws -> MasterKey) throws {
        engine = try address.open(schema: Self.schema)
        try engine.migrate(Self.migrations)
        let isNew = try engine.read { try $0.row("SELECT 1 AS found FROM system_keys LIMIT 1") == nil }
        self.masterKey = try masterKey(isNew)
        _ = try systemKey("check")
    }

    package init(_ address: DatabaseAddress, masterKey: MasterKey) throws {
        try self.init(address) { _ in masterKey }
    }

    /// Throws unless the store and the master key are usable. Reads only.
    package func checkUsable() throws {
        let row = try engine.read { try $0.row("SELECT wrapped FROM system_keys WHERE name = 'check'") }
        guard let wrapped = try row?.blob("wrapped") else { throw KeyStoreError.unavailable("no keys") }
        _ = try masterKey.unwrapSecret(wrapped, name: "check")
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
        let row = try engine.readRow("SELECT wrapped FROM data_keys WHERE id = ?1", [id.sqlValue])
        guard let row else { throw KeyStoreError.keyDestroyed }
        do { return try masterKey.unwrap(try row.blob("wrapped"), id: id.text) } catch is SealError {
            throw KeyStoreError.wrongMasterKey
        }
    }

    /// Destroys keys for good: deleted, their pages overwritten, and no earlier page left in the log. Idempotent.
    package func destroyDataKeys(_ ids: [DataKeyID]) async throws {
        try await carryOut(PendingDestructions(keys: ids, users: []))
    }

    /// Destroys keys, and remembers users who were ended. Idempotent.
    package func carryOut(_ destructions: PendingDestructions) async throws {
        guard !destructions.isEmpty else { return }
        try await engine.writeAndErase { transaction in
            for id in destructions.keys { try transaction.execute("DELETE FROM data_keys WHERE id = ?1", id) }
            for user in destructions.users {
                try transaction.execute(
                    """
                    INSERT INTO ended_users (id, app_id, issuer, external_subject_id, subjects, epoch, created_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                    ON CONFLICT (id) DO UPDATE SET subjects = excluded.subjects, epoch = excluded.epoch,
                        created_at = excluded.created_at WHERE excluded.epoch > ended_users.epoch
                    """, user.id, user.appID, user.issuer, user.externalSubjectID, JSON.strings(user.subjects),
                    user.epoch, user.endedAt)
            }
        }
    }

    package func endedUsers() throws -> [EndedUser] {
        try engine.read {
            try $0.rows("SELECT * FROM ended_users ORDER BY created_at, id").map {
                try EndedUser($0, subjects: $0.strings("subjects"))
            }
        }
    }

    package func hasDataKeys() throws -> Bool {
        try engine.read { try $0.row("SELECT 1 AS found FROM data_keys LIMIT 1") != nil }
    }

    /// Which of the keys there are.
    package func existing(_ ids: [DataKeyID]) throws -> Set<DataKeyID> {
        try engine.read { transaction in
            try Set(ids.filter { try transaction.row("SELECT 1 AS found FROM data_keys WHERE id = ?1", $0) != nil })
        }
    }

    // MARK: Signing keys

    package func signingKeys() throws -> [SigningKeyRecord] { try engine.read(Self.signingKeys) }

    private static func signingKeys(_ transaction: Transaction) throws -> [SigningKeyRecord] {
        try transaction.rows("SELECT * FROM signing_keys ORDER BY signs_from, id").map {
            SigningKeyRecord(
                id: try $0.text("id"), publicKey: try $0.object("public_key"), signsFrom: try $0.instant("signs_from"),
                isRetired: try $0.optionalBlob("wrapped") == nil)
        }
    }

    /// Adds a fresh key if `signsFrom` says when one is to sign, given the keys there are. Of two who ask at the same time,
    /// one adds.
    package func addSigningKey(_ signsFrom: (_ keys: [SigningKeyRecord]) -> Instant?) throws {
        try engine.writeNow { transaction in
            guard let start = signsFrom(try Self.signingKeys(transaction)) else { return }
            let id = "sallyport-" + Hex.encode(RandomBytes.make(8))
            let key = try SigningKey.generate(.es256, keyID: id)
            guard let secret = key.rawRepresentation else { throw KeyStoreError.unavailable("no key could be made") }
            try transaction.execute(
                "INSERT INTO signing_keys (id, public_key, wrapped, signs_from) VALUES (?1, ?2, ?3, ?4)", id,
                key.publicJWK, try masterKey.wrap(secret, name: "signing:" + id), start)
        }
    }

    /// The key, or `nil` when its private half is gone.
    package func signingKey(_ id: String) throws -> SigningKey? {
        let row = try engine.read { try $0.row("SELECT wrapped FROM signing_keys WHERE id = ?1", id) }
        guard let wrapped = try row?.optionalBlob("wrapped") else { return nil }
        do {
            return try SigningKey(
                rawRepresentation: try masterKey.unwrapSecret(wrapped, name: "signing:" + id), keyID: id)
        } catch is SealError {
            throw KeyStoreError.wrongMasterKey
        }
    }

    /// Destroys the private half.
    package func retireSigningKey(_ id: String) async throws {
        try await engine.writeAndErase {
            _ = try $0.execute("UPDATE signing_keys SET wrapped = NULL WHERE id = ?1", id)
        }
    }

    // MARK: What the database is held against

    package func installationID() throws -> String? {
        try engine.read { try $0.row("SELECT id FROM installation")?.text("id") }
    }

    /// The id that the key store has, which is `id` when it has none yet.
    package func installationID(orSet id: String) throws -> String {
        try engine.writeNow { try $0.installationID(orSet: id) }
    }

    /// Places that the audit chains have had.
    package func auditAnchors() throws -> [AuditChain: AuditHead] {
        try engine.read { transaction in
            let pairs = try transaction.rows("SELECT chain, sequence, hash FROM audit_anchors").map {
                (
                    AuditChain(name: try $0.text("chain")),
                    AuditHead(sequence: try $0.integer("sequence"), hash: try $0.blob("hash"))
                )
            }
            return Dictionary(uniqueKeysWithValues: pairs)
        }
    }

    /// Moves anchors forward, never back.
    package func setAuditAnchors(_ heads: [AuditChain: AuditHead]) throws {
        guard !heads.isEmpty else { return }
        try engine.writeNow { transaction in
            for (chain, head) in heads {
                _ = try transaction.execute(
                    """
                    INSERT INTO audit_anchors (chain, sequence, hash) VALUES (?1, ?2, ?3)
                    ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
                        WHERE excluded.sequence > audit_anchors.sequence
                    """, chain.name, head.sequence, head.hash)
            }
        }
    }

    package func dataKeyIDs(purpose: String, createdBefore time: Instant? = nil) throws -> [DataKeyID] {
        try engine.read {
            try $0.rows(
                "SELECT id FROM data_keys WHERE purpose = ?1 AND (?2 IS NULL OR created_at < ?2)", purpose, time
            ).map {
                try $0.id("id")
            }
        }
    }

    package func close() throws { try engine.close() }
}
