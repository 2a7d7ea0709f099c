import VaultAPI
import VaultStore

/// One refresh per credential at a time in this process: the first caller starts it, the others wait for its outcome.
///
/// The refresh itself is a task of its own, so that a client that hangs up cannot cut a token call in two: a rotated
/// refresh token that nobody stored would end the connection.
actor RefreshFlights {
    private struct Flight {
        var task: Task<Void, Never>
        var waiters: [Int: CheckedContinuation<Void, any Error>] = [:]
    }

    private var flights: [CredentialID: Flight] = [:]
    private var nextWaiter = 0
    private let executor: BlockingExecutor?
    /// Credentials and clients whose provider asked for patience, or failed: no call before this time.
    private var pausedUntil: [String: Instant] = [:]

    init(executor: BlockingExecutor?) { self.executor = executor }

    static let stillRunning = VaultError(
        .tokenRefreshInProgress, "The credential is being renewed.", hint: "Send the request again in a moment.",
        retryAfterSeconds: 2)

    /// Waits for the refresh under way, or for the one that `refresh` starts; at most `Limits.refreshWaitSeconds`.
    func run(_ id: CredentialID, _ refresh: @escaping @Sendable () async throws -> Void) async throws {
        if flights[id] == nil {
            let task = Task {
                do {
                    try await withTaskExecutorPreference(executor) { try await refresh() }
                    self.finish(id, .success(()))
                } catch {
                    self.finish(id, .failure(error))
                }
            }
            flights[id] = Flight(task: task)
        }
        let waiter = nextWaiter
        nextWaiter += 1
        let deadline = Task {
            try await Task.sleep(for: .seconds(Limits.refreshWaitSeconds))
            self.expire(id, waiter)
        }
        defer { deadline.cancel() }
        try await withCheckedThrowingContinuation { continuation in
            flights[id]?.waiters[waiter] = continuation
        }
    }

    private func finish(_ id: CredentialID, _ outcome: Result<Void, any Error>) {
        guard let flight = flights.removeValue(forKey: id) else { return }
        for waiter in flight.waiters.values { waiter.resume(with: outcome) }
    }

    private func expire(_ id: CredentialID, _ waiter: Int) {
        flights[id]?.waiters.removeValue(forKey: waiter)?.resume(throwing: Self.stillRunning)
    }

    func pause(_ id: String, until: Instant) {
        if pausedUntil.count >= 10_000 { pausedUntil.removeAll() }
        pausedUntil[id] = until
    }

    func isPaused(_ id: String, now: Instant) -> Bool {
        guard let until = pausedUntil[id] else { return false }
        if until > now { return true }
        pausedUntil[id] = nil
        return false
    }

    /// Waits until no refresh is under way (graceful stop).
    func drain() async {
        for flight in flights.values { await flight.task.value }
    }
}
