import Foundation
import Testing
import VaultCrypto

struct WebhookSignatureTests {
    private static let secret = Secret("whsec_" + Data("0123456789abcdef0123456789abcdef".utf8).base64EncodedString())
    private static let now: Int64 = 1_750_000_000
    private static let body = Array(#"{"type":"user.deleted"}"#.utf8)

    /// Made with an HMAC of our own key store's type, so that the test does not call what it tests.
    private static func signature(id: String = "msg_1", timestamp: Int64 = now, body: [UInt8] = body) -> String {
        let key = DigestKey(Secret("0123456789abcdef0123456789abcdef"))
        return "v1," + Data(key.digest(Array("\(id).\(timestamp).".utf8) + body)).base64EncodedString()
    }

    private func isAuthentic(
        id: String = "msg_1", timestamp: String = String(now), signatures: String, body: [UInt8] = body
    ) -> Bool {
        WebhookSignature.isAuthentic(
            id: id, timestamp: timestamp, signatures: signatures, body: body, secret: Self.secret, nowSeconds: Self.now)
    }

    @Test("a good signature is believed, alone or last of several")
    func good() {
        #expect(isAuthentic(signatures: Self.signature()))
        #expect(isAuthentic(signatures: "v1,AAAA v1a,x v2,y " + Self.signature()))
    }

    @Test("attack 51: an entry counts only whole: no part, prefix, empty or other version of it")
    func onlyWholeEntries() {
        let good = Self.signature()
        let bare = String(good.dropFirst(3))
        for signatures in [
            "", " ", "v1,", "v1", bare, "v1a," + bare, "v2," + bare, "V1," + bare, String(good.dropLast()), good + "x",
            "v1," + bare.prefix(8), "x" + good, good.replacing(",", with: ""), "v1," + bare + "," + bare,
        ] {
            #expect(!isAuthentic(signatures: signatures), "\(signatures.prefix(5))")
        }
    }

    @Test(
        "attack 50: the clock may differ by five minutes and no more", arguments: [-301, -300, -299, 0, 299, 300, 301])
    func clock(offset: Int64) {
        let time = Self.now + offset
        let holds = isAuthentic(timestamp: String(time), signatures: Self.signature(timestamp: time))
        #expect(holds == (abs(offset) <= 300))
    }

    @Test("attack 50: a timestamp in milliseconds, negative or in words is refused")
    func oddTimestamps() {
        for timestamp in ["", "-1", "now", "\(Self.now)000", " \(Self.now)", "\(Self.now).0", "99999999999999999999"] {
            #expect(!isAuthentic(timestamp: timestamp, signatures: Self.signature()))
        }
    }

    @Test("another body, id or time does not fit")
    func covered() {
        #expect(!isAuthentic(signatures: Self.signature(), body: Self.body + [0x20]))
        #expect(!isAuthentic(id: "msg_2", signatures: Self.signature()))
        #expect(!isAuthentic(id: "", signatures: Self.signature()))
    }

    @Test("attack 50: the right one is found behind a thousand others, and a thousand others are not it")
    func manyEntries() {
        let noise = Array(repeating: "v1,AAAA", count: 1000).joined(separator: " ")
        let found = isAuthentic(signatures: noise + " " + Self.signature())
        let imagined = isAuthentic(signatures: noise)
        #expect(found && !imagined)
    }

    @Test("a secret without its prefix, or that is not base64, opens nothing")
    func secrets() {
        for secret in ["", "whsec_", "whsec_%%%", "0123456789abcdef", "whsec_QUJD"] {
            #expect(!WebhookSignature.isWellFormed(svixSecret: secret))
        }
    }

    @Test("attack 45: an authorization header is the whole secret, plain or as Bearer")
    func authorization() {
        let secret = Secret("shared-token-value")
        func holds(_ header: String) -> Bool { WebhookSignature.isAuthentic(authorization: header, secret: secret) }
        #expect(holds("shared-token-value"))
        #expect(holds("Bearer shared-token-value"))
        for header in [
            "", "shared-token-valu", "shared-token-value ", "Shared-token-value", "bearer shared-token-value",
            "Bearer  shared-token-value", "shared-token-value\n", "Basic shared-token-value", "Bearer ",
        ] {
            #expect(!holds(header), "\(header)")
        }
    }
}
