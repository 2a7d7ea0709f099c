import Synchronization
import VaultAPI
import VaultDomain

/// Compiled policies by revision. A revision is never used for two documents, so that nothing here can be out of date: the
/// database says at every decision which revision is in force.
final class PolicyCache: Sendable {
    /// Of the documents; compiled they take some thirty times as much.
    private static let bytesMax = 4 << 20

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
        let bytes = document.map { JSON.object($0).text.utf8.count } ?? 0
        state.withLock { state in
            if state.bytes + bytes > Self.bytesMax { state = State() }
            state.policies[revision] = compiled
            state.bytes += bytes
        }
        return compiled
    }
}
