import Foundation
import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// Connect in the browser: the hosted page, its form, and the way back from providers. The browser is known by a random
// cookie; the form carries a token that is bound to it.

struct ConnectRoutes: Sendable {
    let vault: Vault

    private var cookie: BrowserCookie { BrowserCookie(isSecure: vault.configuration.isPublicURLSecure) }

    private func browser(of exchange: Exchange) -> ConnectBrowser {
        let wallet = WalletCookie(isSecure: vault.configuration.isPublicURLSecure)
        return ConnectBrowser(key: cookie.key(of: exchange), walletCookie: wallet.value(of: exchange))
    }

    var routes: [Route<Visitor>] {
        [
            Route("GET", "/connect/{session}", "The hosted Connect page") { _, exchange in
                // By the token that the app's page has: on to the page's own address.
                if let path = vault.connectPagePath(sessionToken: exchange.parameter("session")) {
                    return .redirect(path)
                }
                return try await page(exchange) { _, _ in .page }
            },
            Route("POST", "/connect/{session}", "Choose, sign in, decline or finish") { _, exchange in
                try await submit(exchange)
            },
            Route("GET", SitePath.oauthCallback.path, "Back from a provider") { _, exchange in
                try await callback(exchange)
            },
        ]
    }

    private func submit(_ exchange: Exchange) async throws -> Answer {
        guard exchange.isForm else {
            return Self.refusal(VaultError(.invalidRequest, "This form can only be sent from its own page."))
        }
        let form = FormText.decode(String(decoding: exchange.body, as: UTF8.self))
        func field(_ name: String) -> String? { form.first { $0.name == name }?.value }
        return try await page(exchange) { reference, browser in
            guard let key = browser.key, exchange.isFromOrigin(vault.configuration.publicURL),
                let token = field("csrf"), vault.isFormToken(token, browserKey: key, page: reference)
            else {
                throw VaultError(
                    .forbidden, "The page was open for too long or in another browser. Open the link again.")
            }
            if let provider = field("provider") {
                return try await vault.startConnecting(
                    reference: reference, providerID: provider, browserKey: key, browser: browser)
            }
            if let asked = field("sign-in") {
                return try await vault.startConnectSignIn(
                    reference: reference, asksAgain: asked == "again", browserKey: key)
            }
            if let declined = field("decline") {
                try await vault.decline(reference: reference, providerID: declined == "all" ? nil : declined)
            } else if field("done") != nil {
                try await vault.finishConnecting(reference: reference)
            }
            return .page
        }
    }

    private func callback(_ exchange: Exchange) async throws -> Answer {
        do {
            let query = try exchange.callbackQuery()
            let reference = try await vault.finishCallback(
                Vault.ConnectCallback(
                    state: query["state"], code: query["code"], error: query["error"], browser: browser(of: exchange)))
            // Away from the address that holds the code: going back or loading again asks for nothing twice.
            return .redirect(SitePath.connectPage(reference).path)
        } catch let error as VaultError {
            return Self.refusal(error)
        }
    }

    // MARK: Rendering

    private func page(_ exchange: Exchange, _ step: (String, ConnectBrowser) async throws -> ConnectStep) async throws
        -> Answer
    {
        do {
            let (reference, browser) = (exchange.parameter("session"), browser(of: exchange))
            switch try await step(reference, browser) {
            case .redirect(let location):
                var answer = Answer.redirect(location)
                if let key = browser.key { answer.headers.append(cookie.header(key)) }
                return answer
            case .page:
                return render(try vault.connectView(reference: reference, browser: browser), browserKey: browser.key)
            }
        } catch let error as VaultError {
            return Self.refusal(error)
        }
    }

    private func render(_ view: ConnectView, browserKey: String?) -> Answer {
        let known = browserKey ?? RandomBytes.token()
        let page = ConnectPage(
            view: view, csrfToken: vault.formToken(browserKey: known, page: view.reference),
            brand: vault.brand(appID: view.appID.text))
        var answer = page.layout.answer(formTargets: view.status == .open ? providerTargets : [])
        // Renewed at every page, so that it outlives the visit to the provider.
        answer.headers.append(cookie.header(known))
        return answer
    }

    /// Chromium holds every redirect that follows a form against `form-action`, and a provider's authorization address often
    /// leads on to a sign-in page elsewhere: no list of origins would be complete.
    private var providerTargets: [String] { vault.configuration.isDevelopment ? ["https:", "http:"] : ["https:"] }

    private static func refusal(_ error: VaultError) -> Answer {
        MessagePage.refusal(error)
    }
}
