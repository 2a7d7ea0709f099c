import Testing
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultTestSupport

@Suite("Figures of use")
struct UsageTests {
    private static let key = DigestKey(Secret("audit-key-for-tests"))
    private static let start = Instant(seconds: 1_800_000_000)

    private static func entry(
        _ event: String, _ decision: AuditDecision, _ appID: AppID, provider: String? = "acme", after seconds: Int64 = 0
    ) -> AuditEntry {
        AuditEntry(
            event: event, decision: decision, principal: .system, occurredAt: start.adding(seconds: seconds),
            appID: appID, providerID: provider)
    }

    private static func makeApp(in store: Store) async throws -> AppID {
        let app = AppRecord(
            id: AppID(), organizationID: OrganizationID(), name: "App", websiteURL: nil, dataKeyID: DataKeyID(),
            createdAt: start)
        try await store.write {
            try $0.insertOrganization(id: app.organizationID, name: "Organization", now: start)
            try $0.insertApp(app)
        }
        return app.id
    }

    private static func append(_ entries: [AuditEntry], to store: Store) async throws {
        try await store.write { transaction in
            for entry in entries { try transaction.appendAudit(entry, key: key) }
        }
    }

    private static func countAll(in store: Store, recordsMax: Int = 3) async throws {
        while try await store.write({ try $0.countUsage(recordsMax: recordsMax) }) == recordsMax {}
    }

    private static func providers(_ appID: AppID, in store: Store) throws -> [String: UsageTotals] {
        try store.read {
            try $0.usageByProvider(
                appID: appID, from: start.adding(seconds: -86_400), before: start.adding(seconds: 86_400))
        }
    }

    @Test("uses, refusals and refreshes are counted once each, whatever else is on record")
    func counted() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let app = try await Self.makeApp(in: store)
            try await Self.append(
                [
                    Self.entry("app.created", .none, app, provider: nil),
                    Self.entry("credential.retrieved", .allow, app), Self.entry("call.reported", .none, app),
                    Self.entry("credential.proxied", .allow, app), Self.entry("credential.proxied", .deny, app),
                    Self.entry("credential.refreshed", .none, app), Self.entry("sign_in.failed", .deny, app),
                    Self.entry("credential.retrieved", .deny, app, provider: nil),
                    Self.entry("credential.retrieved", .allow, app, after: 7200),
                ], to: store)
            #expect(try store.read { try $0.hasUsageToCount() })
            try await Self.countAll(in: store)
            #expect(try store.read { try $0.hasUsageToCount() } == false)
            // Of refusals only names of the app's own are kept, and it has no provider.
            let expected = [
                "acme": UsageTotals(calls: 3, refreshes: 1), "": UsageTotals(refusals: 2),
            ]
            #expect(try Self.providers(app, in: store) == expected)
            try await Self.countAll(in: store)
            #expect(try Self.providers(app, in: store) == expected)
            let slots = try store.read {
                try $0.usage(
                    appID: app, from: Instant(seconds: 1_799_971_200), before: Instant(seconds: 1_800_057_600),
                    slotMilliseconds: 3_600_000)
            }
            #expect(slots.count == 2)
            #expect(slots.values.reduce(0) { $0 + $1.calls } == 3)
        }
    }

    @Test("what was counted stays when its records go, and goes with the app and with time")
    func kept() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let app = try await Self.makeApp(in: store)
            let other = try await Self.makeApp(in: store)
            try await Self.append([Self.entry("credential.proxied", .allow, app)], to: store)
            try await Self.countAll(in: store)
            try await Self.append(
                [Self.entry("credential.proxied", .allow, other), Self.entry("credential.proxied", .allow, app)],
                to: store)
            try await store.write { try $0.deleteApp(app) }
            try await Self.countAll(in: store)
            #expect(try Self.providers(app, in: store).isEmpty)
            #expect(try Self.providers(other, in: store) == ["acme": UsageTotals(calls: 1)])
            try await store.write { try $0.deleteUsage(before: Self.start.adding(seconds: -86_400)) }
            #expect(try Self.providers(other, in: store).isEmpty == false)
            try await store.write { try $0.deleteUsage(before: Self.start.adding(seconds: 86_400)) }
            #expect(try Self.providers(other, in: store).isEmpty)
        }
    }

    @Test("a window looks at a bounded number of records, and goes on where it ended")
    func window() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let app = try await Self.makeApp(in: store)
            let other = try await Self.makeApp(in: store)
            let entries = (0..<30).map {
                Self.entry($0 == 2 ? "rare" : "common", .none, $0 % 3 == 1 ? other : app, after: Int64($0) * 3600)
            }
            try await Self.append(entries, to: store)
            func look(_ filter: AuditFilter, before: String? = nil, limit: Int = 50) throws -> AuditWindow {
                try store.read { transaction in
                    let position = try before.flatMap(AuditEventID.init).flatMap {
                        try transaction.auditRecord($0, appID: app)?.position
                    }
                    return try transaction.auditWindow(
                        appID: app, filter: filter, before: position ?? .max, limit: limit, lookedAtMax: 12,
                        slackSeconds: 1800)
                }
            }
            var rare = AuditFilter()
            rare.event = "rare"
            let first = try look(rare)
            #expect(first.records.isEmpty && first.isCut)
            let second = try look(rare, before: first.next)
            #expect(second.records.map { $0.record["id"]?.string } == [entries[2].id.text])
            #expect(second.next == nil)

            let page = try look(AuditFilter(), limit: 5)
            #expect(page.records.count == 5 && page.next == entries[23].id.text && !page.isCut)

            var early = AuditFilter()
            early.to = Self.start.adding(seconds: 4 * 3600)
            #expect(try look(early).records.map { $0.record["id"]?.string } == [3, 2, 0].map { entries[$0].id.text })
            var late = AuditFilter()
            late.from = Self.start.adding(seconds: 27 * 3600)
            #expect(try look(late).records.map { $0.record["id"]?.string } == [29, 27].map { entries[$0].id.text })
            late.from = Self.start.adding(seconds: 1_000_000)
            #expect(try look(late).records.isEmpty)
        }
    }
}
