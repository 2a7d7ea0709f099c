import VaultAPI
import VaultDomain

// Browser sign-ins that apps asked for: a session that the app polls, and the visits to the identity provider under way.

/// Who asked for it, and so where the browser comes back to.
package enum SignInPurpose: String, Sendable { case sdk, wallet, connect }

package enum SignInStatus: String, Sendable { case open, completed, error }

package struct SignInSessionRecord: Sendable {
    package let id: SignInSessionID
    package let appID: AppID
    package let identityProviderID: IdentityProviderID
    package let purpose: SignInPurpose
    package var status: SignInStatus
    package var userID: UserID?
    /// The user's ID token, sealed; there only while the session is completed and young.
    package var userToken: [UInt8]?
    package var errorCode: String?
    package var errorMessage: String?
    package let createdAt: Instant
    package let expiresAt: Instant
    /// For whom Connect asks: its session, and the browser in which the person signs in.
    package var connectSessionID: ConnectSessionID?
    package var browserDigest: [UInt8]?

    package init(
        id: SignInSessionID, appID: AppID, identityProviderID: IdentityProviderID, purpose: SignInPurpose,
        createdAt: Instant, expiresAt: Instant
    ) {
        self.id = id
        self.appID = appID
        self.identityProviderID = identityProviderID
        self.purpose = purpose
        status = .open
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), appID: try row.id("app_id"), identityProviderID: try row.id("identity_provider_id"),
            purpose: try row.choice("purpose"), createdAt: try row.instant("created_at"),
            expiresAt: try row.instant("expires_at"))
        status = try row.choice("status")
        userID = try row.optionalID("user_id")
        userToken = try row.optionalBlob("user_token")
        errorCode = try row.optionalText("error_code")
        errorMessage = try row.optionalText("error_message")
        connectSessionID = try row.optionalID("connect_session_id")
        browserDigest = try row.optionalBlob("browser_digest")
    }
}

extension Transaction {
    package func insertSignInSession(_ session: SignInSessionRecord) throws {
        try execute(
            """
            INSERT INTO sign_in_sessions (id, app_id, identity_provider_id, purpose, status, created_at, expires_at,
                connect_session_id, browser_digest)
            VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6, ?7, ?8)
            """, session.id, session.appID, session.identityProviderID, session.purpose.rawValue, session.createdAt,
            session.expiresAt, session.connectSessionID, session.browserDigest)
    }

    /// The last sign-in for a Connect session that ended in this browser.
    package func connectSignIn(_ id: ConnectSessionID, browserDigest: [UInt8], now: Instant) throws
        -> SignInSessionRecord?
    {
        try row(
            """
            SELECT * FROM sign_in_sessions
            WHERE connect_session_id = ?1 AND browser_digest = ?2 AND status <> 'open' AND expires_at > ?3
            ORDER BY created_at DESC, id DESC LIMIT 1
            """, id, browserDigest, now
        ).map(SignInSessionRecord.init)
    }

    package func signInSession(_ id: SignInSessionID) throws -> SignInSessionRecord? {
        try row("SELECT * FROM sign_in_sessions WHERE id = ?1", id).map(SignInSessionRecord.init)
    }

    /// Ends an open session; whether it was open.
    package func endSignInSession(_ session: SignInSessionRecord) throws -> Bool {
        try execute(
            """
            UPDATE sign_in_sessions SET status = ?2, user_id = ?3, user_token = ?4, error_code = ?5, error_message = ?6
            WHERE id = ?1 AND status = 'open'
            """, session.id, session.status.rawValue, session.userID, session.userToken, session.errorCode,
            session.errorMessage) == 1
    }

    /// Takes back what a user's sign-ins have brought (suspension, deprovisioning).
    package func endSignInSessions(userID: UserID, code: String, message: String) throws {
        try execute(
            """
            UPDATE sign_in_sessions SET status = 'error', user_token = NULL, error_code = ?2, error_message = ?3
            WHERE user_id = ?1 AND status <> 'error'
            """, userID, code, message)
    }

    /// Ends every sign-in at an identity provider (it was removed).
    package func endSignInSessions(identityProviderID: IdentityProviderID, code: String, message: String) throws {
        try execute(
            """
            UPDATE sign_in_sessions SET status = 'error', user_token = NULL, error_code = ?2, error_message = ?3
            WHERE identity_provider_id = ?1 AND status <> 'error'
            """, identityProviderID, code, message)
    }

    package func insertSignInAttempt(
        stateDigest: [UInt8], sessionID: SignInSessionID, browserDigest: [UInt8], now: Instant, expiresAt: Instant
    ) throws {
        try execute(
            """
            INSERT INTO sign_in_attempts (state_digest, session_id, browser_digest, created_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5)
            """, stateDigest, sessionID, browserDigest, now, expiresAt)
    }

    /// The session of an attempt that began in this browser, if nobody came back from it yet: only one caller gets it.
    package func takeSignInAttempt(stateDigest: [UInt8], browserDigest: [UInt8], now: Instant) throws
        -> SignInSessionRecord?
    {
        guard
            let row = try row(
                "SELECT session_id FROM sign_in_attempts WHERE state_digest = ?1 AND browser_digest = ?2 AND expires_at > ?3",
                stateDigest, browserDigest, now),
            try execute("DELETE FROM sign_in_attempts WHERE state_digest = ?1", stateDigest) == 1
        else { return nil }
        return try signInSession(try row.id("session_id"))
    }

    /// Outcomes stay readable as long as the session would have lived: a poll whose answer was lost asks again.
    package func deleteExpiredSignInRows(now: Instant) throws {
        try execute("DELETE FROM sign_in_attempts WHERE expires_at < ?1", now)
        try execute("DELETE FROM sign_in_sessions WHERE expires_at < ?1", now)
    }

    package func setSignIn(
        _ id: IdentityProviderID, clientID: String, clientSecret: [UInt8], version: Int64, scopes: [String]
    ) throws {
        try execute(
            """
            UPDATE identity_providers SET sign_in_client_id = ?2, sign_in_client_secret = ?3, sign_in_version = ?4,
                sign_in_scopes = ?5
            WHERE id = ?1
            """, id, clientID, clientSecret, version, JSON.strings(scopes))
    }
}
