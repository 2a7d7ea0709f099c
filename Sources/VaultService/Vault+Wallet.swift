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
    /// What the user allowed, in the provider's words where they are known.
    package let permissions: [String]
    /// How long it may last from now on; `nil` where an extension would add nothing.
    package let extensionEnd: Instant?
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
            try transaction.activeGrantRecords(userID: caller.user.id).map { try connection($0, in: transaction) }
        }
    }

    /// Those that were revoked, the latest first.
    package func endedConnections(_ caller: WalletCaller) throws -> [WalletConnection] {
        try read { transaction in
            try transaction.revokedGrantRecords(userID: caller.user.id, limit: Limits.endedConnectionsShown)
                .map { try connection($0, in: transaction) }
        }
    }

    /// One of the user's own that is not revoked.
    package func connection(_ caller: WalletCaller, _ id: String) throws -> WalletConnection {
        try read { transaction in
            guard let record = try ownGrant(caller, id, in: transaction), record.grant.revokedAt == nil else {
                throw Self.noConnection
            }
            return try connection(record, in: transaction)
        }
    }

    private static var noConnection: VaultError { VaultError(.grantNotFound, "There is no such connection.") }

    private func ownGrant(_ caller: WalletCaller, _ id: String, in transaction: Transaction) throws -> GrantRecord? {
        guard let grantID = GrantID(id), let record = try transaction.grant(grantID, appID: caller.app.id),
            record.grant.userID == caller.user.id
        else { return nil }
        return record
    }

    private func connection(_ record: GrantRecord, in transaction: Transaction) throws -> WalletConnection {
        let grant = record.grant
        let template = try template(grant.providerID, appID: grant.appID, in: transaction)
        let secret = try grant.managedSecretID.flatMap { try transaction.managedSecret($0, appID: grant.appID) }
        let time = now()
        let status = grant.status(credential: record.credential?.credential, now: time)
        // A provider grants what it likes, also what the operator did not ask for: its whole list is looked at.
        let isBuiltIn = template.map { $0.category != "custom" } ?? false
        let known = (isBuiltIn ? OAuthProviderCatalog.template(grant.providerID)?.scopes : nil) ?? []
        return WalletConnection(
            grant: grant, status: status,
            providerName: template?.displayName ?? secret?.name ?? grant.providerID,
            permissions: grant.scopes.map { scope in known.first { $0.name == scope }?.description ?? scope },
            extensionEnd: status == .active ? try extensionEnd(of: grant, at: time, in: transaction) : nil)
    }

    private func extensionEnd(of grant: Grant, at time: Instant, in transaction: Transaction) throws -> Instant? {
        guard let end = grant.expiresAt, let latest = try longestTermEnd(of: grant, at: time, in: transaction),
            latest >= end.adding(seconds: Limits.extensionSecondsMin)
        else { return nil }
        return latest
    }

    /// Gives one of the user's own grants the longest term that it may have from now on. Only where somebody set a maximum,
    /// and only while it works: what has ended is connected again, with consent. Twice in a row changes nothing more.
    package func extendGrant(_ caller: WalletCaller, _ id: String) async throws {
        let time = now()
        var entry = walletEntry(caller, "grant.extended", at: time)
        entry.userID = caller.user.id
        let begun = entry
        let auditKey = auditKey
        let isFound = try await write { transaction -> Bool in
            guard let user = try transaction.user(caller.user.id, appID: caller.app.id)?.user, user.status == .active,
                user.epoch == caller.user.epoch, let record = try self.ownGrant(caller, id, in: transaction),
                record.grant.status(credential: record.credential?.credential, now: time) == .active
            else { return false }
            let grant = record.grant
            guard let latest = try self.extensionEnd(of: grant, at: time, in: transaction) else {
                guard try self.longestTermEnd(of: grant, at: time, in: transaction) != nil, grant.expiresAt != nil
                else { throw VaultError(.conflict, "This connection cannot be extended here.") }
                return true
            }
            try self.beginTerm(of: grant, until: latest, at: time, in: transaction)
            var entry = begun
            entry.grantID = grant.id
            entry.providerID = grant.providerID
            entry.details["until"] = .string(latest.rfc3339)
            try transaction.appendAudit(entry, key: auditKey)
            return true
        }
        guard isFound else { throw Self.noConnection }
    }

    private func walletEntry(_ caller: WalletCaller, _ event: String, at time: Instant) -> AuditEntry {
        AuditEntry(
            event: event, principal: .user(caller.user.id), occurredAt: time, requestID: caller.origin.requestID,
            trace: caller.origin.trace, appID: caller.app.id, peer: caller.origin.peer?.description)
    }

    /// Ends one of the user's own grants.
    package func revokeGrant(_ caller: WalletCaller, _ id: String) async throws {
        guard let grant = try read({ try ownGrant(caller, id, in: $0) })?.grant else { throw Self.noConnection }
        var entry = walletEntry(caller, "grant.revoked", at: now())
        entry.reason = "revoked in the Wallet"
        _ = try await revoke(grant, entry: entry, reason: "user")
    }

    /// Ends the session first; the provider's comes after it (OpenID Connect RP-Initiated Logout 1.0 §2). No ID token travels
    /// in the address.
    package func signOut(_ caller: WalletCaller) async throws -> WalletSignOut {
        let auditKey = auditKey
        var signedOut = walletEntry(caller, "wallet.signed_out", at: now())
        signedOut.userID = caller.user.id
        let entry = signedOut
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
