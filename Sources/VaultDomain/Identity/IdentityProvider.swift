import VaultAPI

// What is known about an identity provider from its own discovery document (OpenID Connect Discovery 1.0 §3), and what
// that suggests. Pure: fetching is VaultUpstream's.

package enum IdentityProviderType: String, Sendable, CaseIterable {
    case auth0, clerk, okta, workos, keycloak, entra, google, cognito
    case customOIDC = "custom_oidc"
}

/// Which claims of a token mean what. A literal claim name, or a dotted path.
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
    package var jwtSync: Bool
    package var oidcSignIn: Bool
    package var webhooks: Bool
    package var rpInitiatedLogout: Bool
}

extension IdentityProviderType {
    package var suggestedClaims: ClaimMapping {
        switch self {
        // Auth0 puts no groups into tokens unless an Action does, under a name of the tenant's own.
        case .auth0, .google, .customOIDC: ClaimMapping(userID: "sub")
        case .clerk: ClaimMapping(userID: "sub", group: "org_id", role: "org_role")
        case .okta, .entra: ClaimMapping(userID: "sub", group: "groups")
        case .workos: ClaimMapping(userID: "sub", group: "org_id", role: "role")
        case .keycloak: ClaimMapping(userID: "sub", group: "groups", role: "realm_access.roles")
        case .cognito: ClaimMapping(userID: "sub", group: "cognito:groups")
        }
    }

    package var hasWebhooks: Bool { self == .auth0 || self == .clerk }
}

/// The members of a discovery document that the vault uses.
package struct DiscoveryDocument: Sendable {
    package let issuer: String
    package let authorizationEndpoint: String
    package let tokenEndpoint: String
    package let jwksURI: String
    package let endSessionEndpoint: String?
    package let json: JSONObject

    package enum Problem: Error, Sendable {
        case missing(String)
        case malformed(String)
    }

    package init(_ json: JSONObject) throws(Problem) {
        func text(_ name: String) throws(Problem) -> String {
            guard let value = json[name] else { throw .missing(name) }
            guard let text = value.string, (1...2048).contains(text.utf8.count) else { throw .malformed(name) }
            return text
        }
        func address(_ name: String) throws(Problem) -> String {
            let text = try text(name)
            do { _ = try WebAddress(text) } catch { throw .malformed(name) }
            return text
        }
        issuer = try text("issuer")
        authorizationEndpoint = try address("authorization_endpoint")
        tokenEndpoint = try address("token_endpoint")
        jwksURI = try address("jwks_uri")
        endSessionEndpoint = json["end_session_endpoint"]?.isNull == false ? try address("end_session_endpoint") : nil
        self.json = json
    }

    /// Whose document this is, by the issuer's host and, for custom domains, by marks of the document itself.
    package var detectedType: IdentityProviderType {
        let host = (try? WebAddress(issuer))?.host ?? ""
        let path = (try? WebAddress(issuer))?.path ?? ""
        func isUnder(_ domain: String) -> Bool { host == domain || host.hasSuffix("." + domain) }
        if isUnder("auth0.com") { return .auth0 }
        if isUnder("clerk.accounts.dev") || host.hasPrefix("clerk.") { return .clerk }
        if isUnder("okta.com") || isUnder("oktapreview.com") || isUnder("okta-emea.com") { return .okta }
        if isUnder("workos.com") || isUnder("authkit.app") { return .workos }
        if isUnder("login.microsoftonline.com") || isUnder("ciamlogin.com") || host == "sts.windows.net" {
            return .entra
        }
        if host == "accounts.google.com" { return .google }
        if host.hasPrefix("cognito-idp."), isUnder("amazonaws.com") || isUnder("amazonaws.com.cn") { return .cognito }
        if path.contains("/realms/"), tokenEndpoint.hasSuffix("/protocol/openid-connect/token") { return .keycloak }
        // Auth0 behind a custom domain keeps its fixed paths and its own endpoint for factors.
        if json["mfa_challenge_endpoint"] != nil, tokenEndpoint.hasSuffix("/oauth/token") { return .auth0 }
        return .customOIDC
    }

    package func capabilities(_ type: IdentityProviderType) -> IdentityProviderCapabilities {
        IdentityProviderCapabilities(
            jwtSync: true, oidcSignIn: true, webhooks: type.hasWebhooks,
            rpInitiatedLogout: endSessionEndpoint != nil || type == .auth0)
    }
}
