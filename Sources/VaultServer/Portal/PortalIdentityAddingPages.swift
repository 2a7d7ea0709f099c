import VaultAPI
import VaultDomain
import VaultService
import VaultStore
import VaultUpstream

// The way to an identity provider, and away from it: the issuer, the review of what was found there, the removal.

struct AddIdentityProviderPage: Sendable {
    let context: IdentityPageContext
    let issuer: FormState

    var html: HTML {
        """
        <div class="page-head"><h1>Identity</h1></div>
        \(context.canEdit ? adding : empty)
        """
    }

    private var empty: HTML {
        EmptyState(
            title: "No identity provider",
            text:
                "This app has no identity provider, so it cannot tell its users apart. Members and admins of the organization can add one."
        ).html
    }

    private var adding: HTML {
        """
        <div class="columns">
        <section class="panel" aria-labelledby="add">
        <h2 id="add">Add Identity Provider</h2>
        <p>Your users have their accounts at an identity provider: Auth0, Clerk, or any other that speaks OpenID Connect. Once this app knows it, every call can be made for one user, and whoever is gone there loses their access here.</p>
        <form method="post" action="\(context.path)/discover">
        \(context.csrfField)
        \(issuer.alert)
        \(Field(
            "issuer_url", "Issuer URL", issuer, kind: .url, hint: "An address that begins with https://", isRequired: true,
            placeholder: "https://your-tenant.us.auth0.com").html)
        <p class="actions"><button>Discover</button></p>
        </form>
        <p class="quiet">Discover only looks: it reads what the provider publishes about itself and shows it for review. Nothing is saved before you press Add Provider.</p>
        <p class="quiet">Auth0 and Clerk are recognised from the issuer, also on a domain of your own, and get the claim mappings that fit; so are some others. Whatever is not recognised is a custom OpenID Connect provider: the claim <code>sub</code> names its users.</p>
        <p class="quiet">An app has one identity provider at a time.</p>
        </section>
        \(context.instructions.findingTheIssuer)
        </div>
        """
    }
}

/// What discovery found, to be reviewed before it is added.
struct IdentityReviewPage: Sendable {
    let context: IdentityPageContext
    let found: DiscoveredProvider
    let state: FormState

    private static let types = IdentityProviderType.allCases.map { (value: $0.rawValue, label: $0.title) }

    var html: HTML {
        """
        <div class="page-head"><h1>Review the identity provider</h1></div>
        <div class="columns">
        <section class="panel" aria-labelledby="found">
        <h2 id="found">Found: \(found.type.title)</h2>
        \(facts.html)
        <h3>What it can do</h3>
        <ul class="checklist">
        \(abilities)
        </ul>
        </section>
        <section class="panel" aria-labelledby="review">
        <h2 id="review">Add it to this app</h2>
        \(form)
        </section>
        </div>
        """
    }

    private var facts: Facts {
        func address(_ text: String) -> HTML { "<code>\(text)</code>" }
        return Facts([
            (name: "Issuer", value: address(found.document.issuer)),
            (name: "Authorization endpoint", value: address(found.document.authorizationEndpoint)),
            (name: "Token endpoint", value: address(found.document.tokenEndpoint)),
            (name: "Key set", value: address(found.document.jwksURI)),
            (name: "Sign-out endpoint", value: found.document.endSessionEndpoint.map(address) ?? "none is named"),
        ])
    }

    private var abilities: [HTML] {
        func ability(_ isThere: Bool, _ yes: HTML, _ no: HTML) -> HTML {
            """
            <li\(isThere ? doneClass : nil)><span class="tick" aria-hidden="true">\(isThere ? "✓" : "–")</span><span>\(isThere ? yes : no)</span></li>
            """
        }
        let can = found.capabilities
        return [
            ability(
                can.jwtSync, "JWT sync: users, groups and profiles follow from the tokens that your app sends.",
                "No JWT sync."),
            ability(
                can.oidcSignIn, "Sign-in: users can sign in with a browser, for the SDK and for the Wallet.",
                "No sign-in: it does not offer the authorization code flow."),
            ability(
                can.webhooks, "Webhooks: it tells at once when a user is deleted or blocked.",
                "No webhooks that are understood here: users end on the Users page, or by the Management API."),
            ability(
                can.rpInitiatedLogout, "Sign-out: leaving the Wallet signs out at the provider as well.",
                "No sign-out at the provider: leaving the Wallet ends the session here alone."),
        ]
    }

    private var doneClass: HTML { " class=\"is-done\"" }

    private var form: HTML {
        """
        <form method="post" action="\(context.path)">
        \(context.csrfField)
        <input type="hidden" name="issuer_url" value="\(found.document.issuer)">
        \(state.alert)
        \(Field(
            "idp_type", "Type", state, kind: .select(Self.types),
            hint: "Change it only when it was recognised wrongly. Webhooks depend on it, and it stays as long as the provider does.",
            initial: found.type.rawValue).html)
        \(Field(
            "audience", "Audience", state,
            hint: "Paste the identifier of your API for Auth0, the audience of the authorization server for Okta, the client ID for Keycloak. It can be set later as well.").html)
        \(Notice("With an empty audience any audience passes: every token of this issuer is accepted, also one that was made for another application.", .warn).html)
        \(ClaimFields(state: state, claims: found.suggestedClaims, emptyHint: claimHint).html)
        <p class="quiet">Claim mappings lock when the first user signs in.</p>
        \(typeTable)
        <p class="actions"><button>Add Provider</button> <a class="button plain" href="\(context.path)">Back</a></p>
        </form>
        """
    }

    private var claimHint: HTML {
        found.type == .auth0
            ? "Auth0 sends none unless a custom Action adds it. Leave this empty until then, and set it before any user signs in."
            : "Empty: none. If your provider does not send it yet, set it before any user signs in."
    }

    private var typeTable: HTML {
        let rows = IdentityProviderType.allCases.map { type -> [HTML] in
            let claims = type.suggestedClaims
            return ["\(type.title)", "\(claims.userID)", "\(claims.group ?? "none")", "\(claims.role ?? "none")"]
        }
        let table = DataTable(
            label: "Usual claims", columns: [.init("Type"), .init("User ID"), .init("Group"), .init("Role")], rows: rows
        )
        return """
            <details>
            <summary>The usual claims of each type</summary>
            \(table.html)
            </details>
            """
    }
}

/// Asks before an app loses its identity provider.
struct IdentityRemovalPage: Sendable {
    let context: IdentityPageContext
    let provider: IdentityProviderRecord

    var html: HTML {
        """
        <div class="page-head"><h1>Remove the identity provider?</h1></div>
        <section class="panel" aria-labelledby="removal">
        <h2 id="removal">\(provider.type.title) at \(provider.issuer)</h2>
        \(Notice("The grants of its users stop working at once. Calls for them are refused, sessions of the Wallet and open sign-ins end, and its webhook address answers nobody any more.", .warn).html)
        <p>Users and grants stay on record, but nothing is resolved through them. Grants that belong to the app itself go on.</p>
        <p>Another provider starts with users of its own. When this same issuer is added again, its users come back with their grants; claim mappings, sign-in and webhooks have to be set up anew.</p>
        \(context.canEdit ? confirmation : nil)
        </section>
        """
    }

    private var confirmation: HTML {
        """
        <form method="post" action="\(context.path)/remove">
        \(context.csrfField)
        <p class="actions"><button class="danger">Remove identity provider</button> <a class="button plain" href="\(context.path)">Keep it</a></p>
        </form>
        """
    }
}
