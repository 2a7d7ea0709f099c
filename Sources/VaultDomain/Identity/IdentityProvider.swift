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

// MARK: - Detection

extension IdentityProviderType {
    /// Recognises a provider by its issuer's host and by the shape of its document.
    ///
    /// A host that only the vendor can have decides alone. Everything else needs several marks of the document at once,
    /// because a custom domain hides the vendor and many providers share single paths. In doubt it is `custom_oidc`: a
    /// wrong guess would suggest claims that nobody sends, and webhooks that nobody signs.
    package static func detect(_ document: DiscoveryDocument) -> IdentityProviderType {
        guard let issuer = try? WebAddress(document.issuer) else { return .customOIDC }
        if let vendor = byHost(issuer) { return vendor }
        let shape = DocumentShape(issuer: issuer, document: document)
        if shape.isAuth0 { return .auth0 }
        if shape.isClerk { return .clerk }
        if shape.isKeycloak { return .keycloak }
        if shape.isOkta { return .okta }
        return .customOIDC
    }

    private static func byHost(_ issuer: WebAddress) -> IdentityProviderType? {
        let host = issuer.host
        func isBelow(_ domains: String...) -> Bool { domains.contains { host.hasSuffix("." + $0) } }
        // <tenant>.auth0.com, <tenant>.us.auth0.com, …
        if isBelow("auth0.com") { return .auth0 }
        // Development instances; production ones are on a domain of the customer.
        if isBelow("clerk.accounts.dev") { return .clerk }
        if isBelow("okta.com", "oktapreview.com", "okta-emea.com", "okta-gov.com") { return .okta }
        // https://api.workos.com/user_management/<client id>, or the AuthKit domain.
        if host == "api.workos.com" || isBelow("authkit.app") { return .workos }
        // v2.0 and v1.0 issuers, national clouds, External ID and B2C.
        let entraHosts = [
            "login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn", "sts.windows.net",
        ]
        if entraHosts.contains(host) || isBelow("ciamlogin.com", "b2clogin.com") { return .entra }
        if host == "accounts.google.com" { return .google }
        // The issuer of a user pool stays here even when its sign-in pages have a custom domain.
        if host.hasPrefix("cognito-idp."), isBelow("amazonaws.com", "amazonaws.com.cn") { return .cognito }
        return nil
    }
}

/// The paths of a document's endpoints below its issuer.
private struct DocumentShape {
    let issuer: WebAddress
    let document: DiscoveryDocument

    /// The endpoint's path after the issuer's own; `nil` when it is missing or on another origin.
    private func path(_ member: String) -> String? {
        guard let endpoint = document.endpoint(member), endpoint.origin == issuer.origin else { return nil }
        let base = issuer.path.hasSuffix("/") ? String(issuer.path.dropLast()) : issuer.path
        guard endpoint.path.hasPrefix(base + "/") else { return nil }
        return String(endpoint.path.dropFirst(base.count))
    }

    private func has(_ paths: [String: String]) -> Bool { paths.allSatisfy { path($0.key) == $0.value } }

    /// The three paths that every tenant has, and one thing that only Auth0 has: its own grant types, or the endpoint that
    /// starts a second factor, or its places for registration, devices and logout together.
    var isAuth0: Bool {
        guard
            has([
                "authorization_endpoint": "/authorize", "token_endpoint": "/oauth/token",
                "jwks_uri": "/.well-known/jwks.json",
            ])
        else { return false }
        let grantTypes = document.json["grant_types_supported"]?.array ?? []
        if grantTypes.contains(where: { $0.string?.hasPrefix("http://auth0.com/oauth/grant-type/") ?? false }) {
            return true
        }
        if path("mfa_challenge_endpoint") == "/mfa/challenge" { return true }
        let marks = [
            path("registration_endpoint") == "/oidc/register", path("end_session_endpoint") == "/oidc/logout",
            path("device_authorization_endpoint") == "/oauth/device/code",
        ]
        return marks.count { $0 } >= 2
    }

    /// The paths of Clerk's OAuth server, and either its usual host on a customer's domain or one of the two paths that no
    /// other server has.
    var isClerk: Bool {
        guard
            has([
                "authorization_endpoint": "/oauth/authorize", "token_endpoint": "/oauth/token",
                "jwks_uri": "/.well-known/jwks.json",
            ])
        else { return false }
        return issuer.host.hasPrefix("clerk.") || path("introspection_endpoint") == "/oauth/token_info"
            || path("revocation_endpoint") == "/oauth/token/revoke"
    }

    /// Every realm has these paths, on whatever host and behind whatever prefix.
    var isKeycloak: Bool {
        issuer.path.contains("/realms/")
            && has([
                "authorization_endpoint": "/protocol/openid-connect/auth",
                "token_endpoint": "/protocol/openid-connect/token", "jwks_uri": "/protocol/openid-connect/certs",
            ])
    }

    /// A custom domain of Okta: an authorization server at `/oauth2/<id>`, or the organization's own at the root.
    var isOkta: Bool {
        let prefix = issuer.path == "/" ? "/oauth2" : ""
        guard prefix == "/oauth2" || issuer.path.hasPrefix("/oauth2/") else { return false }
        return has([
            "authorization_endpoint": prefix + "/v1/authorize", "token_endpoint": prefix + "/v1/token",
            "jwks_uri": prefix + "/v1/keys",
        ])
    }
}
