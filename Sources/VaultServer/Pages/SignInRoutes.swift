import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// Browser sign-in on its way: to the identity provider without a click, and back to a page that can be closed.

struct SignInRoutes: Sendable {
    let vault: Vault

    private var cookie: BrowserCookie { BrowserCookie(isSecure: vault.configuration.isPublicURLSecure) }

    var routes: [Route<Visitor>] {
        [
            Route("GET", "/sign-in/{session}", "To the identity provider") { _, exchange in
                do {
                    let browser = cookie.key(of: exchange) ?? RandomBytes.token()
                    let location = try await vault.startSignIn(
                        reference: exchange.parameter("session"), browserKey: browser)
                    var answer = Answer.redirect(location)
                    answer.headers.append(cookie.header(browser))
                    return answer
                } catch let error as VaultError {
                    return Self.page("This link does not work", error.message, status: error.code.status)
                }
            },
            Route("GET", SitePath.sdkSignInCallback.path, "Back from the identity provider") { visitor, exchange in
                try await finish(visitor, exchange)
            },
        ]
    }

    private func finish(_ visitor: Visitor, _ exchange: Exchange) async throws -> Answer {
        do {
            let query = try exchange.callbackQuery()
            let outcome = try await vault.finishSignIn(
                Vault.SignInCallback(
                    state: query["state"], code: query["code"], error: query["error"], issuer: query["iss"],
                    browserKey: cookie.key(of: exchange)), purpose: .sdk, origin: visitor.origin)
            switch outcome {
            case .signedIn: return Self.page("You are signed in", "You can close this window and go back to the app.")
            case .connect(let reference): return .redirect(SitePath.connectPage(reference).path)
            case .failed(let message, _):
                return Self.page(
                    "You were not signed in", message + " You can close this window and start again from the app.")
            }
        } catch let error as VaultError {
            return MessagePage.refusal(error)
        }
    }

    private static func page(_ title: String, _ message: String, status: Int = 200) -> Answer {
        MessagePage(title: title, message: message).layout.answer(status: status)
    }
}
