import VaultAPI
import VaultDomain
import VaultService
import VaultStore

/// Where the users of an app sign in to see what they connected.
struct WalletSignInPage: Sendable {
    let entrance: WalletEntrance
    let brand: AppBrand?
    /// Whether the identity provider is to ask for the account, whoever is signed in there.
    let asksAgain: Bool
    var message: String?

    var layout: PageLayout { PageLayout(title: "Sign in", body: body, brand: brand) }

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

/// What a user connected, each as a card, and what has ended.
struct WalletConnectionsPage: Sendable {
    let frame: WalletFrame
    let connections: [WalletConnection]
    let ended: [WalletConnection]
    let now: Instant

    var layout: PageLayout { frame.layout("Your connections", at: .connections, body) }

    private var appName: String { frame.caller.app.name }

    private var body: HTML {
        """
        <h1>Your connections</h1>
        \(live.isEmpty ? emptyState : list(live))
        \(past)
        """
    }

    private var live: [WalletConnection] { connections.filter { $0.status != .expired } }

    private var emptyState: HTML {
        let website = frame.caller.app.websiteURL.map { address -> HTML in
            "<p><a class=\"button\" href=\"\(address)\" rel=\"noreferrer\">Go to \(appName)</a></p>"
        }
        return EmptyState(
            title: "You have not connected any account",
            text: """
                When \(appName) needs one, it asks you. You allow it once, on a page like this one, and find it here: what it \
                may do, when it was used, and the way to end it.
                """,
            action: website
        ).html
    }

    private func list(_ connections: [WalletConnection]) -> HTML {
        let cards = connections.map { ConnectionCard(connection: $0, frame: frame, now: now).html }
        return "<ul class=\"cards wallet-cards\">\(cards)</ul>"
    }

    /// Closed, so that years of it do not stand in the way. What has expired can still be ended for good.
    private var past: HTML? {
        let expired = connections.filter { $0.status == .expired }
        guard !expired.isEmpty || !ended.isEmpty else { return nil }
        return """
            <details class="wallet-past">
            <summary>Ended</summary>
            \(list(expired + ended))
            </details>
            """
    }
}

/// One connection.
struct ConnectionCard: Sendable {
    let connection: WalletConnection
    let frame: WalletFrame
    let now: Instant

    private var grant: Grant { connection.grant }
    private var appName: String { frame.caller.app.name }
    /// What tells it from another one of the same provider.
    static func account(of grant: Grant) -> String? {
        grant.accountIdentifier ?? grant.accountDisplayName ?? grant.label
    }
    private var spoken: String {
        [connection.providerName, Self.account(of: grant)].compactMap(\.self).joined(separator: ", ")
    }

    var html: HTML {
        """
        <li>
        <div class="with-letter">\(Letter(name: connection.providerName).html)<div>
        <h2>\(connection.providerName)</h2>
        \(Self.account(of: grant).map { "<p class=\"quiet\">\($0)</p>" as HTML })
        </div></div>
        <p>\(Self.badge(connection.status).html)</p>
        \(hint)
        \(Facts(facts).html)
        \(actions)
        </li>
        """
    }

    static func badge(_ status: GrantStatus) -> Badge {
        switch status {
        case .active: Badge("works", .good)
        case .expired: Badge("expired")
        case .needsReauth: Badge("has to be connected again", .warn)
        case .revoked: Badge("ended")
        }
    }

    private var hint: HTML? {
        switch connection.status {
        case .needsReauth:
            Notice(
                "\(connection.providerName) no longer accepts this connection. Connect the account again when \(appName) asks you.",
                .warn
            ).html
        case .active where grant.hasScopeMismatch:
            Notice(
                "\(appName) may need more than you allowed. It will ask you to connect the account again.", .warn
            ).html
        case .active, .expired, .revoked: nil
        }
    }

    private var facts: [(name: String, value: HTML?)] {
        let lastUsed: HTML = grant.lastUsedAt.map(time) ?? "never used"
        let end = grant.expiresAt.map(time)
        let timeLeft = end.map { "ends \($0)" as HTML }
        return [
            (name: "May", value: permissions),
            (name: "Connected", value: time(grant.createdAt)),
            (name: "Last used", value: lastUsed),
            (name: "Time left", value: connection.status == .active ? timeLeft : nil),
            (name: "Expired", value: connection.status == .expired ? end : nil),
            (name: "Ended", value: grant.revokedAt.map(time)),
        ]
    }

    private func time(_ instant: Instant) -> HTML { TimeText(instant: instant, now: now).html }

    private static let permissionsShown = 6

    private var permissions: HTML? {
        let lines = connection.permissions.map { "\($0)<br>" as HTML }
        guard lines.count > Self.permissionsShown else { return lines.isEmpty ? nil : "\(lines)" }
        return """
            \(Array(lines.prefix(Self.permissionsShown)))
            <details><summary>and \(String(lines.count - Self.permissionsShown)) more</summary>
            \(Array(lines.dropFirst(Self.permissionsShown)))
            </details>
            """
    }

    private var actions: HTML? {
        guard connection.status != .revoked else { return nil }
        return """
            <div class="actions">
            \(extend)
            <a class="button plain compact" href="\(SitePath.walletRevoke(grant.id.text).path)" aria-label="End this connection: \(spoken)">End this connection</a>
            </div>
            """
    }

    private var extend: HTML? {
        connection.extensionEnd.map { end -> HTML in
            """
            <form method="post" action="\(SitePath.walletExtend(grant.id.text).path)">\(frame.csrfField)\
            <button class="compact" name="extend" value="\(grant.id.text)" title="To \(end.dayAndTime)" aria-label="Extend \(spoken) to \(end.dayAndTime)">Extend</button></form>
            """
        }
    }
}

/// What ending a connection does, before it is done.
struct WalletRevokePage: Sendable {
    let frame: WalletFrame
    let connection: WalletConnection
    let now: Instant

    var layout: PageLayout { frame.layout("End a connection", at: .connections, body) }

    private var body: HTML {
        let grant = connection.grant
        let appName = frame.caller.app.name
        let account = ConnectionCard.account(of: grant)
        let used: HTML = grant.lastUsedAt.map { TimeText(instant: $0, now: now).html } ?? "never used"
        let facts = Facts([
            (name: "Account", value: account.map { "\($0)" as HTML }),
            (name: "Connected", value: TimeText(instant: grant.createdAt, now: now).html),
            (name: "Last used", value: used),
        ])
        return """
            <div class="panel wallet-question">
            <h1>End the connection to \(connection.providerName)?</h1>
            \(facts.html)
            <ul class="steps">
            <li>From that moment \(appName) cannot use it any more. A call that is under way may still finish.</li>
            \(tokens)
            <li>You cannot undo it. If you want it back, connect it again when \(appName) asks you.</li>
            </ul>
            <form method="post" action="\(SitePath.walletRevoke(grant.id.text).path)">
            \(frame.csrfField)
            <p class="actions">
            <button class="danger" name="revoke" value="\(grant.id.text)">End this connection</button>
            <a class="button plain" href="\(SitePath.walletConnections.path)">Cancel</a>
            </p>
            </form>
            </div>
            """
    }

    private var tokens: HTML? {
        guard connection.grant.kind == .oauth else { return nil }
        return """
            <li>What opens the account is deleted here, unless another of your connections uses it too, and \
            \(connection.providerName) is asked to end it as well.</li>
            """
    }
}
