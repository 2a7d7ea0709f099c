// The public keys of an issuer (RFC 7517, RFC 7518 §6, RFC 8037). A key decides by itself which algorithms it may verify;
// no token ever has a say in that. What cannot be used is left out, so that one odd key does not hide the good ones.
// Fetching and keeping sets is KeySetCache's business; JSONWebSignature is what asks a set for a key.

import Crypto
import CryptoExtras
import Foundation
import VaultAPI

/// Why a document is no key set at all. Single unusable keys are not errors.
package enum JSONWebKeySetError: Error, Equatable, Sendable, CaseIterable {
    case notAnObject, keysMissing

    /// Safe to show.
    package var reason: String {
        switch self {
        case .notAnObject: "it is not a JSON object"
        case .keysMissing: "it has no list named keys"
        }
    }
}

package struct JSONWebKeySet: Sendable {
    /// Issuers publish a handful. More would cost the import of each and help nobody.
    package static let usableKeysMax = 100
    private static let examinedKeysMax = 1000

    /// The keys that can verify signatures, each `kid` at most once.
    package let keys: [JSONWebKey]
    /// Of the document. Two sets of one fingerprint verify the same.
    package let fingerprint: [UInt8]

    package init(parsing json: JSON) throws(JSONWebKeySetError) {
        guard let object = json.object else { throw .notAnObject }
        guard let elements = object["keys"]?.array else { throw .keysMissing }
        var usable: [JSONWebKey] = []
        for element in elements.prefix(Self.examinedKeysMax) where usable.count < Self.usableKeysMax {
            if let key = JSONWebKey(parsing: element) { usable.append(key) }
        }
        keys = Self.withoutAmbiguity(usable)
        fingerprint = Digest.sha256(json.bytes)
    }

    package var isEmpty: Bool { keys.isEmpty }

    /// The key of exactly this id. Byte by byte: to Swift's `==` different texts of one Unicode meaning are equal.
    func key(id: String) -> JSONWebKey? {
        keys.first { $0.kid.map { $0.utf8.elementsEqual(id.utf8) } ?? false }
    }

    /// One `kid` on different keys names neither. The same key listed twice is one key, for the algorithms of both.
    private static func withoutAmbiguity(_ keys: [JSONWebKey]) -> [JSONWebKey] {
        var order: [[UInt8]] = []
        var byID: [[UInt8]: JSONWebKey] = [:]
        var ambiguous: Set<[UInt8]> = []
        var nameless: [JSONWebKey] = []
        for key in keys {
            guard let kid = key.kid else {
                if !nameless.contains(where: { $0.identity == key.identity }) { nameless.append(key) }
                continue
            }
            let id = Array(kid.utf8)
            guard var known = byID[id] else {
                byID[id] = key
                order.append(id)
                continue
            }
            if known.identity == key.identity {
                known.allowedAlgorithms.formUnion(key.allowedAlgorithms)
                byID[id] = known
            } else {
                ambiguous.insert(id)
            }
        }
        return order.filter { !ambiguous.contains($0) }.compactMap { byID[$0] } + nameless
    }
}

/// One public key that may verify signatures.
package struct JSONWebKey: Sendable {
    static let keyIDBytesMax = 256
    /// Larger keys would make one check of a signature expensive for us.
    private static let rsaBits = 2048...8192

    package let kid: String?
    package fileprivate(set) var allowedAlgorithms: Set<SignatureAlgorithm>
    /// Type and public value: equal exactly when the keys are.
    let identity: [UInt8]
    private let material: Material

    private enum Material: Sendable {
        case rsa(_RSA.Signing.PublicKey)
        case p256(P256.Signing.PublicKey)
        case p384(P384.Signing.PublicKey)
        case p521(P521.Signing.PublicKey)
        case ed25519(Curve25519.Signing.PublicKey)

        /// All that keys of this type can do (RFC 7518 §3.1, RFC 8037 §3.1).
        var algorithms: Set<SignatureAlgorithm> {
            switch self {
            case .rsa: [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512]
            case .p256: [.es256]
            case .p384: [.es384]
            case .p521: [.es512]
            case .ed25519: [.eddsa]
            }
        }
    }

    /// `nil` when the key is malformed, of another type, or not for verifying.
    init?(parsing json: JSON) {
        guard let members = json.object, Self.isForVerifying(members) else { return nil }
        // Whoever publishes the private half has no key any more; `k` is a shared secret.
        guard members["d"] == nil, members["k"] == nil else { return nil }
        switch Self.text(members, "kid") {
        case .absent: kid = nil
        case .text(let text) where text.utf8.count <= Self.keyIDBytesMax: kid = text
        case .text, .malformed: return nil
        }
        guard let (material, identity) = Self.material(members) else { return nil }
        switch Self.text(members, "alg") {
        case .absent: allowedAlgorithms = material.algorithms
        case .text(let name): allowedAlgorithms = material.algorithms.filter { $0.rawValue == name }
        case .malformed: return nil
        }
        guard !allowedAlgorithms.isEmpty else { return nil }
        self.material = material
        self.identity = identity
    }

    /// RFC 7517 §4.2 and §4.3.
    private static func isForVerifying(_ members: JSONObject) -> Bool {
        switch text(members, "use") {
        case .absent, .text("sig"): break
        case .text, .malformed: return false
        }
        guard let operations = members["key_ops"], !operations.isNull else { return true }
        return operations.array?.contains("verify") ?? false
    }

    private enum Text { case absent, text(String), malformed }

    /// Some issuers write `null` for what they do not say.
    private static func text(_ members: JSONObject, _ name: String) -> Text {
        switch members[name] {
        case nil, .null?: .absent
        case .string(let text)?: .text(text)
        default: .malformed
        }
    }

    // MARK: Importing

    private static func material(_ members: JSONObject) -> (Material, identity: [UInt8])? {
        switch (members["kty"]?.string, members["crv"]?.string) {
        case ("RSA", _): return rsa(members)
        case ("EC", let curve?): return ellipticCurve(members, curve: curve)
        case ("OKP", "Ed25519"):
            guard let x = bytes(members, "x", count: 32),
                let key = try? Curve25519.Signing.PublicKey(rawRepresentation: x)
            else { return nil }
            return (.ed25519(key), Array("Ed25519:".utf8) + x)
        default: return nil
        }
    }

    /// RFC 7518 §6.3.1. Leading zeros are forbidden there and common all the same.
    private static func rsa(_ members: JSONObject) -> (Material, identity: [UInt8])? {
        guard let n = bytes(members, "n").map({ Array($0.drop { $0 == 0 }) }),
            let e = bytes(members, "e").map({ Array($0.drop { $0 == 0 }) }),
            let first = n.first, let nLast = n.last, let eLast = e.last
        else { return nil }
        let bits = n.count * 8 - first.leadingZeroBitCount
        // With the exponent 1 everything is its own signature; an even number in either place is no RSA.
        guard rsaBits.contains(bits), nLast & 1 == 1, eLast & 1 == 1, e != [1], e.count <= 4,
            let key = try? _RSA.Signing.PublicKey(n: n, e: e)
        else { return nil }
        return (.rsa(key), Array("RSA:".utf8) + e + Array(":".utf8) + n)
    }

    /// RFC 7518 §6.2.1: both coordinates in full length. The library checks that the point is on the curve.
    private static func ellipticCurve(_ members: JSONObject, curve: String) -> (Material, identity: [UInt8])? {
        let sizes = ["P-256": 32, "P-384": 48, "P-521": 66]
        guard let size = sizes[curve], let x = bytes(members, "x", count: size),
            let y = bytes(members, "y", count: size)
        else { return nil }
        let point = [0x04] + x + y
        let material: Material?
        switch curve {
        case "P-256": material = (try? P256.Signing.PublicKey(x963Representation: point)).map(Material.p256)
        case "P-384": material = (try? P384.Signing.PublicKey(x963Representation: point)).map(Material.p384)
        default: material = (try? P521.Signing.PublicKey(x963Representation: point)).map(Material.p521)
        }
        return material.map { ($0, Array("\(curve):".utf8) + point) }
    }

    private static func bytes(_ members: JSONObject, _ name: String, count: Int? = nil) -> [UInt8]? {
        guard let text = members[name]?.string, let bytes = Base64URL.decode(text), !bytes.isEmpty,
            count == nil || bytes.count == count
        else { return nil }
        return bytes
    }

    // MARK: Verifying

    /// RFC 7518 §3, RFC 8037 §3.1. False for an algorithm that the key does not allow.
    func isValid(signature: [UInt8], of text: [UInt8], algorithm: SignatureAlgorithm) -> Bool {
        guard allowedAlgorithms.contains(algorithm) else { return false }
        switch material {
        case .rsa(let key): return Self.isValid(rsa: signature, of: text, key: key, algorithm: algorithm)
        // Raw r‖s in exact length; r and s outside 1..<n are refused by the library.
        case .p256(let key):
            guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: text)
        case .p384(let key):
            guard let signature = try? P384.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: text)
        case .p521(let key):
            guard let signature = try? P521.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: text)
        case .ed25519(let key): return signature.count == 64 && key.isValidSignature(signature, for: text)
        }
    }

    private static func isValid(
        rsa signature: [UInt8], of text: [UInt8], key: _RSA.Signing.PublicKey, algorithm: SignatureAlgorithm
    ) -> Bool {
        guard signature.count == (key.keySizeInBits + 7) / 8 else { return false }
        let signature = _RSA.Signing.RSASignature(rawRepresentation: signature)
        return switch algorithm {
        case .rs256: key.isValidSignature(signature, for: SHA256.hash(data: text), padding: .insecurePKCS1v1_5)
        case .rs384: key.isValidSignature(signature, for: SHA384.hash(data: text), padding: .insecurePKCS1v1_5)
        case .rs512: key.isValidSignature(signature, for: SHA512.hash(data: text), padding: .insecurePKCS1v1_5)
        case .ps256: key.isValidSignature(signature, for: SHA256.hash(data: text), padding: .PSS)
        case .ps384: key.isValidSignature(signature, for: SHA384.hash(data: text), padding: .PSS)
        case .ps512: key.isValidSignature(signature, for: SHA512.hash(data: text), padding: .PSS)
        case .es256, .es384, .es512, .eddsa: false
        }
    }
}
