import VaultAPI
import VaultDomain
import VaultStore

// What the hosted Connect page shows, read anew for each answer.

/// What a browser brings: nothing of it says by itself who sits there.
package struct ConnectBrowser: Sendable {
    /// The value by which a browser is known again.
    package let key: String?
    /// The value of its Wallet session.
    package let walletCookie: String?

    package init(key: String?, walletCookie: String?) {
        self.key = key
        self.walletCookie = walletCookie
    }
}

package enum ConnectStep: Sendable {
    /// To a provider.
    case redirect(String)
    /// Nowhere: the page shows how the session stands.
    case page
}

package struct ConnectView: Sendable {
    package struct Scope: Sendable {
        package let name: String
        /// What it allows, where the catalog knows.
        package let words: String?
    }

    package struct Choice: Sendable {
        package enum State: Sendable { case open, connected, declined, failed }

        package let providerID: String
        package let displayName: String
        package let scopes: [Scope]
        package let state: State
        /// Why it failed.
        package let failureCode: String?
    }

    /// Who sits at the browser, as far as it matters here.
    package enum Identity: Sendable {
        /// The right person, or one who is only asked to say so: the session is for the app itself, or its users cannot sign in.
        case settled(isSignedIn: Bool)
        /// Nobody is signed in. `problem`: why the last try did not work out.
        case unknown(host: String, problem: String?)
        case other(name: String, host: String)

        package var isSettled: Bool { if case .settled = self { true } else { false } }
    }

    package let reference: String
    package let appID: AppID
    package let appName: String
    /// The person the session was opened for; `nil` when it is for the app itself.
    package let personName: String?
    package let identity: Identity
    /// Whether users of the app can sign in to the Wallet.
    package let hasWallet: Bool
    package let choices: [Choice]
    package let status: ConnectStatus
    package let errorCode: String?
    package let message: String?
    package let returnURL: String?
    /// The origin that may be told by a message.
    package let allowedOrigin: String?
    /// How the session ended, for the page of the app. Holds no secret.
    package let outcome: JSON?
}

extension Vault {
    package func connectView(reference: String, browser: ConnectBrowser) throws -> ConnectView {
        try read { transaction in
            let (session, app) = try openSession(reference, in: transaction)
            let person = try session.userID.flatMap { try transaction.user($0, appID: session.appID)?.user }
            let identity = try identity(of: browser, for: session, in: transaction)
            let providers = try session.allowedProviders.compactMap { name in
                try configuredProvider(name, appID: session.appID, in: transaction)
            }
            return ConnectView(
                reference: reference, appID: app.id, appName: app.name, personName: person.map(Self.personName),
                identity: identity,
                hasWallet: try transaction.identityProvider(appID: app.id)?.signInClientID != nil,
                choices: providers.map { Self.choice($0, session: session) }, status: session.status,
                errorCode: session.errorCode, message: session.errorMessage, returnURL: session.returnURL,
                allowedOrigin: session.allowedOrigin,
                outcome: Self.outcome(of: session, providers: providers, identity: identity))
        }
    }

    /// The page of a session that is named by its token, as the script on the app's page knows it. The token leads only here,
    /// and stands in no other address.
    package func connectPagePath(sessionToken: String) -> String? {
        guard let id = referencedID(Self.connectTokenPurpose, sessionToken) else { return nil }
        return SitePath.connectPage(reference(Self.connectPagePurpose, id)).path
    }

    static func personName(_ user: User) -> String { user.email ?? user.displayName ?? user.externalSubjectID }

    private static func choice(_ provider: ConfiguredProvider, session: ConnectSessionRecord) -> ConnectView.Choice {
        let name = provider.record.providerID
        let known = provider.template.scopes
        return ConnectView.Choice(
            providerID: name, displayName: provider.template.displayName,
            scopes: scopes(for: session, provider: provider).map { scope in
                let words = known.first { $0.name == scope }?.description
                return ConnectView.Scope(name: scope, words: words == scope || words == "" ? nil : words)
            }, state: state(of: name, in: session),
            failureCode: session.failures.first { $0["provider_id"]?.string == name }?["reason"]?.string)
    }

    /// Nothing about an account for a browser that is not known to be its person's.
    private static func outcome(
        of session: ConnectSessionRecord, providers: [ConfiguredProvider], identity: ConnectView.Identity
    ) -> JSON? {
        var object: JSONObject = ["type": "sallyport.connect", "status": .string(session.status.rawValue)]
        switch session.status {
        case .open: return nil
        case .error:
            object["error"] = [
                "code": .string(session.errorCode ?? "connect_failed"),
                "message": .string(session.errorMessage ?? "The connection failed."),
            ]
        case .completed:
            guard identity.isSettled else { return nil }
            object["grants"] = .array(session.results.map { told($0, providers: providers) })
        }
        return .object(object)
    }

    private static func told(_ result: JSON, providers: [ConfiguredProvider]) -> JSON {
        let name = result["provider_id"]?.string ?? ""
        let provider = providers.first { $0.record.providerID == name }
        var object: JSONObject = [
            "provider": .string(name), "provider_name": .string(provider?.template.displayName ?? name),
            "status": "active",
        ]
        for member in ["grant_id", "account_identifier", "operation", "scopes"] {
            object[member] = result[member] ?? .null
        }
        object["timestamp"] = result[connectedAt] ?? .null
        return .object(object)
    }
}
