import Synchronization
import Testing
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultUpstream

/// An issuer with a key set that can be changed.
private final class Issuer: Sendable {
    private let keys: Mutex<[JSON]>

    init(_ keys: [SigningKey]) { self.keys = Mutex(keys.map(\.publicJWK)) }

    func publishes(_ keys: [SigningKey]) { self.keys.withLock { $0 = keys.map(\.publicJWK) } }

    func cache() -> KeySetCache {
        KeySetCache { _ in
            OutgoingResponse(
                status: 200, headers: [], body: JSON.object(["keys": .array(self.keys.withLock { $0 })]).bytes)
        }
    }
}

@Suite("A token that was verified before")
struct VerifiedTokenTests {
    private let key: SigningKey
    private let issuer: Issuer
    private let verifier: TokenVerifier
    private let address: WebAddress
    private let start = Instant(seconds: 1_800_000_000)

    init() throws {
        key = try SigningKey.generate(.es256, keyID: "a")
        issuer = Issuer([key])
        verifier = TokenVerifier(keySets: issuer.cache())
        address = try WebAddress("https://id.example/keys")
    }

    private func token(exp seconds: Int64 = 3600, by key: SigningKey? = nil) throws -> String {
        try (key ?? self.key).sign(claims: ["sub": "s", "exp": .integer(start.adding(seconds: seconds).seconds)])
    }

    private func isTaken(_ token: String, from address: WebAddress? = nil, after seconds: Int64 = 0) async -> Bool {
        do {
            let now = start.adding(seconds: seconds)
            return try await verifier.verify(token, jwksURI: address ?? self.address, now: now)["sub"] == "s"
        } catch {
            return false
        }
    }

    @Test("says the same again")
    func again() async throws {
        let token = try token()
        for second: Int64 in [0, 1, 200, 299, 301, 3000] { #expect(await isTaken(token, after: second)) }
    }

    @Test("is one of its issuer's only")
    func otherIssuer() async throws {
        let token = try token()
        #expect(await isTaken(token))
        issuer.publishes([try SigningKey.generate(.es256, keyID: "a")])
        // The same token, the same key id, another address: nothing is known of it there.
        #expect(await !isTaken(token, from: try WebAddress("https://other.example/keys")))
    }

    @Test("is refused once its key is gone, no later than one that was never seen")
    func withdrawnKey() async throws {
        let seen = try token()
        #expect(await isTaken(seen))
        issuer.publishes([try SigningKey.generate(.es256, keyID: "b")])
        #expect(await isTaken(seen, after: 299))
        #expect(await !isTaken(seen, after: 300))
        #expect(await !isTaken(seen, after: 301))
    }

    @Test("stays known when the issuer adds a key")
    func addedKey() async throws {
        let token = try token()
        #expect(await isTaken(token))
        issuer.publishes([key, try SigningKey.generate(.es256, keyID: "b")])
        #expect(await isTaken(token, after: 300))
    }

    @Test("does not lend its name to another: one changed character is another token")
    func bent() async throws {
        let token = try token()
        #expect(await isTaken(token))
        let end = try #require(token.last)
        #expect(await !isTaken(token.dropLast() + (end == "A" ? "Q" : "A")))
        let parts = token.split(separator: ".")
        let claims = Base64URL.encode(JSON.object(["sub": "s", "exp": 9_999_999_999]).bytes)
        #expect(await !isTaken("\(parts[0]).\(claims).\(parts[2])"))
    }

    @Test("is forgotten with its end, and many others do not bring it back")
    func end() async throws {
        let brief = try token(exp: 10)
        #expect(await isTaken(brief))
        // Whether it may be used is judged from its claims each time; here it is only verified anew.
        #expect(await isTaken(brief, after: 11))
    }
}
