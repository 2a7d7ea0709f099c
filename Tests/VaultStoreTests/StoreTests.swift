import Foundation
import Testing
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultTestSupport

struct StoreTests {
    private struct Refused: Error {}

    @Test(
        "a database opens in WAL with every commit durable, foreign keys on and no copy of deleted pages",
        .enabled(if: TestDatabase.isFile))
    func settings() throws {
        try TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            #expect(
                try store.settings() == [
                    "journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1",
                    "temp_store": "2",
                ])
            let mode = try FileManager.default.attributesOfItem(atPath: folder + "/vault.db")[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
    }

    @Test("opening twice migrates once, and two handles see one database")
    func migrations() async throws {
        try await TemporaryFolder.use { folder in
            let first = try Store(TestDatabase.address(in: folder))
            let second = try Store(TestDatabase.address(in: folder))
            let id = OrganizationID()
            try await first.write { try $0.insertOrganization(id: id, name: "one", now: Instant(seconds: 1)) }
            #expect(
                try second.read { try $0.row("SELECT name FROM organizations WHERE id = ?1", id)?.text("name") }
                    == "one")
        }
    }

    @Test(
        "transactions that arrive together keep their own all-or-nothing: a throw undoes its own writes and no others")
    func isolationInABatch() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let outcomes = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<300 {
                    group.addTask {
                        do {
                            try await store.write { transaction in
                                try transaction.insertOrganization(
                                    id: OrganizationID(), name: "\(number)", now: Instant(seconds: Int64(number)))
                                if number.isMultiple(of: 3) { throw Refused() }
                            }
                            return true
                        } catch {
                            return false
                        }
                    }
                }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(outcomes == 200)
            let names = try store.read { try $0.rows("SELECT name FROM organizations").map { try $0.text("name") } }
            #expect(Set(names) == Set((0..<300).filter { !$0.isMultiple(of: 3) }.map(String.init)))
        }
    }

    @Test("a constraint of the schema refuses the one write and says which")
    func constraints() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let id = OrganizationID()
            try await store.write { try $0.insertOrganization(id: id, name: "one", now: Instant(seconds: 1)) }
            await #expect(throws: StoreError.self) {
                try await store.write { try $0.insertOrganization(id: id, name: "two", now: Instant(seconds: 1)) }
            }
            await #expect(throws: StoreError.self) {
                try await store.write {
                    try $0.insertMembership(organizationID: OrganizationID(), operatorID: OperatorID(), role: .admin)
                }
            }
        }
    }

    @Test("what is written is there after the process forgets everything", .enabled(if: TestDatabase.isFile))
    func durability() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            for number in 0..<10 {
                try await store.write {
                    try $0.insertOrganization(id: OrganizationID(), name: "\(number)", now: Instant(seconds: 1))
                }
            }
            // A copy of the files as they are now is what a crash would leave.
            try FileManager.default.createDirectory(atPath: folder + "/crashed", withIntermediateDirectories: true)
            for suffix in ["", "-wal"] {
                try FileManager.default.copyItem(
                    atPath: folder + "/vault.db" + suffix, toPath: folder + "/crashed/vault.db" + suffix)
            }
            let reopened = try Store(.sqlite(path: folder + "/crashed/vault.db"))
            #expect(try reopened.read { try $0.rows("SELECT id FROM organizations").count } == 10)
        }
    }

    @Test("what is deleted and erased is in none of the files any more", .enabled(if: TestDatabase.isFile))
    func overwrittenPages() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let canary = "canary-" + Hex.encode(RandomBytes.make(16))
            let id = OrganizationID()
            try await store.write { try $0.insertOrganization(id: id, name: canary, now: Instant(seconds: 1)) }
            #expect(try TemporaryFolder.files(folder, hold: canary))
            try await store.write { _ = try $0.execute("DELETE FROM organizations WHERE id = ?1", id) }
            try await store.erase()
            #expect(try !TemporaryFolder.files(folder, hold: canary))
        }
    }
}

/// Two handles on one database stand for two processes: on PostgreSQL, for two nodes.
struct SharedStoreTests {
    private static let key = DigestKey(Secret("audit-key-for-tests"))

    @Test(
        "what a write reads in its scope holds until it is committed, whoever else writes",
        arguments: [false, true])
    func noLostUpdate(everything: Bool) async throws {
        try await TemporaryFolder.use { folder in
            let stores = try (0..<2).map { _ in try Store(TestDatabase.address(in: folder)) }
            let app = AppID()
            let scope = everything ? WriteScope.everything : .app(app)
            let counter = RateCounter(source: "test", subject: app.text, limit: 10_000, seconds: 3600)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        _ = try await stores[number % 2].write(in: number.isMultiple(of: 7) ? .everything : scope) {
                            try $0.countUse(counter, now: Instant(seconds: 1))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let used = try stores[0].read { try $0.row("SELECT used FROM rate_counters")?.integer("used") }
            #expect(used == 200)
        }
    }

    @Test("a record outside the scope of its write is appended all the same, and the chain stays whole")
    func exceededScope() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let other = AppID()
            for scope in [WriteScope.app(AppID()), .app(other), .everything] {
                try await store.write(in: scope) {
                    try $0.appendAudit(
                        AuditEntry(
                            event: "test", principal: .system, occurredAt: Instant(seconds: 1), appID: other),
                        key: Self.key)
                }
            }
            let events = try store.read {
                try $0.rows("SELECT chain, event FROM audit_records ORDER BY position").map {
                    [try $0.text("chain"), try $0.text("event")]
                }
            }
            #expect(
                events == [["installation", AuditEntry.chainStartedEvent]]
                    + Array(repeating: [other.text, "test"], count: 3))
        }
    }

    @Test("a lease has one holder among all, and is free again when it is given back or its holder is gone")
    func leases() throws {
        try TemporaryFolder.use { folder in
            let first = try Store(TestDatabase.address(in: folder))
            #expect(try first.leases.take("a"))
            #expect(try !first.leases.take("a"))
            guard first.isShared else { return }
            let second = try Store(TestDatabase.address(in: folder))
            #expect(try !second.leases.take("a"))
            #expect(try second.leases.take("b"))
            first.leases.giveBack("a")
            #expect(try second.leases.take("a"))
            second.leases.giveBack("a")
            #expect(try first.leases.take("a"))
        }
    }

    @Test("a database of a newer version that excludes this one is not touched")
    func newerSchema() async throws {
        try await TemporaryFolder.use { folder in
            let address = try TestDatabase.address(in: folder)
            let store = try Store(address)
            // One that goes on working with older programs is no obstacle.
            try await store.write { _ = try $0.execute("INSERT INTO schema_migrations (name) VALUES ('9999-new')") }
            _ = try Store(address)
            try await store.write { _ = try $0.execute("INSERT INTO schema_needs (name) VALUES ('9999-new')") }
            #expect(throws: StoreError.self) { try Store(address) }
        }
    }
}

struct KeyStoreTests {
    private static func master() throws -> MasterKey { try #require(MasterKey(RandomBytes.make(32))) }

    @Test("a key store opens only with its own master key")
    func wrongMasterKey() throws {
        try TemporaryFolder.use { folder in
            _ = try KeyStore(TestDatabase.address(in: folder, "keys"), masterKey: try Self.master())
            #expect(throws: KeyStoreError.wrongMasterKey) {
                try KeyStore(TestDatabase.address(in: folder, "keys"), masterKey: try Self.master())
            }
        }
    }

    @Test("a data key is there for whoever opens the store next, and gone for good once destroyed")
    func destruction() async throws {
        try await TemporaryFolder.use { folder in
            let master = try Self.master()
            let keys = try KeyStore(TestDatabase.address(in: folder, "keys"), masterKey: master)
            let context = SealContext(purpose: "test", app: "a", record: "r")
            let (id, key) = try keys.createDataKey(purpose: "user", now: Instant(seconds: 1))
            let sealed = try key.seal(Secret("token"), context)
            let other = try KeyStore(TestDatabase.address(in: folder, "keys"), masterKey: master)
            #expect(try other.dataKey(id).open(sealed, context) == Secret("token"))
            try await keys.destroyDataKeys([id])
            #expect(throws: KeyStoreError.keyDestroyed) { try other.dataKey(id) }
            #expect(try !TemporaryFolder.files(folder, hold: id.text))
            try await keys.destroyDataKeys([id])
        }
    }
}
