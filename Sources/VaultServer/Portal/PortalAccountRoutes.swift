import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// The operator's own account: password, sessions, personal access tokens, and the way out.

extension PortalRoutes {
    var accountRoutes: [Route<PortalCaller>] {
        [
            Route("GET", SitePath.portalAccount.path, "The operator's account") { caller, exchange in
                try accountPage(caller, exchange)
            },
            Route("POST", SitePath.portalAccount.path + "/password", "Change the password") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) { state in
                    try accountPage(caller, exchange, password: state)
                } _: {
                    try Self.requireRepeated(form)
                    try await vault.changePassword(
                        caller.account, current: form.secret("current_password"), new: form.secret("password"),
                        revokesTokens: form.has("revoke_tokens", "yes"))
                    return done(.passwordChanged, .portalAccount)
                }
            },
            Route("POST", SitePath.portalAccount.path + "/identity", "Add the identity provider's sign-in") {
                caller, exchange in
                let key = browser.key(of: exchange) ?? RandomBytes.token()
                var answer = Answer.redirect(
                    try await vault.startOperatorSignIn(invitation: nil, linking: caller.account, browserKey: key))
                answer.headers.append(browser.header(key))
                return answer
            },
            Route("POST", SitePath.portalAccount.path + "/sessions/{session_id}/end", "End a session") {
                caller, exchange in
                try await vault.endPortalSession(caller.account, exchange.parameter("session_id"))
                return done(.sessionEnded, .portalAccount)
            },
            Route("POST", SitePath.portalAccount.path + "/tokens", "Create a personal access token") {
                caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) { state in
                    try accountPage(caller, exchange, token: state)
                } _: {
                    let fields = form.fields(.text("name"), .list("scopes"), .dateTime("expires_at"))
                    let settings = AccessTokenSettings(fields)
                    try fields.finish()
                    let minted = try await vault.createAccessToken(
                        caller.account, name: settings.name, scopes: settings.scopes, expiresAt: settings.expiresAt)
                    return try accountPage(caller, exchange, minted: minted)
                }
            },
            Route("POST", SitePath.portalAccount.path + "/tokens/{token_id}/revoke", "Revoke a token") {
                caller, exchange in
                try await vault.revokeAccessToken(caller.account, exchange.parameter("token_id"))
                return done(.revoked, .portalAccount)
            },
            Route("POST", SitePath.portalSignOut.path, "Sign out") { caller, exchange in
                if let session = caller.account.sessionID {
                    try await vault.endPortalSession(caller.account, session.text)
                }
                var answer = Answer.redirect(SitePath.portalSignIn.path)
                answer.headers.append(cookie.expired)
                return answer
            },
        ]
    }

    private func accountPage(
        _ caller: PortalCaller, _ exchange: Exchange, password: FormState = FormState(), token: FormState = FormState(),
        minted: MintedAccessToken? = nil
    ) throws -> Answer {
        let paging = try Paging(exchange)
        let tokens = try vault.accessTokens(caller.account, after: paging.position, limit: paging.limit + 1)
        let account = AccountPage(
            caller: caller, sessions: try vault.portalSessions(caller.account),
            tokens: Array(tokens.prefix(paging.limit)),
            pager: Pager(
                paging, tokens, path: SitePath.portalAccount.path,
                position: { PagePosition(at: $0.createdAt.milliseconds, id: $0.id.text) }),
            hasPassword: try vault.hasPassword(caller.account), providerHost: vault.operatorProviderHost,
            password: password, token: token, minted: minted,
            now: now)
        // Adding a sign-in leads to the identity provider, and from there wherever it likes.
        let targets = vault.configuration.isDevelopment ? ["https:", "http:"] : ["https:"]
        return page(
            caller, exchange, "Account", formTargets: vault.operatorProviderHost == nil ? [] : targets, account.html)
    }
}

struct AccountPage: Sendable {
    let caller: PortalCaller
    let sessions: [PortalSessionRecord]
    let tokens: [AccessTokenRecord]
    let pager: Pager
    let hasPassword: Bool
    /// The host of the installation's identity provider.
    let providerHost: String?
    let password: FormState
    let token: FormState
    let minted: MintedAccessToken?
    let now: Instant

    private var path: String { SitePath.portalAccount.path }

    var html: HTML {
        """
        <div class="page-head"><h1>Account</h1><span class="quiet">\(caller.account.email)</span></div>
        \(mintedToken)
        <section class="panel" aria-labelledby="tokens">
        <h2 id="tokens">Personal access tokens</h2>
        <p>A token lets scripts and the command line act as you on the Management API.</p>
        \(tokenList)
        \(pager.html)
        \(tokenForm)
        </section>
        <section class="panel" aria-labelledby="sessions">
        <h2 id="sessions">Sessions</h2>
        \(sessionList)
        </section>
        <section class="panel" aria-labelledby="password">
        <h2 id="password">Password</h2>
        \(passwordForm)
        </section>
        \(providerHost.map(identityPanel))
        """
    }

    private var mintedToken: HTML? {
        guard let minted else { return nil }
        return """
            <section class="panel" aria-labelledby="minted">
            <h2 id="minted">Your new token</h2>
            \(ShownOnce(id: "token", label: "Personal access token", value: minted.token).html)
            </section>
            """
    }

    private var tokenList: HTML {
        guard !tokens.isEmpty else { return "<p class=\"quiet\">You have no token.</p>" }
        return DataTable(
            label: "Personal access tokens",
            columns: [
                .init("Name"), .init("May"), .init("Created"), .init("Last used"), .init("Expires"), .init("Action"),
            ],
            rows: tokens.map { token in
                [
                    "\(token.name)", token.scopes.contains("write") ? "read and write" : "read",
                    TimeText(instant: token.createdAt, now: now).html,
                    token.lastUsedAt.map { TimeText(instant: $0, now: now).html } ?? "never",
                    token.expiresAt.map { TimeText(instant: $0, now: now).html } ?? "never",
                    ButtonForm(
                        path: path + "/tokens/" + token.id.text + "/revoke", csrfToken: caller.csrfToken,
                        label: "Revoke", style: "danger compact", accessibleLabel: "Revoke \(token.name)"
                    ).html,
                ]
            }
        ).html
    }

    private var tokenForm: HTML {
        """
        <details\(token.isSent ? open : nil)>
        <summary>New token</summary>
        <form method="post" action="\(path)/tokens">
        \(caller.csrfField)
        \(token.alert)
        \(Field("name", "Name", token, hint: "What it is for.", isRequired: true).html)
        <fieldset><legend>It may</legend>
        \(CheckBox(name: "scopes", value: "read", label: "read", state: token, isInitiallyOn: true).html)
        \(CheckBox(name: "scopes", value: "write", label: "change things", state: token, isInitiallyOn: true).html)
        </fieldset>
        \(Field("expires_at", "Expires", token, kind: .dateTime, hint: "In UTC. Empty: never.").html)
        <p class="actions"><button>Create token</button></p>
        </form>
        </details>
        """
    }

    private var open: HTML { " open" }

    private var sessionList: HTML {
        DataTable(
            label: "Sessions",
            columns: [.init("Browser"), .init("Address"), .init("Signed in"), .init("Last seen"), .init("Action")],
            rows: sessions.map { session in
                let isThis = session.id == caller.account.sessionID
                return [
                    "\(session.browser) \(isThis ? Badge("this one", .good).html : nil)",
                    "\(session.peer ?? "unknown")",
                    TimeText(instant: session.createdAt, now: now).html,
                    TimeText(instant: session.lastSeenAt, now: now).html,
                    isThis
                        ? "<span class=\"quiet\">use “Sign out”</span>"
                        : ButtonForm(
                            path: path + "/sessions/" + session.id.text + "/end", csrfToken: caller.csrfToken,
                            label: "End", style: "danger compact",
                            accessibleLabel: "End the session of \(session.browser)"
                        ).html,
                ]
            }
        ).html
    }

    private func identityPanel(_ host: String) -> HTML {
        """
        <section class="panel" aria-labelledby="identity">
        <h2 id="identity">Sign-in with \(host)</h2>
        <p>Once it is added, you sign in there instead of with a password.</p>
        \(ButtonForm(path: path + "/identity", csrfToken: caller.csrfToken, label: "Add sign-in with \(host)", style: "plain").html)
        </section>
        """
    }

    private var passwordForm: HTML {
        """
        <form method="post" action="\(path)/password">
        \(caller.csrfField)
        \(password.alert)
        \(hasPassword
            ? Field("current_password", "Current password", password, kind: .password, isRequired: true, autocomplete: "current-password").html
            : nil)
        \(NewPassword(state: password).html)
        \(CheckBox(name: "revoke_tokens", value: "yes", label: "Also revoke my personal access tokens", state: password).html)
        <p class="actions"><button>Change password</button></p>
        </form>
        """
    }
}
