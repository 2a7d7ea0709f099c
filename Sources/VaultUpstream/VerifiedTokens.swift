import Synchronization
import VaultAPI
import VaultCrypto
import VaultDomain

/// Tokens whose signatures held, by a digest of the whole token, so that the next request with one verifies nothing. What is
/// kept is what the token says; whether that lets it pass (`exp`, `nbf`, `aud`, the user) is judged at every use.
///
/// An entry counts only with the very key set that verified it, and not after the token's end.
final class VerifiedTokens: Sendable {
    struct Key: Hashable {
        let digest: [UInt8]
        let jwksURI: WebAddress

        init(token: String, jwksURI: WebAddress) {
            digest = Digest.sha256(Array(token.utf8))
            self.jwksURI = jwksURI
        }
    }

    private struct Entry {
        let claims: JSONObject
        let keySetVersion: UInt64
        let expiresAt: Instant
    }

    /// Two halves: when the newer one is full, the older one goes. What is used stays.
    private struct State {
        var newer: [Key: Entry] = [:]
        var older: [Key: Entry] = [:]
    }

    private static let halfMax = 5000
    /// A token without a usable end, and one that lives long, is verified again after this.
    private static let secondsMax: Int64 = 300

    private let state = Mutex(State())

    func isKnown(_ key: Key) -> Bool { state.withLock { $0.newer[key] != nil || $0.older[key] != nil } }

    func claims(_ key: Key, keySetVersion: UInt64, now: Instant) -> JSONObject? {
        state.withLock { state in
            guard let entry = state.newer[key] ?? state.older[key] else { return nil }
            guard entry.keySetVersion == keySetVersion, now < entry.expiresAt else {
                state.newer[key] = nil
                state.older[key] = nil
                return nil
            }
            if state.newer[key] == nil { Self.insert(entry, for: key, into: &state) }
            return entry.claims
        }
    }

    func note(_ claims: JSONObject, for key: Key, keySetVersion: UInt64, now: Instant) {
        let end = claims["exp"]?.number?.double.map { Instant(seconds: Int64(min(max($0, 0), 1e11))) }
        let limit = now.adding(seconds: Self.secondsMax)
        let entry = Entry(claims: claims, keySetVersion: keySetVersion, expiresAt: min(end ?? limit, limit))
        state.withLock { Self.insert(entry, for: key, into: &$0) }
    }

    private static func insert(_ entry: Entry, for key: Key, into state: inout State) {
        if state.newer.count >= halfMax {
            state.older = state.newer
            state.newer = [:]
        }
        state.newer[key] = entry
    }
}
