import VaultAPI
import VaultDomain
import VaultService
import VaultStore

/// What is around every page of somebody who is signed in: the app, the way to the other page, who is signed in, the way
/// out.
struct WalletFrame: Sendable {
    enum Place: Sendable { case connections, activity }

    let caller: WalletCaller
    let brand: AppBrand
    let csrfToken: String

    func layout(_ title: String, at place: Place?, _ body: HTML) -> PageLayout {
        PageLayout(title: title, body: body, brand: brand, frame: .site(header: header(place), navigation: nil))
    }

    private func header(_ place: Place?) -> HTML {
        """
        <a class="brand" href="\(SitePath.walletConnections.path)">\(mark)</a>
        <nav aria-label="Wallet">
        \(link("Connections", SitePath.walletConnections, isCurrent: place == .connections))
        \(link("Activity", SitePath.walletActivity, isCurrent: place == .activity))
        </nav>
        <p class="wallet-person spread small">Signed in as <strong>\(Self.name(of: caller.user))</strong></p>
        <form class="wallet-out" method="post" action="\(SitePath.walletSignOut.path)">
        \(csrfField)
        <button class="plain compact" name="switch" value="yes">Switch account</button>
        <button class="plain compact" name="sign-out" value="yes">Sign out</button>
        </form>
        """
    }

    private var mark: HTML {
        guard let logo = brand.logo else { return "\(brand.name)" }
        return logo
    }

    private func link(_ label: String, _ address: SitePath, isCurrent: Bool) -> HTML {
        let current: HTML? = isCurrent ? " aria-current=\"page\"" : nil
        return "<a href=\"\(address.path)\"\(current)>\(label)</a>"
    }

    var csrfField: HTML { CSRFField(csrfToken).html }

    static func name(of user: User) -> String { user.email ?? user.displayName ?? user.externalSubjectID }

    /// What went wrong, with the way on.
    func refusal(_ error: VaultError) -> PageLayout {
        layout(
            "That did not work", at: nil,
            """
            <h1>That did not work</h1>
            <p role="alert">\(error.message)</p>
            <p class="actions"><a class="button" href="\(SitePath.walletConnections.path)">Back to your connections</a></p>
            """)
    }
}
