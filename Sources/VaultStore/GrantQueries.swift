import VaultAPI
import VaultDomain

// Grants, the credentials they point to, and the revocations still owed to providers.

/// A credential with its ciphertexts. What they hold can only be opened by the service.
package struct CredentialRecord: Sendable {
    package var credential: Credential
    package var providerID: String
    package var managedSecretID: ManagedSecretID?
    package var accountID: String?
    package var accessToken: [UInt8]
    package var refreshToken: [UInt8]?

    package init(
        credential: Credential, providerID: String, managedSecretID: ManagedSecretID? = nil, accountID: String?,
        accessToken: [UInt8], refreshToken: [UInt8]?
    ) {
        self.credential = credential
        self.providerID = providerID
        self.managedSecretID = managedSecretID
        self.accountID = accountID
        self.accessToken = accessToken
        self.refreshToken = refreshToken
    }

    init(_ row: Row) throws {
        accessToken = try row.blob("access_token")
        refreshToken = try row.optionalBlob("refresh_token")
        providerID = try row.text("provider_id")
        managedSecretID = try row.optionalID("managed_secret_id")
        accountID = try row.optionalText("account_id")
        credential = Credential(
            id: try row.id("id"), appID: try row.id("app_id"), userID: try row.optionalID("user_id"),
            dataKeyID: try row.id("data_key_id"), version: try row.integer("version"),
            tokenGeneration: try row.text("token_generation"), hasRefreshToken: refreshToken != nil,
            scopes: try row.strings("scopes"), accessExpiresAt: try row.optionalInstant("access_expires_at"),
            diedAt: try row.optionalInstant("died_at"))
    }
}

/// A grant beside the facts that decide its status.
package final class GrantRecord: Sendable {
    package let grant: Grant
    package let accountID: String?
    package let credential: CredentialRecord?

    init(grant: Grant, accountID: String?, credential: CredentialRecord?) {
        self.grant = grant
        self.accountID = accountID
        self.credential = credential
    }
}

/// One provider as one app uses it.
package struct ProviderOfApp: Sendable, Hashable {
    package let appID: AppID
    package let providerID: String
}

package struct RevocationRecord: Sendable {
    package let id: RevocationID
    package let appID: AppID
    package let providerID: String
    /// The credential that the token was of; `nil` for tokens that were never stored.
    package let credentialID: CredentialID?
    package let grantID: GrantID?
    package let userID: UserID?
    package let token: [UInt8]?
    package let dataKeyID: DataKeyID?
    package let tokenTypeHint: String
    package let status: String
    /// The end of the user that it is part of, if it is.
    package let deprovisioningID: DeprovisioningID?
    package let attempts: Int64
    package let createdAt: Instant
    package let finishedAt: Instant?
    package let lastError: String?

    package init(
        id: RevocationID, appID: AppID, providerID: String, credentialID: CredentialID?, grantID: GrantID?,
        userID: UserID?, token: [UInt8]?, dataKeyID: DataKeyID?, tokenTypeHint: String, status: String,
        lastError: String?, deprovisioningID: DeprovisioningID?, createdAt: Instant
    ) {
        self.id = id
        self.appID = appID
        self.providerID = providerID
        self.credentialID = credentialID
        self.grantID = grantID
        self.userID = userID
        self.token = token
        self.dataKeyID = dataKeyID
        self.tokenTypeHint = tokenTypeHint
        self.status = status
        self.deprovisioningID = deprovisioningID
        attempts = 0
        self.createdAt = createdAt
        finishedAt = nil
        self.lastError = lastError
    }

    init(_ row: Row) throws {
        id = try row.id("id")
        appID = try row.id("app_id")
        providerID = try row.text("provider_id")
        credentialID = try row.optionalID("credential_id")
        grantID = try row.optionalID("grant_id")
        userID = try row.optionalID("user_id")
        token = try row.optionalBlob("token")
        dataKeyID = try row.optionalID("data_key_id")
        tokenTypeHint = try row.text("token_type_hint")
        status = try row.text("status")
        deprovisioningID = try row.optionalID("deprovisioning_id")
        finishedAt = try row.optionalInstant("finished_at")
        attempts = try row.integer("attempts")
        createdAt = try row.instant("created_at")
        lastError = try row.optionalText("last_error")
    }
}

extension Grant {
    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), appID: try row.id("app_id"), kind: try row.choice("kind"),
            providerID: try row.text("provider_id"), credentialID: try row.optionalID("credential_id"),
            managedSecretID: try row.optionalID("managed_secret_id"), principalType: try row.choice("principal_type"),
            userID: try row.optionalID("user_id"), label: try row.optionalText("label"),
            accountIdentifier: try row.optionalText("account_identifier"),
            accountDisplayName: try row.optionalText("account_display_name"), scopes: try row.strings("scopes"),
            hasScopeMismatch: try row.bool("scope_mismatch"), grantPolicy: try row.object("grant_policy"),
            expiresAt: try row.optionalInstant("ends_at"), createdAt: try row.instant("created_at"),
            termStartedAt: try row.instant("term_started_at"), lastUsedAt: try row.optionalInstant("last_used_at"),
            revokedAt: try row.optionalInstant("revoked_at"),
            revokeReason: try row.optionalText("revoke_reason"))
    }
}

extension Transaction {
    package func credentialIDs(limit: Int) throws -> [CredentialID] {
        try rows("SELECT id FROM credentials ORDER BY id LIMIT ?1", limit).map { try $0.id("id") }
    }

    package func insertGrant(_ grant: Grant, accountID: String?) throws {
        try execute(
            """
            INSERT INTO grants (id, app_id, kind, provider_id, credential_id, managed_secret_id, principal_type, user_id,
                label, account_id, account_identifier, account_display_name, scopes, grant_policy, expires_at, created_at,
                term_started_at, credential_ref)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?5)
            """, grant.id, grant.appID, grant.kind.rawValue, grant.providerID, grant.credentialID,
            grant.managedSecretID,
            grant.principalType.rawValue, grant.userID, grant.label, accountID, grant.accountIdentifier,
            grant.accountDisplayName, JSON.strings(grant.scopes), JSON.object(grant.grantPolicy), grant.expiresAt,
            grant.createdAt, grant.termStartedAt)
    }

    private static let grantStatement = "SELECT \(grantColumns) FROM grants WHERE id = ?1 AND app_id = ?2"

    package func grant(_ id: GrantID, appID: AppID) throws -> GrantRecord? {
        try remembered(.init(.grant, id.text, appID.text)) {
            try row(Self.grantStatement, id, appID).map(grantRecord)
        }
    }

    func grantRecord(_ row: Row) throws -> GrantRecord {
        let grant = try Grant(row)
        return GrantRecord(
            grant: grant, accountID: try row.optionalText("account_id"),
            credential: try grant.credentialID.flatMap { try credential($0) })
    }

    /// Grants that a provider id names for one user, or for the app itself: those not revoked.
    package func candidateGrants(
        appID: AppID, providerID: String, principalType: PrincipalType, userID: UserID?, account: String?,
        label: String?, limit: Int
    ) throws -> [GrantRecord] {
        let key = RecordMemory.Key(
            .grantCandidates, appID.text, providerID, principalType.rawValue, userID?.text ?? "", account ?? "",
            label ?? "", "\(account != nil) \(label != nil) \(limit)")
        let found = try remembered(key) { () -> [GrantRecord]? in
            let found = try readCandidateGrants(
                appID: appID, providerID: providerID, principalType: principalType, userID: userID, account: account,
                label: label, limit: limit)
            return found.isEmpty ? nil : found
        }
        return found ?? []
    }

    private func readCandidateGrants(
        appID: AppID, providerID: String, principalType: PrincipalType, userID: UserID?, account: String?,
        label: String?, limit: Int
    ) throws -> [GrantRecord] {
        var condition = ListCondition("grants")
        condition.require("app_id = \(condition.bind(appID)) AND provider_id = \(condition.bind(providerID))")
        condition.require("principal_type = \(condition.bind(principalType.rawValue)) AND revoked_at IS NULL")
        if let userID { condition.require("user_id = \(condition.bind(userID))") }
        if let account { condition.require("account_identifier = \(condition.bind(account))") }
        if let label { condition.require("label = \(condition.bind(label))") }
        let count = condition.bind(limit)
        return try rows(
            """
            SELECT \(Self.grantColumns) FROM \(condition.source) WHERE \(condition.text) ORDER BY created_at, id LIMIT \(count)
            """, arguments: condition.arguments
        ).map(grantRecord)
    }

    package func activeGrantRecords(userID: UserID) throws -> [GrantRecord] {
        try rows(
            "SELECT \(Self.grantColumns) FROM grants WHERE user_id = ?1 AND revoked_at IS NULL ORDER BY created_at, id",
            userID
        )
        .map(grantRecord)
    }

    /// Those that were revoked, the latest first.
    package func revokedGrantRecords(userID: UserID, limit: Int) throws -> [GrantRecord] {
        try rows(
            """
            SELECT \(Self.grantColumns) FROM grants WHERE id IN (
                SELECT id FROM grants WHERE user_id = ?1 AND revoked_at IS NOT NULL ORDER BY revoked_at DESC, id LIMIT ?2)
            ORDER BY revoked_at DESC, id
            """, userID, limit
        ).map(grantRecord)
    }

    package func activeGrants(userID: UserID) throws -> [Grant] {
        try rows(
            "SELECT \(Self.grantColumns) FROM grants WHERE user_id = ?1 AND revoked_at IS NULL ORDER BY created_at, id",
            userID
        )
        .map(Grant.init)
    }

    package func activeGrants(credentialID: CredentialID) throws -> [Grant] {
        try rows(
            """
            SELECT \(Self.grantColumns) FROM grants WHERE credential_id = ?1 AND revoked_at IS NULL
            ORDER BY created_at, id
            """, credentialID
        )
        .map(Grant.init)
    }

    package func revokeGrant(_ id: GrantID, reason: String?, now: Instant) throws -> Bool {
        try execute(
            "UPDATE grants SET revoked_at = ?2, revoke_reason = ?3 WHERE id = ?1 AND revoked_at IS NULL", id, now,
            reason) == 1
    }

    package func revokeGrants(userID: UserID, reason: String, now: Instant) throws {
        try execute(
            "UPDATE grants SET revoked_at = ?2, revoke_reason = ?3 WHERE user_id = ?1 AND revoked_at IS NULL", userID,
            now, reason)
    }

    static let touchGrantStatement = "UPDATE grants SET last_used_at = ?2 WHERE id = ?1"

    package func touchGrant(_ id: GrantID, now: Instant) throws { try post(Self.touchGrantStatement, id, now) }

    package func setScopeMismatch(_ id: GrantID, _ isMismatched: Bool) throws {
        try execute("UPDATE grants SET scope_mismatch = ?2 WHERE id = ?1", id, isMismatched)
    }

    /// A new consent for an existing grant: new scopes and a live state.
    package func renewConsent(
        _ id: GrantID, scopes: [String], accountIdentifier: String?, accountDisplayName: String?
    ) throws {
        try execute(
            """
            UPDATE grants SET scopes = ?2, scope_mismatch = 0, account_identifier = ?3, account_display_name = ?4
            WHERE id = ?1
            """, id, JSON.strings(scopes), accountIdentifier, accountDisplayName)
    }

    /// A new term for an existing grant.
    package func renewTerm(_ id: GrantID, policy: JSONObject, expiresAt: Instant?, startedAt: Instant) throws {
        try execute(
            "UPDATE grants SET grant_policy = ?2, expires_at = ?3, term_started_at = ?4 WHERE id = ?1", id,
            JSON.object(policy), expiresAt, startedAt)
    }

    // MARK: Credentials

    package func insertCredential(_ record: CredentialRecord, now: Instant) throws {
        let credential = record.credential
        try execute(
            """
            INSERT INTO credentials (id, app_id, provider_id, user_id, managed_secret_id, account_id, data_key_id, version,
                token_generation, access_token, refresh_token, scopes, access_expires_at, created_at, updated_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14)
            """, credential.id, credential.appID, record.providerID, credential.userID, record.managedSecretID,
            record.accountID, credential.dataKeyID, credential.version, credential.tokenGeneration, record.accessToken,
            record.refreshToken, JSON.strings(credential.scopes), credential.accessExpiresAt, now)
    }

    package func credential(_ id: CredentialID) throws -> CredentialRecord? {
        try row("SELECT * FROM credentials WHERE id = ?1", id).map(CredentialRecord.init)
    }

    /// The credential of one account, for the one user or for the app itself.
    package func credential(appID: AppID, providerID: String, userID: UserID?, accountID: String) throws
        -> CredentialRecord?
    {
        try row(
            """
            SELECT * FROM credentials WHERE app_id = ?1 AND provider_id = ?2 AND account_id = ?3 AND user_id IS NOT DISTINCT FROM ?4
            """, appID, providerID, accountID, userID
        ).map(CredentialRecord.init)
    }

    package func credential(managedSecretID: ManagedSecretID) throws -> CredentialRecord? {
        try row("SELECT * FROM credentials WHERE managed_secret_id = ?1", managedSecretID).map(CredentialRecord.init)
    }

    /// Stores new tokens if the credential is still what the caller last saw.
    package func updateCredential(_ record: CredentialRecord, expectedVersion: Int64, now: Instant) throws -> Bool {
        let credential = record.credential
        return try execute(
            """
            UPDATE credentials SET version = ?3, token_generation = ?4, access_token = ?5, refresh_token = ?6, scopes = ?7,
                access_expires_at = ?8, died_at = ?9, updated_at = ?10
            WHERE id = ?1 AND version = ?2
            """, credential.id, expectedVersion, credential.version, credential.tokenGeneration, record.accessToken,
            record.refreshToken, JSON.strings(credential.scopes), credential.accessExpiresAt, credential.diedAt, now)
            == 1
    }

    package func expireAccessToken(_ id: CredentialID, expectedVersion: Int64, now: Instant) throws {
        try execute(
            "UPDATE credentials SET access_expires_at = ?3 WHERE id = ?1 AND version = ?2", id, expectedVersion, now)
    }

    package func markCredentialDead(_ id: CredentialID, expectedVersion: Int64, now: Instant) throws -> Bool {
        try execute(
            "UPDATE credentials SET died_at = ?3 WHERE id = ?1 AND version = ?2 AND died_at IS NULL", id,
            expectedVersion, now) == 1
    }

    package func deleteCredential(_ id: CredentialID) throws {
        try execute("DELETE FROM credentials WHERE id = ?1", id)
    }

    package func deleteCredentials(userID: UserID) throws {
        try execute("DELETE FROM credentials WHERE user_id = ?1", userID)
    }

    package func credentials(userID: UserID) throws -> [CredentialRecord] {
        try rows("SELECT * FROM credentials WHERE user_id = ?1", userID).map(CredentialRecord.init)
    }

    // MARK: Revocations at providers

    package func insertRevocation(_ revocation: RevocationRecord, nextAttemptAt: Instant?) throws {
        try execute(
            """
            INSERT INTO revocations (id, app_id, provider_id, grant_id, user_id, token, data_key_id, token_type_hint, status,
                attempts, next_attempt_at, created_at, deprovisioning_id, credential_id, last_error)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11, ?12, ?13, ?14)
            """, revocation.id, revocation.appID, revocation.providerID, revocation.grantID, revocation.userID,
            revocation.token, revocation.dataKeyID, revocation.tokenTypeHint, revocation.status, nextAttemptAt,
            revocation.createdAt, revocation.deprovisioningID, revocation.credentialID, revocation.lastError)
    }

    /// Providers that something is due at, the longest due first.
    package func providersWithDueRevocations(now: Instant, limit: Int) throws -> [ProviderOfApp] {
        try rows(
            """
            SELECT app_id, provider_id FROM revocations WHERE status = 'pending' AND next_attempt_at <= ?1
            GROUP BY app_id, provider_id ORDER BY MIN(next_attempt_at) LIMIT ?2
            """, now, limit
        ).map { ProviderOfApp(appID: try $0.id("app_id"), providerID: try $0.text("provider_id")) }
    }

    package func dueRevocation(at provider: ProviderOfApp, now: Instant) throws -> RevocationRecord? {
        try row(
            """
            SELECT * FROM revocations WHERE app_id = ?1 AND provider_id = ?2 AND status = 'pending'
                AND next_attempt_at <= ?3 ORDER BY next_attempt_at, id LIMIT 1
            """, provider.appID, provider.providerID, now
        ).map(RevocationRecord.init)
    }

    package func postponeRevocation(_ id: RevocationID, until: Instant, error: String) throws {
        try execute(
            "UPDATE revocations SET attempts = attempts + 1, next_attempt_at = ?2, last_error = ?3 WHERE id = ?1", id,
            until, error)
    }

    package func finishRevocation(_ id: RevocationID, status: String, error: String?, now: Instant) throws {
        try execute(
            """
            UPDATE revocations SET status = ?2, last_error = ?3, attempts = attempts + 1, token = NULL, data_key_id = NULL,
                next_attempt_at = NULL, finished_at = ?4
            WHERE id = ?1
            """, id, status, error, now)
    }

    package func revocations(grantID: GrantID) throws -> [RevocationRecord] {
        try rows(
            """
            SELECT revocations.* FROM grants JOIN revocations ON revocations.credential_id = grants.credential_ref
            WHERE grants.id = ?1 ORDER BY revocations.created_at, revocations.id
            """, grantID
        ).map(RevocationRecord.init)
    }

    package func revocations(deprovisioningID: DeprovisioningID) throws -> [RevocationRecord] {
        try rows("SELECT * FROM revocations WHERE deprovisioning_id = ?1 ORDER BY created_at, id", deprovisioningID)
            .map(RevocationRecord.init)
    }

    package func isDataKeyUsedByRevocation(_ id: DataKeyID) throws -> Bool {
        try row("SELECT 1 AS found FROM revocations WHERE data_key_id = ?1 LIMIT 1", id) != nil
    }
}
