// Recognises a provider by its issuer's host and by the shape of its document. The rules are data, so that docs/PROVIDERS.md
// says what they say.

import VaultAPI

extension IdentityProviderType {
    /// A host that only the vendor can have decides alone. Everything else needs several marks of the document at once,
    /// because a custom domain hides the vendor and many providers share single paths. In doubt it is `custom_oidc`: a
    /// wrong guess would suggest claims that nobody sends, and webhooks that nobody signs.
    package static func detect(_ document: DiscoveryDocument) -> IdentityProviderType {
        guard let issuer = try? WebAddress(document.issuer) else { return .customOIDC }
        let byHost = allCases.first { type in type.hosts.contains { $0.matches(issuer.host) } }
        let byShape = allCases.first { type in type.shapes.contains { $0.matches(document, of: issuer) } }
        return byHost ?? byShape ?? .customOIDC
    }

    /// Where the vendor's own issuers are.
    package var hosts: [IssuerHost] {
        switch self {
        case .auth0: [.below("auth0.com")]
        // Development instances; production ones are on a domain of the customer.
        case .clerk: [.below("clerk.accounts.dev")]
        case .okta: [.below("okta.com"), .below("oktapreview.com"), .below("okta-emea.com"), .below("okta-gov.com")]
        // https://api.workos.com/user_management/<client id>, or the AuthKit domain.
        case .workos: [.exactly("api.workos.com"), .below("authkit.app")]
        // v2.0 and v1.0 issuers, national clouds, External ID and B2C.
        case .entra:
            [
                .exactly("login.microsoftonline.com"), .exactly("login.microsoftonline.us"),
                .exactly("login.chinacloudapi.cn"), .exactly("sts.windows.net"), .below("ciamlogin.com"),
                .below("b2clogin.com"),
            ]
        case .google: [.exactly("accounts.google.com")]
        // The issuer of a user pool stays here even when its sign-in pages have a custom domain.
        case .cognito:
            [.between("cognito-idp.", ".amazonaws.com"), .between("cognito-idp.", ".amazonaws.com.cn")]
        case .keycloak, .customOIDC: []
        }
    }

    /// What the vendor's documents look like on a domain of the customer.
    package var shapes: [DocumentShape] {
        switch self {
        case .auth0:
            [
                // The three paths that every tenant has, and what only Auth0 has: its own grant types, or the endpoint
                // that starts a second factor, or two of its places for registration, devices and logout.
                DocumentShape(
                    endpoints: [
                        "authorization_endpoint": "/authorize", "token_endpoint": "/oauth/token",
                        "jwks_uri": "/.well-known/jwks.json",
                    ],
                    marks: [
                        .init(.grantType(prefix: "http://auth0.com/oauth/grant-type/"), weight: 2),
                        .init(.endpoint("mfa_challenge_endpoint", "/mfa/challenge"), weight: 2),
                        .init(.endpoint("registration_endpoint", "/oidc/register")),
                        .init(.endpoint("end_session_endpoint", "/oidc/logout")),
                        .init(.endpoint("device_authorization_endpoint", "/oauth/device/code")),
                    ], weightNeeded: 2)
            ]
        case .clerk:
            [
                // The paths of Clerk's OAuth server, and either its usual host on a customer's domain or one of the two
                // paths that no other server has.
                DocumentShape(
                    endpoints: [
                        "authorization_endpoint": "/oauth/authorize", "token_endpoint": "/oauth/token",
                        "jwks_uri": "/.well-known/jwks.json",
                    ],
                    marks: [
                        .init(.host(prefix: "clerk.")),
                        .init(.endpoint("introspection_endpoint", "/oauth/token_info")),
                        .init(.endpoint("revocation_endpoint", "/oauth/token/revoke")),
                    ], weightNeeded: 1)
            ]
        case .keycloak:
            [
                // Every realm has these paths, on whatever host and behind whatever prefix.
                DocumentShape(
                    issuerPath: .containing("/realms/"),
                    endpoints: [
                        "authorization_endpoint": "/protocol/openid-connect/auth",
                        "token_endpoint": "/protocol/openid-connect/token",
                        "jwks_uri": "/protocol/openid-connect/certs",
                    ])
            ]
        case .okta:
            [
                // The organization's own authorization server is at the root, every other at /oauth2/<id>.
                DocumentShape(
                    issuerPath: .root,
                    endpoints: [
                        "authorization_endpoint": "/oauth2/v1/authorize", "token_endpoint": "/oauth2/v1/token",
                        "jwks_uri": "/oauth2/v1/keys",
                    ]),
                DocumentShape(
                    issuerPath: .below("/oauth2/"),
                    endpoints: [
                        "authorization_endpoint": "/v1/authorize", "token_endpoint": "/v1/token",
                        "jwks_uri": "/v1/keys",
                    ]),
            ]
        case .workos, .entra, .google, .cognito, .customOIDC: []
        }
    }
}

package enum IssuerHost: Sendable, Equatable {
    case exactly(String)
    /// Every host below this domain, not the domain itself.
    case below(String)
    case between(_ prefix: String, _ suffix: String)

    func matches(_ host: String) -> Bool {
        switch self {
        case .exactly(let name): host == name
        case .below(let domain): host.hasSuffix("." + domain)
        case .between(let prefix, let suffix):
            host.hasPrefix(prefix) && host.hasSuffix(suffix) && host.utf8.count > prefix.utf8.count + suffix.utf8.count
        }
    }
}

/// What a document must say: all of `endpoints`, and marks that weigh enough together.
package struct DocumentShape: Sendable {
    package enum IssuerPath: Sendable {
        case any, root
        case below(String)
        case containing(String)
    }

    package struct Mark: Sendable {
        package enum Kind: Sendable {
            case endpoint(_ member: String, _ path: String)
            case grantType(prefix: String)
            case host(prefix: String)
        }

        package let kind: Kind
        package let weight: Int

        init(_ kind: Kind, weight: Int = 1) {
            self.kind = kind
            self.weight = weight
        }
    }

    package var issuerPath = IssuerPath.any
    /// Member of the document → its path after the issuer's own, on the issuer's origin.
    package let endpoints: KeyValuePairs<String, String>
    package var marks: [Mark] = []
    package var weightNeeded = 0

    func matches(_ document: DiscoveryDocument, of issuer: WebAddress) -> Bool {
        let isBelow =
            switch issuerPath {
            case .any: true
            case .root: issuer.path == "/"
            case .below(let path): issuer.path.hasPrefix(path)
            case .containing(let part): issuer.path.contains(part)
            }
        guard isBelow else { return false }
        let base = issuer.path.hasSuffix("/") ? String(issuer.path.dropLast()) : issuer.path
        func has(_ member: String, _ path: String) -> Bool {
            guard let endpoint = document.endpoint(member), endpoint.origin == issuer.origin else { return false }
            return endpoint.path == base + path
        }
        guard endpoints.allSatisfy({ has($0.key, $0.value) }) else { return false }
        let grantTypes = document.json["grant_types_supported"]?.array ?? []
        let weight = marks.reduce(0) { sum, mark in
            let holds =
                switch mark.kind {
                case .endpoint(let member, let path): has(member, path)
                case .host(let prefix): issuer.host.hasPrefix(prefix)
                case .grantType(let prefix): grantTypes.contains { $0.string?.hasPrefix(prefix) ?? false }
                }
            return holds ? sum + mark.weight : sum
        }
        return weight >= weightNeeded
    }
}
