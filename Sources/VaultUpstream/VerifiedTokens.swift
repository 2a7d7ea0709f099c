import Synchronization
import VaultAPI
import VaultCrypto
import VaultDomain

/// Tokens whose signatures held, by a digest of the whole token, so that the next request with one verifies nothing. What is
/// kept is what the token says; whether that lets it pass (`exp`, `nbf`, `aud`, the user) is judged at every use.
///
/// An entry counts only with the very key set that verified it, and not after the token's end.
final class VerifiedTokens: Sendable {
    /// The whole token, and whose keys are to verify it.
    struct Key: Hashable {
        private let digest: [UInt8]

        init(token: String, jwksURI: WebAddress) {
            // No address holds a line break.
            digest = Digest.sha256("\(jwksURI)\n\(token)")
        }
    }

    struct Entry {
        fileprivate let claims: JSONObject
        fileprivate let keySetVersion: UInt64
        fileprivate let expiresAt: Instant

        /// What the token says, if it can be taken for verified by this set.
        func claims(by believed: KeySetCache.Believed, now: Instant) -> JSONObject? {
            believed.version == keySetVersion && now < expiresAt ? claims : nil
        }
    }

    /// Two halves: when the newer one is full, or all of the older one has ended, the older one goes. What is used stays.
    private struct State {
        var newer: [Key: Entry] = [:]
        var older: [Key: Entry] = [:]
        /// When the newer one was begun.
        var turnedAt = Instant(milliseconds: 0)

        mutating func turn() {
            older = newer
            newer = [:]
        }

        mutating func insert(_ entry: Entry, for key: Key) {
            if newer.count >= VerifiedTokens.halfMax { turn() }
            newer[key] = entry
        }
    }

    private static let halfMax = 5000
    /// A token without a usable end, and one that lives long, is verified again after this.
    private static let secondsMax: Int64 = 300

    private let state = Mutex(State())

    func entry(_ key: Key) -> Entry? {
        state.withLock { state in
            if let entry = state.newer[key] { return entry }
            guard let entry = state.older[key] else { return nil }
            state.insert(entry, for: key)
            return entry
        }
    }

    func note(_ claims: JSONObject, for key: Key, by believed: KeySetCache.Believed, now: Instant) {
        let end = claims["exp"]?.number?.double.map { Instant(seconds: Int64(min(max($0, 0), 1e11))) }
        let limit = now.adding(seconds: Self.secondsMax)
        let entry = Entry(claims: claims, keySetVersion: believed.version, expiresAt: min(end ?? limit, limit))
        state.withLock { state in
            if now > state.turnedAt.adding(seconds: Self.secondsMax) {
                state.turn()
                state.turnedAt = now
            }
            state.insert(entry, for: key)
        }
    }
}
