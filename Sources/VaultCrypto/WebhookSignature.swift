import Crypto
import Foundation

/// Authentication of webhooks that identity providers send (behaviour contract, “Webhook authentication”).
package enum WebhookSignature {
    /// Difference between the message's timestamp and now that the Svix scheme tolerates, either way.
    package static let toleranceSeconds: Int64 = 300

    /// Auth0: the `Authorization` header equals the secret, alone or after `Bearer `.
    package static func isAuthentic(authorization: String, secret: Secret) -> Bool {
        let presented = Array(authorization.utf8)
        let prefix = Array("Bearer ".utf8)
        return secret.withBytes { expected in
            // Digests make the comparison independent of the lengths as well. Both forms are always compared.
            let plain = ConstantTime.areEqual(Digest.sha256(presented), Digest.sha256(expected))
            let bearer = ConstantTime.areEqual(Digest.sha256(presented), Digest.sha256(prefix + expected))
            return plain || bearer
        }
    }

    /// The Svix scheme (also Standard Webhooks): HMAC-SHA256 over `id.timestamp.body` with the base64 part of
    /// `whsec_…`; any whole `v1,` entry of the list may match, and all are compared. The list is as long as a header may be.
    package static func isAuthentic(
        id: String, timestamp: String, signatures: String, body: [UInt8], secret: Secret, nowSeconds: Int64
    ) -> Bool {
        guard !id.isEmpty, isFresh(timestamp: timestamp, nowSeconds: nowSeconds), let key = signingKey(secret) else {
            return false
        }
        let message = Array("\(id).\(timestamp).".utf8) + body
        let expected = Array(HMAC<SHA256>.authenticationCode(for: message, using: key))
        var isAuthentic = false
        for entry in signatures.split(separator: " ") where entry.hasPrefix("v1,") {
            guard let presented = Data(base64Encoded: String(entry.dropFirst(3))) else { continue }
            if ConstantTime.areEqual(Array(presented), expected) { isAuthentic = true }
        }
        return isAuthentic
    }

    /// Whether the timestamp of a message is one, in whole seconds, and of now.
    package static func isFresh(timestamp: String, nowSeconds: Int64) -> Bool {
        guard timestamp.utf8.count <= 12, timestamp.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let seconds = Int64(timestamp)
        else { return false }
        return abs(seconds - nowSeconds) <= toleranceSeconds
    }

    /// A fresh secret for messages that are sent from here.
    package static func newSecret() -> Secret {
        Secret("whsec_" + Data(RandomBytes.make(32)).base64EncodedString())
    }

    /// The headers of a message that is sent from here (Standard Webhooks).
    package static func headers(id: String, timestamp: Int64, body: [UInt8], secret: Secret) -> [(
        name: String, value: String
    )] {
        let message = Array("\(id).\(timestamp).".utf8) + body
        let signature = signingKey(secret).map {
            "v1," + Data(HMAC<SHA256>.authenticationCode(for: message, using: $0)).base64EncodedString()
        }
        return [
            (name: "webhook-id", value: id), (name: "webhook-timestamp", value: String(timestamp)),
            (name: "webhook-signature", value: signature ?? ""),
        ]
    }

    /// Whether the text can serve as a Svix secret: `whsec_` and base64 of 16 to 64 bytes.
    package static func isWellFormed(svixSecret: String) -> Bool { signingKey(Secret(svixSecret)) != nil }

    private static func signingKey(_ secret: Secret) -> SymmetricKey? {
        secret.withBytes { bytes in
            let prefix = Array("whsec_".utf8)
            guard bytes.starts(with: prefix),
                let key = Data(base64Encoded: String(decoding: bytes.dropFirst(prefix.count), as: UTF8.self)),
                (16...64).contains(key.count)
            else { return nil }
            return SymmetricKey(data: key)
        }
    }
}
