import Testing
import VaultCrypto

struct EnvelopeTests {
    private let key = DataKey()
    private let context = SealContext(
        purpose: "credential.access_token", app: "app-1", record: "credential-1", version: 1)

    @Test("what was sealed opens under the same key and context")
    func roundTrip() throws {
        let sealed = try key.seal(Secret("token-value"), context)
        #expect(try key.open(sealed, context) == Secret("token-value"))
        #expect(sealed.count == 12 + "token-value".utf8.count + 16)
    }

    @Test("two seals of one secret differ")
    func nonces() throws {
        #expect(try key.seal(Secret("token"), context) != key.seal(Secret("token"), context))
    }

    @Test(
        "attack 88: a ciphertext moved to another row, app, version or purpose does not open",
        arguments: [
            SealContext(purpose: "credential.access_token", app: "app-1", record: "credential-2", version: 1),
            SealContext(purpose: "credential.access_token", app: "app-2", record: "credential-1", version: 1),
            SealContext(purpose: "credential.access_token", app: "app-1", record: "credential-1", version: 2),
            SealContext(purpose: "credential.refresh_token", app: "app-1", record: "credential-1", version: 1),
            // Parts that run together must not be read as others.
            SealContext(purpose: "credential.access_token", app: "app-1credential-1", record: "", version: 1),
        ])
    func otherContext(other: SealContext) throws {
        let sealed = try key.seal(Secret("token"), context)
        #expect(throws: SealError.doesNotOpen) { try key.open(sealed, other) }
    }

    @Test("attack 88: every changed byte of nonce, ciphertext or tag is noticed, and so is every cut")
    func tampering() throws {
        let sealed = try key.seal(Secret("token"), context)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(throws: SealError.doesNotOpen) { try key.open(changed, context) }
            #expect(throws: SealError.doesNotOpen) { try key.open(Array(sealed.prefix(index)), context) }
        }
    }

    @Test("another data key does not open it")
    func otherKey() throws {
        let sealed = try key.seal(Secret("token"), context)
        #expect(throws: SealError.doesNotOpen) { try DataKey().open(sealed, context) }
    }

    @Test("a wrapped key opens only under its own id and master key")
    func wrapping() throws {
        let master = try #require(MasterKey(RandomBytes.make(32)))
        let wrapped = try master.wrap(key, id: "key-1")
        let sealed = try key.seal(Secret("token"), context)
        #expect(try master.unwrap(wrapped, id: "key-1").open(sealed, context) == Secret("token"))
        #expect(throws: SealError.doesNotOpen) { try master.unwrap(wrapped, id: "key-2") }
        let other = try #require(MasterKey(RandomBytes.make(32)))
        #expect(throws: SealError.doesNotOpen) { try other.unwrap(wrapped, id: "key-1") }
    }

    @Test("a master key has exactly 32 bytes", arguments: [0, 16, 31, 33, 64])
    func masterKeySize(count: Int) {
        #expect(MasterKey(RandomBytes.make(count)) == nil)
    }

    @Test("a secret shows itself nowhere: not printed, not dumped, not inside another value")
    func redaction() {
        struct Holder { let token: Secret }
        let secret = Secret("canary-5f2e")
        var dumped = ""
        dump(Holder(token: secret), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(Holder(token: secret))", dumped] {
            #expect(!text.contains("canary"))
        }
        #expect(secret.revealed() == "canary-5f2e")
    }

    @Test("hex and digests follow FIPS 180-4")
    func digests() {
        #expect(
            Hex.encode(Digest.sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(Hex.decode("00ff") == [0, 255])
        #expect(Hex.decode("0G") == nil)
        #expect(Hex.decode("0") == nil)
        #expect(Hex.decode("FF") == nil)
    }
}
