import Synchronization
import Testing
import VaultAPI
import VaultDomain
import VaultUpstream

/// An issuer whose answer can be changed, and that counts how often it is asked.
private final class Issuer: Sendable {
    private struct State {
        var answer: (@Sendable () async throws -> OutgoingResponse) = Issuer.keys
        var requests: [OutgoingRequest] = []
    }
    private let state = Mutex(State())
    let address: WebAddress

    init(_ address: String = "https://id.example/keys") throws { self.address = try WebAddress(address) }

    var requests: [OutgoingRequest] { state.withLock { $0.requests } }
    var fetches: Int { requests.count }

    func answers(_ answer: @escaping @Sendable () async throws -> OutgoingResponse) {
        state.withLock { $0.answer = answer }
    }

    func cache() -> KeySetCache {
        KeySetCache { request in
            let answer = self.state.withLock { state in
                state.requests.append(request)
                return state.answer
            }
            return try await answer()
        }
    }

    /// The public key of RFC 8037 appendix A.2.
    static let keys: @Sendable () async throws -> OutgoingResponse = {
        answer(#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#)
    }
    static let away: @Sendable () async throws -> OutgoingResponse = { throw OutgoingFailure.timedOut }
    static let withdrawn: @Sendable () async throws -> OutgoingResponse = { answer(#"{"keys":[]}"#) }

    private static func answer(_ body: String) -> OutgoingResponse {
        OutgoingResponse(status: 200, headers: [], body: Array(body.utf8))
    }
}

@Suite("The keys of an issuer")
struct KeySetCacheTests {
    private let issuer: Issuer
    private let cache: KeySetCache
    private let start = Instant(seconds: 1_800_000_000)

    init() throws {
        issuer = try Issuer()
        cache = issuer.cache()
    }

    private func isKnown(after seconds: Int64) async -> Bool {
        (try? await cache.keys(for: issuer.address, now: start.adding(seconds: seconds))) != nil
    }

    @Test("are asked for once in five minutes, however many tokens come")
    func freshness() async throws {
        for second: Int64 in [0, 1, 150, 299] { #expect(await isKnown(after: second)) }
        #expect(issuer.fetches == 1)
        #expect(await isKnown(after: 300))
        #expect(issuer.fetches == 2)
    }

    @Test("are asked for over a connection of their own: an idle one may be closing")
    func freshConnection() async {
        #expect(await isKnown(after: 0))
        #expect(issuer.requests.map(\.usesFreshConnection) == [true])
    }

    @Test("are fetched once for all who wait at the same time")
    func oneFlight() async throws {
        issuer.answers {
            try await Task.sleep(for: .milliseconds(100))
            return try await Issuer.keys()
        }
        let known = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { await isKnown(after: 0) } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(known == 100 && issuer.fetches == 1)
    }

    @Test("serve for a day while the issuer is away, and then nobody is believed")
    func issuerAway() async throws {
        #expect(await isKnown(after: 0))
        issuer.answers(Issuer.away)
        #expect(await isKnown(after: 300) && issuer.fetches == 2)
        #expect(await isKnown(after: 329) && issuer.fetches == 2, "within half a minute it is not asked again")
        #expect(await isKnown(after: 360) && issuer.fetches == 3)
        #expect(await isKnown(after: 86_399))
        #expect(await isKnown(after: 86_400) == false)
        issuer.answers(Issuer.keys)
        #expect(await isKnown(after: 86_430))
    }

    @Test("that were withdrawn are not believed past five minutes")
    func withdrawal() async throws {
        #expect(await isKnown(after: 0))
        issuer.answers(Issuer.withdrawn)
        #expect(await isKnown(after: 299))
        #expect(await isKnown(after: 301) == false)
    }

    @Test("that were never there are asked for again after two seconds, and nobody waits in between")
    func firstFailure() async throws {
        issuer.answers(Issuer.away)
        #expect(await isKnown(after: 0) == false)
        #expect(await isKnown(after: 1) == false)
        #expect(issuer.fetches == 1)
        issuer.answers(Issuer.keys)
        #expect(await isKnown(after: 30))
    }

    @Test("are fetched once in ten seconds for all unknown key ids")
    func unknownKeys() async throws {
        #expect(await isKnown(after: 0))
        for millisecond in stride(from: Int64(0), to: 9_999, by: 100) {
            _ = try await cache.keysAfterUnknownKey(for: issuer.address, now: start.adding(milliseconds: millisecond))
        }
        #expect(issuer.fetches == 2, "one for the first load, one for the first unknown key")
        _ = try await cache.keysAfterUnknownKey(for: issuer.address, now: start.adding(seconds: 10))
        #expect(issuer.fetches == 3)
    }

    @Test("of unknown age, because the clock was set back, are fetched again")
    func clockSetBack() async throws {
        #expect(await isKnown(after: 0))
        #expect(await isKnown(after: -30) && issuer.fetches == 1)
        #expect(await isKnown(after: -3600) && issuer.fetches == 2)
    }

    @Test("are forgotten when they are told to be")
    func forgotten() async throws {
        #expect(await isKnown(after: 0))
        await cache.forget(issuer.address)
        #expect(await isKnown(after: 1) && issuer.fetches == 2)
    }
}
