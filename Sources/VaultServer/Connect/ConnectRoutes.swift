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

    var routes: [Route<Visitor>] {
        [
            Route("GET", "/connect/{session}", "The hosted Connect page") { _, exchange in
                try await page(exchange) { reference, browser in .page(try vault.connectView(reference: reference)) }
            },
            Route("POST", "/connect/{session}", "Choose, decline or finish") { _, exchange in
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
            guard let browser, exchange.isFromOrigin(vault.configuration.publicURL), let token = field("csrf"),
                vault.isFormToken(token, browserKey: browser, page: reference)
            else {
                throw VaultError(
                    .forbidden, "The page was open for too long or in another browser. Open the link again.")
            }
            if let provider = field("provider") {
                return try await vault.startConnecting(reference: reference, providerID: provider, browserKey: browser)
            }
            if let declined = field("decline") {
                return .page(
                    try await vault.decline(reference: reference, providerID: declined == "all" ? nil : declined))
            }
            return .page(try await vault.finishConnecting(reference: reference))
        }
    }

    private func callback(_ exchange: Exchange) async throws -> Answer {
        do {
            let query = try exchange.callbackQuery()
            let view = try await vault.finishCallback(
                Vault.ConnectCallback(
                    state: query["state"], code: query["code"], error: query["error"],
                    browserKey: cookie.key(of: exchange)))
            // Away from the address that holds the code: going back or loading again asks for nothing twice.
            return .redirect(SitePath.connectPage(view.reference).path)
        } catch let error as VaultError {
            return Self.refusal(error)
        }
    }

    // MARK: Rendering

    private func page(_ exchange: Exchange, _ step: (String, String?) async throws -> ConnectStep) async throws
        -> Answer
    {
        do {
            let browser = cookie.key(of: exchange)
            switch try await step(exchange.parameter("session"), browser) {
            case .redirect(let location):
                var answer = Answer.redirect(location)
                if let browser { answer.headers.append(cookie.header(browser)) }
                return answer
            case .page(let view): return try render(view, browser: browser)
            }
        } catch let error as VaultError {
            return Self.refusal(error)
        }
    }

    private func render(_ view: ConnectView, browser: String?) throws -> Answer {
        let known = browser ?? RandomBytes.token()
        let page = ConnectPage(view: view, csrfToken: vault.formToken(browserKey: known, page: view.reference))
        var answer = page.layout.answer(formTargets: view.status == .open ? providerTargets : [])
        // Renewed at every page, so that it outlives the visit to the provider.
        answer.headers.append(cookie.header(known))
        return answer
    }

    /// Chromium holds every redirect that follows a form against `form-action`, and a provider's authorization address often
    /// leads on to a sign-in page elsewhere: no list of origins would be complete.
    private var providerTargets: [String] { vault.configuration.isDevelopment ? ["https:", "http:"] : ["https:"] }

    private static func refusal(_ error: VaultError) -> Answer {
        let title = error.code == .notFound ? "This link does not work" : "That did not work"
        return MessagePage(title: title, message: error.message).layout.answer(status: error.code.status)
    }
}
