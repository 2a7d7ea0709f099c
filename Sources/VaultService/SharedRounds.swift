/// Work that one run does for everybody who asked before it began: one run at a time, and whoever comes meanwhile shares the
/// one after it.
actor SharedRounds {
    private var running: Task<Void, any Error>?
    private var waiting: Task<Void, any Error>?

    /// Returns when a run is over that began after this call.
    func join(_ run: @escaping @Sendable () async throws -> Void) async throws {
        if let waiting { return try await waiting.value }
        let before = running
        let next = Task {
            _ = await before?.result
            self.running = self.waiting
            self.waiting = nil
            try await run()
        }
        waiting = next
        try await next.value
    }
}
