import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// The Identity page of an app that has a provider: the provider, its claims, how users sign in, and its webhooks.

extension IdentityProviderType {
    /// As its maker writes it.
    var title: String {
        switch self {
        case .auth0: "Auth0"
        case .clerk: "Clerk"
        case .okta: "Okta"
        case .workos: "WorkOS"
        case .keycloak: "Keycloak"
        case .entra: "Microsoft Entra ID"
        case .google: "Google"
        case .cognito: "Amazon Cognito"
        case .customOIDC: "Custom OpenID Connect provider"
        }
    }
}

struct IdentityPage: Sendable {
    let context: IdentityPageContext
    let provider: IdentityProviderRecord
    let forms: IdentityForms
    let webhooks: WebhooksPanel
    /// A webhook secret that was made for this answer.
    let madeSecret: Secret?

    private var path: String { context.path }
    private var isLocked: Bool { provider.claimsLockedAt != nil }

    var html: HTML {
        """
        <div class="page-head"><h1>Identity</h1><span class="quiet">\(provider.type.title)</span></div>
        \(forms.issuer.alert)
        <nav class="on-page" aria-label="On this page">
        <a href="#provider">Identity provider</a> <a href="#tokens">Send the user’s token</a> <a href="#claims">Claim mappings</a>
        <a href="#sign-in">User Authentication (OIDC)</a> <a href="#webhooks">Webhooks</a>
        </nav>
        \(secretPanel)
        \(providerPanel)
        \(emptyClaimsWarning)
        \(context.instructions.userToken)
        \(claimsPanel)
        \(SignInPanel(context: context, provider: provider, state: forms.signIn).html)
        \(webhooks.html)
        \(consequences)
        """
    }

    // MARK: Made just now

    private var secretPanel: HTML? {
        guard let madeSecret else { return nil }
        return """
            <section class="panel" aria-labelledby="secret">
            <h2 id="secret">The signing secret of your webhooks</h2>
            \(ShownOnce(
                id: "signing-secret", label: "Signing secret", value: madeSecret,
                warning: "Copy it now: it is shown this once, and nobody can read it again. A secret from before is refused from this moment. If you lose it, make a new one with Rotate Secret.").html)
            <p>Paste it into <strong>Authorization Token</strong> of the log stream. The <a href="#webhooks">steps</a> are further down.</p>
            </section>
            """
    }

    // MARK: The provider

    private var providerPanel: HTML {
        """
        <section class="panel" aria-labelledby="provider">
        <h2 id="provider">Identity provider</h2>
        \(facts.html)
        \(provider.audience == nil ? Notice(Self.anyAudience, .warn).html : nil)
        <p class="quiet">An app has one identity provider at a time. To change to another, remove this one and add the other.</p>
        \(context.canEdit ? removeLink : nil)
        </section>
        """
    }

    private var facts: Facts {
        let notSet: HTML = Badge("not set up").html
        let firstSignIn: HTML = provider.claimsLockedAt.map { context.time($0) } ?? "nobody yet"
        return Facts([
            (name: "Type", value: "\(provider.type.title)"),
            (name: "Issuer", value: "<code>\(provider.issuer)</code>"),
            (name: "Audience", value: audience),
            (name: "Added", value: context.time(provider.createdAt)),
            (name: "First sign-in", value: firstSignIn),
            (name: "User sign-in", value: provider.signInClientID == nil ? notSet : Badge("set up", .good).html),
            (name: "Webhooks", value: provider.webhooksEnabledAt == nil ? notSet : Badge("enabled", .good).html),
        ])
    }

    /// What it means to have no audience.
    static let anyAudience: HTML =
        "No audience is set, so any audience passes: every token of this issuer is accepted, also one that was made for another application. Set the audience to accept only tokens made for your API."

    private var audience: HTML {
        provider.audience.map { "<code>\($0)</code>" as HTML } ?? Badge("any passes", .warn).html
    }

    private var removeLink: HTML {
        "<p class=\"actions\"><a class=\"button danger\" href=\"\(path)/remove\">Remove identity provider</a></p>"
    }

    // MARK: Claims

    /// While it can still be mended: afterwards the mapping is locked.
    private var emptyClaimsWarning: HTML? {
        let empty = [
            provider.claims.group == nil ? "group claim" : nil, provider.claims.role == nil ? "role claim" : nil,
        ].compactMap { $0 }
        guard !isLocked, !empty.isEmpty else { return nil }
        let names = empty.joined(separator: " and the ")
        let action: HTML? =
            provider.type == .auth0
            ? " Auth0 sends neither before a custom Action adds it: the <a href=\"#claims\">claim mappings</a> show how."
            : nil
        return Notice(
            "Before the first user signs in: the \(names) \(empty.count == 1 ? "is" : "are") still empty. The claim mappings lock with the first sign-in and cannot be set afterwards. If policies are to look at groups or roles, set them up now.\(action)",
            .warn
        ).html
    }

    private var claimsPanel: HTML {
        """
        <section class="panel" aria-labelledby="claims">
        <h2 id="claims">Claim mappings</h2>
        <p>These claims of a token say who the user is, and which groups and roles they have.</p>
        \(forms.claims.alert)
        <div class="columns">
        <div>\(isLocked || !context.canEdit ? claimFacts : claimForm)</div>
        <div>\(context.instructions.claims)</div>
        </div>
        <h3>Audience</h3>
        \(context.canEdit ? audienceForm : "<p>\(audience)</p>" as HTML)
        </section>
        """
    }

    private var claimFacts: HTML {
        func shown(_ claim: String?) -> HTML { claim.map { "<code>\($0)</code>" as HTML } ?? "none" }
        let lock: HTML? = provider.claimsLockedAt.map { time in
            Notice(
                "Locked since \(context.time(time)), when the first user was authenticated. Another claim would make other users of the same people and leave their grants behind, so the mapping stays. To start over, remove the identity provider and add it again."
            ).html
        }
        return """
            \(lock)
            \(Facts([
                (name: "User ID claim", value: shown(provider.claims.userID)),
                (name: "Group claim", value: shown(provider.claims.group)),
                (name: "Role claim", value: shown(provider.claims.role)),
            ]).html)
            """
    }

    private var claimForm: HTML {
        """
        <form method="post" action="\(path)/claims">
        \(context.csrfField)
        \(ClaimFields(
            state: forms.claims, claims: provider.claims,
            emptyHint: "Empty: none. Leave it empty until your tokens carry it.").html)
        <p class="quiet">The mappings can be changed until the first user signs in. Then they lock.</p>
        <p class="actions"><button>Save claims</button></p>
        </form>
        """
    }

    private var audienceForm: HTML {
        """
        <form method="post" action="\(path)/audience">
        \(context.csrfField)
        \(forms.audience.alert)
        \(Field(
            "audience", "Audience", forms.audience,
            hint: "Tokens must be made for this: with Auth0 the identifier of your API, with Okta the audience of the authorization server, with Keycloak the client ID. Left empty, it is not checked. It can be changed at any time.",
            initial: provider.audience ?? "").html)
        <p class="actions"><button class="plain">Save audience</button></p>
        </form>
        """
    }

    // MARK: What follows

    private var consequences: HTML {
        """
        <section class="panel" aria-labelledby="consequences">
        <h2 id="consequences">What happens by itself</h2>
        <p>When a token or a webhook comes in:</p>
        <ul class="steps">
        <li>The user is found by issuer and user ID claim, and created when they are new.</li>
        <li>Groups, roles and profile are brought up to date from what the token says.</li>
        <li>Accounts that the user connects belong to that user, and end with them.</li>
        <li><a href="\(SitePath.portalApp(context.instructions.appID, "policies").path)">Policies</a> that name groups or roles decide which providers the user may use.</li>
        </ul>
        <p>When a user is deprovisioned, by a webhook or on the <a href="\(SitePath.portalApp(context.instructions.appID, "users").path)">Users</a> page, all of this is done before the answer: the user’s status is <code>deprovisioned</code>, every grant is revoked, every stored token is destroyed, and whatever is asked for them later is refused.</p>
        </section>
        """
    }
}

/// The three claims, on the review page and in the claim mappings.
struct ClaimFields: Sendable {
    let state: FormState
    let claims: ClaimMapping
    let emptyHint: HTML

    var html: HTML {
        """
        \(Field(
            "user_id_claim", "User ID claim", state, hint: "Usually sub.", isRequired: true, initial: claims.userID).html)
        \(Field("group_claim", "Group claim", state, hint: emptyHint, initial: claims.group ?? "").html)
        \(Field("role_claim", "Role claim", state, hint: emptyHint, initial: claims.role ?? "").html)
        """
    }
}

/// **User Authentication (OIDC)**: the client by which users sign in, beside the steps at the provider.
struct SignInPanel: Sendable {
    let context: IdentityPageContext
    let provider: IdentityProviderRecord
    let state: FormState

    private var addresses: SignInAddresses { context.instructions.addresses }
    private var isSaved: Bool { provider.signInClientID != nil }

    private var capabilities: IdentityProviderCapabilities? {
        guard let document = try? DiscoveryDocument(.object(provider.document)) else { return nil }
        return IdentityProviderCapabilities(type: provider.type, document: document)
    }

    var html: HTML {
        """
        <div class="columns">
        <section class="panel" aria-labelledby="sign-in">
        <h2 id="sign-in">User Authentication (OIDC)</h2>
        <p>With these credentials users sign in at your identity provider in a browser: for <code>authenticate()</code> of the SDK, and for the Wallet, where they see and end what they connected. Whoever signs in for the first time gets a user of their own.</p>
        \(CopyField(id: "sdk-redirect", label: "SDK redirect URI", value: addresses.sdkCallback).html)
        \(CopyField(id: "wallet-redirect", label: "Wallet redirect URI", value: addresses.walletCallback).html)
        \(CopyField(id: "both-redirects", label: "Both redirect URIs, with a comma", value: context.instructions.bothRedirectURIs).html)
        \(CopyField(id: "wallet-logout", label: "Wallet logout URL", value: addresses.walletLogout).html)
        \(isSaved ? CopyField(id: "wallet-link", label: "Wallet sign-in link for your users", value: context.instructions.walletSignInLink).html : nil)
        \(credentials)
        </section>
        <section class="panel" aria-labelledby="sign-in-steps">
        \(context.instructions.signIn)
        \(logoutNote)
        </section>
        </div>
        """
    }

    private var credentials: HTML {
        guard capabilities?.oidcSignIn ?? false else {
            return Notice(
                "This identity provider does not offer sign-in by authorization code. Tokens that your app gets from it work all the same.",
                .warn
            ).html
        }
        guard context.canEdit else {
            return provider.signInClientID.map { "<p>Client ID: <code>\($0)</code></p>" as HTML }
                ?? "<p class=\"quiet\">No credentials are saved.</p>"
        }
        return form
    }

    private var form: HTML {
        """
        <form method="post" action="\(context.path)/sign-in">
        \(context.csrfField)
        \(state.alert)
        \(Field("client_id", "Client ID", state, isRequired: true, initial: provider.signInClientID ?? "").html)
        \(Field("client_secret", "Client Secret", state, kind: .password, hint: secretHint, isRequired: true).html)
        \(Field(
            "scopes", "Scopes", state, hint: "With blanks between them. Empty: openid profile email.",
            initial: provider.signInScopes.joined(separator: " ")).html)
        <p class="actions"><button>Save Credentials</button></p>
        </form>
        """
    }

    private var secretHint: HTML {
        isSaved
            ? "A secret is saved. It is never shown again: to change anything here, enter it once more."
            : "It is stored encrypted and never shown again."
    }

    private var logoutNote: HTML? {
        guard let capabilities, capabilities.oidcSignIn, !capabilities.rpInitiatedLogout else { return nil }
        return """
            <p class="quiet">This provider names no address for signing out. “Sign out” of the Wallet ends the session here, and the next sign-in asks for the account anew.</p>
            """
    }
}
