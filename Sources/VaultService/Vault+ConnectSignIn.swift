import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Who sits at the browser that connects (behaviour contract, “Connect”). Where the users of an app can sign in, consent is
// attached only in a browser that is known to be the session's person: by a sign-in for this very session, or by a session
// of the Wallet.

extension Vault {
    func identity(
        of browser: ConnectBrowser, for session: ConnectSessionRecord, in transaction: Transaction
    ) throws -> ConnectView.Identity {
        guard let userID = session.userID, let provider = try transaction.identityProvider(appID: session.appID),
            provider.signInClientID != nil
        else {
            // Where nobody can sign in, what was connected is told to the browser in which it was.
            let isThatBrowser =
                session.status != .completed
                || session.browserDigest.map { digest in
                    browser.key.map { ConstantTime.areEqual(browserDigest($0), digest) } ?? false
                } ?? false
            return isThatBrowser ? .settled(isSignedIn: false) : .unknown(host: "", problem: nil)
        }
        let host = (try? WebAddress(provider.issuer))?.host ?? provider.issuer
        let last = try browser.key.flatMap {
            try transaction.connectSignIn(session.id, browserDigest: browserDigest($0), now: now())
        }
        // What the person did for this session counts before a session of the Wallet, which may be somebody else's of yesterday.
        var known = last?.status == .completed ? last?.userID : nil
        if known == nil, let cookie = browser.walletCookie,
            let wallet = try walletUser(digest: walletDigest(cookie), in: transaction), wallet.app.id == session.appID
        {
            known = wallet.user.id
        }
        guard let known, let person = try transaction.user(known, appID: session.appID)?.user, person.status == .active
        else { return .unknown(host: host, problem: last?.errorMessage) }
        return known == userID ? .settled(isSignedIn: true) : .other(name: Self.personName(person), host: host)
    }

    /// To the app's identity provider and back to the page. `asksAgain`: it is to ask for the account, whoever is signed in
    /// there.
    package func startConnectSignIn(reference: String, asksAgain: Bool, browserKey: String) async throws -> ConnectStep
    {
        let time = now()
        let found = try read { transaction -> (ConnectSessionRecord, IdentityProviderRecord)? in
            let session = try openSession(reference, in: transaction).session
            guard session.status == .open, session.userID != nil,
                let provider = try transaction.identityProvider(appID: session.appID), provider.signInClientID != nil
            else { return nil }
            return (session, provider)
        }
        guard let (session, provider) = found else { return .page }
        var visit = SignInSessionRecord(
            id: SignInSessionID(), appID: session.appID, identityProviderID: provider.id, purpose: .connect,
            createdAt: time, expiresAt: session.expiresAt)
        visit.connectSessionID = session.id
        visit.browserDigest = browserDigest(browserKey)
        return .redirect(
            try await beginSignIn(
                visit, isNew: true, provider: provider, browserKey: browserKey,
                parameters: asksAgain ? [("prompt", "login")] : []))
    }

    /// Where a sign-in for Connect leads, whether it worked or not.
    func connectOutcome(_ visit: SignInSessionRecord) -> SignInOutcome? {
        guard let id = visit.connectSessionID else { return nil }
        return .connect(reference: reference(Self.connectPagePurpose, id.text))
    }
}
