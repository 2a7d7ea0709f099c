// The authorization code grant as both peers run it: reading the request (RFC 6749 §4.1.1), codes that work once, and
// the proof of possession (RFC 7636). What a code is worth is the peer's business.

import VaultAPI
import VaultCrypto

/// The one confidential client of a peer.
package struct DevelopmentClient: Sendable {
    package let id: String
    package let secret: Secret
    /// Compared as exact strings. Empty: any address on this machine.
    package let redirectURIs: [String]

    package init(
        id: String = "development-client", secret: Secret = Secret(RandomBytes.token()), redirectURIs: [String] = []
    ) {
        self.id = id
        self.secret = secret
        self.redirectURIs = redirectURIs
    }

    func allowsRedirect(to address: String) -> Bool {
        redirectURIs.isEmpty ? Self.isOnThisMachine(address) : redirectURIs.contains(address)
    }

    private static func isOnThisMachine(_ address: String) -> Bool {
        let schemes = ["http://", "https://"]
        guard let scheme = schemes.first(where: address.hasPrefix),
            address.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") && $0 != UInt8(ascii: "#") })
        else { return false }
        let authority = address.dropFirst(scheme.count).prefix { !"/?".contains($0) }
        return ["127.0.0.1", "localhost", "[::1]"].contains { host in
            guard authority.hasPrefix(host) else { return false }
            let rest = authority.dropFirst(host.count)
            return rest.isEmpty || (rest.first == ":" && rest.dropFirst().allSatisfy { ("0"..."9").contains($0) })
        }
    }

    /// The client's authentication at the token address: Basic, or both fields in the body, never both ways at once.
    func isAuthenticated(by request: PeerRequest, _ fields: FormFields) -> Bool {
        let given: (id: String, secret: String)
        if let basic = request.basicCredentials {
            guard fields["client_secret"] == nil, fields["client_id"].map({ $0 == basic.id }) ?? true else {
                return false
            }
            given = basic
        } else {
            guard request.header("authorization") == nil, let id = fields["client_id"],
                let secret = fields["client_secret"]
            else { return false }
            given = (id, secret)
        }
        return given.id == id && Secret(given.secret) == secret
    }
}

/// A well-formed request at the authorization address.
struct AuthorizationRequest: Sendable {
    let redirectURI: String
    let state: String?
    let scope: String
    let nonce: String?
    let challenge: String?
    let fields: FormFields

    enum Reading {
        case valid(AuthorizationRequest)
        case refused(PeerResponse)
    }

    /// An unknown client or redirect address is told to the person, everything else to the client (RFC 6749 §4.1.2.1).
    static func read(_ fields: FormFields?, client: DevelopmentClient, requiresPKCE: Bool, issuer: String?) -> Reading {
        guard let fields, !fields.hasRepeatedName else {
            return .refused(.page(400, .message("Bad request", "The address cannot be read.")))
        }
        guard fields["client_id"] == client.id else {
            return .refused(.page(400, .message("Unknown app", "No app is registered under this client id.")))
        }
        guard let redirectURI = fields["redirect_uri"], client.allowsRedirect(to: redirectURI) else {
            return .refused(.page(400, .message("Unknown address", "The app did not register this redirect address.")))
        }
        let request = AuthorizationRequest(
            redirectURI: redirectURI, state: fields["state"], scope: fields["scope"] ?? "", nonce: fields["nonce"],
            challenge: fields["code_challenge"], fields: fields)
        guard fields["response_type"] == "code" else {
            return .refused(request.failure("unsupported_response_type", issuer: issuer))
        }
        if let challenge = request.challenge {
            // S256 is 32 bytes in base64url without padding.
            guard fields["code_challenge_method"] == "S256", Base64URL.decode(challenge)?.count == 32 else {
                return .refused(request.failure("invalid_request", issuer: issuer))
            }
        } else if requiresPKCE {
            return .refused(request.failure("invalid_request", issuer: issuer))
        }
        return .valid(request)
    }

    func failure(_ error: String, issuer: String?) -> PeerResponse { answer([(name: "error", value: error)], issuer) }

    func success(code: String, issuer: String?) -> PeerResponse { answer([(name: "code", value: code)], issuer) }

    /// `iss` as RFC 9207 has it, where the peer has an issuer.
    private func answer(_ parameters: [(name: String, value: String)], _ issuer: String?) -> PeerResponse {
        let state = state.map { [(name: "state", value: $0)] } ?? []
        let issuer = issuer.map { [(name: "iss", value: $0)] } ?? []
        return .redirect(to: redirectURI, adding: parameters + state + issuer)
    }
}

/// Codes that wait to be traded, and the memory of those that were.
struct AuthorizationCodes: Sendable {
    static let lifetimeSeconds: Int64 = 60

    struct Approval: Sendable {
        let id: String
        let subject: String
        let request: AuthorizationRequest
        let approvedAt: Instant
    }

    enum Redemption {
        case approved(Approval)
        /// RFC 6749 §4.1.2: a code used twice should end what it brought the first time.
        case usedBefore(Approval)
        case refused(String)
    }

    private var waiting: [String: Approval] = [:]
    private var used: [String: Approval] = [:]

    mutating func issue(for subject: String, _ request: AuthorizationRequest, at now: Instant) -> String {
        let code = RandomBytes.token()
        waiting[code] = Approval(id: RandomBytes.token(), subject: subject, request: request, approvedAt: now)
        return code
    }

    mutating func redeem(_ fields: FormFields, at now: Instant) -> Redemption {
        guard let code = fields["code"] else { return .refused("The code is missing.") }
        if let approval = used[code] { return .usedBefore(approval) }
        guard let approval = waiting.removeValue(forKey: code) else { return .refused("The code is not known.") }
        used[code] = approval
        guard now <= approval.approvedAt.adding(seconds: Self.lifetimeSeconds) else {
            return .refused("The code has expired.")
        }
        guard fields["redirect_uri"] == approval.request.redirectURI else {
            return .refused("The redirect address is not the one of the authorization request.")
        }
        switch (approval.request.challenge, fields["code_verifier"]) {
        case (nil, nil): return .approved(approval)
        case (let challenge?, let verifier?) where Self.proves(verifier, challenge): return .approved(approval)
        default: return .refused("The code verifier does not match.")
        }
    }

    /// RFC 7636 §4.1 and §4.6.
    private static func proves(_ verifier: String, _ challenge: String) -> Bool {
        let bytes = Array(verifier.utf8)
        return (43...128).contains(bytes.count) && bytes.allSatisfy(isUnreserved)
            && Base64URL.encode(Digest.sha256(bytes)) == challenge
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._~".utf8.contains(byte)
        }
    }
}
