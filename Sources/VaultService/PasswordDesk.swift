import Dispatch
import Synchronization
import VaultAPI

/// Where passwords are worked on, one after the other: each takes a thread 0.2 s and 32 MiB, which a crowd of sign-ins must
/// not take from the requests.
final class PasswordDesk: Sendable {
    private let queue = DispatchQueue(label: "sallyport.passwords", qos: .userInitiated)
    private let waiting = Mutex(0)
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Throws `service_unavailable` when too many wait already.
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        let isFull = waiting.withLock { count in
            guard count < limit else { return true }
            count += 1
            return false
        }
        guard !isFull else {
            throw VaultError(.serviceUnavailable, "Too many people sign in right now. Try again.", retryAfterSeconds: 5)
        }
        defer { waiting.withLock { $0 -= 1 } }
        return try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result { try body() }) }
        }
    }
}
