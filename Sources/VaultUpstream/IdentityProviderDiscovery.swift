import VaultAPI
import VaultCrypto
import VaultDomain

/// An issuer as its own documents describe it.
package struct DiscoveredProvider: Sendable {
    package let document: DiscoveryDocument
    package let type: IdentityProviderType
    package let suggestedClaims: ClaimMapping
    package let capabilities: IdentityProviderCapabilities
}

/// What is wrong with an issuer, precisely enough to mend it.
package struct DiscoveryFailure: Error, Sendable {
    /// A word for programs.
    package let code: String
    /// A sentence for people; holds nothing of the answers.
    package let reason: String
}

/// OpenID Connect Discovery 1.0 §4.
package struct IdentityProviderDiscovery: Sendable {
    private let send: Send

    private static let documentBytesMax = 1024 * 1024
    private static let documentSecondsMax = 5

    package init(send: @escaping Send) { self.send = send }

    package func discover(issuerURL: String) async throws -> DiscoveredProvider {
        let base = issuerURL.hasSuffix("/") ? String(issuerURL.dropLast()) : issuerURL
        guard let issuer = try? WebAddress(base), issuer.query == nil else {
            throw DiscoveryFailure(code: "invalid_address", reason: "The issuer URL is not a plain web address.")
        }
        let object = try await object(
            at: issuer.text.hasSuffix("/")
                ? issuer.text + ".well-known/openid-configuration" : issuer.text + "/.well-known/openid-configuration",
            "discovery document")
        let document: DiscoveryDocument
        do {
            document = try DiscoveryDocument(object)
        } catch {
            switch error {
            case .missing(let name):
                throw DiscoveryFailure(code: "member_missing", reason: "The discovery document lacks \(name).")
            case .malformed(let name):
                throw DiscoveryFailure(
                    code: "member_malformed", reason: "The discovery document's \(name) is unusable.")
            }
        }
        let stated = document.issuer.hasSuffix("/") ? String(document.issuer.dropLast()) : document.issuer
        guard stated == base else {
            throw DiscoveryFailure(
                code: "issuer_differs", reason: "The discovery document names another issuer than the one typed.")
        }
        let keys = try await self.object(at: document.jwksURI, "key set")
        do { _ = try JSONWebKeySet(parsing: .object(keys)) } catch {
            throw DiscoveryFailure(code: "no_usable_key", reason: "The key set holds no key that can verify tokens.")
        }
        let type = document.detectedType
        return DiscoveredProvider(
            document: document, type: type, suggestedClaims: type.suggestedClaims,
            capabilities: document.capabilities(type))
    }

    private func object(at address: String, _ name: String) async throws -> JSONObject {
        do {
            var request = OutgoingRequest(method: "GET", address: try WebAddress(address))
            request.headers = [(name: "Accept", value: "application/json")]
            request.timeoutSeconds = Self.documentSecondsMax
            request.responseBytesMax = Self.documentBytesMax
            let response = try await send(request)
            if (300...399).contains(response.status) {
                throw DiscoveryFailure(
                    code: "redirect", reason: "The \(name) answers with a redirect, which is not followed.")
            }
            guard response.status == 200 else {
                throw DiscoveryFailure(code: "status", reason: "The \(name) answers with status \(response.status).")
            }
            guard let object = (try? JSON(parsing: response.body))?.object else {
                throw DiscoveryFailure(code: "not_json", reason: "The \(name) is not a JSON object.")
            }
            return object
        } catch let failure as OutgoingFailure {
            throw DiscoveryFailure(
                code: failure.discoveryCode, reason: "The \(name) cannot be read: \(failure.reason).")
        } catch let error as WebAddressError {
            throw DiscoveryFailure(code: "invalid_address", reason: "The address of the \(name) \(error.reason).")
        }
    }
}

extension OutgoingFailure {
    fileprivate var discoveryCode: String {
        switch self {
        case .addressRefused: "address_refused"
        case .unresolvable: "unresolvable"
        case .tls: "tls"
        case .timedOut: "timed_out"
        case .tooLarge: "too_large"
        default: "unreachable"
        }
    }
}
