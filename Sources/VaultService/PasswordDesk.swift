import Dispatch
import Synchronization
import VaultAPI

/// Where passwords are worked on, one after the other: each takes a thread 0.2 s and 32 MiB, which a crowd of sign-ins must
/// not take from the requests. One network has few places, so that it does not keep the others out.
final class PasswordDesk: Sendable {
    private let queue = DispatchQueue(label: "sallyport.passwords", qos: .userInitiated)
    private let waiting = Mutex<[String: Int]>([:])
    private let limit: Int
    private let limitPerNetwork: Int

    init(limit: Int, limitPerNetwork: Int) {
        self.limit = limit
        self.limitPerNetwork = limitPerNetwork
    }

    /// Throws `service_unavailable` when too many wait already.
    func run<Result: Sendable>(for network: String, _ body: @escaping @Sendable () throws -> Result) async throws
        -> Result
    {
        let isFull = waiting.withLock { waiting in
            guard waiting.values.reduce(0, +) < limit, waiting[network, default: 0] < limitPerNetwork else {
                return true
            }
            waiting[network, default: 0] += 1
            return false
        }
        guard !isFull else {
            throw VaultError(.serviceUnavailable, "Too many people sign in right now. Try again.", retryAfterSeconds: 5)
        }
        defer {
            waiting.withLock { waiting in
                let left = waiting[network, default: 1] - 1
                waiting[network] = left > 0 ? left : nil
            }
        }
        return try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result { try body() }) }
        }
    }
}
