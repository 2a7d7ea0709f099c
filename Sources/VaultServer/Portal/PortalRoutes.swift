import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// The Developer Portal. What needs no session is open; the rest takes a `PortalCaller`, so that it cannot be reached
// without one, and every form of it is held against its token before a route is even looked for. A page calls the same
// verb, with the same checks of its fields, as the Management API does for the same operation.

/// An operator with a session of the Portal.
struct PortalCaller: Sendable {
    let account: OperatorCaller
    /// What every form of the session carries.
    let csrfToken: String

    var csrfField: HTML { CSRFField(csrfToken).html }

    func role(in app: AppRecord) -> MembershipRole { account.roles[app.organizationID] ?? .readOnly }

    /// Whether a page offers to change the app. The verbs decide.
    func mayChange(_ app: AppRecord) -> Bool { role(in: app) != .readOnly }
}

struct PortalRoutes: Sendable {
    let vault: Vault

    var cookie: PortalCookie { PortalCookie(isSecure: vault.configuration.isPublicURLSecure) }
    var browser: BrowserCookie { BrowserCookie(isSecure: vault.configuration.isPublicURLSecure) }
    var now: Instant { vault.currentTime }

    var routes: [Route<PortalCaller>] {
        accountRoutes + organizationRoutes + appRoutes + overviewRoutes + identityRoutes + keyRoutes
            + oauthProviderRoutes + managedSecretRoutes + userRoutes + grantRoutes + policyRoutes + auditRoutes
    }

    static let app = "/portal/apps/{app_id}"

    // MARK: Sessions

    func caller(of exchange: Exchange) async throws -> PortalCaller? {
        guard let value = cookie.value(of: exchange),
            let account = try await vault.portalCaller(cookie: value, origin: exchange.origin)
        else { return nil }
        return PortalCaller(account: account, csrfToken: csrfToken(session: value))
    }

    private func csrfToken(session: String) -> String { vault.formToken(browserKey: session, page: "portal") }

    /// A form comes from a page of this session, or is refused.
    func requireForm(_ exchange: Exchange) throws {
        let form = exchange.isUpload ? try exchange.multipartForm().values : exchange.form
        guard exchange.isForm || exchange.isUpload, exchange.isFromOrigin(vault.configuration.publicURL),
            let session = cookie.value(of: exchange),
            vault.isFormToken(form["csrf"], browserKey: session, page: "portal")
        else { throw VaultError(.forbidden, "The page was open for too long. Load it again.") }
    }

    /// For scripts of our own pages on the Management API: the form's token in a header field, which no other site can send.
    func requireToken(_ exchange: Exchange) throws {
        guard exchange.isFromOrigin(vault.configuration.publicURL), let token = exchange.header("x-csrf-token"),
            let session = cookie.value(of: exchange),
            vault.isFormToken(token, browserKey: session, page: "portal")
        else { throw VaultError(.forbidden, "A call with the Portal's session needs its CSRF token.") }
    }

    /// To the sign-in page, which leads back to where one wanted to go.
    func signInRedirect(_ exchange: Exchange) -> Answer {
        guard exchange.method == "GET", exchange.path != SitePath.portalApps.path else {
            return .redirect(SitePath.portalSignIn.path)
        }
        return .redirect(SitePath.portalSignIn.path + "?to=" + FormText.encode(exchange.path))
    }

    // MARK: Answers

    /// A page in the Portal's frame.
    func page(
        _ caller: PortalCaller, _ exchange: Exchange, _ title: String, app: AppRecord? = nil,
        section: PortalSection? = nil, status: Int = 200, formTargets: [String] = [], _ body: HTML
    ) -> Answer {
        PortalLayout(
            caller: caller, title: title, app: app, section: section, notice: PortalNotice(exchange), body: body
        ).layout.answer(status: status, formTargets: formTargets)
    }

    /// What a refused request shows: the same frame, and what to do.
    func refusal(_ error: VaultError, _ caller: PortalCaller, _ exchange: Exchange) -> Answer {
        let title = error.code.status == 404 ? "There is nothing here" : "That did not work"
        var answer = page(
            caller, exchange, title, status: error.code.status,
            """
            <h1>\(title)</h1>
            <p>\(error.message)\(error.hint.map { " " + $0 } ?? "")</p>
            <p class="actions"><a class="button" href="\(SitePath.portalApps.path)">Your apps</a></p>
            """)
        answer.errorCode = error.code
        if let seconds = error.retryAfterSeconds {
            answer.headers.append((name: "Retry-After", value: String(seconds)))
        }
        return answer
    }

    /// After a form that worked: the page to see, and what it says was done.
    func done(_ notice: PortalNotice, _ path: SitePath) -> Answer { .redirect(path.path + "?done=" + notice.rawValue) }
}

/// The cookie of a Portal session. Its value is new with every sign-in, and only its digest is stored.
struct PortalCookie: Sendable {
    let isSecure: Bool

    private var name: String { isSecure ? "__Host-sallyport-portal" : "sallyport-portal" }
    private var attributes: String { "; Path=/; HttpOnly; SameSite=Lax" + (isSecure ? "; Secure" : "") }

    func header(_ value: String) -> (name: String, value: String) {
        (name: "Set-Cookie", value: "\(name)=\(value)" + attributes)
    }

    var expired: (name: String, value: String) { (name: "Set-Cookie", value: "\(name)=; Max-Age=0" + attributes) }

    func value(of exchange: Exchange) -> String? { exchange.cookie(name) }
}

/// What a page says was just done. A closed list: nothing of the address is shown.
enum PortalNotice: String, CaseIterable, Sendable {
    case saved, created, deleted, revoked, archived, unarchived, joined, left
    case passwordChanged = "password-changed"
    case sessionEnded = "session-ended"
    case providerAdded = "provider-added"
    case providerRemoved = "provider-removed"
    case credentialsSaved = "credentials-saved"
    case secretSaved = "secret-saved"
    case webhooksDisabled = "webhooks-disabled"
    case replayed
    case suspended, restored, deprovisioned, extended

    init?(_ exchange: Exchange) {
        self.init(rawValue: exchange.queryForm.raw("done"))
    }

    var text: String {
        switch self {
        case .saved: "Saved."
        case .created: "Created."
        case .deleted: "Deleted."
        case .revoked: "Revoked. It is refused from now on."
        case .archived: "The app is archived. Its keys do not work."
        case .unarchived: "The app is back."
        case .joined: "You belong to the organization now."
        case .left: "The member has left the organization."
        case .passwordChanged: "Your password is changed. Your other sessions have ended."
        case .sessionEnded: "The session has ended."
        case .providerAdded: "The identity provider is added."
        case .providerRemoved: "The identity provider is removed. Its users’ grants do not work any more."
        case .credentialsSaved: "The credentials are saved. Users can sign in."
        case .secretSaved: "The secret is saved."
        case .webhooksDisabled: "Webhooks are off. The endpoint refuses everything."
        case .replayed: "The delivery was applied again. The list says what it did."
        case .suspended: "The user is suspended. Every use is refused; nothing is destroyed."
        case .restored: "The user is active again."
        case .deprovisioned: "The user is deprovisioned: grants revoked, tokens destroyed."
        case .extended: "The grant has a new term."
        }
    }
}
