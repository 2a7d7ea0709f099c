import Testing
import VaultAPI
import VaultDomain
import VaultStore
import VaultTestSupport

struct RateCounterTests {
    private static let start = Instant(seconds: 1_750_000_000)

    private static func counter(_ limit: Int64, seconds: Int64 = 10) -> RateCounter {
        RateCounter(source: "rule", subject: "grant:1", limit: limit, seconds: seconds)
    }

    private static func use(_ store: Store, _ counter: RateCounter, at now: Instant) async throws -> CountedUse {
        try await store.write { try $0.countUse(counter, now: now) }
    }

    /// Steps of a walk that has bursts, pauses and long silences in it, the same in every run.
    private static func steps(_ count: Int) -> [Int64] {
        var state: UInt64 = 42
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let dice = state >> 33
            return dice % 100 < 60 ? 0 : dice % 100 < 95 ? Int64(dice % 3000) : Int64(dice % 30_000)
        }
    }

    @Test(
        "attack 85: in no window, wherever it begins, are there more uses than the limit",
        arguments: [1, 3, 7] as [Int64])
    func everyWindow(limit: Int64) async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let counter = Self.counter(limit)
            var now = Self.start
            var allowed: [Instant] = []
            for step in Self.steps(600) {
                now = now.adding(milliseconds: step)
                let inside = allowed.filter { $0 > now.adding(seconds: -10) }
                let reading = try store.read { try $0.rateReading(counter, now: now) }
                let counted = try await Self.use(store, counter, at: now)
                // What a list of all uses says: as many as fit, and not one more.
                #expect(counted.isCounted == (inside.count < limit))
                if counted.isCounted {
                    #expect(reading == .free)
                    #expect(counted.state.remaining == limit - Int64(inside.count) - 1)
                    allowed.append(now)
                } else {
                    let free = try #require(inside.first).adding(seconds: 10)
                    #expect(reading == .usedUp(until: free))
                    #expect(counted.state.resetsAt == free)
                }
            }
            #expect(allowed.count > 40)
        }
    }

    @Test("attack 85: a burst at the edge of a window is not twice the limit")
    func edge() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let counter = Self.counter(5, seconds: 60)
            var allowed = 0
            for milliseconds in [59_900, 59_950, 60_000, 60_050, 60_100] as [Int64] {
                for _ in 0..<4 {
                    let now = Instant(milliseconds: Self.start.milliseconds + milliseconds)
                    allowed += try await Self.use(store, counter, at: now).isCounted ? 1 : 0
                }
            }
            #expect(allowed == 5)
        }
    }

    @Test("attack 85: a thousand at the same time get exactly what there is, and a restart forgets none of them")
    func parallel() async throws {
        try await TemporaryFolder.use { folder in
            let path = folder + "/vault.db"
            let store = try Store(.sqlite(path: path))
            let counter = Self.counter(100)
            let allowed = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<1000 {
                    // Clocks of tasks are a little out of step.
                    let now = Self.start.adding(milliseconds: Int64(number % 7))
                    group.addTask { try await Self.use(store, counter, at: now).isCounted }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(allowed == 100)
            try store.close()
            let reopened = try Store(.sqlite(path: path))
            #expect(try await !Self.use(reopened, counter, at: Self.start.adding(seconds: 9)).isCounted)
            #expect(try await Self.use(reopened, counter, at: Self.start.adding(seconds: 11)).isCounted)
        }
    }

    @Test("attack 85: a clock that is set back opens nothing, and blocks no longer than one window")
    func clockSetBack() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let counter = Self.counter(2)
            let ahead = Self.start.adding(seconds: 86_400 * 365)
            for _ in 0..<2 { #expect(try await Self.use(store, counter, at: ahead).isCounted) }
            #expect(try await !Self.use(store, counter, at: Self.start).isCounted)
            try await store.write { try $0.settleRateCounters(now: Self.start, tolerance: 60) }
            #expect(try await !Self.use(store, counter, at: Self.start.adding(seconds: 9)).isCounted)
            #expect(try await Self.use(store, counter, at: Self.start.adding(seconds: 11)).isCounted)
        }
    }

    @Test("a counter that is used again while its old uses are being forgotten counts what is new")
    func usedWhileForgotten() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let counter = Self.counter(5)
            for _ in 0..<5 { #expect(try await Self.use(store, counter, at: Self.start).isCounted) }
            let later = Self.start.adding(seconds: 60)
            let forgotten = try await store.write { try $0.deleteOldRateUses(now: later, limit: 3) }
            #expect(forgotten == 3)
            for _ in 0..<5 { #expect(try await Self.use(store, counter, at: later).isCounted) }
            #expect(try await !Self.use(store, counter, at: later).isCounted)
        }
    }

    @Test("counters are forgotten when their last use has left the window, and not before")
    func forgotten() async throws {
        try await TemporaryFolder.use { folder in
            let store = try Store(TestDatabase.address(in: folder))
            let counter = Self.counter(1)
            #expect(try await Self.use(store, counter, at: Self.start).isCounted)
            let early = try await store.write {
                try $0.deleteOldRateUses(now: Self.start.adding(seconds: 9), limit: 100)
            }
            #expect(early == 0)
            #expect(try await !Self.use(store, counter, at: Self.start.adding(seconds: 9)).isCounted)
            let late = try await store.write {
                try $0.deleteOldRateUses(now: Self.start.adding(seconds: 11), limit: 100)
            }
            #expect(late == 1)
            #expect(try store.read { try $0.row("SELECT count(*) AS n FROM rate_counters")?.integer("n") } == 0)
        }
    }
}
