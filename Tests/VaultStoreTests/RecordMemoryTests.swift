import Testing
import VaultAPI
import VaultDomain
import VaultStore
import VaultTestSupport

struct RecordMemoryTests {
    private struct Refused: Error {}

    /// A store with one app whose name is `0`.
    private static func withApp(_ body: @Sendable (Store, AppID, _ folder: String) async throws -> Void) async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let (organization, app) = (OrganizationID(), AppID())
            try await store.write { transaction in
                try transaction.insertOrganization(id: organization, name: "one", now: Instant(seconds: 1))
                try transaction.insertApp(
                    AppRecord(
                        id: app, organizationID: organization, name: "0", websiteURL: nil, dataKeyID: DataKeyID(),
                        createdAt: Instant(seconds: 1)))
            }
            try await body(store, app, folder)
        }
    }

    private static func rename(_ app: AppID, to name: Int, in store: Store) async throws {
        try await store.write { try $0.updateApp(app, name: "\(name)", websiteURL: nil) }
    }

    private static func firstLook(_ app: AppID, _ store: Store) throws -> String? {
        try store.recall { try $0.app(app)?.name }
    }

    private static func decision(_ app: AppID, _ store: Store) async throws -> String? {
        try await store.write(recalls: true) { try $0.app(app)?.name }
    }

    private static func expectFirstLook(_ app: AppID, _ store: Store, _ name: String) throws {
        let found = try firstLook(app, store)
        #expect(found == name)
    }

    private static func expectDecision(_ app: AppID, _ store: Store, _ name: String) async throws {
        let found = try await decision(app, store)
        #expect(found == name)
    }

    @Test("a first look and a decision see every change that was acknowledged, however many look meanwhile")
    func acknowledged() async throws {
        try await Self.withApp { store, app, _ in
            let lookers = (0..<4).map { _ in
                Task {
                    while !Task.isCancelled {
                        _ = try Self.firstLook(app, store)
                        _ = try await Self.decision(app, store)
                    }
                }
            }
            for number in 1...200 {
                try await Self.rename(app, to: number, in: store)
                try Self.expectFirstLook(app, store, "\(number)")
                try await Self.expectDecision(app, store, "\(number)")
            }
            for looker in lookers { looker.cancel() }
            // They end by the cancellation of a read that was on its way, or after it.
            for looker in lookers { _ = await looker.result }
        }
    }

    @Test("a decision sees what another process has changed since the record was read")
    func otherProcess() async throws {
        try await Self.withApp { store, app, folder in
            let other = try Store(TestDatabase.address(in: folder))
            try Self.expectFirstLook(app, store, "0")
            try await Self.expectDecision(app, store, "0")
            for number in 1...3 {
                try await Self.rename(app, to: number, in: other)
                try await Self.expectDecision(app, store, "\(number)")
                try Self.expectFirstLook(app, store, "\(number)")
            }
        }
    }

    @Test("a decision sees what its own transaction and those before it in the batch have changed")
    func sameTransaction() async throws {
        try await Self.withApp { store, app, _ in
            try Self.expectFirstLook(app, store, "0")
            let seen = try await store.write(recalls: true) { transaction in
                let before = try transaction.app(app)?.name
                try transaction.updateApp(app, name: "1", websiteURL: nil)
                return [before, try transaction.app(app)?.name]
            }
            #expect(seen == ["0", "1"])
        }
    }

    private static func isUnchanged(since view: RecordMemory.View?, _ store: Store) async throws -> Bool {
        try await store.write(recalls: true) { try $0.isUnchanged(since: view) }
    }

    @Test(
        "what was seen holds for a decision until this process, another one or the transaction itself changes a record")
    func unchanged() async throws {
        try await Self.withApp { store, app, folder in
            let other = try Store(TestDatabase.address(in: folder))
            // Another process's last change is known after the first transaction that asks.
            _ = try await Self.isUnchanged(since: store.recordView, store)
            for (number, changing) in [store, other].enumerated() {
                let view = store.recordView
                let before = try await Self.isUnchanged(since: view, store)
                try await Self.rename(app, to: number, in: changing)
                let after = try await Self.isUnchanged(since: view, store)
                #expect(before && !after)
            }
            let view = store.recordView
            let seen = try await store.write(recalls: true) { transaction in
                let before = try transaction.isUnchanged(since: view)
                try transaction.updateApp(app, name: "2", websiteURL: nil)
                return [before, try transaction.isUnchanged(since: view)]
            }
            #expect(seen == [true, false])
        }
    }

    @Test(
        "nothing is said to be unchanged by a transaction that does not recall, or since a moment of another database")
    func unknownWhetherUnchanged() async throws {
        try await Self.withApp { store, _, _ in
            let view = store.recordView
            let found = try await store.write { try $0.isUnchanged(since: view) }
            let sinceNothing = try await Self.isUnchanged(since: nil, store)
            #expect(!found && !sinceNothing)
            try await Self.withApp { _, _, folder in
                let elsewhere = try Store(TestDatabase.address(in: folder)).recordView
                let since = try await Self.isUnchanged(since: elsewhere, store)
                #expect(!since)
            }
        }
    }

    @Test("what was undone is not remembered")
    func undone() async throws {
        try await Self.withApp { store, app, _ in
            try Self.expectFirstLook(app, store, "0")
            await #expect(throws: Refused.self) {
                try await store.write(recalls: true) { (transaction) throws -> Void in
                    try transaction.updateApp(app, name: "1", websiteURL: nil)
                    _ = try transaction.app(app)
                    throw Refused()
                }
            }
            try Self.expectFirstLook(app, store, "0")
            try await Self.expectDecision(app, store, "0")
        }
    }

    @Test("thousands of records are remembered, whichever parts of their names are the same")
    func many() async throws {
        try await Self.withApp { store, _, _ in
            let names = (0..<4000).map { number in
                number.isMultiple(of: 2) ? ("user \(number)", "of one app") : ("of one app", "user \(number)")
            }
            func look() throws -> Int {
                var reads = 0
                for (number, name) in names.enumerated() {
                    let found = try store.recall { transaction in
                        try transaction.remembered(.init(.grant, name.0, name.1)) {
                            reads += 1
                            return number
                        }
                    }
                    #expect(found == number)
                }
                return reads
            }
            let (first, second) = (try look(), try look())
            #expect(first == names.count)
            #expect(second == 0)
        }
    }

    @Test("keys of queries differ where their texts do, and where the same texts are cut elsewhere")
    func keys() {
        let keys: [RecordMemory.Key] = [
            .init(.user, "a", "bc"), .init(.user, "ab", "c"), .init(.grant, "a", "bc"), .init(.user, "abc", ""),
            .init(.user, "", "abc"), .init(.user, "caf\u{E9}", ""), .init(.user, "cafe\u{301}", ""),
        ]
        #expect(Set(keys).count == keys.count)
    }
}
