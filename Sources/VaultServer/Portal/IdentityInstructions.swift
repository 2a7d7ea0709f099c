import VaultAPI
import VaultDomain

// What an operator does at the identity provider, step by step and with the app's own values. The Identity page shows each
// part beside the fields that it is about.

struct IdentityInstructions: Sendable {
    /// `nil` before there is a provider.
    let type: IdentityProviderType?
    let audience: String?
    let addresses: SignInAddresses
    let publicURL: String
    let appID: String
    let webhookURL: String?

    /// What Auth0's field of that name takes.
    var bothRedirectURIs: String { addresses.redirectURIs.joined(separator: ", ") }

    /// The Wallet's sign-in page of this app.
    var walletSignInLink: String { addresses.walletLogout + "?appId=" + FormText.encode(appID) }

    // MARK: The issuer

    var findingTheIssuer: HTML {
        """
        <section class="panel" aria-labelledby="finding">
        <h2 id="finding">Where to find the issuer URL</h2>
        <p>It is what your provider writes into the <code>iss</code> claim of its tokens. Leave out everything from <code>/.well-known/</code> on.</p>
        <dl class="facts">
        <dt>Auth0</dt><dd><code>https://your-tenant.us.auth0.com</code>: the Domain of your tenant with <code>https://</code> before it, or your custom domain when your users sign in there. Other regions have another middle, like <code>eu</code>.</dd>
        <dt>Clerk</dt><dd><code>https://your-app.clerk.accounts.dev</code> for a development instance, <code>https://clerk.your-domain.com</code> for production on your own domain.</dd>
        <dt>Okta</dt><dd><code>https://your-org.okta.com/oauth2/default</code>: the Issuer URI of the authorization server that makes your tokens.</dd>
        <dt>Keycloak</dt><dd><code>https://your-host/realms/your-realm</code></dd>
        <dt>WorkOS</dt><dd><code>https://api.workos.com/user_management/client_…</code>, with your own client ID at the end.</dd>
        <dt>Any other</dt><dd>The <code>issuer</code> in its OpenID Connect configuration document.</dd>
        </dl>
        </section>
        """
    }

    // MARK: Claims

    /// How group and role claims get into the tokens.
    var claims: HTML {
        switch type {
        case .auth0:
            """
            <p>Auth0 puts neither groups nor roles into its tokens by itself. An Action does: under Actions → Library create one for the trigger <strong>Login / Post Login</strong> with this code, deploy it, and add it to the trigger’s flow.</p>
            \(CopyBlock(id: "action", label: "Code of the Action", text: auth0Action).html)
            <p>Then enter <code>\(groupClaim)</code> as the group claim and <code>\(roleClaim)</code> as the role claim. A claim name that is an address cannot collide with others. Until the Action runs, leave the two fields empty.</p>
            """
        case .clerk:
            """
            <p>A Clerk session token names the organization that is active in the session, as <code>org_id</code>, and the user’s role in it, as <code>org_role</code>. For all organizations of a user, add a claim of your own to the session token under Configure → Sessions, and name it here.</p>
            """
        case .keycloak:
            """
            <p>Add a <strong>Group Membership</strong> mapper with the token claim name <code>groups</code> to your client. Realm roles are in <code>realm_access.roles</code> already: dots lead into nested claims.</p>
            """
        case .okta:
            """
            <p>Add a claim <code>groups</code> to your authorization server: for the access token, value type Groups, with a filter such as the regular expression <code>.*</code>.</p>
            """
        default:
            """
            <p>Usual names are <code>groups</code>, <code>roles</code> and <code>cognito:groups</code>. A name is looked up as it stands; when no claim has it, its dots lead into nested claims, as in <code>realm_access.roles</code>. Whether your provider sends such a claim is set up there.</p>
            """
        }
    }

    private var groupClaim: String { publicURL + "/groups" }
    private var roleClaim: String { publicURL + "/roles" }

    private var auth0Action: String {
        """
        exports.onExecutePostLogin = async (event, api) => {
          // Where you keep groups is up to you: here, in the user's app_metadata.
          const groups = event.user.app_metadata?.groups ?? [];
          const roles = event.authorization?.roles ?? [];
          for (const token of [api.accessToken, api.idToken]) {
            token.setCustomClaim("\(groupClaim)", groups);
            token.setCustomClaim("\(roleClaim)", roles);
          }
        };
        """
    }

    // MARK: The user's token

    /// How the app says which user a call is for.
    var userToken: HTML {
        """
        <section class="panel" aria-labelledby="tokens">
        <h2 id="tokens">Send the user’s token</h2>
        <p>When your backend calls for a user, it sends that user’s JWT of the identity provider along. The first token of somebody new creates the user, with e-mail address, name and groups; every later one keeps them up to date. Nothing else needs to be set up for this.</p>
        \(tokenNote)
        \(CopyBlock(id: "environment", label: "In your backend’s environment", text: environment).html)
        \(CopyBlock(id: "python", label: "In Python, with the package alter-sdk", text: python).html)
        <p>Keys are made on the <a href="\(SitePath.portalApp(appID, "keys").path)">API keys</a> page. A user whose token is refused, suspended or deprovisioned is refused there and then.</p>
        </section>
        """
    }

    private var tokenNote: HTML? {
        switch type {
        case .auth0:
            let wanted: HTML = audience.map { "<code>\($0)</code>" as HTML } ?? "your API’s identifier"
            return """
                <p>With Auth0 that is the access token. Your app has to ask for it with the audience \(wanted): without one Auth0 hands out a token that is no JWT.</p>
                """
        case .clerk:
            return "<p>With Clerk that is the session token, which <code>getToken()</code> of its SDKs returns.</p>"
        default: return nil
        }
    }

    private var environment: String {
        """
        ALTER_BASE_URL=\(publicURL)
        ALTER_API_KEY=alter_rk_…
        """
    }

    /// The SDK reads its server's address from the environment alone.
    private var python: String {
        """
        import os
        from alter_sdk import App

        def current_user_token() -> str:
            # The JWT of whoever is signed in to your app right now.
            ...

        app = App(api_key=os.environ["ALTER_API_KEY"], user_token_getter=current_user_token)

        async def repositories():
            answer = await app.request("GET", "https://api.github.com/user/repos", provider="github")
            return answer.json()
        """
    }

    // MARK: Sign-in

    var signIn: HTML {
        switch type {
        case .auth0: auth0SignIn
        case .clerk: clerkSignIn
        default: genericSignIn
        }
    }

    private var auth0SignIn: HTML {
        """
        <h2 id="sign-in-steps">Sign-in at Auth0</h2>
        <ol class="steps">
        <li>In the Auth0 Dashboard open Applications → Applications and press <strong>Create Application</strong>.</li>
        <li>Choose <strong>Regular Web Application</strong>. A single-page application will not do: users come back to this server, which keeps a secret.</li>
        <li>On its <strong>Settings</strong> tab, paste both redirect URIs into <strong>Allowed Callback URLs</strong>. A comma is between them.
        \(CopyField(id: "auth0-callbacks", label: "Allowed Callback URLs", value: bothRedirectURIs).html)</li>
        <li>On the same tab, paste the Wallet logout URL into <strong>Allowed Logout URLs</strong>, bare as it is here.
        \(CopyField(id: "auth0-logout", label: "Allowed Logout URLs", value: addresses.walletLogout).html)
        Auth0 compares the whole address, so that one with <code>?appId=…</code> after it would be refused. Which app a user left travels in the <code>state</code> parameter: one address serves every app. Without it nobody gets from “Sign out” back to the sign-in page, and so nobody can change accounts.</li>
        <li>Save the changes there.</li>
        <li>Copy the <strong>Client ID</strong> and the <strong>Client Secret</strong> of the same tab into the fields here, and press <strong>Save Credentials</strong>.</li>
        </ol>
        """
    }

    private var clerkSignIn: HTML {
        """
        <h2 id="sign-in-steps">Sign-in at Clerk</h2>
        <ol class="steps">
        <li>In the Clerk Dashboard open Configure → <strong>OAuth Applications</strong>. This needs a production instance.</li>
        <li>Create an OAuth application, and add both redirect URIs as allowed callbacks.
        \(CopyField(id: "clerk-callback-1", label: "First allowed callback", value: addresses.sdkCallback).html)
        \(CopyField(id: "clerk-callback-2", label: "Second allowed callback", value: addresses.walletCallback).html)</li>
        <li>Copy its <strong>Client ID</strong> and <strong>Client Secret</strong> into the fields here, and press <strong>Save Credentials</strong>.</li>
        </ol>
        """
    }

    private var genericSignIn: HTML {
        """
        <h2 id="sign-in-steps">Sign-in at your identity provider</h2>
        <ol class="steps">
        <li>Register a web application that keeps a secret (a confidential client) and uses the authorization code flow.</li>
        <li>Allow both redirect URIs, each exactly as it is here.
        \(CopyField(id: "oidc-callback-1", label: "First redirect URI to allow", value: addresses.sdkCallback).html)
        \(CopyField(id: "oidc-callback-2", label: "Second redirect URI to allow", value: addresses.walletCallback).html)</li>
        <li>Where it asks for addresses after sign-out, allow the Wallet logout URL, with nothing after it.
        \(CopyField(id: "oidc-logout", label: "Post-logout redirect URI to allow", value: addresses.walletLogout).html)</li>
        <li>Let the application use the scopes <code>openid</code>, <code>profile</code> and <code>email</code>, and let your users in.</li>
        <li>Copy its client ID and client secret into the fields here, and press <strong>Save Credentials</strong>.\(secretNote)</li>
        </ol>
        """
    }

    private var secretNote: HTML? {
        type == .workos ? " With WorkOS the client secret is your API key." : nil
    }

    // MARK: Webhooks

    var webhooks: HTML? {
        switch type {
        case .auth0: auth0Webhooks
        case .clerk: clerkWebhooks
        default: nil
        }
    }

    private var auth0Webhooks: HTML {
        """
        <h2 id="webhook-steps">Webhooks at Auth0</h2>
        <ol class="steps">
        <li>Press <strong>Enable Webhooks</strong> here. The signing secret is shown this once: leave that page open until the stream is saved.</li>
        <li>In the Auth0 Dashboard open Monitoring → Streams and create a <strong>Custom Webhook</strong> log stream.</li>
        <li>Paste the webhook URL as its <strong>Payload URL</strong>.
        \(CopyField(id: "auth0-payload", label: "Payload URL", value: webhookURL ?? "").html)</li>
        <li>Paste the signing secret into <strong>Authorization Token</strong>.</li>
        <li>Filter the stream to the events of users that administrators delete (<code>sdu</code>), block (<code>ublkdu</code>) and unblock (<code>ubuu</code>). Where your tenant reports a block as a call of its Management API, let <code>sapi</code> through as well. Logins (<code>sul</code>) and rate limits (<code>limit_sul</code>) say nothing about who may still come in, and would be ignored.</li>
        <li>Save the log stream. Delete or block a test user, and see it arrive below.</li>
        </ol>
        """
    }

    private var clerkWebhooks: HTML {
        """
        <h2 id="webhook-steps">Webhooks at Clerk</h2>
        <p>Clerk makes the secret itself, so that its endpoint comes first.</p>
        <ol class="steps">
        <li>In the Clerk Dashboard open <strong>Webhooks</strong>, press <strong>Add Endpoint</strong> and paste the webhook URL.
        \(CopyField(id: "clerk-endpoint", label: "Endpoint URL", value: webhookURL ?? "").html)</li>
        <li>Subscribe the endpoint to <code>user.updated</code>, <code>user.deleted</code> and <code>organizationMembership.deleted</code>.</li>
        <li>Clerk then shows the endpoint’s <strong>Signing Secret</strong>, which begins with <code>whsec_</code>. Copy it.</li>
        <li>Open <strong>Enable Webhooks</strong> here, paste the secret, and press <strong>Save Secret</strong>.</li>
        </ol>
        <p>A secret that got lost can be copied from Clerk’s dashboard again.</p>
        """
    }
}
