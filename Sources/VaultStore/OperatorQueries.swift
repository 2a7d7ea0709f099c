import VaultAPI
import VaultDomain

// How operators prove who they are: passwords, identities at the installation's own provider, sessions of the Portal,
// personal access tokens, and the one-time address that makes the first of them.

package struct PortalSessionRecord: Sendable {
    package let id: PortalSessionID
    package let operatorID: OperatorID
    /// What the browser said it is, shortened.
    package let browser: String
    package let peer: String?
    package let createdAt: Instant
    package let lastSeenAt: Instant
    package let expiresAt: Instant

    package init(
        id: PortalSessionID, operatorID: OperatorID, browser: String, peer: String?, createdAt: Instant,
        lastSeenAt: Instant, expiresAt: Instant
    ) {
        self.id = id
        self.operatorID = operatorID
        self.browser = browser
        self.peer = peer
        self.createdAt = createdAt
        self.lastSeenAt = lastSeenAt
        self.expiresAt = expiresAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), operatorID: try row.id("operator_id"), browser: try row.text("browser"),
            peer: try row.optionalText("peer"), createdAt: try row.instant("created_at"),
            lastSeenAt: try row.instant("last_seen_at"), expiresAt: try row.instant("expires_at"))
    }
}

package struct AccessTokenRecord: Sendable {
    package let id: PersonalAccessTokenID
    package let name: String
    package let scopes: [String]
    package let createdAt: Instant
    package let expiresAt: Instant?
    package let lastUsedAt: Instant?

    package init(
        id: PersonalAccessTokenID, name: String, scopes: [String], createdAt: Instant, expiresAt: Instant?,
        lastUsedAt: Instant? = nil
    ) {
        self.id = id
        self.name = name
        self.scopes = scopes
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.lastUsedAt = lastUsedAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), name: try row.text("name"), scopes: try row.strings("scopes"),
            createdAt: try row.instant("created_at"), expiresAt: try row.optionalInstant("expires_at"),
            lastUsedAt: try row.optionalInstant("last_used_at"))
    }
}

/// A visit of an operator to the installation's identity provider.
package struct PortalSignInRecord: Sendable {
    package let browserDigest: [UInt8]
    /// The invitation that lets somebody new in.
    package let invitation: [UInt8]?
    /// Whose account the identity is to belong to.
    package let operatorID: OperatorID?
    package let expiresAt: Instant

    package init(browserDigest: [UInt8], invitation: [UInt8]?, operatorID: OperatorID?, expiresAt: Instant) {
        self.browserDigest = browserDigest
        self.invitation = invitation
        self.operatorID = operatorID
        self.expiresAt = expiresAt
    }
}

/// Failed sign-ins of one subject: an account from one network, a network, an account.
package struct SignInFailures: Sendable {
    package let count: Int64
    package let lastAt: Instant
}

extension Transaction {
    // MARK: Accounts

    package func isAnyOperator() throws -> Bool { try row("SELECT 1 AS found FROM operators LIMIT 1") != nil }

    package func operatorAccount(_ id: OperatorID) throws -> OperatorRecord? {
        try row("SELECT id, email FROM operators WHERE id = ?1", id).map(OperatorRecord.init)
    }

    package func operatorAccount(issuer: String, subject: String) throws -> OperatorRecord? {
        try row(
            """
            SELECT operators.id AS id, operators.email AS email FROM operator_identities
            JOIN operators ON operators.id = operator_identities.operator_id WHERE issuer = ?1 AND subject = ?2
            """, issuer, subject
        ).map(OperatorRecord.init)
    }

    package func insertOperatorIdentity(issuer: String, subject: String, operatorID: OperatorID, now: Instant) throws {
        try execute(
            "INSERT INTO operator_identities (issuer, subject, operator_id, created_at) VALUES (?1, ?2, ?3, ?4)",
            issuer,
            subject, operatorID, now)
    }

    package func hasIdentity(_ id: OperatorID, issuer: String) throws -> Bool {
        try row("SELECT 1 AS found FROM operator_identities WHERE operator_id = ?1 AND issuer = ?2", id, issuer) != nil
    }

    /// The stored form of the password; `nil` for accounts that have none.
    package func operatorPassword(_ id: OperatorID) throws -> String? {
        try row("SELECT password FROM operators WHERE id = ?1", id)?.optionalText("password")
    }

    package func setOperatorPassword(_ id: OperatorID, _ password: String) throws {
        try execute("UPDATE operators SET password = ?2 WHERE id = ?1", id, password)
    }

    // MARK: The first operator

    package func insertSetupAddress(digest: [UInt8], expiresAt: Instant) throws {
        try execute("INSERT INTO setup_addresses (digest, expires_at) VALUES (?1, ?2)", digest, expiresAt)
    }

    package func isSetupAddress(digest: [UInt8], now: Instant) throws -> Bool {
        try row("SELECT 1 AS found FROM setup_addresses WHERE digest = ?1 AND expires_at > ?2", digest, now) != nil
    }

    package func deleteSetupAddresses() throws { try execute("DELETE FROM setup_addresses") }

    // MARK: Sessions

    package func insertPortalSession(_ session: PortalSessionRecord, digest: [UInt8]) throws {
        try execute(
            """
            INSERT INTO portal_sessions (id, digest, operator_id, browser, peer, created_at, last_seen_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            """, session.id, digest, session.operatorID, session.browser, session.peer, session.createdAt,
            session.lastSeenAt, session.expiresAt)
    }

    package func portalSession(digest: [UInt8]) throws -> PortalSessionRecord? {
        try row("SELECT * FROM portal_sessions WHERE digest = ?1", digest).map(PortalSessionRecord.init)
    }

    package func portalSessions(of operatorID: OperatorID) throws -> [PortalSessionRecord] {
        try rows(
            "SELECT * FROM portal_sessions WHERE operator_id = ?1 ORDER BY created_at DESC, id LIMIT 100", operatorID
        ).map(PortalSessionRecord.init)
    }

    package func setPortalSessionSeen(_ id: PortalSessionID, at time: Instant) throws {
        try execute("UPDATE portal_sessions SET last_seen_at = ?2 WHERE id = ?1", id, time)
    }

    /// Whether there was one to end.
    package func deletePortalSession(_ id: PortalSessionID, of operatorID: OperatorID) throws -> Bool {
        try execute("DELETE FROM portal_sessions WHERE id = ?1 AND operator_id = ?2", id, operatorID) > 0
    }

    package func deletePortalSession(digest: [UInt8], of operatorID: OperatorID) throws {
        try execute("DELETE FROM portal_sessions WHERE digest = ?1 AND operator_id = ?2", digest, operatorID)
    }

    package func deletePortalSessions(of operatorID: OperatorID, except id: PortalSessionID?) throws {
        try execute("DELETE FROM portal_sessions WHERE operator_id = ?1 AND id <> ?2", operatorID, id?.text ?? "")
    }

    package func deleteExpiredPortalRows(now: Instant, failuresBefore: Instant) throws {
        try execute("DELETE FROM portal_sessions WHERE expires_at < ?1", now)
        try execute("DELETE FROM portal_sign_ins WHERE expires_at < ?1", now)
        try execute("DELETE FROM setup_addresses WHERE expires_at < ?1", now)
        try execute("DELETE FROM sign_in_failures WHERE last_at < ?1", failuresBefore)
    }

    // MARK: Signing in

    package func signInFailures(_ subject: [UInt8]) throws -> SignInFailures? {
        try row("SELECT failures, last_at FROM sign_in_failures WHERE subject = ?1", subject).map {
            SignInFailures(count: try $0.integer("failures"), lastAt: try $0.instant("last_at"))
        }
    }

    package func countSignInFailure(_ subject: [UInt8], now: Instant) throws {
        try execute(
            """
            INSERT INTO sign_in_failures (subject, failures, last_at) VALUES (?1, 1, ?2)
            ON CONFLICT (subject) DO UPDATE SET failures = sign_in_failures.failures + 1, last_at = excluded.last_at
            """, subject, now)
    }

    package func forgiveSignInFailure(_ subject: [UInt8]) throws {
        try execute("UPDATE sign_in_failures SET failures = failures - 1 WHERE subject = ?1 AND failures > 0", subject)
    }

    package func forgetSignInFailures(_ subject: [UInt8]) throws {
        try execute("DELETE FROM sign_in_failures WHERE subject = ?1", subject)
    }

    package func insertPortalSignIn(_ visit: PortalSignInRecord, stateDigest: [UInt8]) throws {
        try execute(
            """
            INSERT INTO portal_sign_ins (state_digest, browser_digest, invitation, operator_id, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5)
            """, stateDigest, visit.browserDigest, visit.invitation, visit.operatorID, visit.expiresAt)
    }

    /// Takes the visit away; a second answer with its state finds nothing.
    package func takePortalSignIn(stateDigest: [UInt8], browserDigest: [UInt8], now: Instant) throws
        -> PortalSignInRecord?
    {
        guard
            let row = try row(
                "SELECT * FROM portal_sign_ins WHERE state_digest = ?1 AND browser_digest = ?2 AND expires_at > ?3",
                stateDigest, browserDigest, now),
            try execute("DELETE FROM portal_sign_ins WHERE state_digest = ?1", stateDigest) == 1
        else { return nil }
        return PortalSignInRecord(
            browserDigest: try row.blob("browser_digest"), invitation: try row.optionalBlob("invitation"),
            operatorID: try row.optionalID("operator_id"), expiresAt: try row.instant("expires_at"))
    }

    // MARK: Personal access tokens

    package func insertPersonalAccessToken(_ token: AccessTokenRecord, operatorID: OperatorID, digest: [UInt8]) throws {
        try execute(
            """
            INSERT INTO personal_access_tokens (id, operator_id, name, digest, scopes, created_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            """, token.id, operatorID, token.name, digest, JSON.strings(token.scopes), token.createdAt, token.expiresAt)
    }

    /// The live token and its operator.
    package func personalAccessToken(digest: [UInt8], now: Instant) throws -> (AccessTokenRecord, OperatorID)? {
        try row(
            """
            SELECT * FROM personal_access_tokens
            WHERE digest = ?1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)
            """, digest, now
        ).map { (try AccessTokenRecord($0), try $0.id("operator_id")) }
    }

    package func personalAccessTokens(of operatorID: OperatorID, after: PagePosition, limit: Int) throws
        -> [AccessTokenRecord]
    {
        try rows(
            """
            SELECT * FROM personal_access_tokens
            WHERE operator_id = ?1 AND revoked_at IS NULL AND (created_at, id) > (?2, ?3)
            ORDER BY created_at, id LIMIT ?4
            """, operatorID, after.at, after.id, limit
        ).map(AccessTokenRecord.init)
    }

    package func setPersonalAccessTokenUsed(_ id: PersonalAccessTokenID, at time: Instant) throws {
        try execute("UPDATE personal_access_tokens SET last_used_at = ?2 WHERE id = ?1", id, time)
    }

    /// Whether there was one to revoke.
    package func revokePersonalAccessToken(_ id: PersonalAccessTokenID, of operatorID: OperatorID, now: Instant) throws
        -> Bool
    {
        try execute(
            "UPDATE personal_access_tokens SET revoked_at = ?3 WHERE id = ?1 AND operator_id = ?2 AND revoked_at IS NULL",
            id, operatorID, now) > 0
    }

    package func revokePersonalAccessTokens(of operatorID: OperatorID, now: Instant) throws {
        try execute(
            "UPDATE personal_access_tokens SET revoked_at = ?2 WHERE operator_id = ?1 AND revoked_at IS NULL",
            operatorID, now)
    }
}
