import VaultAPI
import VaultDomain

// Connect sessions and the attempts under way in browsers. The address of the page and the token for polling are
// derived from the session's id with a key of the key store, so that neither is stored.

package struct ConnectSessionRecord: Sendable {
    package var id: ConnectSessionID
    package var appID: AppID
    package var userID: UserID?
    /// The user's epoch when the session was opened: a later one ends it.
    package var userEpoch: Int64?
    package var allowedProviders: [String]
    package var requiredScopes: JSONObject
    package var label: String?
    package var grantPolicy: JSONObject
    package var repairGrantID: GrantID?
    package var returnURL: String?
    /// The one origin that is told by a message how the session ended.
    package var allowedOrigin: String?
    /// The browser that last came back from a provider.
    package var browserDigest: [UInt8]?
    package var status: ConnectStatus
    package var errorCode: String?
    package var errorMessage: String?
    package var declined: [JSON]
    package var results: [JSON]
    package var failures: [JSON]
    package var createdAt: Instant
    package var expiresAt: Instant

    package init(
        id: ConnectSessionID, appID: AppID, userID: UserID?, userEpoch: Int64?, allowedProviders: [String],
        requiredScopes: JSONObject, label: String?, grantPolicy: JSONObject, repairGrantID: GrantID?,
        returnURL: String?, allowedOrigin: String?, createdAt: Instant, expiresAt: Instant
    ) {
        self.id = id
        self.appID = appID
        self.userID = userID
        self.userEpoch = userEpoch
        self.allowedProviders = allowedProviders
        self.requiredScopes = requiredScopes
        self.label = label
        self.grantPolicy = grantPolicy
        self.repairGrantID = repairGrantID
        self.returnURL = returnURL
        self.allowedOrigin = allowedOrigin
        status = .open
        declined = []
        results = []
        failures = []
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), appID: try row.id("app_id"), userID: try row.optionalID("user_id"),
            userEpoch: try row.optionalInteger("user_epoch"), allowedProviders: try row.strings("allowed_providers"),
            requiredScopes: try row.object("required_scopes"), label: try row.optionalText("label"),
            grantPolicy: try row.object("grant_policy"), repairGrantID: try row.optionalID("repair_grant_id"),
            returnURL: try row.optionalText("return_url"), allowedOrigin: try row.optionalText("allowed_origin"),
            createdAt: try row.instant("created_at"), expiresAt: try row.instant("expires_at"))
        browserDigest = try row.optionalBlob("browser_digest")
        status = try row.choice("status")
        errorCode = try row.optionalText("error_code")
        errorMessage = try row.optionalText("error_message")
        declined = try row.optionalJSON("declined")?.array ?? []
        results = try row.optionalJSON("results")?.array ?? []
        failures = try row.optionalJSON("failures")?.array ?? []
    }
}

package enum ConnectStatus: String, Sendable { case open, completed, error }

package struct ConnectAttemptRecord: Sendable {
    package let sessionID: ConnectSessionID
    package let providerID: String
    package let browserDigest: [UInt8]
    package let expiresAt: Instant

    package init(sessionID: ConnectSessionID, providerID: String, browserDigest: [UInt8], expiresAt: Instant) {
        self.sessionID = sessionID
        self.providerID = providerID
        self.browserDigest = browserDigest
        self.expiresAt = expiresAt
    }
}

extension Transaction {
    package func insertConnectSession(_ session: ConnectSessionRecord) throws {
        try execute(
            """
            INSERT INTO connect_sessions (id, app_id, user_id, user_epoch, allowed_providers, required_scopes, label,
                grant_policy, repair_grant_id, return_url, allowed_origin, status, declined, results, failures, created_at,
                expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'open', '[]', '[]', '[]', ?12, ?13)
            """, session.id, session.appID, session.userID, session.userEpoch, JSON.strings(session.allowedProviders),
            JSON.object(session.requiredScopes), session.label, JSON.object(session.grantPolicy), session.repairGrantID,
            session.returnURL, session.allowedOrigin, session.createdAt, session.expiresAt)
    }

    package func connectSession(_ id: ConnectSessionID) throws -> ConnectSessionRecord? {
        try row("SELECT * FROM connect_sessions WHERE id = ?1", id).map(ConnectSessionRecord.init)
    }

    package func setConnectBrowser(_ digest: [UInt8], session id: ConnectSessionID) throws {
        try execute("UPDATE connect_sessions SET browser_digest = ?2 WHERE id = ?1", id, digest)
    }

    /// Stores progress of a session that is still open; whether it was.
    package func updateConnectSession(_ session: ConnectSessionRecord) throws -> Bool {
        try execute(
            """
            UPDATE connect_sessions SET status = ?2, error_code = ?3, error_message = ?4, declined = ?5, results = ?6,
                failures = ?7
            WHERE id = ?1 AND status = 'open'
            """, session.id, session.status.rawValue, session.errorCode, session.errorMessage,
            JSON.array(session.declined),
            JSON.array(session.results), JSON.array(session.failures)) == 1
    }

    /// Ends what a user has open (suspension, deprovisioning).
    package func endConnectSessions(userID: UserID, code: String, message: String) throws {
        try execute(
            """
            UPDATE connect_sessions SET status = 'error', error_code = ?2, error_message = ?3
            WHERE user_id = ?1 AND status = 'open'
            """, userID, code, message)
        try execute(
            "DELETE FROM connect_attempts WHERE session_id IN (SELECT id FROM connect_sessions WHERE user_id = ?1)",
            userID)
    }

    /// Ends what the users of an issuer have open (its identity provider was removed).
    package func endConnectSessions(appID: AppID, issuer: String, code: String, message: String) throws {
        for row in try rows(
            """
            SELECT DISTINCT user_id FROM connect_sessions WHERE app_id = ?1 AND status = 'open'
                AND user_id IN (SELECT id FROM users WHERE app_id = ?1 AND issuer = ?2)
            """, appID, issuer)
        {
            try endConnectSessions(userID: try row.id("user_id"), code: code, message: message)
        }
    }

    package func insertConnectAttempt(stateDigest: [UInt8], attempt: ConnectAttemptRecord, now: Instant) throws {
        try execute(
            """
            INSERT INTO connect_attempts (state_digest, session_id, provider_id, browser_digest, created_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            """, stateDigest, attempt.sessionID, attempt.providerID, attempt.browserDigest, now, attempt.expiresAt)
    }

    package func connectAttempt(stateDigest: [UInt8]) throws -> ConnectAttemptRecord? {
        try row("SELECT * FROM connect_attempts WHERE state_digest = ?1", stateDigest).map {
            ConnectAttemptRecord(
                sessionID: try $0.id("session_id"), providerID: try $0.text("provider_id"),
                browserDigest: try $0.blob("browser_digest"), expiresAt: try $0.instant("expires_at"))
        }
    }

    /// The gate of single use: only one caller's delete returns a row.
    package func deleteConnectAttempt(stateDigest: [UInt8]) throws -> Bool {
        try execute("DELETE FROM connect_attempts WHERE state_digest = ?1", stateDigest) == 1
    }

    package func deleteExpiredConnectRows(now: Instant) throws {
        try execute("DELETE FROM connect_attempts WHERE expires_at < ?1", now)
        // Outcomes stay readable for a day: a poll whose answer was lost asks again.
        try execute("DELETE FROM connect_sessions WHERE expires_at < ?1", now.adding(seconds: -86_400))
    }
}
