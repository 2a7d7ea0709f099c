import VaultAPI
import VaultDomain
import VaultStore

// The pages of OAuth providers: those of the app, the catalogue, and the form of one.

struct ProviderListPage: Sendable {
    let app: AppRecord
    let mayChange: Bool
    let providers: [OAuthProviderRecord]
    let redirectURI: String

    private func path(_ page: String) -> String { SitePath.portalApp(app.id.text, "providers/" + page).path }

    var html: HTML {
        """
        <div class="page-head"><h1>OAuth providers</h1>\(mayChange ? addButton : nil)</div>
        <p>The services whose accounts users can connect, each with a client of your own there.</p>
        \(list)
        """
    }

    private var addButton: HTML {
        "<p class=\"actions\"><a class=\"button\" href=\"\(path("catalog"))\">Add provider</a></p>"
    }

    private var list: HTML {
        guard providers.isEmpty else { return "<ul class=\"cards\">\(providers.map(card))</ul>" }
        return EmptyState(
            title: "No provider yet",
            text: "Register a client at a service such as GitHub or Slack, and enter it here. Then users can connect.",
            action: mayChange ? "<a class=\"button\" href=\"\(path("catalog"))\">Choose a provider</a>" : nil
        ).html
    }

    private func card(_ provider: OAuthProviderRecord) -> HTML {
        let isCustom = OAuthProviderCatalog.template(provider.providerID) == nil
        return """
            <li>
            <div class="with-letter">\(ProviderLogo(id: provider.providerID, name: provider.displayName).html)
            <h2>\(provider.displayName) \(isCustom ? Badge("custom").html : nil)</h2></div>
            \(Facts([
                (name: "Provider ID", value: "<code>\(provider.providerID)</code>"),
                (name: "Client ID", value: "<code>\(provider.clientID)</code>"),
                (name: "Scopes", value: scopes(provider)),
            ]).html)
            \(CopyField(
                id: "redirect-" + provider.providerID, label: "Redirect URI of \(provider.displayName)",
                value: redirectURI).html)
            \(mayChange ? actions(provider) : nil)
            </li>
            """
    }

    private func scopes(_ provider: OAuthProviderRecord) -> HTML {
        let scopes = provider.settings.template(id: provider.providerID)?.defaultScopes ?? []
        return scopes.isEmpty ? "none" : CodeList(scopes).html
    }

    private func actions(_ provider: OAuthProviderRecord) -> HTML {
        let name = provider.displayName
        let edit = ActionLink(path: path(provider.providerID + "/edit"), label: "Edit", thing: name)
        let remove = ActionLink(
            path: path(provider.providerID + "/delete"), label: "Remove", thing: name, style: "danger")
        return "<p>\(edit.html)\(remove.html)</p>"
    }
}

/// The built-in providers, filtered here: without scripts, and every result has an address.
struct ProviderCatalogPage: Sendable {
    let app: AppRecord
    let search: String
    let category: String
    let configured: Set<String>

    private func path(_ page: String) -> String { SitePath.portalApp(app.id.text, "providers/" + page).path }

    private var found: [OAuthProviderTemplate] {
        let words = search.lowercased().split(whereSeparator: { $0.isWhitespace }).map(String.init)
        return OAuthProviderCatalog.all.filter { template in
            guard category.isEmpty || template.category == category else { return false }
            let text = [template.id, template.displayName, template.category, template.description]
                .joined(separator: " ").lowercased()
            return words.allSatisfy { text.contains($0) }
        }
    }

    private static var categories: [(value: String, label: String)] {
        let names = Set(OAuthProviderCatalog.all.map(\.category)).sorted()
        return [(value: "", label: "All")] + names.map { (value: $0, label: title($0)) }
    }

    private static func title(_ category: String) -> String {
        guard category != "crm" else { return "CRM" }
        return category.prefix(1).uppercased() + String(category.dropFirst()).replacing("-", with: " ")
    }

    var html: HTML {
        let state = FormState([(name: "q", value: search), (name: "category", value: category)])
        return """
            <div class="page-head"><h1>Add an OAuth provider</h1>
            <p class="actions"><a class="button plain" href="\(path("custom"))">Custom provider</a></p></div>
            <form method="get" action="\(path("catalog"))" class="filters" role="search" aria-label="Providers">
            \(Field("q", "Search", state, kind: .search).html)
            \(Field("category", "Category", state, kind: .select(Self.categories)).html)
            <button class="plain">Search</button>
            </form>
            \(list)
            """
    }

    private func card(_ template: OAuthProviderTemplate) -> HTML {
        """
        <li>
        <div class="with-letter">\(ProviderLogo(id: template.id, name: template.displayName).html)
        <h2><a href="\(path(template.id + "/edit"))">\(template.displayName)</a></h2></div>
        <p>\(template.description)</p>
        <p>\(Badge(Self.title(template.category)).html) \(configured.contains(template.id) ? Badge("set up", .good).html : nil)</p>
        </li>
        """
    }

    private var list: HTML {
        let found = found
        guard found.isEmpty else { return "<ul class=\"cards\">\(found.map(card))</ul>" }
        return EmptyState(
            title: "No built-in provider fits",
            text: "Any service that speaks OAuth 2.0 can be entered as a custom provider.",
            action: "<a class=\"button\" href=\"\(path("custom"))\">Enter a custom provider</a>"
        ).html
    }
}

/// Client and scopes of a provider that the vault knows.
struct BuiltInProviderPage: Sendable {
    let app: AppRecord
    let template: OAuthProviderTemplate
    let isConfigured: Bool
    let csrfToken: String
    let redirectURI: String
    let state: FormState

    var html: HTML {
        """
        <div class="page-head with-letter">\(ProviderLogo(id: template.id, name: template.displayName).html)
        <h1>\(template.displayName)</h1> \(isConfigured ? Badge("set up", .good).html : nil)</div>
        <p>\(template.description) <a href="\(template.documentationURL)" rel="noreferrer">Its documentation</a></p>
        \(ProviderClientPanel(name: template.displayName, redirectURI: redirectURI).html)
        <section class="panel" aria-labelledby="client">
        <h2 id="client">Your client</h2>
        <form method="post" action="\(SitePath.portalApp(app.id.text, "providers/\(template.id)/edit").path)">
        \(CSRFField(csrfToken).html)
        \(state.alert)
        \(ProviderClientFields(state: state, isConfigured: isConfigured).html)
        \(template.scopes.isEmpty ? nil : scopes)
        \(Field(
            "other_scopes", template.scopes.isEmpty ? "Scopes" : "Other scopes", typed, kind: .area(rows: 2),
            hint: "One a line, as \(template.displayName) names them.").html)
        \(Field("display_name", "Name that users see", state, placeholder: template.displayName).html)
        <p class="actions"><button>Save</button>
        <a class="button plain" href="\(SitePath.portalApp(app.id.text, "providers").path)">Cancel</a></p>
        </form>
        </section>
        <section class="panel" aria-labelledby="known">
        <h2 id="known">What is fixed</h2>
        \(Facts([
            (name: "Tokens go only to", value: CodeList(template.apiHosts).html),
            (name: "Revoking there", value: revocation),
        ]).html)
        </section>
        """
    }

    private var scopes: HTML {
        """
        <fieldset><legend>Scopes</legend>
        <p class="quiet">What Connect asks users for, and the most that a session may ask for.</p>
        \(template.scopes.map { scope in
            CheckBox(
                name: "scopes", value: scope.name, label: "\(scope.description) <code>\(scope.name)</code>",
                state: state).html
        })
        </fieldset>
        """
    }

    /// Problems of scopes belong to what was typed: a box cannot be wrong.
    private var typed: FormState {
        var typed = state
        for (field, problem) in state.problems where field.hasPrefix("scopes") {
            typed.problems["other_" + field] = problem
        }
        return typed
    }

    private var revocation: HTML? {
        switch template.revocation {
        case .endpoint: "A revoked grant is revoked at \(template.displayName) as well."
        case .unsupported:
            "\(template.displayName) cannot be told of a revocation: users remove the app in their account there."
        case .notKnown: nil
        }
    }
}

/// A provider that the operator describes.
struct CustomProviderPage: Sendable {
    let app: AppRecord
    /// `nil` while it is new.
    let provider: OAuthProviderRecord?
    let path: String
    let csrfToken: String
    let redirectURI: String
    let state: FormState

    private static let challenges = [
        (value: "S256", label: "S256"), (value: "none", label: "None: the provider refuses it"),
    ]
    private static let authentications = [
        (value: "basic", label: "In the Authorization header (client_secret_basic)"),
        (value: "post", label: "In the body (client_secret_post)"),
    ]

    private var title: String { provider?.displayName ?? "Custom OAuth provider" }

    var html: HTML {
        """
        <div class="page-head"><h1>\(title)</h1></div>
        \(ProviderClientPanel(name: provider?.displayName ?? "the provider", redirectURI: redirectURI).html)
        <section class="panel" aria-labelledby="settings">
        <h2 id="settings">Settings</h2>
        <form method="post" action="\(path)">
        \(CSRFField(csrfToken).html)
        \(state.alert)
        \(identity)
        \(ProviderClientFields(state: state, isConfigured: provider != nil).html)
        \(Field(
            "scopes", "Scopes", state, kind: .area(rows: 3),
            hint: "One a line. What Connect asks users for, and the most that a session may ask for.").html)
        \(addresses)
        <p class="actions"><button>Save</button>
        <a class="button plain" href="\(SitePath.portalApp(app.id.text, "providers").path)">Cancel</a></p>
        </form>
        </section>
        """
    }

    private var identity: HTML {
        """
        \(provider == nil
            ? Field(
                "provider_id", "Provider ID", state,
                hint: "What code calls it: lower-case letters, digits, hyphens, underscores. It cannot be changed.",
                isRequired: true).html
            : nil)
        \(Field("display_name", "Name that users see", state).html)
        """
    }

    private var addresses: HTML {
        """
        \(Field("authorization_url", "Authorization address", state, kind: .url, isRequired: true).html)
        \(Field("token_url", "Token address", state, kind: .url, isRequired: true).html)
        \(Field(
            "revocation_url", "Revocation address", state, kind: .url,
            hint: "RFC 7009. With it, a revoked grant is revoked at the provider as well.").html)
        \(Field(
            "userinfo_url", "Address that names the account", state, kind: .url,
            hint: "Answers JSON about the person whose token is sent.").html)
        \(Field(
            "account_claim", "Member of that answer which is the account", state,
            hint: "Such as <code>email</code> or <code>data.id</code>.").html)
        \(Field(
            "api_hosts", "API hosts", state, kind: .area(rows: 3),
            hint: "One a line, such as <code>api.example.com</code>. Tokens are sent nowhere else.",
            isRequired: true).html)
        \(Field("pkce", "Proof key (PKCE)", state, kind: .select(Self.challenges)).html)
        \(Field("token_auth", "Where the client secret goes", state, kind: .select(Self.authentications)).html)
        """
    }
}

/// What is entered at the provider.
struct ProviderClientPanel: Sendable {
    let name: String
    let redirectURI: String

    var html: HTML {
        """
        <section class="panel" aria-labelledby="there">
        <h2 id="there">At \(name)</h2>
        <p>Create an OAuth client there, with this redirect URI. Then enter its ID and secret below.</p>
        \(CopyField(id: "redirect-uri", label: "Redirect URI", value: redirectURI).html)
        </section>
        """
    }
}

/// What the provider answers to that. The stored secret is never shown, and comes again with every change.
struct ProviderClientFields: Sendable {
    let state: FormState
    let isConfigured: Bool

    var html: HTML {
        """
        \(Field("client_id", "Client ID", state, isRequired: true).html)
        \(Field(
            "client_secret", "Client secret", state, kind: .password,
            hint: isConfigured ? "Type it again: what is stored is not shown, and is replaced by this." : nil,
            isRequired: true, autocomplete: "new-password").html)
        """
    }
}
