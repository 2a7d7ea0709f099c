import Testing
import VaultAPI
import VaultDomain
import VaultStore
import VaultTestSupport

struct NonceTests {
    private struct Refused: Error {}

    private static let start = Instant(seconds: 1_750_000_000)

    /// A store with an app and two keys of it.
    private static func withKeys(
        _ body: @Sendable (Store, AppID, [APIKeyID], _ folder: String) async throws -> Void
    ) async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let (organization, app, keys) = (OrganizationID(), AppID(), [APIKeyID(), APIKeyID()])
            try await store.write { transaction in
                try transaction.insertOrganization(id: organization, name: "one", now: start)
                try transaction.insertApp(
                    AppRecord(
                        id: app, organizationID: organization, name: "one", websiteURL: nil, dataKeyID: DataKeyID(),
                        createdAt: start))
                for key in keys {
                    let record = APIKeyRecord(
                        id: key, appID: app, name: "one", keyType: .runtime, prefix: "alter_rk", scopes: [],
                        cidrAllowlist: nil, rateLimitPerMinute: nil, createdAt: start, expiresAt: nil)
                    try transaction.insertKey(record, digest: Array(key.text.utf8))
                }
            }
            try await body(store, app, keys, folder)
        }
    }

    private static func expectRows(_ count: Int64, of table: String, in store: Store) throws {
        let found = try store.read { try $0.row("SELECT count(*) AS total FROM \(table)")?.integer("total") }
        #expect(found == count, "\(table)")
    }

    private static func expect(_ nonce: String, _ key: APIKeyID, isNew: Bool, in store: Store) async throws {
        let end = start.adding(seconds: 600)
        let isTaken: Void? = try? await store.write {
            guard try $0.insertNonce(nonce, keyID: key, expiresAt: end) else { throw Refused() }
        }
        #expect((isTaken != nil) == isNew, "\(nonce)")
    }

    @Test(
        "of requests with one nonce that share a commit, one is taken and leaves what it did, as do those beside them")
    func copies() async throws {
        try await Self.withKeys { store, app, keys, _ in
            let taken = await withTaskGroup(of: String?.self) { group in
                for number in 0..<400 {
                    group.addTask {
                        let (nonce, key) = ("\(number % 100)", keys[number % 2])
                        let isTaken: Void? = try? await store.write(in: .app(app), recalls: true) { transaction in
                            let end = Self.start.adding(seconds: 600)
                            guard try transaction.insertNonce(nonce, keyID: key, expiresAt: end) else {
                                throw Refused()
                            }
                            _ = try transaction.insertActor(
                                appID: app, caller: nonce, callerType: "agent", now: Self.start)
                        }
                        return isTaken.map { nonce }
                    }
                }
                return await group.reduce(into: [String]()) { all, nonce in if let nonce { all.append(nonce) } }
            }
            #expect(taken.sorted() == (0..<100).map(String.init).sorted())
            try Self.expectRows(100, of: "request_nonces", in: store)
            try Self.expectRows(100, of: "actors", in: store)
        }
    }

    @Test("a request that was seen before and fails by itself costs nobody beside it anything")
    func copyThatFails() async throws {
        try await Self.withKeys { store, app, keys, _ in
            try await Self.expect("a", keys[0], isNew: true, in: store)
            let done = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        let isDone: Void? = try? await store.write(in: .app(app)) { transaction in
                            let isCopy = number.isMultiple(of: 10)
                            let end = Self.start.adding(seconds: 600)
                            let isNew = try transaction.insertNonce(
                                isCopy ? "a" : "\(number)", keyID: keys[0], expiresAt: end)
                            // Before anybody has heard whether the nonce is new.
                            guard isNew, !isCopy else { throw Refused() }
                        }
                        return isDone != nil
                    }
                }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(done == 90)
            try Self.expectRows(91, of: "request_nonces", in: store)
        }
    }

    @Test("a nonce is one of its key, and no key that is gone has a new one")
    func keys() async throws {
        try await Self.withKeys { store, app, keys, _ in
            try await Self.expect("a", keys[0], isNew: true, in: store)
            try await Self.expect("a", keys[1], isNew: true, in: store)
            try await Self.expect("a", keys[0], isNew: false, in: store)
            try await store.write { _ = try $0.execute("DELETE FROM apps WHERE id = ?1", app) }
            try await Self.expect("b", keys[0], isNew: false, in: store)
        }
    }

    @Test("what has expired is forgotten a part at a time, and nothing else", arguments: [1, 7, 100])
    func forgetting(limit: Int) async throws {
        try await Self.withKeys { store, _, keys, _ in
            try await store.write { transaction in
                for number in 0..<50 {
                    let end = Self.start.adding(seconds: number.isMultiple(of: 3) ? 10 : 20)
                    _ = try transaction.insertNonce("\(number)", keyID: keys[number % 2], expiresAt: end)
                }
            }
            let now = Self.start.adding(seconds: 15)
            var place = NoncePlace.start
            var parts = 0
            while place != .end {
                let start = place
                let part = try store.read { try $0.nonces(after: start, limit: limit, now: now) }
                if part.holdsExpired {
                    try await store.write(in: .expired) {
                        try $0.deleteExpiredNonces(after: start, upTo: part.end, now: now)
                    }
                }
                place = part.end
                parts += 1
            }
            #expect(parts >= 50 / limit)
            for number in 0..<50 {
                try await Self.expect(
                    "\(number)", keys[number % 2], isNew: number.isMultiple(of: 3), in: store)
            }
        }
    }

    @Test("a database of before keeps its nonces, and what older programs ask of them works")
    func migration() async throws {
        try await Self.withKeys { store, _, keys, folder in
            try await store.write { transaction in
                try transaction.execute("DROP TABLE request_nonces")
                try transaction.execute(
                    """
                    CREATE TABLE request_nonces (
                        key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE, nonce TEXT NOT NULL,
                        expires_at BIGINT NOT NULL, PRIMARY KEY (key_id, nonce))
                    """)
                try transaction.execute("CREATE INDEX request_nonces_by_expiry ON request_nonces (expires_at)")
                try transaction.execute("DELETE FROM schema_migrations WHERE name = '0013-nonces'")
            }
            try await Self.expect("a", keys[0], isNew: true, in: store)
            let migrated = try Store(TestDatabase.address(in: folder))
            try await Self.expect("a", keys[0], isNew: false, in: migrated)
            try await Self.expect("b", keys[0], isNew: true, in: store)
            try await store.write {
                _ = try $0.execute("DELETE FROM request_nonces WHERE expires_at < ?1", Self.start.adding(seconds: 601))
            }
            try Self.expectRows(0, of: "request_nonces", in: migrated)
        }
    }
}
