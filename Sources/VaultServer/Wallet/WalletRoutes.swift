import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// The Wallet. What needs no session is open; the rest takes a `WalletCaller`, so that it cannot be reached without one.

struct WalletRoutes: Sendable {
    let vault: Vault

    private var browser: BrowserCookie { BrowserCookie(isSecure: vault.configuration.isPublicURLSecure) }
    var session: WalletCookie { WalletCookie(isSecure: vault.configuration.isPublicURLSecure) }

    // MARK: Without a session

    var openRoutes: [Route<Visitor>] {
        [
            Route("GET", "/wallet", "The way in") { _, _ in .redirect(SitePath.walletConnections.path) },
            Route("GET", SitePath.walletSignIn.path, "An app's sign-in page") { _, exchange in
                try Self.rendering { try entrance(exchange) }
            },
            Route("GET", SitePath.walletStart.path, "To the identity provider") { _, exchange in
                try await Self.rendering {
                    let query = try exchange.callbackQuery()
                    let key = browser.key(of: exchange) ?? RandomBytes.token()
                    let location = try await vault.startWalletSignIn(
                        appID: query["appId"] ?? "", asksAgain: query["again"] == "1", browserKey: key)
                    var answer = Answer.redirect(location)
                    answer.headers.append(browser.header(key))
                    return answer
                }
            },
            Route("GET", SitePath.walletSignInCallback.path, "Back from the identity provider") { visitor, exchange in
                try await Self.rendering { try await finish(visitor, exchange) }
            },
        ]
    }

    /// By the app in the query, or by the reference that comes back from a sign-out. Another app ends no session.
    private func entrance(_ exchange: Exchange) throws -> Answer {
        let query = try exchange.callbackQuery()
        let left = query["state"] ?? session.appReference(of: exchange)
        guard let appID = query["appId"] ?? left.flatMap({ vault.appAfterSignOut(state: $0) }) else {
            return MessagePage(title: "Your connections", message: "Open the link that your app gives you to sign in.")
                .layout.answer()
        }
        return try signInPage(appID, asksAgain: query["again"] == "1" || left != nil)
    }

    private func signInPage(_ appID: String, asksAgain: Bool, message: String? = nil) throws -> Answer {
        let entrance = try vault.walletEntrance(appID: appID)
        return WalletSignInPage(
            entrance: entrance, brand: vault.brand(appID: entrance.appID.text), asksAgain: asksAgain, message: message
        ).layout.answer()
    }

    private func finish(_ visitor: Visitor, _ exchange: Exchange) async throws -> Answer {
        let query = try exchange.callbackQuery()
        let outcome = try await vault.finishSignIn(
            Vault.SignInCallback(
                state: query["state"], code: query["code"], error: query["error"], issuer: query["iss"],
                browserKey: browser.key(of: exchange)), purpose: .wallet, origin: visitor.origin)
        switch outcome {
        case .signedIn(let token):
            var answer = Answer.redirect(SitePath.walletConnections.path)
            if let token { answer.headers.append(session.header(token.revealed())) }  // plaintext leaves here
            return answer
        case .connect(let reference): return .redirect(SitePath.connectPage(reference).path)
        case .failed(let message, let appID):
            return try signInPage(appID.text, asksAgain: true, message: message)
        }
    }

    // MARK: With a session

    /// What they throw becomes a page of the Wallet at the edge, by `refusal(_:_:_:)`.
    var routes: [Route<WalletCaller>] {
        [
            Route("GET", SitePath.walletConnections.path, "What the user connected") { caller, exchange in
                answer(
                    WalletConnectionsPage(
                        frame: frame(caller, exchange), connections: try vault.connections(caller),
                        ended: try vault.endedConnections(caller), now: vault.currentTime
                    ).layout)
            },
            Route("GET", SitePath.walletRevoke("{grant_id}").path, "What ending a connection does") {
                caller, exchange in
                let connection = try vault.connection(caller, exchange.parameter("grant_id"))
                return answer(
                    WalletRevokePage(
                        frame: frame(caller, exchange), connection: connection, now: vault.currentTime
                    ).layout)
            },
            Route("POST", SitePath.walletRevoke("{grant_id}").path, "End a connection") { caller, exchange in
                try await vault.revokeGrant(caller, exchange.parameter("grant_id"))
                return .redirect(SitePath.walletConnections.path)
            },
            Route("POST", SitePath.walletExtend("{grant_id}").path, "Let a connection last longer") {
                caller, exchange in
                try await vault.extendGrant(caller, exchange.parameter("grant_id"))
                return .redirect(SitePath.walletConnections.path)
            },
            Route("GET", SitePath.walletActivity.path, "What happened with the user's connections") {
                caller, exchange in
                try activity(caller, exchange)
            },
            Route("GET", SitePath.walletActivityFile.path, "The same as CSV") { caller, exchange in
                try activityFile(caller, exchange)
            },
            Route("POST", SitePath.walletSignOut.path, "Sign out, at the identity provider too") { caller, exchange in
                return try await signOut(caller, isSwitching: exchange.form["switch"] == "yes")
            },
        ]
    }

    private func signOut(_ caller: WalletCaller, isSwitching: Bool) async throws -> Answer {
        var answer: Answer
        switch try await vault.signOut(caller) {
        case .provider(let location, let appReference):
            answer = .redirect(location)
            answer.headers.append(session.header(appReference: appReference))
        case .local(let appID):
            // Whoever wants another account does not need our page between: the provider is told to ask.
            let next = isSwitching ? SitePath.walletStart : SitePath.walletSignIn
            answer = .redirect(next.path + "?appId=" + appID.text + "&again=1")
        }
        answer.headers.append(session.expired)
        return answer
    }

    private func activity(_ caller: WalletCaller, _ exchange: Exchange) throws -> Answer {
        let query = try WalletActivityQuery(exchange)
        let page = try vault.activity(caller, filter: try query.filter(), cursor: query.cursor)
        return answer(
            WalletActivityPage(
                frame: frame(caller, exchange), query: query, page: page,
                providers: try vault.activityProviders(caller), now: vault.currentTime
            ).layout)
    }

    private func activityFile(_ caller: WalletCaller, _ exchange: Exchange) throws -> Answer {
        let export = vault.exportActivity(caller, filter: try WalletActivityQuery(exchange).filter())
        let file = WalletActivityFile(appName: caller.app.name, providers: try vault.activityProviders(caller))
        var answer = Answer(
            status: 200,
            headers: [
                (name: "Content-Type", value: "text/csv; charset=utf-8"),
                (name: "Content-Disposition", value: "attachment; filename=\"activity.csv\""),
            ])
        answer.stream = { write in
            var export = export
            try await write(WalletActivityFile.header)
            while let items = try export.next() {
                if !items.isEmpty { try await write(items.flatMap { file.line($0) }) }
            }
            if export.isCut { try await write(WalletActivityFile.cutNote) }
        }
        return answer
    }

    // MARK: Around the pages

    private func frame(_ caller: WalletCaller, _ exchange: Exchange) -> WalletFrame {
        WalletFrame(caller: caller, brand: vault.brand(of: caller.app), csrfToken: csrfToken(exchange))
    }

    /// Every page can be left by signing out, which leads to the identity provider, and from there wherever it likes.
    private func answer(_ layout: PageLayout, status: Int = 200) -> Answer {
        layout.answer(
            status: status, formTargets: vault.configuration.isDevelopment ? ["https:", "http:"] : ["https:"])
    }

    func refusal(_ error: VaultError, _ caller: WalletCaller, _ exchange: Exchange) -> Answer {
        var answer = answer(frame(caller, exchange).refusal(error), status: error.code.status)
        answer.errorCode = error.code
        if let seconds = error.retryAfterSeconds {
            answer.headers.append((name: "Retry-After", value: String(seconds)))
        }
        return answer
    }

    private func csrfToken(_ exchange: Exchange) -> String {
        vault.formToken(browserKey: session.value(of: exchange) ?? "", page: "wallet")
    }

    /// A form comes from a page of this session, or is refused; held at the edge, so that no route can forget it.
    func requireForm(_ exchange: Exchange) throws {
        guard exchange.isForm, exchange.isFromOrigin(vault.configuration.publicURL),
            let key = session.value(of: exchange),
            vault.isFormToken(exchange.form.raw("csrf"), browserKey: key, page: "wallet")
        else { throw VaultError(.forbidden, "The page was open for too long. Load it again.") }
    }

    private static func rendering(_ body: () throws -> Answer) throws -> Answer {
        do { return try body() } catch let error as VaultError { return MessagePage.refusal(error) }
    }

    private static func rendering(_ body: () async throws -> Answer) async throws -> Answer {
        do { return try await body() } catch let error as VaultError { return MessagePage.refusal(error) }
    }

}

/// The cookie of a Wallet session. Its value is new with every sign-in, and only its digest is stored.
struct WalletCookie: Sendable {
    let isSecure: Bool

    private var name: String { isSecure ? "__Host-sallyport-wallet" : "sallyport-wallet" }
    private var attributes: String { "; Path=/; HttpOnly; SameSite=Lax" + (isSecure ? "; Secure" : "") }

    func header(_ value: String) -> (name: String, value: String) {
        (name: "Set-Cookie", value: "\(name)=\(value)" + attributes)
    }

    var expired: (name: String, value: String) { (name: "Set-Cookie", value: "\(name)=; Max-Age=0" + attributes) }

    func value(of exchange: Exchange) -> String? { exchange.cookie(name) }

    /// Which app was left, for the way back from the identity provider: our own signed reference, and nothing secret.
    func header(appReference: String) -> (name: String, value: String) {
        (name: "Set-Cookie", value: "\(name)-left=\(appReference); Max-Age=3600" + attributes)
    }

    func appReference(of exchange: Exchange) -> String? { exchange.anyCookie(name + "-left") }
}
