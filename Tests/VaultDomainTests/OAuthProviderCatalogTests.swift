import Foundation
import Testing
import VaultDomain

@Suite("The catalogue of OAuth providers")
struct OAuthProviderCatalogTests {
    private let all = OAuthProviderCatalog.all

    private static func addresses(of template: OAuthProviderTemplate) -> [String] {
        [template.documentationURL, template.authorizationURL, template.tokenURL]
            + [template.revocation.address, template.userinfoURL].compactMap { $0 }
    }

    private static func host(of address: String) -> String? {
        URLComponents(string: address, encodingInvalidCharacters: false)?.host
    }

    private static func isHostName(_ host: String) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        return labels.count >= 2
            && labels.allSatisfy { label in
                !label.isEmpty && label.utf8.allSatisfy { "abcdefghijklmnopqrstuvwxyz0123456789-".utf8.contains($0) }
            }
    }

    @Test("holds at least ten providers, in order of their ids, each id once")
    func ids() {
        let ids = all.map(\.id)
        #expect(ids.count >= 10)
        #expect(ids == ids.sorted())
        #expect(Set(ids).count == ids.count)
        let allowed = Set("abcdefghijklmnopqrstuvwxyz0123456789-")
        #expect(ids.allSatisfy { !$0.isEmpty && $0.allSatisfy(allowed.contains) })
        #expect(ids.allSatisfy { OAuthProviderCatalog.template($0)?.id == $0 })
        #expect(OAuthProviderCatalog.template("GitHub") == nil)
    }

    @Test("has only complete https addresses", arguments: OAuthProviderCatalog.all.map(\.id))
    func addresses(id: String) throws {
        let template = try #require(OAuthProviderCatalog.template(id))
        for address in Self.addresses(of: template) {
            let parts = try #require(URLComponents(string: address, encodingInvalidCharacters: false), "\(address)")
            #expect(parts.scheme == "https", "\(address)")
            #expect(Self.isHostName(parts.host ?? ""), "\(address)")
            #expect(parts.user == nil && parts.password == nil && parts.port == nil, "\(address)")
            #expect(parts.query == nil && parts.fragment == nil, "\(address)")
            #expect(!address.contains { "{}<>".contains($0) }, "\(address)")
        }
    }

    @Test("names exact hosts, among them the one that tells the account", arguments: OAuthProviderCatalog.all.map(\.id))
    func hosts(id: String) throws {
        let template = try #require(OAuthProviderCatalog.template(id))
        #expect(!template.apiHosts.isEmpty)
        #expect(template.apiHosts.allSatisfy(Self.isHostName))
        #expect(Set(template.apiHosts).count == template.apiHosts.count)
        if let userinfo = template.userinfoURL {
            let host = try #require(Self.host(of: userinfo))
            #expect(template.apiHosts.contains(host))
        }
    }

    @Test("has identity paths only where an address answers them", arguments: OAuthProviderCatalog.all.map(\.id))
    func identity(id: String) throws {
        let template = try #require(OAuthProviderCatalog.template(id))
        let paths = [template.accountIDPath, template.emailPath, template.displayNamePath].compactMap { $0 }
        #expect((template.userinfoURL == nil) == (template.accountIDPath == nil))
        #expect(template.userinfoURL != nil || paths.isEmpty)
        #expect(paths.allSatisfy { $0.wholeMatch(of: /[A-Za-z0-9_]+(\[\d+\])?(\.[A-Za-z0-9_]+(\[\d+\])?)*/) != nil })
    }

    @Test("has scopes that its separator can join", arguments: OAuthProviderCatalog.all.map(\.id))
    func scopes(id: String) throws {
        let template = try #require(OAuthProviderCatalog.template(id))
        let names = template.scopes.map(\.name)
        #expect([" ", ","].contains(template.scopeSeparator))
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { !$0.isEmpty && !$0.contains(template.scopeSeparator) && !$0.contains(" ") })
        #expect(template.scopes.allSatisfy { !$0.description.isEmpty })
        #expect(names.isEmpty || !template.defaultScopes.isEmpty)
    }

    @Test("says what a person can read", arguments: OAuthProviderCatalog.all.map(\.id))
    func words(id: String) throws {
        let template = try #require(OAuthProviderCatalog.template(id))
        #expect(!template.displayName.isEmpty && !template.category.isEmpty)
        #expect(template.description.hasSuffix(".") && template.description.count <= 100)
        #expect(!template.description.contains(". "))
    }

    @Test("sends no parameter twice and none that belongs to the flow", arguments: OAuthProviderCatalog.all.map(\.id))
    func parameters(id: String) throws {
        let template = try #require(OAuthProviderCatalog.template(id))
        let names = template.extraAuthorizationParameters.map(\.name)
        #expect(Set(names).count == names.count)
        let reserved: Set = [
            "client_id", "client_secret", "code_challenge", "code_challenge_method", "redirect_uri", "response_type",
            "scope", "state",
        ]
        #expect(reserved.isDisjoint(with: names))
    }

    @Test("does not claim rotation where nothing is refreshed")
    func refresh() {
        for template in all {
            #expect(template.supportsRefresh == (template.refreshTokenRotation != .notApplicable), "\(template.id)")
        }
    }
}
