import Synchronization
import Testing

@testable import VaultService

@Suite("Uses under way")
struct UsesUnderWayTests {
    @Test("nobody waits when there are none")
    func none() async {
        let uses = UsesUnderWay()
        await uses.areAnswered()
        _ = uses.begin()
        await uses.areAnswered()
    }

    @Test("each waits for those that began before, in whatever order they end, and for none that began later")
    func rounds() async {
        let uses = UsesUnderWay()
        let ended = Ended()
        var first: UsesUnderWay.Mark? = uses.begin()
        let early = Task.immediate {
            await uses.areAnswered()
            ended.note("early")
        }
        var second: UsesUnderWay.Mark? = uses.begin()
        let late = Task.immediate {
            await uses.areAnswered()
            ended.note("late")
        }
        let third = uses.begin()

        withExtendedLifetime(second) {}
        second = nil
        try? await Task.sleep(for: .milliseconds(20))
        #expect(ended.names == [], "both wait for the first")
        withExtendedLifetime(first) {}
        first = nil
        await early.value
        await late.value
        #expect(ended.names == ["early", "late"])
        withExtendedLifetime(third) {}
    }

    @Test("the earlier one does not wait for what began after it")
    func earlier() async {
        let uses = UsesUnderWay()
        var first: UsesUnderWay.Mark? = uses.begin()
        let early = Task.immediate { await uses.areAnswered() }
        let second = uses.begin()
        withExtendedLifetime(first) {}
        first = nil
        await early.value
        withExtendedLifetime(second) {}
    }

    @Test("nobody waits for long for an answer that its client does not take", .timeLimit(.minutes(1)))
    func stuck() async {
        let uses = UsesUnderWay()
        let stuck = uses.begin()
        await uses.areAnswered(within: .milliseconds(10))
        withExtendedLifetime(stuck) {}
    }
}

private final class Ended: Sendable {
    private let noted = Mutex<Set<String>>([])

    var names: Set<String> { noted.withLock { $0 } }

    func note(_ name: String) { noted.withLock { _ = $0.insert(name) } }
}
