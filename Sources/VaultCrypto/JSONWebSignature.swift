// A user token as it comes in: a JSON Web Signature in compact form (RFC 7515 §7.1) over JSON claims (RFC 7519), read with
// the rules of RFC 8725. It owns form, header and signature; what the claims mean is TokenClaims' business, and which keys
// are the issuer's is KeySetCache's. TokenVerifier puts them together.

import VaultAPI

/// The accepted signatures. `none` and HMAC cannot be named, so no path can accept them.
package enum SignatureAlgorithm: String, Sendable, CaseIterable {
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    case eddsa = "EdDSA"
}

/// Why a token is refused. Holds nothing of the token.
package enum JSONWebSignatureError: Error, Equatable, Sendable, CaseIterable {
    case tooLarge, notCompact, encoding, header, algorithm, criticalHeader, unsupportedHeader, purpose, keyID, claims
    /// No key of this id is known. The one case in which a newer key set may help.
    case unknownKey
    case keyIDMissing, algorithmNotAllowed, badSignature

    /// Safe for the caller, as the end of “The token was refused: …”.
    package var reason: String {
        switch self {
        case .tooLarge: "it is larger than 16 KiB"
        case .notCompact: "it is not a signed JWT of three parts"
        case .encoding: "a part of it is not unpadded base64url"
        case .header: "its header is not a JSON object with unique members"
        case .algorithm:
            "its algorithm is not one of \(SignatureAlgorithm.allCases.map(\.rawValue).joined(separator: ", "))"
        case .criticalHeader: "it has critical header members"
        case .unsupportedHeader: "it uses an unencoded or compressed payload"
        case .purpose: "its type says that it is for another purpose"
        case .keyID: "its key id is not a text of at most 256 bytes"
        case .claims: "its claims are not a JSON object with unique members"
        case .unknownKey: "no published key of the identity provider has its key id"
        case .keyIDMissing: "it names no key and the identity provider publishes several"
        case .algorithmNotAllowed: "its algorithm is not the one of the key that it names"
        case .badSignature: "its signature is wrong"
        }
    }
}

package struct JSONWebSignature: Sendable, CustomStringConvertible, CustomReflectable {
    package static let sizeMax = 16 << 10

    package let algorithm: SignatureAlgorithm
    package let keyID: String?
    package let payload: [UInt8]
    /// Believed by nobody before `verify` has returned.
    package let claims: JSONObject
    private let signature: [UInt8]
    private let signedText: [UInt8]

    /// What a signed document is for, as its `typ` says (RFC 8725 §3.11).
    package enum Purpose: Sendable, Equatable {
        /// `JWT`, `at+jwt`, or nothing said.
        case userToken
        /// Exactly this type.
        case statement(type: String)

        /// A receipt names every grant of a user.
        fileprivate var sizeMax: Int { self == .userToken ? JSONWebSignature.sizeMax : 16 << 20 }
    }

    /// Reads form and header; says nothing about the signature. `jwk`, `jku`, `x5u` and `x5c` are not even looked at.
    package init(compact: String, purpose: Purpose = .userToken) throws(JSONWebSignatureError) {
        guard compact.utf8.count <= purpose.sizeMax else { throw .tooLarge }
        let segments = compact.utf8.split(separator: UInt8(ascii: "."), maxSplits: 3, omittingEmptySubsequences: false)
            .map { Substring($0) }
        guard segments.count == 3, !segments.contains(where: \.isEmpty) else { throw .notCompact }
        guard let headerBytes = Base64URL.decode(segments[0]), let payload = Base64URL.decode(segments[1]),
            let signature = Base64URL.decode(segments[2])
        else { throw .encoding }

        let header = try Self.object(headerBytes, else: .header)
        algorithm = try Self.algorithm(header)
        // RFC 7515 §4.1.11: a name that is not understood refuses the token, and none is understood here.
        guard header["crit"] == nil else { throw .criticalHeader }
        guard header["b64"] == nil, header["zip"] == nil else { throw .unsupportedHeader }
        try Self.check(purpose, header)
        keyID = try Self.keyID(header)
        claims = try Self.object(payload, else: .claims)
        self.payload = payload
        self.signature = signature
        signedText = Array(compact.utf8.prefix(segments[0].utf8.count + 1 + segments[1].utf8.count))
    }

    /// Returns when a key of the set signed this token by an algorithm that is the key's own.
    package func verify(with keys: JSONWebKeySet) throws(JSONWebSignatureError) {
        let key: JSONWebKey
        if let keyID {
            guard let named = keys.key(id: keyID) else { throw .unknownKey }
            key = named
        } else {
            guard let only = keys.keys.first, keys.keys.count == 1 else { throw .keyIDMissing }
            key = only
        }
        guard key.allowedAlgorithms.contains(algorithm) else { throw .algorithmNotAllowed }
        guard key.isValid(signature: signature, of: signedText, algorithm: algorithm) else { throw .badSignature }
    }

    // MARK: Header

    private static func object(
        _ bytes: [UInt8], else failure: JSONWebSignatureError
    ) throws(JSONWebSignatureError) -> JSONObject {
        guard let object = (try? JSON(parsing: bytes))?.object else { throw failure }
        return object
    }

    private static func algorithm(_ header: JSONObject) throws(JSONWebSignatureError) -> SignatureAlgorithm {
        guard let name = header["alg"]?.string, let algorithm = SignatureAlgorithm(rawValue: name) else {
            throw .algorithm
        }
        return algorithm
    }

    /// RFC 8725 §3.11 and §3.12: logout tokens, security events and DPoP proofs are signed with the same keys.
    private static func check(_ purpose: Purpose, _ header: JSONObject) throws(JSONWebSignatureError) {
        let type = header["typ"]
        if purpose == .userToken, type == nil { return }
        guard var name = type?.string?.lowercased() else { throw .purpose }
        // RFC 7515 §4.1.9: the prefix may be left out.
        let prefix = "application/"
        if name.hasPrefix(prefix) { name.removeFirst(prefix.count) }
        switch purpose {
        case .userToken: guard name == "jwt" || name == "at+jwt" else { throw .purpose }
        case .statement(let type): guard name == type else { throw .purpose }
        }
    }

    private static func keyID(_ header: JSONObject) throws(JSONWebSignatureError) -> String? {
        guard let value = header["kid"] else { return nil }
        guard let text = value.string, text.utf8.count <= JSONWebKey.keyIDBytesMax else { throw .keyID }
        return text
    }

    package var description: String { "JSON Web Signature, \(algorithm.rawValue)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
