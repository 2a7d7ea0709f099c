import VaultAPI
import VaultService
import VaultStore

/// Asks a person which account to connect, and says for whom and to what end. Works without scripts.
struct ConnectPage: Sendable {
    let view: ConnectView
    let csrfToken: String

    var layout: PageLayout { PageLayout(title: "Connect an account", body: body) }

    private var body: HTML {
        switch view.status {
        case .open: question
        case .completed:
            """
            <p class="mark good" aria-hidden="true">✓</p>
            <h1>Connected</h1>
            <p><strong>\(view.appName)</strong> can now use what you connected. You can close this window.</p>
            \(view.choices.map(outcome))
            \(view.returnURL.map { ReturnLink(url: $0).html })
            """
        case .error:
            """
            <p class="mark" aria-hidden="true">–</p>
            <h1>Nothing was connected</h1>
            <p>\(view.message ?? "The connection did not complete.") You can close this window, or start again from \(view.appName).</p>
            \(view.returnURL.map { ReturnLink(url: $0).html })
            """
        }
    }

    private var question: HTML {
        """
        <p class="eyebrow">\(view.appName)</p>
        <h1>Connect an account</h1>
        <p>\(principal)</p>
        <p class="quiet">The account’s tokens stay encrypted in this vault. \(view.appName) uses them only under its policy, and every use is recorded.</p>
        <form method="post" action="\(SitePath.connectPage(view.reference).path)">
        <input type="hidden" name="csrf" value="\(csrfToken)">
        <ul class="choices">
        \(view.choices.map(choice))
        </ul>
        <p class="actions">
        \(doneButton)
        <button class="plain" name="decline" value="all">Don’t connect</button>
        </p>
        </form>
        """
    }

    private var principal: HTML {
        guard let person = view.personName else {
            return "This connection is for <strong>\(view.appName)</strong> itself and serves everybody who uses it."
        }
        return "This connection is for <strong>\(person)</strong>. If that is not you, don’t connect."
    }

    private var doneButton: HTML? {
        let isAnyConnected = view.choices.contains { $0.state == .connected }
        return isAnyConnected ? "<button name=\"done\" value=\"yes\">I’m done</button>" : nil
    }

    private func choice(_ choice: ConnectView.Choice) -> HTML {
        guard choice.state == .open else { return "<li>\(outcome(choice))</li>" }
        let scopes: HTML? =
            choice.scopes.isEmpty ? nil : "<p class=\"quiet\">Asks for: \(choice.scopes.joined(separator: ", "))</p>"
        return """
            <li>
            <button class="choice" name="provider" value="\(choice.providerID)">Connect \(choice.displayName)</button>
            \(scopes)
            </li>
            """
    }

    private func outcome(_ choice: ConnectView.Choice) -> HTML {
        switch choice.state {
        case .open: ""
        case .connected: "<p class=\"state good\">\(choice.displayName) is connected.</p>"
        case .declined: "<p class=\"state\">\(choice.displayName) was declined.</p>"
        case .failed: "<p class=\"state bad\">\(choice.displayName) did not complete.</p>"
        }
    }
}
