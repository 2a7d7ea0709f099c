// The key sets of issuers, kept in memory and shared by every app of this process. It owns when a set is fetched and how
// long it is believed; what is in a set is JSONWebKeySet's business. The clock comes in with each call. TokenVerifier asks
// it, and discovery fetches through the same function.

import VaultAPI
import VaultCrypto
import VaultDomain

/// Why there is no key set.
package struct KeySetUnavailable: Error, Equatable, Sendable {
    /// Safe to show to an operator.
    package let reason: String
    /// The issuer did answer, and no key of it is left: its earlier keys are withdrawn, not out of reach.
    let isWithdrawal: Bool

    package init(reason: String, isWithdrawal: Bool = false) {
        self.reason = reason
        self.isWithdrawal = isWithdrawal
    }
}

package actor KeySetCache {
    /// A withdrawn key is believed at most this long.
    package static let freshSeconds: Int64 = 300
    /// An issuer that cannot be reached is believed at most this long.
    package static let usableSeconds: Int64 = 86_400
    /// Between two fetches that unknown keys cause: anybody can invent key ids.
    package static let cooldownSeconds: Int64 = 10
    /// Before a failed first fetch is tried again; meanwhile nobody waits.
    package static let firstFailureSeconds: Int64 = 2
    /// Before a failed refresh is tried again; meanwhile the old set serves.
    package static let refreshFailureSeconds: Int64 = 30
    static let addressesMax = 1000
    /// Callers took their `now` a moment apart; one that is older is no clock that was set back.
    private static let clockToleranceSeconds: Int64 = 60

    /// A key set as it is believed now. What it verified holds for as long as its version does.
    package struct Believed: Sendable {
        package let keySet: JSONWebKeySet
        let version: UInt64
    }

    private struct Entry {
        var keySet: Believed?
        var loadedAt = Instant(milliseconds: 0)
        var failure: (error: KeySetUnavailable, at: Instant)?
        var unknownKeyFetchAt: Instant?
        var flight: Flight?
        var lastUse: UInt64 = 0
    }

    private struct Flight {
        let id: UInt64
        let task: Task<Result<Believed, KeySetUnavailable>, Never>
    }

    nonisolated let verified = VerifiedTokens()
    private let send: Send
    private var entries: [WebAddress: Entry] = [:]
    private var counter: UInt64 = 0

    package init(send: @escaping Send) { self.send = send }

    /// The set to verify with. Waits only when there is none, or when it is older than five minutes.
    package func keys(
        for jwksURI: WebAddress, now: Instant
    ) async throws(KeySetUnavailable) -> Believed {
        let entry = use(jwksURI)
        if let keySet = entry.keySet, Self.isWithin(Self.freshSeconds, since: entry.loadedAt, now) { return keySet }
        if let failure = entry.failure {
            let usable = Self.usableKeySet(entry, now)
            let pause = usable == nil ? Self.firstFailureSeconds : Self.refreshFailureSeconds
            if Self.isWithin(pause, since: failure.at, now) {
                guard let usable else { throw failure.error }
                return usable
            }
        }
        return try await outcome(of: entry.flight ?? startFlight(jwksURI, now: now), entry, now)
    }

    /// The set to try once more with, after a token that names an unknown key: a newer one when it may be fetched now.
    package func keysAfterUnknownKey(
        for jwksURI: WebAddress, now: Instant
    ) async throws(KeySetUnavailable) -> Believed {
        let entry = use(jwksURI)
        guard let usable = Self.usableKeySet(entry, now) else { return try await keys(for: jwksURI, now: now) }
        if let flight = entry.flight { return try await outcome(of: flight, entry, now) }
        if let last = entry.unknownKeyFetchAt, Self.isWithin(Self.cooldownSeconds, since: last, now) { return usable }
        entries[jwksURI]?.unknownKeyFetchAt = now
        return try await outcome(of: startFlight(jwksURI, now: now), entry, now)
    }

    /// Drops what is known of the address; a fetch under way serves only those who wait for it.
    package func forget(_ jwksURI: WebAddress) { entries[jwksURI] = nil }

    // MARK: Fetching

    /// What was fetched, or else what `entry` had before, as far as the failure lets it be believed.
    private func outcome(
        of flight: Flight, _ entry: Entry, _ now: Instant
    ) async throws(KeySetUnavailable) -> Believed {
        switch await flight.task.value {
        case .success(let keySet): return keySet
        case .failure(let failure):
            var entry = entry
            entry.failure = (error: failure, at: now)
            guard let usable = Self.usableKeySet(entry, now) else { throw failure }
            return usable
        }
    }

    /// A task of its own, so that a caller who hangs up does not fail the others who wait; the entry owns it.
    private func startFlight(_ address: WebAddress, now: Instant) -> Flight {
        let id = next()
        let task = Task { [send] in
            let started = ContinuousClock.now
            let outcome = self.believing(await Self.outcome(fetching: address, send: send), at: address)
            let elapsedMilliseconds = (ContinuousClock.now - started) / .milliseconds(1)
            self.land(address, flight: id, outcome, startedAt: now, elapsedMilliseconds: Int64(elapsedMilliseconds))
            return outcome
        }
        let flight = Flight(id: id, task: task)
        entries[address]?.flight = flight
        return flight
    }

    private static func outcome(
        fetching address: WebAddress, send: Send
    ) async -> Result<JSONWebKeySet, KeySetUnavailable> {
        do {
            return .success(try await fetch(address, send: send))
        } catch {
            return .failure(error)
        }
    }

    /// The same keys keep their version.
    private func believing(_ outcome: Result<JSONWebKeySet, KeySetUnavailable>, at address: WebAddress)
        -> Result<Believed, KeySetUnavailable>
    {
        outcome.map { keySet in
            if let known = entries[address]?.keySet, known.keySet.fingerprint == keySet.fingerprint { return known }
            return Believed(keySet: keySet, version: next())
        }
    }

    private func land(
        _ address: WebAddress, flight: UInt64, _ outcome: Result<Believed, KeySetUnavailable>, startedAt: Instant,
        elapsedMilliseconds: Int64
    ) {
        // Forgotten or displaced meanwhile: the outcome is for those who wait, and not kept.
        guard entries[address]?.flight?.id == flight else { return }
        entries[address]?.flight = nil
        switch outcome {
        case .success(let keySet):
            entries[address]?.keySet = keySet
            // The state of the issuer is at least as old as the question.
            entries[address]?.loadedAt = startedAt
            entries[address]?.failure = nil
        case .failure(let error):
            entries[address]?.failure = (error: error, at: startedAt.adding(milliseconds: elapsedMilliseconds))
        }
    }

    /// One fetch, at most `timeoutSeconds` and 1 MiB, with at least one usable key in the answer.
    static func fetch(
        _ address: WebAddress, send: Send, timeoutSeconds: Int = 5
    ) async throws(KeySetUnavailable) -> JSONWebKeySet {
        let response: OutgoingResponse
        do {
            response = try await send(
                OutgoingRequest(
                    method: "GET", address: address, headers: [(name: "Accept", value: "application/json")],
                    timeoutSeconds: timeoutSeconds, responseBytesMax: 1 << 20,
                    // An idle connection is one that the issuer may close at this moment, and then nobody is believed.
                    usesFreshConnection: true))
        } catch {
            throw KeySetUnavailable(reason: (error as? OutgoingFailure)?.reason ?? "the call was not completed")
        }
        guard response.status == 200 else {
            let note = (300..<400).contains(response.status) ? "; redirects are not followed" : ""
            throw KeySetUnavailable(reason: "the host answered with status \(response.status)\(note)")
        }
        let keySet: JSONWebKeySet
        do {
            keySet = try JSONWebKeySet(parsing: try JSON(parsing: response.body))
        } catch let error as JSONWebKeySetError {
            throw KeySetUnavailable(reason: error.reason)
        } catch {
            throw KeySetUnavailable(reason: "it is not valid JSON")
        }
        guard !keySet.isEmpty else {
            throw KeySetUnavailable(reason: "it has no key that can verify signatures", isWithdrawal: true)
        }
        return keySet
    }

    // MARK: Entries

    private func next() -> UInt64 {
        counter += 1
        return counter
    }

    /// The entry, new if need be, marked as the one used last.
    private func use(_ address: WebAddress) -> Entry {
        if entries[address] == nil, entries.count >= Self.addressesMax {
            if let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse })?.key { entries[oldest] = nil }
        }
        var entry = entries[address] ?? Entry()
        entry.lastUse = next()
        entries[address] = entry
        return entry
    }

    private static func usableKeySet(_ entry: Entry, _ now: Instant) -> Believed? {
        let limit = entry.failure?.error.isWithdrawal == true ? freshSeconds : usableSeconds
        return isWithin(limit, since: entry.loadedAt, now) ? entry.keySet : nil
    }

    /// A time in the future is none to count from: the clock was set back, and the age is unknown.
    private static func isWithin(_ seconds: Int64, since start: Instant, _ now: Instant) -> Bool {
        now >= start.adding(seconds: -clockToleranceSeconds) && now < start.adding(seconds: seconds)
    }
}

// MARK: - Verifying

package enum TokenVerificationError: Error, Equatable, Sendable {
    /// The token is not one of the issuer's.
    case refused(String)
    /// Nothing can be said about the token now.
    case keySetUnavailable(String)
}

/// Form, keys, signature, in this order: what is no token causes no fetch.
package struct TokenVerifier: Sendable {
    private let keySets: KeySetCache

    package init(keySets: KeySetCache) { self.keySets = keySets }

    /// The claims of a token that a key of the set signed. They still have to be judged by TokenClaims.
    package func verify(
        _ compact: String, jwksURI: WebAddress, now: Instant
    ) async throws(TokenVerificationError) -> JSONObject {
        let key = VerifiedTokens.Key(token: compact, jwksURI: jwksURI)
        do {
            // Only what was a token once is known, so that what is none still causes no fetch.
            let known = keySets.verified.entry(key)
            let token = known == nil ? try JSONWebSignature(compact: compact) : nil
            let believed = try await keySets.keys(for: jwksURI, now: now)
            if let claims = known?.claims(by: believed, now: now) { return claims }
            let read = try token ?? JSONWebSignature(compact: compact)
            if let claims = try claims(of: read, key, by: believed, now: now) { return claims }
            // The issuer may have a key that we have not seen yet.
            let newer = try await keySets.keysAfterUnknownKey(for: jwksURI, now: now)
            if let claims = try claims(of: read, key, by: newer, now: now) { return claims }
        } catch let error as KeySetUnavailable {
            throw .keySetUnavailable(error.reason)
        } catch {
            throw .refused((error as? JSONWebSignatureError ?? .badSignature).reason)
        }
        throw .refused(JSONWebSignatureError.unknownKey.reason)
    }

    /// `nil` when the set does not know the key that the token names.
    private func claims(
        of token: JSONWebSignature, _ key: VerifiedTokens.Key, by believed: KeySetCache.Believed, now: Instant
    ) throws(JSONWebSignatureError) -> JSONObject? {
        do {
            try token.verify(with: believed.keySet)
        } catch .unknownKey {
            return nil
        }
        keySets.verified.note(token.claims, for: key, by: believed, now: now)
        return token.claims
    }
}
