import ServiceLifecycle
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Signing end users in at the app's identity provider, in a browser (behaviour contract, “Browser sign-in”): authorization
// code with PKCE, state and nonce (OpenID Connect Core 1.0 §3.1, RFC 7636), the issuer of the answer checked (RFC 9207).
// The app opens a session and polls it; what happens in between is rows.

package struct SignInSettings: Sendable {
    package let clientID: String
    package let clientSecret: Secret
    package let scopes: [String]

    package init(clientID: String, clientSecret: Secret, scopes: [String]) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.scopes = scopes
    }

    package static let defaultScopes = ["openid", "profile", "email"]
}

package struct OpenedSignIn: Sendable {
    /// For polling; the app keeps it.
    package let sessionToken: String
    /// For the browser.
    package let authURL: String
    package let expiresAt: Instant
}

package enum SignInPoll: Sendable {
    case pending
    case completed(userToken: Secret, subject: String, email: String?, name: String?)
    case failed(code: String, message: String)
    case expired
}

/// How a visit to the identity provider ended, for the person at the browser.
package enum SignInOutcome: Sendable {
    /// With the value of the session cookie, where a session of ours began (the Wallet).
    case signedIn(wallet: Secret?)
    /// It was for Connect, whose page says how it ended.
    case connect(reference: String)
    case failed(message: String, appID: AppID)
}

extension Vault {
    private static let pagePurpose = "sign-in-page"
    private static let tokenPurpose = "sign-in-token"
    private static let clientSecretPurpose = "identity_provider.sign_in_secret"
    private static let userTokenPurpose = "sign_in.user_token"

    // MARK: For operators

    package func setSignIn(_ caller: OperatorCaller, appID: String, _ settings: SignInSettings) async throws
        -> IdentityProviderRecord
    {
        let app = try app(caller, appID, toWrite: true)
        let provider = try activeIdentityProvider(app)
        guard let document = try? DiscoveryDocument(.object(provider.document)),
            IdentityProviderCapabilities(type: provider.type, document: document).oidcSignIn
        else {
            throw VaultError(
                .signInNotSupported, "The identity provider does not offer sign-in by authorization code.")
        }
        let version = provider.signInVersion + 1
        let sealed = try sealForApp(
            app, settings.clientSecret, purpose: Self.clientSecretPurpose, record: provider.id.text, version: version)
        let scopes = settings.scopes.contains("openid") ? settings.scopes : ["openid"] + settings.scopes
        try await record(caller, "identity_provider.sign_in_saved", app: app) {
            try $0.setSignIn(
                provider.id, clientID: settings.clientID, clientSecret: sealed, version: version, scopes: scopes)
        }
        return try activeIdentityProvider(app)
    }

    // MARK: For apps

    package func openSignIn(_ caller: AppCaller) async throws -> OpenedSignIn {
        let provider = try activeIdentityProvider(for: caller)
        guard provider.signInClientID != nil else {
            throw VaultError(
                .signInNotConfigured, "The app's identity provider has no sign-in client.",
                hint: "Save Client ID and Client Secret on the app's Identity page.",
                details: ["reason": "missing_client_id"])
        }
        let time = now()
        let session = SignInSessionRecord(
            id: SignInSessionID(), appID: caller.appID, identityProviderID: provider.id, purpose: .sdk, createdAt: time,
            expiresAt: time.adding(seconds: Limits.signInSessionSeconds))
        let auditKey = auditKey
        let entry = caller.entry("sign_in.opened", .none, at: time)
        try await write(in: .app(caller.appID)) { transaction in
            try transaction.insertSignInSession(session)
            try transaction.appendAudit(entry, key: auditKey)
        }
        return OpenedSignIn(
            sessionToken: reference(Self.tokenPurpose, session.id.text),
            authURL: configuration.address(SitePath.signIn(reference(Self.pagePurpose, session.id.text)).path),
            expiresAt: session.expiresAt)
    }

    /// The state of a session; holds the answer back while nothing has happened, at most so long. No thread waits.
    package func pollSignIn(_ caller: AppCaller, token: String, waitMilliseconds: Int64) async throws -> SignInPoll {
        let deadline = ContinuousClock.now + .milliseconds(waitMilliseconds)
        while true {
            let state = try signInState(caller, token: token)
            guard case .pending = state, ContinuousClock.now < deadline, !Task.isShuttingDownGracefully else {
                return state
            }
            try await Task.sleep(for: min(Limits.signInPollPause, deadline - ContinuousClock.now))
        }
    }

    private func signInState(_ caller: AppCaller, token: String) throws -> SignInPoll {
        let time = now()
        guard let text = referencedID(Self.tokenPurpose, token), let id = SignInSessionID(text),
            let session = try read({ try $0.signInSession(id) }), session.appID == caller.appID,
            session.expiresAt > time
        else { return .expired }
        switch session.status {
        case .open: return .pending
        case .error:
            return .failed(
                code: session.errorCode ?? "sign_in_failed", message: session.errorMessage ?? "The sign-in failed.")
        case .completed:
            let found = try read { transaction in
                (
                    app: try transaction.app(session.appID),
                    user: try session.userID.flatMap { try transaction.user($0, appID: session.appID)?.user }
                )
            }
            guard let app = found.app, let user = found.user, let sealed = session.userToken else { return .expired }
            return .completed(
                userToken: try openForApp(
                    app, sealed, purpose: Self.userTokenPurpose, record: session.id.text, version: 0),
                subject: user.subject, email: user.email, name: user.displayName)
        }
    }

    // MARK: In the browser

    /// To the provider, without a click: notes the attempt, bound to this browser.
    package func startSignIn(reference: String, browserKey: String) async throws -> String {
        let time = now()
        let found = try read { transaction -> (session: SignInSessionRecord, provider: IdentityProviderRecord)? in
            guard let text = referencedID(Self.pagePurpose, reference), let id = SignInSessionID(text),
                let session = try transaction.signInSession(id), session.status == .open, session.expiresAt > time,
                let provider = try transaction.identityProvider(appID: session.appID),
                provider.id == session.identityProviderID, try transaction.app(session.appID)?.archivedAt == nil
            else { return nil }
            return (session, provider)
        }
        guard let found else { throw Self.noSignInSession }
        return try await beginSignIn(found.session, isNew: false, provider: found.provider, browserKey: browserKey)
    }

    /// Notes a visit to the provider that begins in this browser; answers where it leads.
    func beginSignIn(
        _ session: SignInSessionRecord, isNew: Bool, provider: IdentityProviderRecord, browserKey: String,
        parameters: [(String, String)] = []
    ) async throws -> String {
        let time = now()
        let state = RandomBytes.token()
        let address = try authorizationAddress(
            relyingParty(provider, session.purpose), state: state, parameters: parameters)
        let (stateDigest, browserDigest) = (digestKey.digest("state:" + state), browserDigest(browserKey))
        try await write { transaction in
            if isNew { try transaction.insertSignInSession(session) }
            try transaction.insertSignInAttempt(
                stateDigest: stateDigest, sessionID: session.id, browserDigest: browserDigest, now: time,
                expiresAt: session.expiresAt)
        }
        return address
    }

    private func relyingParty(_ provider: IdentityProviderRecord, _ purpose: SignInPurpose) -> RelyingParty {
        RelyingParty(
            issuer: provider.tokenIssuer, clientID: provider.signInClientID ?? "", redirectURI: redirectURI(purpose),
            scopes: provider.signInScopes)
    }

    private static var noSignInSession: VaultError {
        VaultError(.notFound, "This sign-in link is not valid any more. Start again from the app.")
    }

    private func redirectURI(_ purpose: SignInPurpose) -> String {
        switch purpose {
        case .sdk: configuration.address(SitePath.sdkSignInCallback.path)
        // One address for both: more would have to be registered at every identity provider.
        case .wallet, .connect: configuration.address(SitePath.walletSignInCallback.path)
        }
    }

    package struct SignInCallback: Sendable {
        package var state: String?
        package var code: String?
        package var error: String?
        package var issuer: String?
        package var browserKey: String?

        package init(state: String?, code: String?, error: String?, issuer: String?, browserKey: String?) {
            self.state = state
            self.code = code
            self.error = error
            self.issuer = issuer
            self.browserKey = browserKey
        }
    }

    /// Back from the provider. Throws for a state that is unknown, was used, or belongs to another browser; everything else
    /// ends the session, and the app hears of it by its poll.
    package func finishSignIn(_ callback: SignInCallback, purpose: SignInPurpose, origin: RequestOrigin) async throws
        -> SignInOutcome
    {
        guard let state = callback.state, let browserKey = callback.browserKey else { throw Self.invalidCallback }
        let (stateDigest, browserDigest) = (digestKey.digest("state:" + state), browserDigest(browserKey))
        let time = now()
        let found = try await write { transaction -> (SignInSessionRecord, IdentityProviderRecord, AppRecord)? in
            guard
                let session = try transaction.takeSignInAttempt(
                    stateDigest: stateDigest, browserDigest: browserDigest, now: time),
                self.redirectURI(session.purpose) == self.redirectURI(purpose), session.status == .open,
                session.expiresAt > time,
                let app = try transaction.app(session.appID), app.archivedAt == nil,
                let provider = try transaction.identityProvider(appID: session.appID),
                provider.id == session.identityProviderID
            else { return nil }
            return (session, provider, app)
        }
        guard let (session, provider, app) = found else { throw Self.invalidCallback }
        do {
            let code = try Self.code(of: callback, from: provider.tokenIssuer)
            let idToken = try await redeem(code, session, state: state, provider: provider, app: app)
            let record = try await signedInUser(idToken, session, state: state, provider: provider, origin: origin)
            let wallet = try await complete(
                session, user: record, idToken: idToken, provider: provider, app: app, origin: origin)
            return connectOutcome(session) ?? .signedIn(wallet: wallet)
        } catch let failure as SignInFailure {
            try await fail(session, failure, origin: origin)
            return connectOutcome(session) ?? .failed(message: failure.message, appID: app.id)
        } catch let error as VaultError where error.code != .internalError {
            let failure = SignInFailure(code: error.code.rawValue, message: error.message)
            try await fail(session, failure, origin: origin)
            return connectOutcome(session) ?? .failed(message: failure.message, appID: app.id)
        }
    }

    private func redeem(
        _ code: String, _ session: SignInSessionRecord, state: String, provider: IdentityProviderRecord, app: AppRecord
    ) async throws -> Secret {
        guard let sealed = provider.signInClientSecret, provider.signInClientID != nil else {
            throw SignInFailure(code: "sign_in_not_configured", message: "The sign-in is not set up any more.")
        }
        let secret = try openForApp(
            app, sealed, purpose: Self.clientSecretPurpose, record: provider.id.text, version: provider.signInVersion)
        return try await redeem(code, at: relyingParty(provider, session.purpose), secret: secret, state: state)
    }

    /// The user of the ID token, with the sync that every token of the user causes.
    private func signedInUser(
        _ idToken: Secret, _ session: SignInSessionRecord, state: String, provider: IdentityProviderRecord,
        origin: RequestOrigin
    ) async throws -> UserRecord {
        let (_, claims) = try await verifiedIDToken(idToken, for: relyingParty(provider, session.purpose), state: state)
        let record = try await sync(claims, provider: provider, by: .browser, origin: origin)
        switch record.user.status {
        case .active: return record
        case .suspended: throw VaultError.userSuspended
        case .deprovisioned: throw VaultError.userDeprovisioned
        }
    }

    /// Hands the ID token to the app that polls, or opens a session of the Wallet, which needs no token any more.
    private func complete(
        _ session: SignInSessionRecord, user: UserRecord, idToken: Secret, provider: IdentityProviderRecord,
        app: AppRecord, origin: RequestOrigin
    ) async throws -> Secret? {
        var ended = session
        ended.status = .completed
        ended.userID = user.user.id
        if session.purpose == .sdk {
            ended.userToken = try sealForApp(
                app, idToken, purpose: Self.userTokenPurpose, record: session.id.text, version: 0)
        }
        let completed = ended
        let entry = AuditEntry(
            event: "sign_in.completed", decision: .allow, principal: .browser, occurredAt: now(),
            requestID: origin.requestID, appID: app.id, userID: user.user.id, peer: origin.peer?.description,
            details: ["purpose": .string(session.purpose.rawValue)])
        let auditKey = auditKey
        return try await write { transaction in
            // Ended between the sync and now: nothing is handed out.
            guard let current = try transaction.user(user.user.id, appID: app.id), current.user.status == .active else {
                throw VaultError.userDeprovisioned
            }
            guard try transaction.endSignInSession(completed) else { throw Self.invalidCallback }
            try transaction.appendAudit(entry, key: auditKey)
            guard session.purpose == .wallet else { return nil }
            return try self.openWalletSession(current, provider: provider, in: transaction)
        }
    }

    private func fail(_ session: SignInSessionRecord, _ failure: SignInFailure, origin: RequestOrigin) async throws {
        var ended = session
        ended.status = .error
        ended.errorCode = failure.code
        ended.errorMessage = failure.message
        let failed = ended
        let entry = AuditEntry(
            event: "sign_in.failed", decision: .deny, principal: .browser, occurredAt: now(),
            requestID: origin.requestID, appID: session.appID, peer: origin.peer?.description,
            details: ["error": .string(failure.code)])
        let auditKey = auditKey
        try await write { transaction in
            guard try transaction.endSignInSession(failed) else { return }
            try transaction.appendAudit(entry, key: auditKey)
        }
    }
}
