import VaultAPI
import VaultDomain

/// Carries out decided destructions of keys: one round at a time, and whoever comes meanwhile shares the one after it, so that
/// a burst of deprovisionings does not write the same files once for each.
actor KeyDestructions {
    private var running: Task<Void, any Error>?
    private var waiting: Task<Void, any Error>?
    /// Destroyed for good, with an intent that is still stored. Lost with the process: then they are destroyed again.
    private var carriedOut: Set<DataKeyID> = []

    /// Returns when a round is over that began after this call. `round` answers the keys that are gone.
    func join(_ round: @escaping @Sendable (_ carriedOut: Set<DataKeyID>) async throws -> Set<DataKeyID>) async throws {
        if let waiting { return try await waiting.value }
        let before = running
        let next = Task {
            _ = await before?.result
            self.running = self.waiting
            self.waiting = nil
            self.carriedOut.formUnion(try await round(self.carriedOut))
        }
        waiting = next
        try await next.value
    }

    /// The keys whose intents can be forgotten; told once.
    func takeCarriedOut() -> Set<DataKeyID> {
        defer { carriedOut = [] }
        return carriedOut
    }
}
