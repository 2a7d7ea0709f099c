import Synchronization
import VaultDomain

/// Compiled policies by revision. A revision is never used for two documents, so that nothing here can be out of date: the
/// database says at every decision which revision is in force.
final class PolicyCache: Sendable {
    private static let countMax = 10_000

    private let policies = Mutex<[String: AccessPolicy]>([:])

    /// - Parameter compile: reads and compiles; not called where the revision is known.
    func policy(revision: String, compile: () throws -> AccessPolicy) rethrows -> AccessPolicy {
        if let known = policies.withLock({ $0[revision] }) { return known }
        let compiled = try compile()
        policies.withLock { policies in
            if policies.count >= Self.countMax { policies.removeAll() }
            policies[revision] = compiled
        }
        return compiled
    }

    func drop(revision: String) { policies.withLock { $0[revision] = nil } }
}
