import VaultAPI
import VaultService
import VaultStore

/// Where the first operator makes their account.
struct SetupPage: Sendable {
    let csrfToken: String
    let path: String
    let state: FormState

    var layout: PageLayout {
        PageLayout(
            title: "Set up",
            body: """
                <h1>Welcome to Sallyport</h1>
                <p>Nobody runs this vault yet. Make the first operator account: it can do everything, and invite others.</p>
                \(state.alert)
                <form method="post" action="\(path)">
                \(CSRFField(csrfToken).html)
                \(Field("email", "E-mail address", state, kind: .email, isRequired: true, autocomplete: "username").html)
                \(NewPassword(state: state).html)
                <p class="actions"><button>Create the account</button></p>
                </form>
                """)
    }
}

/// A new password, typed twice.
struct NewPassword: Sendable {
    let state: FormState

    var html: HTML {
        """
        \(Field(
            "password", "Password", state, kind: .password,
            hint: "At least 12 characters. A few words are easier to keep than signs.", isRequired: true,
            autocomplete: "new-password").html)
        \(Field("password_again", "Password again", state, kind: .password, isRequired: true, autocomplete: "new-password").html)
        """
    }
}

struct PortalSignInPage: Sendable {
    let csrfToken: String
    let target: String
    let state: FormState
    /// The host of the installation's own identity provider.
    var providerHost: String?

    var layout: PageLayout {
        PageLayout(
            title: "Sign in",
            body: """
                <p class="eyebrow">Developer Portal</p>
                <h1>Sign in</h1>
                \(state.alert)
                \(providerHost.map(provider))
                <form method="post" action="\(SitePath.portalSignIn.path)">
                \(CSRFField(csrfToken).html)
                <input type="hidden" name="to" value="\(target)">
                \(Field("email", "E-mail address", state, kind: .email, isRequired: true, autocomplete: "username").html)
                \(Field("password", "Password", state, kind: .password, isRequired: true, autocomplete: "current-password").html)
                <p class="actions"><button>Sign in</button></p>
                </form>
                """)
    }

    private func provider(_ host: String) -> HTML {
        """
        <p class="actions"><a class="button" href="\(SitePath.portalSignInStart.path)">Sign in with \(host)</a></p>
        <p class="quiet">Or with a password:</p>
        """
    }
}

struct InvitationPage: Sendable {
    let invitation: InvitationView
    let csrfToken: String
    let path: String
    let signedInAs: String?
    let state: FormState
    /// Where the installation's identity provider takes over, and what it is called.
    var provider: (path: String, host: String)?

    var layout: PageLayout {
        PageLayout(
            title: "Invitation",
            body: """
                <p class="eyebrow">\(invitation.organizationName)</p>
                <h1>You are invited</h1>
                <p><strong>\(invitation.email)</strong> is invited to <strong>\(invitation.organizationName)</strong> as \
                \(invitation.role.words).</p>
                \(state.alert)
                \(way)
                """)
    }

    private var way: HTML {
        if let signedInAs {
            guard signedInAs == invitation.email else {
                return
                    "<p>You are signed in as <strong>\(signedInAs)</strong>. Sign out first, and open this link again.</p>"
            }
            return accept("")
        }
        guard !invitation.isAccountKnown else {
            return """
                \(providerLink)
                <p>There is an account with this address. Sign in, and open this link again.</p>
                <p class="actions"><a class="button" href="\(SitePath.portalSignIn.path)">Sign in</a></p>
                """
        }
        return "\(providerLink)\(accept(NewPassword(state: state).html))"
    }

    private var providerLink: HTML? {
        provider.map {
            """
            <p class="actions"><a class="button" href="\($0.path)">Sign in with \($0.host)</a></p>
            <p class="quiet">Or with a password:</p>
            """
        }
    }

    private func accept(_ fields: HTML) -> HTML {
        """
        <form method="post" action="\(path)">
        \(CSRFField(csrfToken).html)
        \(fields)
        <p class="actions"><button>Accept the invitation</button></p>
        </form>
        """
    }
}

extension MembershipRole {
    var title: String {
        switch self {
        case .admin: "Admin"
        case .member: "Member"
        case .readOnly: "Read-only"
        }
    }

    var words: String {
        switch self {
        case .admin: "an admin"
        case .member: "a member"
        case .readOnly: "a read-only member"
        }
    }
}
