import VaultAPI
import VaultCrypto
import VaultDomain

/// Key sets of issuers: fetched once for everybody, refreshed when old or when a token names an unknown key, kept while
/// the provider is away up to a limit.
package actor KeySetCache {
    private struct Entry {
        var keys: JSONWebKeySet?
        var fetchedAt: Instant?
        /// Set by fetches that an unknown key caused, and by failures: no such fetch before it.
        var quietUntil: Instant?
        var fetch: Task<JSONWebKeySet, any Error>?
    }

    package struct Unavailable: Error, Sendable {
        package let reason: String
    }

    private static let freshSeconds: Int64 = 300
    private static let staleSeconds: Int64 = 86_400
    private static let coolDownSeconds: Int64 = 10
    private static let failurePauseSeconds: Int64 = 2
    private static let entriesMax = 1000

    private let send: Send
    private var entries: [WebAddress: Entry] = [:]

    package init(send: @escaping Send) { self.send = send }

    /// The keys in force; fetched when there are none or they are old.
    package func keys(for address: WebAddress, now: Instant) async throws -> JSONWebKeySet {
        let entry = entries[address] ?? Entry()
        if let keys = entry.keys, let fetchedAt = entry.fetchedAt {
            if fetchedAt.adding(seconds: Self.freshSeconds) > now { return keys }
            do {
                return try await fetched(address, now: now)
            } catch {
                guard fetchedAt.adding(seconds: Self.staleSeconds) > now else { throw error }
                return keys
            }
        }
        return try await fetched(address, now: now)
    }

    /// The keys after a token named one that is not among them: at most one fetch a cool-down, for all tokens together.
    package func keysAfterUnknownKey(for address: WebAddress, now: Instant) async throws -> JSONWebKeySet? {
        guard entries[address]?.quietUntil.map({ $0 <= now }) ?? true else { return nil }
        entries[address]?.quietUntil = now.adding(seconds: Self.coolDownSeconds)
        return try await fetched(address, now: now, isForced: true)
    }

    package func forget(_ address: WebAddress) { entries[address] = nil }

    private func fetched(_ address: WebAddress, now: Instant, isForced: Bool = false) async throws -> JSONWebKeySet {
        if let fetch = entries[address]?.fetch { return try await fetch.value }
        if !isForced, let quietUntil = entries[address]?.quietUntil, quietUntil > now, entries[address]?.keys == nil {
            throw Unavailable(reason: "the last attempt failed a moment ago")
        }
        if entries[address] == nil { makeRoom() }
        let send = send
        // A task of its own: the first caller's hanging up must not fail all the others.
        let fetch = Task { try await Self.fetch(address, send: send) }
        entries[address, default: Entry()].fetch = fetch
        do {
            let keys = try await fetch.value
            entries[address]?.keys = keys
            entries[address]?.fetchedAt = now
            entries[address]?.fetch = nil
            return keys
        } catch {
            entries[address]?.fetch = nil
            if !isForced { entries[address]?.quietUntil = now.adding(seconds: Self.failurePauseSeconds) }
            throw error
        }
    }

    private func makeRoom() {
        guard entries.count >= Self.entriesMax,
            let oldest = entries.min(by: {
                ($0.value.fetchedAt?.milliseconds ?? 0) < ($1.value.fetchedAt?.milliseconds ?? 0)
            })
        else { return }
        entries[oldest.key] = nil
    }

    private static func fetch(_ address: WebAddress, send: Send) async throws -> JSONWebKeySet {
        do {
            let response = try await send(
                OutgoingRequest(method: "GET", address: address, headers: [(name: "Accept", value: "application/json")])
            )
            guard response.status == 200 else {
                throw Unavailable(reason: "the key set answers with status \(response.status)")
            }
            return try JSONWebKeySet(parsing: try JSON(parsing: response.body))
        } catch let failure as OutgoingFailure {
            throw Unavailable(reason: failure.reason)
        } catch is JSONSyntaxError {
            throw Unavailable(reason: "the key set is not JSON")
        } catch is JSONWebKeySetError {
            throw Unavailable(reason: "the key set holds no usable key")
        }
    }
}

package enum TokenVerificationError: Error, Sendable {
    case refused(String)
    case keySetUnavailable(String)
}

/// Reads a token, finds its key and believes its claims.
package struct TokenVerifier: Sendable {
    private let keySets: KeySetCache

    package init(keySets: KeySetCache) { self.keySets = keySets }

    package func verify(_ compact: String, jwksURI: WebAddress, now: Instant) async throws -> JSONObject {
        do {
            let token = try JSONWebSignature(compact: compact)
            do {
                try token.verify(with: try await keySets.keys(for: jwksURI, now: now))
            } catch JSONWebSignatureError.unknownKey {
                guard let keys = try? await keySets.keysAfterUnknownKey(for: jwksURI, now: now) else {
                    throw JSONWebSignatureError.unknownKey
                }
                try token.verify(with: keys)
            }
            return token.claims
        } catch let error as JSONWebSignatureError {
            throw TokenVerificationError.refused(error.reason)
        } catch let error as KeySetCache.Unavailable {
            throw TokenVerificationError.keySetUnavailable(error.reason)
        }
    }
}
