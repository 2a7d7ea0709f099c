import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// What any sign-in at an identity provider consists of: authorization code with PKCE, state and nonce (OpenID Connect Core
// 1.0 §3.1, RFC 7636), the issuer of the answer checked (RFC 9207), the ID token verified. Apps' users and operators sign
// in with the same code.

/// Who issues tokens, and how they are read.
struct TokenIssuer: Sendable {
    let issuer: String
    /// The discovery document as it was read.
    let document: JSONObject
    let claims: ClaimMapping
}

extension IdentityProviderRecord {
    var tokenIssuer: TokenIssuer { TokenIssuer(issuer: issuer, document: document, claims: claims) }
}

/// A client of an identity provider that signs people in: an app's, or the installation's own.
struct RelyingParty: Sendable {
    let issuer: TokenIssuer
    let clientID: String
    let redirectURI: String
    let scopes: [String]
}

/// Why a sign-in ended without a user. Both texts are ours.
struct SignInFailure: Error {
    let code: String
    let message: String
}

extension Vault {
    /// Where a visit to the provider begins.
    func authorizationAddress(_ party: RelyingParty, state: String, parameters: [(String, String)]) throws -> String {
        let challenge = Base64URL.encode(Digest.sha256(codeVerifier(state: state)))
        let items = [
            ("response_type", "code"), ("client_id", party.clientID), ("redirect_uri", party.redirectURI),
            ("scope", party.scopes.joined(separator: " ")), ("state", state), ("nonce", nonce(state: state)),
            ("code_challenge", challenge), ("code_challenge_method", "S256"),
        ]
        do {
            return try WebAddress(party.issuer.document["authorization_endpoint"]?.string ?? "").appendingQuery(
                items + parameters
            ).text
        } catch {
            throw VaultError(
                .internalError, "The identity provider's address is unusable.", cause: "authorization endpoint")
        }
    }

    /// OpenID Connect Core 1.0 §3.1.2.1. Derived from the state, so that nothing about it needs to be stored.
    private func nonce(state: String) -> String { Base64URL.encode(digestKey.digest("nonce:" + state)) }

    static func code(of callback: SignInCallback, from issuer: TokenIssuer) throws -> String {
        // RFC 9207 §2.4: an answer of another issuer is nobody's, whatever it says.
        let namesIssuer = issuer.document["authorization_response_iss_parameter_supported"]?.bool == true
        if callback.issuer != nil || namesIssuer {
            guard let named = callback.issuer, named.utf8.elementsEqual(issuer.issuer.utf8) else {
                throw SignInFailure(code: "issuer_mismatch", message: "The answer came from another identity provider.")
            }
        }
        if let error = callback.error {
            let code = callbackErrors.contains(error) ? error : TokenCallFailure.unnamedError
            throw SignInFailure(code: code, message: "The identity provider did not sign you in (\(code)).")
        }
        guard let code = callback.code, (1...4096).contains(code.utf8.count) else {
            throw SignInFailure(code: "invalid_response", message: "The identity provider's answer has no code.")
        }
        return code
    }

    /// The ID token for a code.
    func redeem(_ code: String, at party: RelyingParty, secret: Secret, state: String) async throws -> Secret {
        guard let document = try? DiscoveryDocument(.object(party.issuer.document)),
            let tokenURL = try? WebAddress(document.tokenEndpoint)
        else { throw SignInFailure(code: "sign_in_not_configured", message: "The sign-in is not set up any more.") }
        func exchange(_ authentication: OAuthProviderTemplate.TokenAuthentication) async throws -> TokenAnswer {
            let endpoints = OAuthEndpoints(
                tokenURL: tokenURL, clientID: party.clientID, clientSecret: secret, authentication: authentication)
            return try await OAuthClient(endpoints: endpoints, send: send).exchangeCode(
                code, redirectURI: party.redirectURI, codeVerifier: codeVerifier(state: state))
        }
        let offered = document.tokenEndpointAuthMethods
        let offersBody = offered.contains("client_secret_post")
        let offersBoth = offersBody && offered.contains("client_secret_basic")
        do {
            let answer: TokenAnswer
            do {
                // Some servers read the form-encoded parts of Basic credentials wrongly (RFC 6749 §2.3.1).
                answer = try await exchange(offersBody ? .post : .basic)
            } catch TokenCallFailure.refused(let error, _) where offersBoth && Self.clientRefusals.contains(error) {
                // Discovery says what the provider knows, not what this client was registered for.
                answer = try await exchange(.basic)
            }
            guard let idToken = answer.idToken else {
                throw SignInFailure(code: "invalid_response", message: "The identity provider sent no ID token.")
            }
            return idToken
        } catch let failure as TokenCallFailure {
            switch failure {
            case .unreachable, .throttled, .providerError:
                throw SignInFailure(
                    code: ErrorCode.serviceUnavailable.rawValue,
                    message: "The identity provider could not be asked right now.")
            case .refused, .malformed, .unusable:
                throw SignInFailure(
                    code: failure.connectCode, message: "The identity provider did not accept the sign-in.")
            }
        }
    }

    /// RFC 6749 §5.2: the first is for wrong credentials; glewlwyd says the second.
    private static let clientRefusals: Set<String> = ["invalid_client", "unauthorized_client"]

    /// OpenID Connect Core 1.0 §3.1.3.7.
    func verifiedIDToken(_ idToken: Secret, for party: RelyingParty, state: String) async throws -> (
        payload: JSONObject, claims: TokenClaims
    ) {
        let (payload, claims) = try await verifiedClaims(
            idToken.revealed(), issuer: party.issuer, audience: party.clientID, alternative: nil)
        guard payload["nonce"]?.string?.utf8.elementsEqual(nonce(state: state).utf8) == true else {
            throw SignInFailure(code: "nonce_mismatch", message: "The ID token was made for another sign-in.")
        }
        let presenter = payload["azp"]
        guard
            presenter?.string.map({ $0.utf8.elementsEqual(party.clientID.utf8) })
                ?? (presenter == nil && claims.audiences.count == 1)
        else { throw SignInFailure(code: "jwt_validation_error", message: "The ID token is for another client.") }
        return (payload, claims)
    }
}
