import Foundation
import Testing
import VaultAPI
import VaultCrypto
import VaultDomain

/// The language-neutral vectors of `Vectors/request-signing.json`, held against this implementation.
struct RequestSigningTests {
    private static let vectors: JSON = {
        guard
            let url = Bundle.module.url(forResource: "request-signing", withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url), let json = try? JSON(parsing: data)
        else { return .null }
        return json
    }()

    private static var requests: [JSON] { vectors["requests"]?.array ?? [] }
    private static var keys: [JSON] { vectors["api_keys"]?.array ?? [] }

    private static func text(_ request: JSON, _ vectors: JSON) throws -> RequestSignatureText {
        func header(_ name: String) -> String { request["signed_headers"]?[name]?.string ?? "" }
        var text = RequestSignatureText(
            method: try #require(request["method"]?.string), target: try #require(request["target"]?.string),
            timestamp: try #require(vectors["timestamp"]?.string), nonce: try #require(vectors["nonce"]?.string),
            contentHash: Hex.encode(Digest.sha256(try #require(request["body"]?.string))))
        text.scopeConstraints = header("X-Alter-Scope-Constraints")
        text.requestRule = header("X-Alter-Request-Rule")
        text.caller = header("X-Alter-Caller")
        text.callerType = header("X-Alter-Caller-Type")
        text.actorID = header("X-Alter-Actor-ID")
        text.context = header("X-Alter-Context")
        return text
    }

    @Test("the vectors are there")
    func vectorsAreThere() {
        #expect(Self.requests.count == 12)
        #expect(Self.keys.count == 4)
    }

    @Test("each request of the vectors gets its canonical target and its signature", arguments: requests)
    func signatures(request: JSON) throws {
        let key = Secret(try #require(Self.vectors["api_key"]?.string))
        let text = try Self.text(request, Self.vectors)
        #expect(RequestSignatureText.canonicalTarget(text.target) == request["canonical_target"]?.string)
        #expect(Hex.encode(RequestMAC.signature(of: text.text, apiKey: key)) == request["signature"]?.string)
    }

    @Test("a signature covers every part: changing any one of them changes it", arguments: requests)
    func everyPartIsCovered(request: JSON) throws {
        let key = Secret(try #require(Self.vectors["api_key"]?.string))
        let text = try Self.text(request, Self.vectors)
        let signature = RequestMAC.signature(of: text.text, apiKey: key)
        let parts: [WritableKeyPath<RequestSignatureText, String>] = [
            \.method, \.target, \.timestamp, \.nonce, \.contentHash, \.scopeConstraints, \.requestRule, \.caller,
            \.callerType, \.actorID, \.context,
        ]
        for part in parts {
            var changed = text
            changed[keyPath: part] += "0"
            #expect(RequestMAC.signature(of: changed.text, apiKey: key) != signature)
        }
    }

    @Test("the signing key is derived from the whole key text")
    func signingKey() throws {
        let key = Secret(try #require(Self.vectors["api_key"]?.string))
        #expect(Hex.encode(RequestMAC.signingKeyBytes(apiKey: key)) == Self.vectors["signing_key"]?.string)
    }

    @Test("content hashes are of the raw bytes")
    func contentHashes() throws {
        for entry in try #require(Self.vectors["content_hashes"]?.array) {
            #expect(Hex.encode(Digest.sha256(entry["body"]?.string ?? "")) == entry["sha256"]?.string)
        }
    }

    @Test("keys carry the checksum of the vectors", arguments: keys)
    func keyChecksums(entry: JSON) throws {
        let type = try #require(entry["type"]?.string)
        let random = try #require(entry["random"]?.string)
        let key = try #require(entry["key"]?.string)
        #expect(
            String(APIKeyGrammar.crc32(Array("\(type):\(random)".utf8)), radix: 16) == entry["crc32"]?.string)
        #expect(key.hasSuffix("_" + APIKeyGrammar.checksum(type: type, random: random)))
        #expect(APIKeyGrammar.isWellFormed(key))
    }

    @Test(
        "attack 70: what is not exactly a key is refused before anything is looked up",
        arguments: [
            "", "alter_rk_abcdefghijklmnopqrstuv_iwpykm", "ALTER_rk_abcdefghijklmnopqrstuv_iwpykn",
            " alter_rk_abcdefghijklmnopqrstuv_iwpykn", "alter_rk_abcdefghijklmnopqrstuv_iwpykn ",
            "alter_xx_abcdefghijklmnopqrstuv_iwpykn", "alter_rk_abcdefghijklmnopqrstu_iwpykn",
            "alter_key_" + String(repeating: "A", count: 39), "alter_key_" + String(repeating: "A", count: 39) + "!",
            "alter_rk_abcdefghijklmnopqrstuv_iwpykn_x",
        ])
    func malformedKeys(key: String) {
        #expect(!APIKeyGrammar.isWellFormed(key))
    }

    @Test("a minted key is well formed")
    func mintedKeys() {
        for _ in 0..<100 {
            let key = APIKeyGrammar.key(type: .runtime, random: RandomBytes.make(APIKeyGrammar.randomByteCount))
            #expect(APIKeyGrammar.isWellFormed(key))
        }
    }

    @Test("only the newest of the three forms that clients ever used is what this server computes")
    func olderForms() throws {
        let older = try #require(Self.vectors["older_forms_refused"])
        var text = RequestSignatureText(
            method: "POST", target: "/sdk/token", timestamp: try #require(Self.vectors["timestamp"]?.string),
            nonce: try #require(Self.vectors["nonce"]?.string),
            contentHash: try #require(older["content_sha256"]?.string))
        let signature = Hex.encode(
            RequestMAC.signature(of: text.text, apiKey: Secret(try #require(older["api_key"]?.string))))
        #expect(signature == older["six_lines"]?.string)
        #expect(signature != older["five_lines"]?.string)
        #expect(signature != older["four_lines"]?.string)
        text.scopeConstraints = "grants:read"
        #expect(text.text.hasSuffix("\ngrants:read"))
    }
}
