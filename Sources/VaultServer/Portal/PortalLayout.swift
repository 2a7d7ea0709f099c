import VaultAPI
import VaultService
import VaultStore

/// The pages of one app, as its navigation lists them.
enum PortalSection: String, CaseIterable, Sendable {
    case overview = ""
    case identity, keys, providers, secrets, users, grants, policies, audit, settings

    var title: String {
        switch self {
        case .overview: "Overview"
        case .identity: "Identity"
        case .keys: "API keys"
        case .providers: "OAuth providers"
        case .secrets: "Managed secrets"
        case .users: "Users"
        case .grants: "Grants"
        case .policies: "Policies"
        case .audit: "Audit"
        case .settings: "Settings"
        }
    }
}

/// The Portal's frame: who is signed in, the way between apps, and the pages of the app at hand.
struct PortalLayout: Sendable {
    let caller: PortalCaller
    let title: String
    let app: AppRecord?
    let section: PortalSection?
    let notice: PortalNotice?
    let body: HTML

    var layout: PageLayout {
        PageLayout(
            title: app.map { "\(title) · \($0.name)" } ?? title,
            body: "\(notice.map { Notice("\($0.text)", .good).html })\(body)",
            frame: .site(header: header, navigation: app.map(navigation)))
    }

    private var header: HTML {
        """
        <a class="brand" href="\(SitePath.portalApps.path)">Sallyport</a>
        <nav aria-label="Portal">
        <a href="\(SitePath.portalApps.path)">Apps</a>
        <a href="\(SitePath.portalOrganizations.path)">Organizations</a>
        <a href="\(SitePath.portalAccount.path)">Account</a>
        </nav>
        <span class="spread quiet">\(caller.account.email)</span>
        \(ButtonForm(path: SitePath.portalSignOut.path, csrfToken: caller.csrfToken, label: "Sign out").html)
        """
    }

    private func navigation(_ app: AppRecord) -> HTML {
        let items = PortalSection.allCases.map { section -> HTML in
            let current: HTML? = section == self.section ? " aria-current=\"page\"" : nil
            return
                "<li><a href=\"\(SitePath.portalApp(app.id.text, section.rawValue).path)\"\(current)>\(section.title)</a></li>\n"
        }
        return """
            <nav class="side-nav" aria-label="\(app.name)">
            <p>\(app.name)</p>
            <ul>
            \(items)</ul>
            </nav>
            """
    }
}
