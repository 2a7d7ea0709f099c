import Synchronization

/// Uses that are decided and not answered yet. What ends something is acknowledged only when those of before are answered, so
/// that nobody is handed a credential after they heard that it is out of reach.
package final class UsesUnderWay: Sendable {
    /// A use is under way as long as somebody holds this.
    package final class Mark: Sendable {
        private let uses: UsesUnderWay
        private let round: Int

        fileprivate init(_ uses: UsesUnderWay, round: Int) {
            self.uses = uses
            self.round = round
        }

        deinit { uses.end(round) }
    }

    private struct State {
        /// Those who come to wait begin a new one, so that nobody waits for uses that began later.
        var round = 0
        /// How many are under way, by round; none that has none.
        var counts: [Int: Int] = [:]
        /// Wait for all rounds up to theirs.
        var waiting: [(round: Int, continuation: CheckedContinuation<Void, Never>)] = []

        mutating func free(_ isFree: (Int) -> Bool) -> [CheckedContinuation<Void, Never>] {
            let freed = waiting.filter { isFree($0.round) }
            waiting.removeAll { isFree($0.round) }
            return freed.map(\.continuation)
        }
    }

    private let state = Mutex(State())

    /// Belongs into the transaction that decides: whoever commits after it then waits for the answer.
    func begin() -> Mark {
        let round = state.withLock { state in
            state.counts[state.round, default: 0] += 1
            return state.round
        }
        return Mark(self, round: round)
    }

    private func end(_ round: Int) {
        let freed = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            let left = (state.counts[round] ?? 0) - 1
            state.counts[round] = left > 0 ? left : nil
            guard left == 0, !state.waiting.isEmpty else { return [] }
            let oldest = state.counts.keys.min() ?? .max
            return state.free { $0 < oldest }
        }
        freed.forEach { $0.resume() }
    }

    /// Returns once those that are under way now are answered. A client that does not read keeps its answers from leaving: nobody
    /// waits for it longer than `limit`.
    package func areAnswered(within limit: Duration = .seconds(Limits.usesUnderWaySecondsMax)) async {
        await withCheckedContinuation { continuation in
            let round = state.withLock { state -> Int? in
                guard !state.counts.isEmpty else { return nil }
                defer { state.round += 1 }
                state.waiting.append((round: state.round, continuation: continuation))
                return state.round
            }
            guard let round else { return continuation.resume() }
            Task {
                try? await Task.sleep(for: limit)
                state.withLock { state in state.free { $0 == round } }.forEach { $0.resume() }
            }
        }
    }
}
