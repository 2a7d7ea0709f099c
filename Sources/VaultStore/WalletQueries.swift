import VaultAPI
import VaultDomain

// Browser sessions of end users in the Wallet. The cookie's value is stored as a digest; a session ends with its user's
// epoch, whatever row is left.

package struct WalletSessionRecord: Sendable {
    package let appID: AppID
    package let identityProviderID: IdentityProviderID
    package let userID: UserID
    package let userEpoch: Int64
    package let expiresAt: Instant

    package init(
        appID: AppID, identityProviderID: IdentityProviderID, userID: UserID, userEpoch: Int64, expiresAt: Instant
    ) {
        self.appID = appID
        self.identityProviderID = identityProviderID
        self.userID = userID
        self.userEpoch = userEpoch
        self.expiresAt = expiresAt
    }
}

extension Transaction {
    package func insertWalletSession(_ session: WalletSessionRecord, digest: [UInt8], now: Instant) throws {
        try execute(
            """
            INSERT INTO wallet_sessions (digest, app_id, identity_provider_id, user_id, user_epoch, created_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            """, digest, session.appID, session.identityProviderID, session.userID, session.userEpoch, now,
            session.expiresAt)
    }

    package func walletSession(digest: [UInt8]) throws -> WalletSessionRecord? {
        try row("SELECT * FROM wallet_sessions WHERE digest = ?1", digest).map {
            WalletSessionRecord(
                appID: try $0.id("app_id"), identityProviderID: try $0.id("identity_provider_id"),
                userID: try $0.id("user_id"), userEpoch: try $0.integer("user_epoch"),
                expiresAt: try $0.instant("expires_at"))
        }
    }

    package func deleteWalletSession(digest: [UInt8]) throws {
        try execute("DELETE FROM wallet_sessions WHERE digest = ?1", digest)
    }

    package func deleteWalletSessions(userID: UserID) throws {
        try execute("DELETE FROM wallet_sessions WHERE user_id = ?1", userID)
    }

    package func deleteWalletSessions(identityProviderID: IdentityProviderID) throws {
        try execute("DELETE FROM wallet_sessions WHERE identity_provider_id = ?1", identityProviderID)
    }

    package func deleteExpiredWalletSessions(now: Instant) throws {
        try execute("DELETE FROM wallet_sessions WHERE expires_at < ?1", now)
    }
}
