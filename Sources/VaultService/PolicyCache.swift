import Synchronization
import VaultAPI
import VaultDomain

/// Compiled policies by revision. A revision is never used for two documents, so that nothing here can be out of date: the
/// database says at every decision which revision is in force.
final class PolicyCache: Sendable {
    private static let bytesMax = 32 << 20
    /// What a policy takes when it is compiled, about: this, and so many times its document.
    private static let bytesOfEach = 1000
    private static let bytesForOne = 30

    private struct State {
        var policies: [String: AccessPolicy] = [:]
        var bytes = 0
    }

    private let state = Mutex(State())

    /// - Parameter document: reads the policy's document; not called where the revision is known.
    func policy(revision: String, document: () throws -> JSONObject?) rethrows -> AccessPolicy {
        if let known = state.withLock({ $0.policies[revision] }) { return known }
        let document = try document()
        let compiled = document.map(AccessPolicy.init(stored:)) ?? .unreadable
        let length = document.map { JSON.object($0).text.utf8.count } ?? 0
        let bytes = Self.bytesOfEach + Self.bytesForOne * length
        state.withLock { state in
            if state.bytes + bytes > Self.bytesMax { state = State() }
            state.policies[revision] = compiled
            state.bytes += bytes
        }
        return compiled
    }
}
