import VaultAPI
import VaultDomain
import VaultService
import VaultStore

/// Where the users of an app sign in to see what they connected.
struct WalletSignInPage: Sendable {
    let entrance: WalletEntrance
    /// Whether the identity provider is to ask for the account, whoever is signed in there.
    let asksAgain: Bool
    var message: String?

    var layout: PageLayout { PageLayout(title: "Sign in", body: body) }

    private var body: HTML {
        """
        <p class="eyebrow">\(entrance.appName)</p>
        <h1>Your connections</h1>
        \(message.map { "<p class=\"state bad\" role=\"alert\">\($0)</p>" as HTML })
        \(way)
        """
    }

    private var way: HTML {
        guard let host = entrance.providerHost else {
            return "<p>\(entrance.appName) has not set up sign-in yet. Ask the people who run it.</p>"
        }
        let start = SitePath.walletStart.path + "?appId=" + entrance.appID.text + (asksAgain ? "&again=1" : "")
        return """
            <p>Sign in to see which accounts you connected to \(entrance.appName), and to end what you no longer want.</p>
            <p class="actions"><a class="button" href="\(start)">Sign in with \(host)</a></p>
            """
    }
}

/// What a user connected, with a way to end each, and the way out.
struct WalletPage: Sendable {
    let caller: WalletCaller
    let connections: [WalletConnection]
    let csrfToken: String

    var layout: PageLayout { PageLayout(title: "Your connections", body: body) }

    private var body: HTML {
        let list: HTML =
            connections.isEmpty
            ? "<p>You have not connected any account. When \(caller.app.name) needs one, it will ask you.</p>"
            : "<ul class=\"choices\">\(connections.map(item))</ul>"
        return """
            <p class="eyebrow">\(caller.app.name)</p>
            <h1>Your connections</h1>
            <p class="quiet">Signed in as <strong>\(caller.user.email ?? caller.user.displayName ?? caller.user.externalSubjectID)</strong></p>
            \(list)
            <form method="post" action="\(SitePath.walletSignOut.path)">
            <input type="hidden" name="csrf" value="\(csrfToken)">
            <p class="actions"><button class="plain" name="sign-out" value="yes">Sign out</button></p>
            </form>
            """
    }

    private func item(_ connection: WalletConnection) -> HTML {
        let grant = connection.grant
        let used = grant.lastUsedAt.map { "last used " + $0.dayAndTime } ?? "never used"
        let scopes: HTML? =
            grant.scopes.isEmpty ? nil : "<p class=\"quiet\">May: \(grant.scopes.joined(separator: ", "))</p>"
        return """
            <li class="state">
            <p><strong>\(connection.providerName)</strong> \(grant.accountIdentifier ?? "")</p>
            <p class="quiet">\(Self.words(connection.status)) · connected \(grant.createdAt.dayAndTime) · \(used)</p>
            \(scopes)
            <form method="post" action="\(SitePath.walletRevoke(grant.id.text).path)">
            <input type="hidden" name="csrf" value="\(csrfToken)">
            <button class="plain" name="revoke" value="\(grant.id.text)">End this connection</button>
            </form>
            </li>
            """
    }

    private static func words(_ status: GrantStatus) -> String {
        switch status {
        case .active: "works"
        case .expired: "has expired"
        case .needsReauth: "needs to be connected again"
        case .revoked: "has ended"
        }
    }
}
