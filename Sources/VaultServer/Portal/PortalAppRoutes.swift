import VaultAPI
import VaultService
import VaultStore

// Apps in the Portal: the list, a new one, and the settings of one.

extension PortalRoutes {
    var appRoutes: [Route<PortalCaller>] {
        [
            Route("GET", SitePath.portalApps.path, "The operator's apps") { caller, exchange in
                let paging = try Paging(exchange)
                let apps = try vault.appSummaries(caller.account, after: paging.position, limit: paging.limit + 1)
                let list = AppListPage(
                    caller: caller, apps: Array(apps.prefix(paging.limit)),
                    pager: Pager(
                        paging, apps, path: exchange.path,
                        position: { PagePosition(at: $0.app.createdAt.milliseconds, id: $0.app.id.text) }), now: now)
                return page(caller, exchange, "Apps", list.html)
            },
            Route("GET", SitePath.portalApps.path + "/new", "A new app") { caller, exchange in
                try newAppPage(caller, exchange, FormState())
            },
            Route("POST", SitePath.portalApps.path + "/new", "Create an app") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try newAppPage(caller, exchange, $0)
                } _: {
                    let fields = form.fields(.text("name"), .optional("website_url"), .optional("organization_id"))
                    let name = fields.string("name", length: 1...200)
                    let websiteURL = fields.readWebAddress("website_url")
                    let organizationID = fields.readID("organization_id", OrganizationID.init)
                    try fields.finish()
                    let app = try await vault.createApp(
                        caller.account, name: name, websiteURL: websiteURL, organizationID: organizationID)
                    return done(.created, .portalApp(app.id.text, ""))
                }
            },
        ] + settingsRoutes
    }

    private func newAppPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let organizations = try vault.organizations(caller.account, after: .start, limit: Limits.pageMax)
            .filter { $0.role != .readOnly }
        return page(
            caller, exchange, "New app",
            """
            <h1>New app</h1>
            <section class="panel">
            <form method="post" action="\(SitePath.portalApps.path)/new">
            \(caller.csrfField)
            \(state.alert)
            \(Field("name", "Name", state, hint: "Users see it when they sign in and connect accounts.", isRequired: true).html)
            \(Field("website_url", "Website", state, kind: .url, placeholder: "https://example.com").html)
            \(Field(
                "organization_id", "Organization", state,
                kind: .select(organizations.map { (value: $0.record.id.text, label: $0.record.name) })).html)
            <p class="actions"><button>Create app</button></p>
            </form>
            </section>
            """)
    }

    // MARK: Settings

    private var settingsRoutes: [Route<PortalCaller>] {
        let settings = Self.app + "/settings"
        return [
            Route("GET", settings, "Settings of an app") { caller, exchange in try settingsPage(caller, exchange) },
            Route("POST", settings, "Change an app") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try settingsPage(caller, exchange, general: $0)
                } _: {
                    let fields = form.fields(.text("name"), .nullable("website_url"))
                    let name = fields.string("name", length: 1...200)
                    let websiteURL = fields.readWebAddress("website_url")
                    try fields.finish()
                    _ = try await vault.updateApp(
                        caller.account, exchange.appID, name: name, websiteURL: .some(websiteURL))
                    return done(.saved, .portalApp(exchange.appID, "settings"))
                }
            },
            Route("POST", settings + "/branding", "Change how the pages of an app's users look") { caller, exchange in
                let upload = try exchange.multipartForm()
                let form = upload.values
                return try await exchange.submitting(form) {
                    try settingsPage(caller, exchange, branding: $0)
                } _: {
                    let logo: AppLogoChange =
                        form.has("remove_logo", "yes") ? .remove : upload.file("logo").map { .replace($0) } ?? .keep
                    try await vault.setBranding(
                        caller.account, appID: exchange.appID,
                        accentColor: .some(form["accent_color"].isEmpty ? nil : form["accent_color"]), logo: logo)
                    return done(.saved, .portalApp(exchange.appID, "settings"))
                }
            },
            Route("POST", settings + "/archive", "Archive an app") { caller, exchange in
                _ = try await vault.setAppArchived(caller.account, exchange.appID, true)
                return done(.archived, .portalApp(exchange.appID, "settings"))
            },
            Route("POST", settings + "/unarchive", "Bring an app back") { caller, exchange in
                _ = try await vault.setAppArchived(caller.account, exchange.appID, false)
                return done(.unarchived, .portalApp(exchange.appID, "settings"))
            },
            Route("POST", settings + "/delete", "Delete an app and all it holds") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try settingsPage(caller, exchange, deletion: $0)
                } _: {
                    try await vault.deleteApp(caller.account, exchange.appID, confirmation: form["confirm"])
                    return done(.deleted, .portalApps)
                }
            },
        ]
    }

    func settingsPage(
        _ caller: PortalCaller, _ exchange: Exchange, general: FormState = FormState(),
        branding: FormState = FormState(), deletion: FormState = FormState()
    ) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let settings = AppSettingsPage(
            caller: caller, app: app, role: caller.role(in: app), general: general,
            branding: branding, deletion: deletion, brand: vault.brand(of: app), now: now)
        return page(caller, exchange, "Settings", app: app, section: .settings, settings.html)
    }
}

struct AppListPage: Sendable {
    let caller: PortalCaller
    let apps: [AppSummary]
    let pager: Pager
    let now: Instant

    var html: HTML {
        """
        <div class="page-head"><h1>Apps</h1>
        <p class="actions"><a class="button" href="\(SitePath.portalApps.path)/new">New app</a></p></div>
        \(list)
        \(pager.html)
        """
    }

    private var list: HTML {
        guard !apps.isEmpty else {
            return EmptyState(
                title: "No app yet",
                text:
                    "An app is what holds API keys, an identity provider, and the accounts that its users connect. Begin with one.",
                action: "<a class=\"button\" href=\"\(SitePath.portalApps.path)/new\">Create your first app</a>"
            ).html
        }
        return "<ul class=\"cards\">\(apps.map(card))</ul>"
    }

    private func card(_ summary: AppSummary) -> HTML {
        """
        <li>
        <div class="with-letter">\(Letter(name: summary.app.name).html)
        <h2><a href="\(SitePath.portalApp(summary.app.id.text, "").path)">\(summary.app.name)</a></h2></div>
        <p class="quiet">\(summary.users.words("user")) · \(summary.grants.words("grant")) · \(summary.keys.words("API key"))</p>
        <p class="quiet">\(summary.organizationName) · created \(TimeText(instant: summary.app.createdAt, now: now).html)</p>
        \(summary.app.archivedAt == nil ? nil : Badge("archived", .warn).html)
        </li>
        """
    }
}

struct AppSettingsPage: Sendable {
    let caller: PortalCaller
    let app: AppRecord
    let role: MembershipRole
    let general: FormState
    let branding: FormState
    let deletion: FormState
    let brand: AppBrand
    let now: Instant

    private var path: String { SitePath.portalApp(app.id.text, "settings").path }

    var html: HTML {
        """
        <div class="page-head"><h1>Settings</h1></div>
        <section class="panel" aria-labelledby="general">
        <h2 id="general">General</h2>
        \(role == .readOnly ? generalFacts : generalForm)
        \(CopyField(id: "app-id", label: "App ID", value: app.id.text).html)
        </section>
        \(role == .readOnly ? nil : brandingPanel)
        \(role == .readOnly ? nil : archivePanel)
        \(role == .admin ? deletePanel : nil)
        <p class="quiet">Personal access tokens for scripts are on <a href="\(SitePath.portalAccount.path)">your account</a>.</p>
        """
    }

    private var generalFacts: HTML {
        Facts([(name: "Name", value: "\(app.name)"), (name: "Website", value: "\(app.websiteURL ?? "none")")]).html
    }

    private var generalForm: HTML {
        """
        <form method="post" action="\(path)">
        \(caller.csrfField)
        \(general.alert)
        \(Field("name", "Name", general, isRequired: true, initial: app.name).html)
        \(Field(
            "website_url", "Website", general, kind: .url,
            hint: "Where Connect’s popup may report to, unless a session names another origin.",
            initial: app.websiteURL ?? "").html)
        <p class="actions"><button>Save</button></p>
        </form>
        """
    }

    private var brandingPanel: HTML {
        """
        <section class="panel" aria-labelledby="branding">
        <h2 id="branding">Branding</h2>
        <p>What your users see of the app in their Wallet, at sign-in, and when they connect an account.</p>
        <form method="post" action="\(path)/branding" enctype="multipart/form-data">
        \(caller.csrfField)
        \(branding.alert)
        \(Field(
            "accent_color", "Colour", branding,
            hint: "Of buttons and links, like #1f5f5b. Shades are made so that they stay readable in light and dark.",
            initial: app.accentColor ?? "", placeholder: "#1f5f5b").html)
        \(brand.logo)
        \(Field("logo", "Logo", branding, kind: .file, hint: "PNG, JPEG, GIF or WebP, at most 100 kB.").html)
        \(brand.logo == nil ? nil : CheckBox(name: "remove_logo", value: "yes", label: "Remove the logo", state: branding).html)
        <p class="actions"><button>Save branding</button></p>
        </form>
        <p><a href="\(SitePath.walletSignIn.path)?appId=\(app.id.text)">See the Wallet’s sign-in page</a></p>
        </section>
        """
    }

    private var archivePanel: HTML {
        let isArchived = app.archivedAt != nil
        return """
            <section class="panel" aria-labelledby="archive">
            <h2 id="archive">\(isArchived ? "This app is archived" : "Archive")</h2>
            <p>\(isArchived
                ? "Its keys do not work and nobody can sign in. Everything is kept."
                : "Its keys stop working and nobody can sign in. Everything is kept, and it can be brought back.")</p>
            \(ButtonForm(
                path: path + (isArchived ? "/unarchive" : "/archive"), csrfToken: caller.csrfToken,
                label: isArchived ? "Bring it back" : "Archive this app", style: "plain").html)
            </section>
            """
    }

    private var deletePanel: HTML {
        """
        <section class="panel" aria-labelledby="delete">
        <h2 id="delete">Delete</h2>
        <p>Deletes the app with its users, grants, secrets and keys, and destroys the keys that open them. This cannot be undone.</p>
        <form method="post" action="\(path)/delete">
        \(caller.csrfField)
        \(deletion.alert)
        \(Field("confirm", "Type the app’s name: \(app.name)", deletion, isRequired: true).html)
        <p class="actions"><button class="danger">Delete this app for good</button></p>
        </form>
        </section>
        """
    }
}
