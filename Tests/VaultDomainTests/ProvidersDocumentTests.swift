import Foundation
import Testing
import VaultAPI
import VaultDomain

/// docs/PROVIDERS.md is written from the rules: `make docs` writes it, and this suite fails when it is behind them.
@Suite("docs/PROVIDERS.md")
struct ProvidersDocumentTests {
    private static let address = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "docs/PROVIDERS.md")

    @Test("says what the detection rules say")
    func isCurrent() throws {
        let text = try Self.text()
        if ProcessInfo.processInfo.environment["WRITE_DOCS"] != nil {
            try text.write(to: Self.address, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: Self.address, encoding: .utf8) == text, "run `make docs`")
    }

    private static func text() throws -> String {
        let sections = try IdentityProviderType.allCases.map(section).joined(separator: "\n\n")
        return """
            # Identity providers

            <!-- Written by `make docs` from IdentityProviderDetection.swift; do not edit. -->

            Any OpenID Connect provider works: user tokens (JWT), browser sign-in, the Wallet. These are recognised from the
            issuer's host, or on a domain of your own from the shape of the discovery document (the paths below are those after
            the issuer's own), and get claims suggested. `idp_type` in the request overrules what was recognised. Claims lock with the first sign-in of a user, so set
            group and role claims before.

            A claim is a literal name first (`https://corp.example/groups`), else a path (`realm_access.roles`). A group claim
            may be a text, a list of texts, or Clerk's organization forms.

            \(try table())

            \(sections)

            """
    }

    private static func table() throws -> String {
        let head = """
            | Provider | `idp_type` | User id | Group | Role | Webhooks | Sign-out at the provider |
            |---|---|---|---|---|---|---|
            """
        let rows = try IdentityProviderType.allCases.map { type in
            let claims = type.suggestedClaims
            let bare = IdentityProviderCapabilities(type: type, document: try document())
            let cells = [
                name(type), code(type.rawValue), code(claims.userID), claims.group.map(code) ?? "—",
                claims.role.map(code) ?? "—", bare.webhooks ? "yes" : "—",
                bare.rpInitiatedLogout ? "always" : "when the document names `end_session_endpoint`",
            ]
            return "| " + cells.joined(separator: " | ") + " |"
        }
        return ([head] + rows).joined(separator: "\n")
    }

    private static func section(_ type: IdentityProviderType) throws -> String {
        var lines = ["## \(name(type))", "", convention(type), ""]
        if !type.hosts.isEmpty {
            lines.append("- Recognised by the issuer's host: \(type.hosts.map(words).joined(separator: ", ")).")
        }
        for shape in type.shapes {
            lines.append("- Recognised on any host by its document: \(words(shape)).")
        }
        if type == .customOIDC { lines.append("- Whatever no rule above recognises.") }
        return lines.joined(separator: "\n")
    }

    private static func words(_ host: IssuerHost) -> String {
        switch host {
        case .exactly(let name): code(name)
        case .below(let domain): code("*." + domain)
        case .between(let prefix, let suffix): code(prefix + "*" + suffix)
        }
    }

    private static func words(_ shape: DocumentShape) -> String {
        let path =
            switch shape.issuerPath {
            case .any: [String]()
            case .root: ["an issuer without a path"]
            case .below(let path): ["an issuer below \(code(path))"]
            case .containing(let part): ["an issuer with \(code(part)) in its path"]
            }
        let endpoints = shape.endpoints.map { "\(code($0.key)) at \(code($0.value))" }
        let needed = (path + endpoints).joined(separator: ", ")
        guard shape.weightNeeded > 0 else { return needed }
        let marks = shape.marks.map { mark in
            let weight = mark.weight == 1 ? "" : " (counts \(mark.weight))"
            return switch mark.kind {
            case .endpoint(let member, let path): "\(code(member)) at \(code(path))" + weight
            case .grantType(let prefix): "a grant type that begins with \(code(prefix))" + weight
            case .host(let prefix): "a host that begins with \(code(prefix))" + weight
            }
        }
        return "\(needed); and marks that count \(shape.weightNeeded) together of: \(marks.joined(separator: ", "))"
    }

    private static func code(_ text: String) -> String { "`\(text)`" }

    private static func name(_ type: IdentityProviderType) -> String {
        switch type {
        case .auth0: "Auth0"
        case .clerk: "Clerk"
        case .okta: "Okta"
        case .workos: "WorkOS"
        case .keycloak: "Keycloak"
        case .entra: "Microsoft Entra ID"
        case .google: "Google"
        case .cognito: "Amazon Cognito"
        case .customOIDC: "Any other"
        }
    }

    /// How groups and roles get into the tokens.
    private static func convention(_ type: IdentityProviderType) -> String {
        switch type {
        case .auth0:
            "Tokens carry no groups until an Action adds a claim; Auth0 wants a URL as its name. Set an audience: the "
                + "identifier of the API that the access tokens are for. Events come from a custom webhook log stream."
        case .clerk:
            "Session tokens carry the active organization. A JWT template may emit another claim. Browser sign-in needs a "
                + "production instance. Events come signed by Svix."
        case .okta:
            "The issuer is that of the authorization server whose tokens you send. Groups need a `groups` claim on it."
        case .workos: "The issuer contains the client id: `https://api.workos.com/user_management/<client id>`."
        case .keycloak: "Groups need a Group Membership mapper; realm roles are in `realm_access.roles` by default."
        case .entra: "Groups need the `groups` claim in the token configuration; app roles come in `roles`."
        case .google: "ID tokens carry no groups."
        case .cognito: "Groups of the user pool come in `cognito:groups`."
        case .customOIDC: "Common names are `groups` and `roles`. Users also end by the Management API."
        }
    }

    /// Of a provider that offers nothing beyond what OpenID Connect demands.
    private static func document() throws -> DiscoveryDocument {
        try DiscoveryDocument(
            .object([
                "issuer": "https://id.example", "authorization_endpoint": "https://id.example/a",
                "token_endpoint": "https://id.example/t", "jwks_uri": "https://id.example/k",
            ]))
    }
}
