// A private key that signs JSON Web Signatures: the development identity provider's, and one that can be stored for
// documents of our own. It does not know where it is kept.

import Crypto
import CryptoExtras
import Foundation
import VaultAPI

package enum SigningKeyError: Error, Equatable, Sendable {
    case unsupportedAlgorithm, malformedKey, signingFailed
}

package struct SigningKey: Sendable, CustomStringConvertible, CustomReflectable {
    package typealias Algorithm = SignatureAlgorithm

    package let algorithm: SignatureAlgorithm
    package let keyID: String
    private let material: Material

    private enum Material: Sendable {
        case p256(P256.Signing.PrivateKey)
        case ed25519(Curve25519.Signing.PrivateKey)
        case rsa(_RSA.Signing.PrivateKey)
    }

    private init(_ algorithm: SignatureAlgorithm, keyID: String, _ material: Material) {
        self.algorithm = algorithm
        self.keyID = keyID
        self.material = material
    }

    /// A fresh key for ES256, EdDSA or RS256 (2048 bits).
    package static func generate(_ algorithm: SignatureAlgorithm, keyID: String) throws(SigningKeyError) -> SigningKey {
        switch algorithm {
        case .es256: return SigningKey(algorithm, keyID: keyID, .p256(P256.Signing.PrivateKey()))
        case .eddsa: return SigningKey(algorithm, keyID: keyID, .ed25519(Curve25519.Signing.PrivateKey()))
        case .rs256:
            guard let key = try? _RSA.Signing.PrivateKey(keySize: .bits2048) else { throw .signingFailed }
            return SigningKey(algorithm, keyID: keyID, .rsa(key))
        default: throw .unsupportedAlgorithm
        }
    }

    /// The ES256 key that `rawRepresentation` came from.
    package init(rawRepresentation: Secret, keyID: String) throws(SigningKeyError) {
        let key = rawRepresentation.withBytes { try? P256.Signing.PrivateKey(rawRepresentation: $0) }
        guard let key else { throw .malformedKey }
        self.init(.es256, keyID: keyID, .p256(key))
    }

    /// The private scalar of an ES256 key, for storing it sealed; `nil` for the other algorithms.
    package var rawRepresentation: Secret? {
        guard case .p256(let key) = material else { return nil }
        return Secret(key.rawRepresentation)
    }

    /// The public half (RFC 7517 §4), as a key set lists it.
    package var publicJWK: JSON {
        var members: JSONObject = ["kid": .string(keyID), "alg": .string(algorithm.rawValue), "use": "sig"]
        switch material {
        case .p256(let key):
            let point = key.publicKey.rawRepresentation
            members["kty"] = "EC"
            members["crv"] = "P-256"
            members["x"] = .string(Base64URL.encode(point.prefix(32)))
            members["y"] = .string(Base64URL.encode(point.suffix(32)))
        case .ed25519(let key):
            members["kty"] = "OKP"
            members["crv"] = "Ed25519"
            members["x"] = .string(Base64URL.encode(key.publicKey.rawRepresentation))
        case .rsa(let key):
            members["kty"] = "RSA"
            // Numbers that the library made itself; it has no failing path for them.
            if let numbers = try? key.publicKey.getKeyPrimitives() {
                members["n"] = .string(Base64URL.encode(numbers.modulus))
                members["e"] = .string(Base64URL.encode(numbers.publicExponent))
            }
        }
        return .object(members)
    }

    /// A compact JWS over the claims. `extraHeader` goes over the header's own members, which is how tests make odd ones.
    package func sign(
        claims: JSON, type: String = "JWT", extraHeader: JSONObject = [:]
    ) throws(SigningKeyError) -> String {
        var header: JSONObject = [
            "alg": .string(algorithm.rawValue), "typ": .string(type), "kid": .string(keyID),
        ]
        for member in extraHeader.members { header[member.name] = member.value }
        let text = Base64URL.encode(JSON.object(header).bytes) + "." + Base64URL.encode(claims.bytes)
        return text + "." + Base64URL.encode(try signature(of: Array(text.utf8)))
    }

    private func signature(of text: [UInt8]) throws(SigningKeyError) -> [UInt8] {
        let signature: Data?
        switch material {
        case .p256(let key): signature = try? key.signature(for: text).rawRepresentation
        case .ed25519(let key): signature = try? key.signature(for: text)
        case .rsa(let key):
            signature = try? key.signature(for: SHA256.hash(data: text), padding: .insecurePKCS1v1_5).rawRepresentation
        }
        guard let signature else { throw .signingFailed }
        return Array(signature)
    }

    package var description: String { "signing key \(keyID), \(algorithm.rawValue)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
