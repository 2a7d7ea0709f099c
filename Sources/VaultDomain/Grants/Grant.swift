import VaultAPI

// The consent record and what it points to. A grant names a principal and a credential; the credential is the secret
// material, known here only by its facts. Neither holds plaintext: this module cannot name it.

package enum PrincipalType: String, Sendable, CaseIterable { case user, group, system, agent }

package enum GrantKind: String, Sendable { case oauth, managedSecret = "managed_secret" }

/// A grant as it is stored.
package struct Grant: Sendable, Equatable {
    package var id: GrantID
    package var appID: AppID
    package var kind: GrantKind
    /// The OAuth provider's id, or the managed secret's slug.
    package var providerID: String
    /// Gone once the grant is revoked and nothing else uses the credential.
    package var credentialID: CredentialID?
    package var managedSecretID: ManagedSecretID?
    package var principalType: PrincipalType
    package var userID: UserID?
    package var label: String?
    package var accountIdentifier: String?
    package var accountDisplayName: String?
    package var scopes: [String]
    package var hasScopeMismatch: Bool
    package var grantPolicy: JSONObject
    package var expiresAt: Instant?
    package var createdAt: Instant
    /// When consent, or an extension, last gave it a term.
    package var termStartedAt: Instant
    package var lastUsedAt: Instant?
    package var revokedAt: Instant?
    package var revokeReason: String?

    package init(
        id: GrantID, appID: AppID, kind: GrantKind, providerID: String, credentialID: CredentialID?,
        managedSecretID: ManagedSecretID? = nil, principalType: PrincipalType, userID: UserID?, label: String? = nil,
        accountIdentifier: String? = nil, accountDisplayName: String? = nil, scopes: [String] = [],
        hasScopeMismatch: Bool = false, grantPolicy: JSONObject = [:], expiresAt: Instant? = nil, createdAt: Instant,
        termStartedAt: Instant? = nil, lastUsedAt: Instant? = nil, revokedAt: Instant? = nil,
        revokeReason: String? = nil
    ) {
        self.id = id
        self.appID = appID
        self.kind = kind
        self.providerID = providerID
        self.credentialID = credentialID
        self.managedSecretID = managedSecretID
        self.principalType = principalType
        self.userID = userID
        self.label = label
        self.accountIdentifier = accountIdentifier
        self.accountDisplayName = accountDisplayName
        self.scopes = scopes
        self.hasScopeMismatch = hasScopeMismatch
        self.grantPolicy = grantPolicy
        self.expiresAt = expiresAt
        self.createdAt = createdAt
        self.termStartedAt = termStartedAt ?? createdAt
        self.lastUsedAt = lastUsedAt
        self.revokedAt = revokedAt
        self.revokeReason = revokeReason
    }
}

/// What lists and answers call the grant's state.
package enum GrantStatus: String, Sendable, CaseIterable { case active, expired, needsReauth = "needs_reauth", revoked }

extension Grant {
    package func status(credential: Credential?, now: Instant) -> GrantStatus {
        if revokedAt != nil { return .revoked }
        if let expiresAt, expiresAt <= now { return .expired }
        guard let credential, !credential.isDead else { return .needsReauth }
        return .active
    }
}

/// The facts of stored secret material.
package struct Credential: Sendable, Equatable {
    package var id: CredentialID
    package var appID: AppID
    package var userID: UserID?
    package var dataKeyID: DataKeyID
    /// Grows with every stored change; part of what each ciphertext is bound to.
    package var version: Int64
    /// Names one stored access token; echoed by audit reports (wire contract §4.1).
    package var tokenGeneration: String
    package var hasRefreshToken: Bool
    package var scopes: [String]
    package var accessExpiresAt: Instant?
    /// Set when the provider said that the consent is over (`invalid_grant`, a 401 without a way to refresh).
    package var diedAt: Instant?

    package init(
        id: CredentialID, appID: AppID, userID: UserID?, dataKeyID: DataKeyID, version: Int64, tokenGeneration: String,
        hasRefreshToken: Bool, scopes: [String], accessExpiresAt: Instant?, diedAt: Instant?
    ) {
        self.id = id
        self.appID = appID
        self.userID = userID
        self.dataKeyID = dataKeyID
        self.version = version
        self.tokenGeneration = tokenGeneration
        self.hasRefreshToken = hasRefreshToken
        self.scopes = scopes
        self.accessExpiresAt = accessExpiresAt
        self.diedAt = diedAt
    }

    package var isDead: Bool { diedAt != nil }

    /// Seconds before expiry at which a token counts as expired (behaviour contract, “Refresh”).
    package static let refreshAheadSeconds: Int64 = 60

    package func needsRefresh(now: Instant) -> Bool {
        guard hasRefreshToken, let accessExpiresAt else { return false }
        return accessExpiresAt <= now.adding(seconds: Self.refreshAheadSeconds)
    }
}
