import Logging
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// The Wallet: where end users see what they have connected, end it, and sign out through the identity provider (behaviour
// contract, “Browser sign-in”). A session is for one user of one app; every request reads anew whether it still stands.

/// An app's sign-in page.
package struct WalletEntrance: Sendable {
    package let appID: AppID
    package let appName: String
    /// The host of the identity provider; `nil` when nobody can sign in here.
    package let providerHost: String?
}

/// An end user with a session.
package struct WalletCaller: Sendable {
    package let app: AppRecord
    package let user: User
    package let origin: RequestOrigin
    let provider: IdentityProviderRecord
    let sessionDigest: [UInt8]
}

package struct WalletConnection: Sendable {
    package let grant: Grant
    package let status: GrantStatus
    package let providerName: String
}

package enum WalletSignOut: Sendable {
    /// To the identity provider, which leads back to the bare sign-in address. `appReference` says there which app it was,
    /// for providers that echo no `state`.
    case provider(String, appReference: String)
    /// The provider has no way to sign out: the next sign-in asks for the account again.
    case local(AppID)
}

extension Vault {
    private static let logoutPurpose = "wallet-logout"

    // MARK: Signing in

    /// The sign-in page that an address names. Unknown, malformed and archived apps get the same answer.
    package func walletEntrance(appID text: String) throws -> WalletEntrance {
        try read { transaction in
            guard let id = AppID(text), let app = try transaction.app(id), app.archivedAt == nil else {
                throw VaultError(.notFound, "There is no sign-in page at this address. Use the link of your app.")
            }
            let provider = try transaction.identityProvider(appID: id).flatMap { $0.signInClientID == nil ? nil : $0 }
            return WalletEntrance(
                appID: id, appName: app.name, providerHost: provider.flatMap { (try? WebAddress($0.issuer))?.host })
        }
    }

    /// The app that the provider's way back from a sign-out names: our own reference, good for an hour.
    package func appAfterSignOut(state: String) -> String? {
        guard let text = referencedID(Self.logoutPurpose, state) else { return nil }
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, let seconds = Int64(parts[1]), Instant(seconds: seconds) > now() else { return nil }
        return String(parts[0])
    }

    /// To the identity provider. `asksAgain`: it is to ask for the account, whoever is signed in there.
    package func startWalletSignIn(appID text: String, asksAgain: Bool, browserKey: String) async throws -> String {
        let time = now()
        guard let appID = AppID(text), let app = try read({ try $0.app(appID) }), app.archivedAt == nil,
            let provider = try read({ try $0.identityProvider(appID: appID) }), provider.signInClientID != nil
        else { throw VaultError(.notFound, "Nobody can sign in at this address. Use the link of your app.") }
        let session = SignInSessionRecord(
            id: SignInSessionID(), appID: appID, identityProviderID: provider.id, purpose: .wallet, createdAt: time,
            expiresAt: time.adding(seconds: Limits.signInSessionSeconds))
        return try await beginSignIn(
            session, isNew: true, provider: provider, browserKey: browserKey,
            parameters: asksAgain ? [("prompt", "login")] : [])
    }

    /// A session for the user who just signed in, with a new value for the cookie.
    func openWalletSession(_ user: UserRecord, provider: IdentityProviderRecord, in transaction: Transaction) throws
        -> Secret
    {
        let token = Secret(RandomBytes.token())
        let time = now()
        try transaction.insertWalletSession(
            WalletSessionRecord(
                appID: user.user.appID, identityProviderID: provider.id, userID: user.user.id,
                userEpoch: user.user.epoch, expiresAt: time.adding(seconds: Limits.walletSessionSeconds)),
            digest: walletDigest(token.revealed()), now: time)
        return token
    }

    func walletDigest(_ cookie: String) -> [UInt8] { digestKey.digest("wallet-session:" + cookie) }

    /// The caller of a session that stands: its user active and of the same epoch, its app and identity provider as they were.
    package func walletCaller(cookie: String, origin: RequestOrigin) throws -> WalletCaller? {
        let digest = walletDigest(cookie)
        return try read { transaction in
            guard let found = try walletUser(digest: digest, in: transaction) else { return nil }
            return WalletCaller(
                app: found.app, user: found.user, origin: origin, provider: found.provider, sessionDigest: digest)
        }
    }

    func walletUser(digest: [UInt8], in transaction: Transaction) throws -> (
        app: AppRecord, user: User, provider: IdentityProviderRecord
    )? {
        guard let session = try transaction.walletSession(digest: digest), session.expiresAt > now(),
            let app = try transaction.app(session.appID), app.archivedAt == nil,
            let provider = try transaction.identityProvider(appID: session.appID),
            provider.id == session.identityProviderID,
            let user = try transaction.user(session.userID, appID: session.appID)?.user, user.status == .active,
            user.epoch == session.userEpoch
        else { return nil }
        return (app, user, provider)
    }

    // MARK: What the user sees and does

    /// All that are not revoked: what a user cannot see, they cannot end.
    package func connections(_ caller: WalletCaller) throws -> [WalletConnection] {
        try read { transaction in
            try transaction.activeGrantRecords(userID: caller.user.id).map { record in
                let template = try template(record.grant.providerID, appID: caller.app.id, in: transaction)
                return WalletConnection(
                    grant: record.grant,
                    status: record.grant.status(credential: record.credential?.credential, now: now()),
                    providerName: template?.displayName ?? record.grant.providerID)
            }
        }
    }

    /// Ends one of the user's own grants.
    package func revokeGrant(_ caller: WalletCaller, _ id: String) async throws {
        let grant = try read { transaction -> Grant? in
            guard let grantID = GrantID(id), let record = try transaction.grant(grantID, appID: caller.app.id),
                record.grant.userID == caller.user.id
            else { return nil }
            return record.grant
        }
        guard let grant else { throw VaultError(.grantNotFound, "There is no such connection.") }
        var entry = AuditEntry(
            event: "grant.revoked", principal: .user(caller.user.id), occurredAt: now(),
            requestID: caller.origin.requestID, appID: caller.app.id, peer: caller.origin.peer?.description)
        entry.reason = "revoked in the Wallet"
        _ = try await revoke(grant, entry: entry, reason: "user")
    }

    /// Ends the session first; the provider's comes after it (OpenID Connect RP-Initiated Logout 1.0 §2). No ID token travels
    /// in the address.
    package func signOut(_ caller: WalletCaller) async throws -> WalletSignOut {
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "wallet.signed_out", principal: .user(caller.user.id), occurredAt: now(),
            requestID: caller.origin.requestID, appID: caller.app.id, userID: caller.user.id,
            peer: caller.origin.peer?.description)
        try await write { transaction in
            try transaction.deleteWalletSession(digest: caller.sessionDigest)
            try transaction.appendAudit(entry, key: auditKey)
        }
        let provider = caller.provider
        let expiry = now().adding(seconds: Limits.logoutStateSeconds).seconds
        let state = reference(Self.logoutPurpose, "\(caller.app.id)_\(expiry)")
        let back = configuration.address(SitePath.walletSignIn.path)
        let clientID = provider.signInClientID ?? ""
        do {
            if let endpoint = provider.document["end_session_endpoint"]?.string {
                let items = [("client_id", clientID), ("post_logout_redirect_uri", back), ("state", state)]
                return .provider(try WebAddress(endpoint).appendingQuery(items).text, appReference: state)
            }
            if provider.type == .auth0 {
                // Auth0 matches `returnTo` exactly and echoes nothing here.
                let items = [("client_id", clientID), ("returnTo", back)]
                let address = try WebAddress(try WebAddress(provider.issuer).origin + "/v2/logout")
                return .provider(try address.appendingQuery(items).text, appReference: state)
            }
        } catch {
            logger.error("a sign-out address is unusable", metadata: ["app_id": "\(caller.app.id)"])
        }
        return .local(caller.app.id)
    }
}
