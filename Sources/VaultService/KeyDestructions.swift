import VaultAPI
import VaultStore

/// Carries out decided destructions in the key store: one round at a time, and whoever comes meanwhile shares the one after
/// it, so that a burst of deprovisionings does not write the same files once for each.
actor KeyDestructions {
    struct Note: Sendable {
        let number: Int
        let destructions: PendingDestructions
        let at: Instant
    }

    private var running: Task<Void, any Error>?
    private var waiting: Task<Void, any Error>?
    /// Carried out, with intents that are still stored. Lost with the process: then it is done again.
    private var notes: [Note] = []
    /// Whether the database's log may still hold pages as they were before: somebody was reading it.
    private(set) var owesEmptyLog = false
    private var lastNumber = 0
    private let executor: BlockingExecutor?

    init(executor: BlockingExecutor?) { self.executor = executor }

    /// Returns when a round is over that began after this call. `round` is told what it need not do again, and answers what
    /// it did and when.
    func join(
        _ round: @escaping @Sendable ([PendingDestructions]) async throws -> (PendingDestructions, at: Instant)?
    ) async throws {
        if let waiting { return try await waiting.value }
        let before = running
        let next = Task {
            _ = await before?.result
            self.running = self.waiting
            self.waiting = nil
            let notes = self.notes.map(\.destructions)
            guard let done = try await withTaskExecutorPreference(executor, operation: { try await round(notes) })
            else {
                return
            }
            self.lastNumber += 1
            self.notes.append(Note(number: self.lastNumber, destructions: done.0, at: done.at))
        }
        waiting = next
        try await next.value
    }

    func noteLog(isEmpty: Bool) { owesEmptyLog = !isEmpty }

    func carriedOut() -> [Note] { notes }

    /// Their intents are not stored any more.
    func forget(_ forgotten: [Note]) {
        let numbers = Set(forgotten.map(\.number))
        notes.removeAll { numbers.contains($0.number) }
    }
}
