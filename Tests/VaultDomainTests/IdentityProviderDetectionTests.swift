import Testing
import VaultAPI

@testable import VaultDomain

@Suite("An identity provider is recognised")
struct IdentityProviderDetectionTests {
    /// A document with these members; paths are completed with the issuer.
    private static func detected(_ issuer: String, _ members: [String: String] = [:], grantTypes: [String] = [])
        throws -> IdentityProviderType
    {
        let base = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
        var json: JSONObject = [
            "issuer": .string(issuer), "authorization_endpoint": .string(base + "/a"),
            "token_endpoint": .string(base + "/t"), "jwks_uri": .string(base + "/k"),
        ]
        for (name, value) in members { json[name] = .string(value.hasPrefix("/") ? base + value : value) }
        json["grant_types_supported"] = .strings(grantTypes)
        return IdentityProviderType.detect(try DiscoveryDocument(.object(json)))
    }

    @Test(
        "by a host that only its vendor can have",
        arguments: [
            ("https://acme.us.auth0.com/", .auth0), ("https://ACME.auth0.com/", .auth0),
            ("https://clean-mayfly-62.clerk.accounts.dev", .clerk), ("https://acme.okta.com", .okta),
            ("https://acme.oktapreview.com/oauth2/default", .okta),
            ("https://api.workos.com/user_management/client_01", .workos), ("https://acme.authkit.app", .workos),
            ("https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", .entra),
            ("https://sts.windows.net/11111111-2222-3333-4444-555555555555/", .entra),
            ("https://acme.ciamlogin.com/11111111-2222-3333-4444-555555555555/v2.0", .entra),
            ("https://accounts.google.com", .google),
            ("https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABCDEFGHI", .cognito),
        ] as [(String, IdentityProviderType)])
    func byHost(issuer: String, type: IdentityProviderType) throws {
        #expect(try Self.detected(issuer) == type)
    }

    @Test(
        "by no host that only looks like one",
        arguments: [
            "https://auth0.com", "https://notauth0.com", "https://acme.auth0.com.evil.example",
            "https://evil.example/acme.auth0.com", "https://clerk.accounts.dev", "https://okta.com.evil.example",
            "https://notokta.com", "https://workos.com", "https://login.microsoftonline.com.evil.example",
            "https://accounts.google.com.evil.example", "https://cognito-idp.evil.example",
            "https://cognito-idp.amazonaws.com", "https://amazonaws.com", "https://id.acme.example",
        ])
    func byNoOtherHost(issuer: String) throws {
        #expect(try Self.detected(issuer) == .customOIDC)
    }

    private static let auth0 = [
        "authorization_endpoint": "/authorize", "token_endpoint": "/oauth/token", "jwks_uri": "/.well-known/jwks.json",
    ]
    private static let clerk = [
        "authorization_endpoint": "/oauth/authorize", "token_endpoint": "/oauth/token",
        "jwks_uri": "/.well-known/jwks.json",
    ]
    private static let keycloak = [
        "authorization_endpoint": "/protocol/openid-connect/auth", "token_endpoint": "/protocol/openid-connect/token",
        "jwks_uri": "/protocol/openid-connect/certs",
    ]
    private static let okta = [
        "authorization_endpoint": "/v1/authorize", "token_endpoint": "/v1/token", "jwks_uri": "/v1/keys",
    ]

    @Test("on a customer's own domain by several marks of its document together")
    func byShape() throws {
        let issuer = "https://login.acme.example/"
        func auth0(_ marks: [String: String], grantTypes: [String] = []) throws -> IdentityProviderType {
            try Self.detected(issuer, Self.auth0.merging(marks) { $1 }, grantTypes: grantTypes)
        }
        #expect(try auth0([:], grantTypes: ["implicit", "http://auth0.com/oauth/grant-type/mfa-otp"]) == .auth0)
        #expect(try auth0(["mfa_challenge_endpoint": "/mfa/challenge"]) == .auth0)
        #expect(
            try auth0(["registration_endpoint": "/oidc/register", "end_session_endpoint": "/oidc/logout"]) == .auth0)

        #expect(try Self.detected("https://clerk.acme.example", Self.clerk) == .clerk)
        let tokenInfo = ["introspection_endpoint": "/oauth/token_info"]
        #expect(try Self.detected("https://accounts.acme.example", Self.clerk.merging(tokenInfo) { $1 }) == .clerk)

        #expect(try Self.detected("https://id.acme.example/realms/staff", Self.keycloak) == .keycloak)
        #expect(try Self.detected("https://id.acme.example/auth/realms/staff", Self.keycloak) == .keycloak)
        #expect(try Self.detected("https://id.acme.example/oauth2/default", Self.okta) == .okta)
        let ofOrganization = Self.okta.mapValues { "/oauth2" + $0 }
        #expect(try Self.detected("https://id.acme.example", ofOrganization) == .okta)
    }

    @Test("by no single mark, no missing one, and nothing on another origin")
    func byNoSingleMark() throws {
        let issuer = "https://login.acme.example"
        #expect(try Self.detected(issuer, Self.auth0) == .customOIDC)
        #expect(
            try Self.detected(issuer, Self.auth0.merging(["end_session_endpoint": "/oidc/logout"]) { $1 })
                == .customOIDC)
        #expect(try Self.detected(issuer, ["mfa_challenge_endpoint": "/mfa/challenge"]) == .customOIDC)
        let elsewhere = ["mfa_challenge_endpoint": "https://evil.example/mfa/challenge"]
        #expect(try Self.detected(issuer, Self.auth0.merging(elsewhere) { $1 }) == .customOIDC)
        #expect(try Self.detected("https://accounts.acme.example", Self.clerk) == .customOIDC)
        #expect(try Self.detected("https://clerk.acme.example") == .customOIDC)
        #expect(try Self.detected("https://id.acme.example/tenants/staff", Self.keycloak) == .customOIDC)
        #expect(try Self.detected("https://id.acme.example/realms/staff") == .customOIDC)
        #expect(try Self.detected("https://id.acme.example/default", Self.okta) == .customOIDC)
    }
}
