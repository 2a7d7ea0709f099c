import Crypto
import Foundation

/// The signature over an SDK request (wire contract §2.3–2.4).
package enum RequestMAC {
    private static let derivationLabel = Array("alter-signing-v1".utf8)

    /// HMAC-SHA256 with the text of the API key as key; the signing key is derived per request and never stored.
    package static func signature(of text: String, apiKey: Secret) -> [UInt8] {
        HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: signingKey(apiKey)).withUnsafeBytes { Array($0) }
    }

    package static func signingKeyBytes(apiKey: Secret) -> [UInt8] { signingKey(apiKey).withUnsafeBytes { Array($0) } }

    private static func signingKey(_ apiKey: Secret) -> SymmetricKey {
        apiKey.withBytes { bytes in
            HMAC<SHA256>.authenticationCode(for: derivationLabel, using: SymmetricKey(data: bytes)).withUnsafeBytes {
                SymmetricKey(data: $0)
            }
        }
    }
}
