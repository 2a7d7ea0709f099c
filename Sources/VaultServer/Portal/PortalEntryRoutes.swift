import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// The ways into the Portal: the one-time setup address, signing in, invitations. Their forms are bound to the browser by
// its own cookie, so that nobody is signed in to somebody else's account by a form of another site.

extension PortalRoutes {
    var openRoutes: [Route<Visitor>] {
        [
            Route("GET", SitePath.portal.path, "The way in") { _, _ in .redirect(SitePath.portalApps.path) },
            Route("GET", SitePath.portalSetup("{token}").path, "The one-time setup address") { _, exchange in
                try await entering {
                    try vault.requireSetupAddress(exchange.parameter("token"))
                    return entry(exchange) { SetupPage(csrfToken: $0, path: exchange.path, state: FormState()).layout }
                }
            },
            Route("POST", SitePath.portalSetup("{token}").path, "Make the first operator") { visitor, exchange in
                try await entering {
                    let form = try entryForm(exchange)
                    return try await exchange.submitting(form) { state in
                        entry(exchange) { SetupPage(csrfToken: $0, path: exchange.path, state: state).layout }
                    } _: {
                        let fields = form.fields(.text("email"), .secret("password"))
                        let email = fields.string("email", length: 1...320)
                        let password = fields.string("password", length: 1...4096)
                        _ = fields.has("csrf")
                        try fields.finish()
                        try Self.requireRepeated(form)
                        return entered(
                            try await vault.setUp(
                                token: exchange.parameter("token"), email: email, password: Secret(password),
                                browser: visitor.browser(exchange, session: cookie.value(of: exchange))),
                            to: SitePath.portalApps.path)
                    }
                }
            },
            Route("GET", SitePath.portalSignIn.path, "Sign in") { _, exchange in
                try await entering {
                    if try await caller(of: exchange) != nil { return .redirect(Self.target(exchange)) }
                    return signInPage(exchange, FormState())
                }
            },
            Route("POST", SitePath.portalSignIn.path, "Sign in with a password") { visitor, exchange in
                try await entering {
                    let form = try entryForm(exchange)
                    do {
                        let session = try await vault.signIn(
                            email: form["email"], password: form.secret("password"),
                            browser: visitor.browser(exchange, session: cookie.value(of: exchange)))
                        return entered(session, to: Self.target(form["to"]))
                    } catch let error as VaultError where [.unauthenticated, .rateLimitExceeded].contains(error.code) {
                        var answer = signInPage(exchange, FormState(form, error))
                        answer.status = error.code.status
                        if let seconds = error.retryAfterSeconds {
                            answer.headers.append((name: "Retry-After", value: String(seconds)))
                        }
                        return answer
                    }
                }
            },
        ] + invitationRoutes + providerRoutes
    }

    /// By the installation's own identity provider.
    private var providerRoutes: [Route<Visitor>] {
        @Sendable func start(_ exchange: Exchange, invitation: String?) async throws -> Answer {
            try await entering {
                let key = browser.key(of: exchange) ?? RandomBytes.token()
                var answer = Answer.redirect(
                    try await vault.startOperatorSignIn(invitation: invitation, browserKey: key))
                answer.headers.append(browser.header(key))
                return answer
            }
        }
        return [
            Route("GET", SitePath.portalSignInStart.path, "To the identity provider") { _, exchange in
                try await start(exchange, invitation: nil)
            },
            Route("GET", SitePath.portalInvitation("{token}").path + "/sign-in", "Accept by the identity provider") {
                _, exchange in
                try await start(exchange, invitation: exchange.parameter("token"))
            },
            Route("GET", SitePath.portalSignInCallback.path, "Back from the identity provider") { visitor, exchange in
                try await entering {
                    let query = try exchange.callbackQuery()
                    let callback = Vault.SignInCallback(
                        state: query["state"], code: query["code"], error: query["error"], issuer: query["iss"],
                        browserKey: browser.key(of: exchange))
                    return entered(
                        try await vault.finishOperatorSignIn(
                            callback, signedIn: try await caller(of: exchange)?.account.operatorID,
                            browser: visitor.browser(exchange, session: cookie.value(of: exchange))),
                        to: SitePath.portalApps.path)
                }
            },
        ]
    }

    private var invitationRoutes: [Route<Visitor>] {
        @Sendable func invitationPage(_ exchange: Exchange, _ state: FormState) async throws -> Answer {
            let invitation = try vault.invitation(token: exchange.parameter("token"))
            let account = try await caller(of: exchange)?.account.email
            return entry(exchange) {
                InvitationPage(
                    invitation: invitation, csrfToken: $0, path: exchange.path, signedInAs: account, state: state,
                    provider: vault.operatorProviderHost.map { (exchange.path + "/sign-in", $0) }
                ).layout
            }
        }
        return [
            Route("GET", SitePath.portalInvitation("{token}").path, "An invitation") { _, exchange in
                try await entering { try await invitationPage(exchange, FormState()) }
            },
            Route("POST", SitePath.portalInvitation("{token}").path, "Accept an invitation") { visitor, exchange in
                try await entering {
                    let form = try entryForm(exchange)
                    let token = exchange.parameter("token")
                    do {
                        if let signedIn = try await caller(of: exchange) {
                            try await vault.acceptInvitation(signedIn.account, token: token)
                            return done(.joined, .portalOrganizations)
                        }
                        try Self.requireRepeated(form)
                        return entered(
                            try await vault.acceptInvitation(
                                token: token, password: form.secret("password"),
                                browser: visitor.browser(exchange, session: cookie.value(of: exchange))),
                            to: SitePath.portalApps.path)
                    } catch let error as VaultError where error.code == .validationFailed {
                        var answer = try await invitationPage(exchange, FormState(form, error))
                        answer.status = error.code.status
                        return answer
                    }
                }
            },
        ]
    }

    // MARK: Parts

    private func signInPage(_ exchange: Exchange, _ state: FormState) -> Answer {
        let target = state.isSent ? Self.target(state.values["to"]) : Self.target(exchange)
        return entry(exchange) {
            PortalSignInPage(
                csrfToken: $0, target: target, state: state, providerHost: vault.operatorProviderHost
            ).layout
        }
    }

    static func requireRepeated(_ form: FormValues) throws {
        guard form.raw("password") == form.raw("password_again") else {
            throw VaultError.validation("password_again", "is not the same")
        }
    }

    /// A page of our own to go on with: only a plain path of the Portal.
    private static func target(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "-")
                || $0 == UInt8(ascii: "/")
        }
        return text.hasPrefix("/portal/") && isPlain && !text.contains("//") ? text : SitePath.portalApps.path
    }

    private static func target(_ exchange: Exchange) -> String {
        target(exchange.queryForm.raw("to"))
    }

    /// A page without a session, and the cookie that its form is bound to.
    private func entry(_ exchange: Exchange, _ layout: (_ csrfToken: String) -> PageLayout) -> Answer {
        let key = browser.key(of: exchange) ?? RandomBytes.token()
        var answer = layout(vault.formToken(browserKey: key, page: "portal-entry")).answer()
        answer.headers.append(browser.header(key))
        return answer
    }

    private func entryForm(_ exchange: Exchange) throws -> FormValues {
        let form = exchange.form
        guard exchange.isForm, exchange.isFromOrigin(vault.configuration.publicURL),
            let key = browser.key(of: exchange),
            vault.isFormToken(form["csrf"], browserKey: key, page: "portal-entry")
        else { throw VaultError(.forbidden, "The page was open for too long or in another browser. Load it again.") }
        return form
    }

    private func entered(_ session: Secret, to path: String) -> Answer {
        var answer = Answer.redirect(path)
        answer.headers.append(cookie.header(session.revealed()))  // plaintext leaves here
        return answer
    }

    private func entering(_ body: () async throws -> Answer) async throws -> Answer {
        do { return try await body() } catch let error as VaultError {
            return MessagePage.refusal(error)
        }
    }
}

extension Visitor {
    func browser(_ exchange: Exchange, session: String?) -> BrowserMark {
        BrowserMark(userAgent: exchange.header("user-agent"), session: session, origin: origin)
    }
}
