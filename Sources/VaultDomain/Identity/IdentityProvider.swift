// What kinds of identity providers there are, what each can do, and how a discovery document is read and recognised. It
// owns no network and no storage: IdentityProviderDiscovery fetches the document, the store keeps it, the Portal shows it.

import VaultAPI

package enum IdentityProviderType: String, Sendable, CaseIterable {
    case auth0, clerk, okta, workos, keycloak, entra, google, cognito
    case customOIDC = "custom_oidc"
}

/// Which claims of a token say who the user is. Each is a claim's literal name or else a dotted path.
package struct ClaimMapping: Sendable, Equatable {
    package var userID: String
    package var group: String?
    package var role: String?

    package init(userID: String, group: String? = nil, role: String? = nil) {
        self.userID = userID
        self.group = group
        self.role = role
    }
}

package struct IdentityProviderCapabilities: Sendable, Equatable {
    package let jwtSync: Bool
    package let oidcSignIn: Bool
    package let webhooks: Bool
    package let rpInitiatedLogout: Bool

    package init(type: IdentityProviderType, document: DiscoveryDocument) {
        jwtSync = true
        oidcSignIn = document.offersAuthorizationCode
        webhooks = type.hasWebhooks
        // Auth0 tenants without the endpoint have `/v2/logout`.
        rpInitiatedLogout = document.endSessionEndpoint != nil || type == .auth0
    }
}

extension IdentityProviderType {
    /// Whether it pushes events that the vault understands.
    package var hasWebhooks: Bool { self == .auth0 || self == .clerk }

    /// What its tokens carry unless somebody configured them otherwise. Auth0 has no group claim before an Action adds one.
    package var suggestedClaims: ClaimMapping {
        switch self {
        case .clerk, .workos: ClaimMapping(userID: "sub", group: "org_id", role: self == .clerk ? "org_role" : "role")
        case .okta: ClaimMapping(userID: "sub", group: "groups")
        case .keycloak: ClaimMapping(userID: "sub", group: "groups", role: "realm_access.roles")
        case .entra: ClaimMapping(userID: "sub", group: "groups", role: "roles")
        case .cognito: ClaimMapping(userID: "sub", group: "cognito:groups")
        case .auth0, .google, .customOIDC: ClaimMapping(userID: "sub")
        }
    }
}

// MARK: - The discovery document

/// Why a document is not usable. Member names are those of OpenID Connect Discovery 1.0 §3.
package enum DiscoveryDocumentError: Error, Equatable, Sendable {
    case notAnObject
    case memberMissing(String)
    case memberMalformed(String, problem: String)
}

/// The members of an issuer's metadata that the vault uses (OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC 9207 §3).
///
/// The four that sign-in and key look-up need must be there and be addresses; everything else is read leniently, because a
/// provider's oddity in a member nobody needs is no reason to refuse it.
package struct DiscoveryDocument: Sendable, Equatable {
    /// Exactly as the document writes it: what `iss` is compared with.
    package let issuer: String
    package let authorizationEndpoint: String
    package let tokenEndpoint: String
    package let jwksURI: String
    package let endSessionEndpoint: String?
    package let userinfoEndpoint: String?
    package let revocationEndpoint: String?
    /// Client authentication at the token endpoint; RFC 8414 §2 names the default.
    package let tokenEndpointAuthMethods: [String]
    /// Nothing said is not the same as none.
    package let codeChallengeMethods: [String]?
    package let scopes: [String]?
    package let authorizationResponseIssParameterSupported: Bool
    package let offersAuthorizationCode: Bool
    /// The known members alone, for storing: a document may have a megabyte of others. Reads back to the same value.
    package let json: JSONObject

    private static let textLengthMax = 2048
    private static let listCountMax = 200

    package init(_ json: JSON) throws(DiscoveryDocumentError) {
        guard let members = json.object else { throw .notAnObject }
        issuer = try Self.issuer(members)
        let isSecure = issuer.lowercased().hasPrefix("https:")
        authorizationEndpoint = try Self.required(members, "authorization_endpoint", secure: isSecure)
        tokenEndpoint = try Self.required(members, "token_endpoint", secure: isSecure)
        jwksURI = try Self.required(members, "jwks_uri", secure: isSecure)
        func optional(_ name: String) -> String? { try? Self.required(members, name, secure: isSecure) }
        endSessionEndpoint = optional("end_session_endpoint")
        userinfoEndpoint = optional("userinfo_endpoint")
        revocationEndpoint = optional("revocation_endpoint")
        tokenEndpointAuthMethods =
            Self.strings(members, "token_endpoint_auth_methods_supported") ?? ["client_secret_basic"]
        codeChallengeMethods = Self.strings(members, "code_challenge_methods_supported")
        scopes = Self.strings(members, "scopes_supported")
        authorizationResponseIssParameterSupported =
            members["authorization_response_iss_parameter_supported"]?.bool ?? false
        offersAuthorizationCode = Self.strings(members, "response_types_supported")?.contains("code") ?? true
        self.json = Self.known(members)
    }

    /// The endpoint of another member, for recognising providers.
    func endpoint(_ name: String) -> WebAddress? {
        guard let text = json[name]?.string else { return nil }
        return try? WebAddress(text)
    }

    // MARK: Reading

    private static func issuer(_ members: JSONObject) throws(DiscoveryDocumentError) -> String {
        let (text, address) = try Self.address(members, "issuer")
        // OpenID Connect Discovery 1.0 §3: neither query nor fragment; WebAddress refuses the fragment.
        guard address.query == nil else { throw .memberMalformed("issuer", problem: "must not have a query") }
        return text
    }

    private static func required(
        _ members: JSONObject, _ name: String, secure: Bool
    ) throws(DiscoveryDocumentError) -> String {
        let (text, address) = try Self.address(members, name)
        // An issuer on https that sends codes and secrets over http would undo itself.
        guard address.isSecure || !secure else { throw .memberMalformed(name, problem: "must begin with https://") }
        return text
    }

    private static func address(
        _ members: JSONObject, _ name: String
    ) throws(DiscoveryDocumentError) -> (String, WebAddress) {
        guard let member = members[name], !member.isNull else { throw .memberMissing(name) }
        guard let text = member.string else { throw .memberMalformed(name, problem: "must be a text") }
        guard text.utf8.count <= textLengthMax else { throw .memberMalformed(name, problem: "is too long") }
        do {
            return (text, try WebAddress(text))
        } catch {
            throw .memberMalformed(name, problem: error.reason)
        }
    }

    private static func strings(_ members: JSONObject, _ name: String) -> [String]? {
        members[name]?.array.map { Array($0.compactMap(\.string).prefix(listCountMax)) }
    }

    private static let knownAddresses = [
        "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint", "userinfo_endpoint",
        "revocation_endpoint", "introspection_endpoint", "registration_endpoint", "device_authorization_endpoint",
        "mfa_challenge_endpoint",
    ]
    private static let knownLists = [
        "token_endpoint_auth_methods_supported", "code_challenge_methods_supported", "scopes_supported",
        "response_types_supported", "grant_types_supported",
    ]

    private static func known(_ members: JSONObject) -> JSONObject {
        var known = JSONObject()
        for name in knownAddresses {
            if let text = members[name]?.string, text.utf8.count <= textLengthMax { known[name] = .string(text) }
        }
        for name in knownLists {
            guard let list = strings(members, name) else { continue }
            known[name] = .strings(list.filter { $0.utf8.count <= textLengthMax })
        }
        let flag = "authorization_response_iss_parameter_supported"
        if let value = members[flag]?.bool { known[flag] = .bool(value) }
        return known
    }
}
