import Foundation
import VaultAPI
import VaultCrypto
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
        return WalletSignInPage(
            entrance: try vault.walletEntrance(appID: appID), asksAgain: query["again"] == "1" || left != nil
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
            return WalletSignInPage(
                entrance: try vault.walletEntrance(appID: appID.text), asksAgain: true, message: message
            ).layout.answer()
        }
    }

    // MARK: With a session

    var routes: [Route<WalletCaller>] {
        [
            Route("GET", SitePath.walletConnections.path, "What the user connected") { caller, exchange in
                WalletPage(
                    caller: caller, connections: try vault.connections(caller), csrfToken: csrfToken(exchange)
                ).layout.answer(formTargets: providerTargets)
            },
            Route("POST", "/wallet/connections/{grant_id}/revoke", "End a connection") { caller, exchange in
                try await Self.rendering {
                    try requireForm(exchange)
                    try await vault.revokeGrant(caller, exchange.parameter("grant_id"))
                    return .redirect(SitePath.walletConnections.path)
                }
            },
            Route("POST", SitePath.walletSignOut.path, "Sign out, at the identity provider too") { caller, exchange in
                try await Self.rendering {
                    try requireForm(exchange)
                    var answer: Answer
                    switch try await vault.signOut(caller) {
                    case .provider(let location, let appReference):
                        answer = .redirect(location)
                        answer.headers.append(session.header(appReference: appReference))
                    case .local(let appID):
                        answer = .redirect(SitePath.walletSignIn.path + "?appId=" + appID.text + "&again=1")
                    }
                    answer.headers.append(session.expired)
                    return answer
                }
            },
        ]
    }

    /// Signing out leads to the identity provider, and from there wherever it likes.
    private var providerTargets: [String] { vault.configuration.isDevelopment ? ["https:", "http:"] : ["https:"] }

    private func csrfToken(_ exchange: Exchange) -> String {
        vault.formToken(browserKey: session.value(of: exchange) ?? "", page: "wallet")
    }

    private func requireForm(_ exchange: Exchange) throws {
        let form = FormText.decode(String(decoding: exchange.body, as: UTF8.self))
        guard exchange.isForm, exchange.isFromOrigin(vault.configuration.publicURL),
            let token = form.first(where: { $0.name == "csrf" })?.value, let key = session.value(of: exchange),
            vault.isFormToken(token, browserKey: key, page: "wallet")
        else { throw VaultError(.forbidden, "The page was open for too long. Load it again.") }
    }

    private static func rendering(_ body: () throws -> Answer) throws -> Answer {
        do { return try body() } catch let error as VaultError { return refusal(error) }
    }

    private static func rendering(_ body: () async throws -> Answer) async throws -> Answer {
        do { return try await body() } catch let error as VaultError { return refusal(error) }
    }

    private static func refusal(_ error: VaultError) -> Answer {
        MessagePage(title: "That did not work", message: error.message).layout.answer(status: error.code.status)
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
