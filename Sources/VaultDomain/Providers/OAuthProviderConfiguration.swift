import VaultAPI

/// What an operator set for one OAuth provider of an app: overrides of a built-in template, or a whole custom one.
package struct OAuthProviderConfiguration: Sendable, Equatable {
    package var displayName: String?
    /// The scopes that Connect asks for, and the most that a session may require. `nil`: the template's defaults.
    package var scopes: [String]?
    package var custom: Custom?

    package struct Custom: Sendable, Equatable {
        package var authorizationURL: String
        package var tokenURL: String
        package var revocationURL: String?
        package var userinfoURL: String?
        package var apiHosts: [String]
        package var usesPKCE: Bool
        package var tokenAuthentication: OAuthProviderTemplate.TokenAuthentication
        package var accountClaim: String?
    }

    private enum PKCEChoice: String, CaseIterable { case s256 = "S256", none }

    private static let customNames = [
        "authorization_url", "token_url", "revocation_url", "userinfo_url", "api_hosts", "pkce", "token_auth",
        "account_claim",
    ]

    /// Reads a body or a stored document; problems are reported to `fields`.
    package init(_ fields: Fields, providerID: String) {
        displayName = fields.optionalString("display_name", length: 1...200)
        scopes = fields.optionalStrings("scopes")
        for (index, scope) in (scopes ?? []).enumerated() where !Self.isScopeToken(scope) {
            fields.report("scopes[\(index)]", "must be a scope token of printable characters without blanks")
        }
        let isBuiltIn = OAuthProviderCatalog.template(providerID) != nil
        guard !isBuiltIn else {
            for name in Self.customNames where fields.has(name) {
                _ = fields.value(name)
                fields.report(name, "is fixed for a built-in provider")
            }
            return
        }
        custom = Self.readCustom(fields)
    }

    private static func readCustom(_ fields: Fields) -> Custom {
        let custom = Custom(
            authorizationURL: fields.string("authorization_url"), tokenURL: fields.string("token_url"),
            revocationURL: fields.optionalString("revocation_url"), userinfoURL: fields.optionalString("userinfo_url"),
            apiHosts: fields.optionalStrings("api_hosts", length: 1...255) ?? [],
            usesPKCE: fields.optionalChoice("pkce", PKCEChoice.self) != PKCEChoice.none,
            tokenAuthentication: fields.optionalChoice("token_auth", OAuthProviderTemplate.TokenAuthentication.self)
                ?? .basic,
            accountClaim: fields.optionalString("account_claim", length: 1...200))
        let addresses = [
            ("authorization_url", custom.authorizationURL), ("token_url", custom.tokenURL),
            ("revocation_url", custom.revocationURL ?? ""), ("userinfo_url", custom.userinfoURL ?? ""),
        ]
        for (name, address) in addresses where !address.isEmpty {
            do { _ = try WebAddress(address) } catch { fields.report(name, error.reason) }
        }
        if custom.apiHosts.isEmpty { fields.report("api_hosts", "must name at least one host") }
        for (index, host) in custom.apiHosts.enumerated() where HostRule(host) == nil {
            fields.report("api_hosts[\(index)]", "must be a host or host:port")
        }
        return custom
    }

    /// RFC 6749 §3.3: visible ASCII without `"` and `\`.
    package static func isScopeToken(_ scope: String) -> Bool {
        !scope.isEmpty
            && scope.utf8.allSatisfy { $0 == 0x21 || (0x23...0x5B).contains($0) || (0x5D...0x7E).contains($0) }
    }

    package var json: JSONObject {
        var object = JSONObject()
        object["display_name"] = displayName.map(JSON.string)
        object["scopes"] = scopes.map(JSON.strings)
        if let custom {
            object["authorization_url"] = .string(custom.authorizationURL)
            object["token_url"] = .string(custom.tokenURL)
            object["revocation_url"] = custom.revocationURL.map(JSON.string)
            object["userinfo_url"] = custom.userinfoURL.map(JSON.string)
            object["api_hosts"] = .strings(custom.apiHosts)
            object["pkce"] = .string((custom.usesPKCE ? PKCEChoice.s256 : PKCEChoice.none).rawValue)
            object["token_auth"] = .string(custom.tokenAuthentication.rawValue)
            object["account_claim"] = custom.accountClaim.map(JSON.string)
        }
        return object
    }

    /// The provider as Connect, refresh and the proxy use it.
    package func template(id: String) -> OAuthProviderTemplate? {
        guard let custom else {
            guard var template = OAuthProviderCatalog.template(id) else { return nil }
            if let displayName { template.displayName = displayName }
            if let scopes {
                let known = template.scopes
                template.scopes = scopes.map { name in
                    ScopeTemplate(name, known.first { $0.name == name }?.description ?? name, isDefault: true)
                }
            }
            return template
        }
        return OAuthProviderTemplate(
            id: id, displayName: displayName ?? id, category: "custom",
            description: "A provider set up by the operator.",
            documentationURL: "", authorizationURL: custom.authorizationURL, tokenURL: custom.tokenURL,
            revocation: custom.revocationURL.map { .rfc7009($0) } ?? .unsupported, userinfoURL: custom.userinfoURL,
            accountIDPath: custom.accountClaim, scopes: (scopes ?? []).map { ScopeTemplate($0, $0, isDefault: true) },
            pkce: custom.usesPKCE ? .supported : .unsupported, tokenAuthentication: custom.tokenAuthentication,
            apiHosts: custom.apiHosts)
    }
}
