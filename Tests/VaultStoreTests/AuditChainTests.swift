import Testing
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultTestSupport

struct AuditChainTests {
    private static let key = DigestKey(Secret("audit-key-for-tests"))

    private static func entry(_ number: Int) -> AuditEntry {
        AuditEntry(event: "test.\(number)", principal: .system, occurredAt: Instant(seconds: Int64(number)))
    }

    /// A chain of ten records, `tamper` with the file, and what verification then says.
    private static func verification(after tamper: @escaping @Sendable (Transaction) throws -> Void) async throws
        -> AuditVerification
    {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            for number in 1...10 {
                try await store.write { try $0.appendAudit(entry(number), key: key) }
            }
            try await store.write(tamper)
            return try verification(of: store)
        }
    }

    /// In pages of three, so that tampering meets the borders of pages as well.
    private static func verification(of store: Store, anchor: AuditHead? = nil) throws -> AuditVerification {
        try store.read { transaction in
            var progress = AuditProgress(chain: .installation, witnesses: [anchor].compactMap(\.self))
            while try transaction.verifyAudit(&progress, limit: 3, key: key) == 3 {}
            return try transaction.verifyAuditEnd(progress, key: key)
        }
    }

    @Test("a chain that nobody touched is intact, the empty one included")
    func intact() async throws {
        #expect(try await Self.verification { _ in } == .intact(records: 10))
        try TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            #expect(try Self.verification(of: store) == .intact(records: 0))
        }
    }

    private struct Refused: Error {}

    @Test("records that are committed together follow one another, and those of a transaction that was undone are none")
    func batches() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let written = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        do {
                            try await store.write { transaction in
                                try transaction.appendAudit(Self.entry(number), key: Self.key)
                                // Whoever reads the heads sees those of this batch, too.
                                let head = try transaction.auditHeads()[.installation]
                                try transaction.appendAudit(Self.entry(number), key: Self.key)
                                if number.isMultiple(of: 5) { throw Refused() }
                                guard let head, try transaction.auditHash(.installation, head.sequence) == head.hash
                                else { throw Refused() }
                            }
                            return true
                        } catch {
                            return false
                        }
                    }
                }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(written == 160)
            #expect(try Self.verification(of: store) == .intact(records: 320))
        }
    }

    @Test(
        "attack 88: change, deletion, swap, cut and renumbering are noticed at the first record that does not fit",
        arguments: [
            ("UPDATE audit_records SET record = replace(record, 'test.4', 'test.9') WHERE sequence = 4", 4),
            ("UPDATE audit_records SET event = 'harmless' WHERE sequence = 5", 5),
            ("UPDATE audit_records SET decision = 'allow' WHERE sequence = 6", 6),
            ("DELETE FROM audit_records WHERE sequence = 3", 3), ("DELETE FROM audit_records WHERE sequence = 10", 10),
            ("DELETE FROM audit_records WHERE sequence = 1", 1), ("DELETE FROM audit_records", 1),
            ("DELETE FROM audit_records WHERE sequence > 7", 8),
            ("UPDATE audit_records SET sequence = 0 WHERE sequence = 1", 1),
            (
                "UPDATE audit_records SET hash = (SELECT hash FROM audit_records WHERE sequence = 2) WHERE sequence = 8",
                8
            ),
        ] as [(String, Int64)])
    func tampering(statement: String, sequence: Int64) async throws {
        guard case .broken(_, let found, _) = try await Self.verification(after: { _ = try $0.execute(statement) })
        else {
            Issue.record("not noticed: \(statement)")
            return
        }
        #expect(found == sequence)
    }

    @Test("attack 88: two records that change places are noticed")
    func swap() async throws {
        let result = try await Self.verification { transaction in
            try transaction.execute("UPDATE audit_records SET sequence = -1 WHERE sequence = 4")
            try transaction.execute("UPDATE audit_records SET sequence = 4 WHERE sequence = 5")
            try transaction.execute("UPDATE audit_records SET sequence = 5 WHERE sequence = -1")
        }
        guard case .broken(_, 4, _) = result else {
            Issue.record("\(result)")
            return
        }
    }

    @Test("attack 88: cutting the tail and moving the head back needs the key")
    func forgedHead() async throws {
        let result = try await Self.verification { transaction in
            try transaction.execute("DELETE FROM audit_records WHERE sequence = 10")
            try transaction.execute(
                """
                UPDATE audit_heads SET sequence = 9, hash = (SELECT hash FROM audit_records WHERE sequence = 9)
                """)
        }
        guard case .broken = result else {
            Issue.record("\(result)")
            return
        }
    }

    @Test("attack 88: a head that was put back is never built upon, which would sign it")
    func appendAfterForgery() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            for number in 1...10 { try await store.write { try $0.appendAudit(Self.entry(number), key: Self.key) } }
            try await store.write { transaction in
                try transaction.execute("DELETE FROM audit_records WHERE sequence > 8")
                try transaction.execute(
                    "UPDATE audit_heads SET sequence = 8, hash = (SELECT hash FROM audit_records WHERE sequence = 8)")
            }
            await #expect(throws: StoreError.corrupt("audit_heads.mac")) {
                try await store.write { try $0.appendAudit(Self.entry(11), key: Self.key) }
            }
        }
    }

    @Test("attack 88: a trail that was emptied, or put back to an earlier state of itself, does not reach its anchor")
    func rollback() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            for number in 1...5 { try await store.write { try $0.appendAudit(Self.entry(number), key: Self.key) } }
            let early = try store.read { try $0.row("SELECT sequence, hash, mac FROM audit_heads") }
            let head = try #require(early)
            let values = (try head.integer("sequence"), try head.blob("hash"), try head.blob("mac"))
            for number in 6...9 { try await store.write { try $0.appendAudit(Self.entry(number), key: Self.key) } }
            let anchor = try #require(try store.read { try $0.auditEnds(.installation, key: Self.key)?.head })
            #expect(try Self.verification(of: store, anchor: anchor) == .intact(records: 9))

            try await store.write { transaction in
                try transaction.execute("DELETE FROM audit_records WHERE sequence > 5")
                try transaction.execute(
                    "UPDATE audit_heads SET sequence = ?1, hash = ?2, mac = ?3", values.0, values.1, values.2)
            }
            #expect(try Self.verification(of: store) == .intact(records: 5))
            guard case .broken(_, 6, _) = try Self.verification(of: store, anchor: anchor) else {
                Issue.record("the roll-back was not noticed")
                return
            }
            for number in 6...12 { try await store.write { try $0.appendAudit(Self.entry(number * 2), key: Self.key) } }
            guard case .broken(_, 9, _) = try Self.verification(of: store, anchor: anchor) else {
                Issue.record("the other history was not noticed")
                return
            }
            try await store.write { transaction in
                try transaction.execute("DELETE FROM audit_records")
                try transaction.execute("DELETE FROM audit_heads")
            }
            guard case .broken(_, 1, _) = try Self.verification(of: store, anchor: anchor) else {
                Issue.record("the emptying was not noticed")
                return
            }
        }
    }

    @Test("attack 88: a chain written anew with another key is not this installation's")
    func otherKey() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            try await store.write { try $0.appendAudit(Self.entry(1), key: DigestKey(Secret("other"))) }
            guard case .broken = try Self.verification(of: store) else {
                Issue.record("believed")
                return
            }
        }
    }

    @Test("records of transactions that arrive together stand in one unbroken order")
    func concurrency() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask { try await store.write { try $0.appendAudit(Self.entry(number), key: Self.key) } }
                }
                try await group.waitForAll()
            }
            #expect(try Self.verification(of: store) == .intact(records: 200))
        }
    }
}
