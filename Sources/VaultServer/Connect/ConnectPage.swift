import VaultAPI
import VaultService
import VaultStore

/// Asks a person which account to connect, and says for whom, to what end, and what becomes of it. Works without scripts.
struct ConnectPage: Sendable {
    let view: ConnectView
    let csrfToken: String
    let brand: AppBrand?

    var layout: PageLayout {
        PageLayout(
            title: "Connect an account", body: body, brand: brand,
            scripts: view.outcome == nil ? [] : [Asset.connectReturnPath])
    }

    private var body: HTML {
        switch (view.status, view.identity) {
        case (.open, .settled(let isSignedIn)): question(isSignedIn: isSignedIn)
        case (.open, .unknown(let host, let problem)): signIn(host: host, problem: problem)
        case (.open, .other(let name, let host)): somebodyElse(name, host: host)
        case (.completed, .settled): connected
        case (.completed, _): used
        case (.error, _): failed
        }
    }

    // MARK: Asking

    private func question(isSignedIn: Bool) -> HTML {
        let isOnlyOne = view.choices.count == 1
        let choices = view.choices.map {
            ConnectChoice(choice: $0, appName: view.appName, isOnlyOne: isOnlyOne).html
        }
        return """
            \(eyebrow)
            <h1>\(heading)</h1>
            \(principal(isSignedIn: isSignedIn))
            \(formStart)
            <ul class="choices">
            \(choices)
            </ul>
            <p class="actions">
            \(doneButton)
            \(declineButton)
            </p>
            </form>
            \(assurance)
            """
    }

    private var heading: String {
        guard view.choices.count == 1 else { return "Connect an account" }
        return "Connect your \(view.choices[0].displayName) account"
    }

    private func principal(isSignedIn: Bool) -> HTML {
        guard let person = view.personName else {
            return
                "<p>This connection is for <strong>\(view.appName)</strong> itself and serves everybody who uses it.</p>"
        }
        if isSignedIn { return "<p>This connection is for you, signed in as <strong>\(person)</strong>.</p>" }
        return "<p>This connection is for <strong>\(person)</strong>. If that is not you, don’t connect.</p>"
    }

    private var doneButton: HTML? {
        let isAnyConnected = view.choices.contains { $0.state == .connected }
        return isAnyConnected ? "<button name=\"done\" value=\"yes\">I’m done</button>" : nil
    }

    private var declineButton: HTML {
        "<button class=\"plain\" name=\"decline\" value=\"all\">Don’t connect</button>"
    }

    /// What a person wants to know before saying yes, and where the end of it is.
    private var assurance: HTML {
        """
        <h2>What becomes of it</h2>
        <ul class="assurance">
        <li><strong>\(view.appName)</strong> uses the account, for what is listed above, and nobody else does.</li>
        <li>The account’s tokens stay encrypted in this vault, are used only under the rules of \(view.appName), and every use is recorded.</li>
        <li>\(ending)</li>
        </ul>
        """
    }

    private var ending: HTML {
        guard view.personName != nil, view.hasWallet else {
            return "To end the connection later, ask the people who run \(view.appName)."
        }
        let wallet = SitePath.walletSignIn.path + "?appId=" + view.appID.text
        return
            "You can end it at any time in <a href=\"\(wallet)\" target=\"_blank\" rel=\"noopener\">your Wallet</a>, where all your connections are."
    }

    // MARK: Signing in

    private func signIn(host: String, problem: String?) -> HTML {
        """
        \(eyebrow)
        <h1>First, say who you are</h1>
        \(problem.map { Notice("\($0) Try again.", .bad, isAlert: true).html })
        <p>\(view.appName) asks <strong>\(view.personName ?? "one of its users")</strong> to connect an account: \(names). \
        Sign in to show that this is you. Nothing is connected before that.</p>
        \(formStart)
        <p class="actions">
        <button name="sign-in" value="\(problem == nil ? "yes" : "again")">Sign in with \(host)</button>
        \(declineButton)
        </p>
        </form>
        """
    }

    private func somebodyElse(_ name: String, host: String) -> HTML {
        """
        \(eyebrow)
        <h1>You are signed in as somebody else</h1>
        <p>This connection is for <strong>\(view.personName ?? "another user")</strong>, and this browser is signed in as \
        <strong>\(name)</strong>. Nothing was connected.</p>
        <p>If you are \(view.personName ?? "that user") too, sign in once more. If not, close this window and open \
        \(view.appName) with your own account.</p>
        \(formStart)
        <p class="actions">
        <button name="sign-in" value="again">Sign in as \(view.personName ?? "somebody else")</button>
        \(declineButton)
        </p>
        </form>
        <p class="quiet">The sign-in is at \(host).</p>
        """
    }

    private var names: String { view.choices.filter { $0.state == .open }.map(\.displayName).joined(separator: ", ") }

    // MARK: The end

    private var connected: HTML {
        """
        <p class="mark good" aria-hidden="true">✓</p>
        <h1>Connected</h1>
        <p><strong>\(view.appName)</strong> can now use what you connected. You can close this window.</p>
        \(outcomes)
        \(returnLink)
        """
    }

    /// For a browser that is not known to be the person's.
    private var used: HTML {
        """
        <h1>This link was used</h1>
        <p>The connection it was for is made. You can close this window. For another one, start again from \(view.appName).</p>
        \(view.returnURL.map { ReturnLink(url: $0).html })
        """
    }

    private var failed: HTML {
        let code = view.errorCode ?? "connect_failed"
        let provider = view.choices.first { $0.failureCode == code }?.displayName ?? names
        let advice = ConnectAdvice(code: code, providerName: provider, appName: view.appName)
        return """
            <p class="mark" aria-hidden="true">–</p>
            <h1>Nothing was connected</h1>
            <p>\(advice.html)</p>
            <p>You can close this window.</p>
            \(view.choices.count > 1 ? outcomes : nil)
            \(returnLink)
            """
    }

    private var outcomes: HTML? {
        let decided = view.choices.filter { $0.state != .open }
        guard !decided.isEmpty else { return nil }
        return """
            <ul class="choices">
            \(decided.map { "<li>\(ConnectChoice(choice: $0, appName: view.appName, isOnlyOne: false).outcome)</li>" as HTML })
            </ul>
            """
    }

    /// The way back by hand, and what the script of this page needs to take it by itself.
    private var returnLink: HTML {
        let outcome = view.outcome.map { String(decoding: $0.bytes, as: UTF8.self) }
        let told: HTML? = outcome.map {
            """
            <div hidden data-connect-outcome="\($0)" data-allowed-origin="\(view.allowedOrigin ?? "")" \
            data-return-url="\(view.returnURL ?? "")"></div>
            """
        }
        return "\(view.returnURL.map { ReturnLink(url: $0).html })\(told)"
    }

    // MARK: Parts

    private var eyebrow: HTML { "<p class=\"eyebrow\">\(view.appName)</p>" }

    private var formStart: HTML {
        """
        <form method="post" action="\(SitePath.connectPage(view.reference).path)">
        \(CSRFField(csrfToken).html)
        """
    }
}

/// One provider: what the app asks for there, in words, and the answers; or what came of it.
struct ConnectChoice: Sendable {
    let choice: ConnectView.Choice
    let appName: String
    let isOnlyOne: Bool

    var html: HTML {
        """
        <li class="provider">
        <p class="with-letter">\(Letter(name: choice.displayName).html) <strong>\(choice.displayName)</strong></p>
        \(choice.state == .open ? question : outcome)
        </li>
        """
    }

    private var question: HTML {
        """
        \(asked)
        <p class="actions">
        <button name="provider" value="\(choice.providerID)">Connect \(choice.displayName)</button>
        \(isOnlyOne ? nil : skipButton)
        </p>
        """
    }

    private var skipButton: HTML? {
        """
        <button class="plain" name="decline" value="\(choice.providerID)" aria-label="Skip \(choice.displayName)">Skip</button>
        """
    }

    private var asked: HTML {
        guard !choice.scopes.isEmpty else {
            return
                "<p>\(appName) asks for what it is registered for at \(choice.displayName), which shows it to you before anything is connected.</p>"
        }
        return """
            <p>\(appName) asks for this:</p>
            <ul class="asked">
            \(choice.scopes.map { "<li>\(Self.words($0))</li>" as HTML })
            </ul>
            """
    }

    private static func words(_ scope: ConnectView.Scope) -> HTML {
        guard let words = scope.words else { return "<code>\(scope.name)</code>" }
        return "\(words) <code class=\"quiet\">\(scope.name)</code>"
    }

    private var advice: ConnectAdvice {
        ConnectAdvice(
            code: choice.failureCode ?? "connect_failed", providerName: choice.displayName, appName: appName)
    }

    var outcome: HTML {
        switch choice.state {
        case .open: ""
        case .connected: "<p class=\"state good\">\(choice.displayName) is connected.</p>"
        case .declined: "<p class=\"state\">\(choice.displayName) was declined. Nothing of it is kept.</p>"
        case .failed:
            """
            <div class="state">
            <p class="bad"><strong>\(choice.displayName) did not complete.</strong></p>
            <p>\(advice.html)</p>
            </div>
            """
        }
    }
}

/// What a person can do about a connection that did not come about.
struct ConnectAdvice: Sendable {
    /// A word of ours (wire contract §4.6) or of the provider (RFC 6749 §4.1.2.1 and §5.2).
    let code: String
    let providerName: String
    let appName: String

    var html: HTML {
        switch code {
        case "connect_denied":
            "The connection was declined, so nothing was stored. If you change your mind, start again from \(appName)."
        case "policy_violation":
            "The rules of \(appName) do not let you connect this account now. Ask the people who run \(appName) for access."
        case "user_suspended", "user_deprovisioned":
            "Your account at \(appName) is not active. Ask the people who run \(appName)."
        case "identity_provider_inactive":
            "\(appName) has changed how its users sign in. Open \(appName) again and start from there."
        case "interaction_required", "login_required", "consent_required", "account_selection_required":
            "\(providerName) wants you to sign in or to agree on its own pages first. Start again from \(appName), and follow its pages to the end."
        case "temporarily_unavailable", "server_error", "provider_unreachable", "provider_throttled":
            "\(providerName) could not be reached or is busy. Wait a few minutes and start again from \(appName)."
        case "account_identification_failed":
            "\(providerName) did not say which account it was, so nothing was kept. Start again from \(appName). \(reported)"
        case "invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "unsupported_response_type",
            "unsupported_grant_type":
            "\(appName) is not set up as \(providerName) wants it, and trying again will not help. Tell the people who run \(appName) this word: <code>\(code)</code>."
        default:
            "\(providerName) did not complete the connection. Start again from \(appName). \(reported)"
        }
    }

    private var reported: HTML {
        "If it happens again, tell the people who run \(appName) this word: <code>\(code)</code>."
    }
}
