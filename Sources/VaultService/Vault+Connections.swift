import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// What a finished consent becomes: a credential and a grant. The same account keeps its credential and its grant id.

/// A consent with everything that storing it needs.
struct NewConnection: Sendable {
    let answer: TokenAnswer
    let account: Vault.ConnectedAccount
    let provider: ConfiguredProvider
    let session: ConnectSessionRecord
    let dataKeyID: DataKeyID
    let key: DataKey
    let time: Instant

    /// What the provider granted; what was asked for when it does not say (RFC 6749 §5.1).
    var scopes: [String] {
        answer.scopes ?? provider.scopes
            + (session.requiredScopes[provider.record.providerID]?.array?.compactMap(\.string).filter {
                !provider.scopes.contains($0)
            } ?? [])
    }
}

extension Vault {
    func credentialRecord(_ connection: NewConnection, id: CredentialID, version: Int64) throws -> CredentialRecord {
        let credential = Credential(
            id: id, appID: connection.session.appID, userID: connection.session.userID, dataKeyID: connection.dataKeyID,
            version: version, tokenGeneration: Identifier<CredentialNoun>().text,
            hasRefreshToken: connection.answer.refreshToken != nil, scopes: connection.scopes,
            accessExpiresAt: connection.answer.expiresInSeconds.map { connection.time.adding(seconds: $0) }, diedAt: nil
        )
        return CredentialRecord(
            credential: credential, providerID: connection.provider.record.providerID, accountID: connection.account.id,
            accessToken: try seal(
                connection.answer.accessToken, for: credential, purpose: Self.accessPurpose, with: connection.key),
            refreshToken: try connection.answer.refreshToken.map {
                try seal($0, for: credential, purpose: Self.refreshPurpose, with: connection.key)
            })
    }

    /// Stores the connection and answers its entry in the poll's `grants` (wire contract §4.6).
    func storeConnection(_ connection: NewConnection, app: AppRecord, in transaction: Transaction) throws -> JSON {
        let existing = try existingCredential(connection, in: transaction)
        let record = try credentialRecord(
            connection, id: existing?.credential.id ?? CredentialID(), version: (existing?.credential.version ?? 0) + 1)
        if let existing {
            // A provider may leave the refresh token out when consent is renewed; the old one then lives on.
            var renewed = record
            if renewed.refreshToken == nil, let old = try openRefreshToken(existing) {
                renewed.refreshToken = try seal(
                    old, for: renewed.credential, purpose: Self.refreshPurpose, with: connection.key)
            }
            guard
                try transaction.updateCredential(
                    renewed, expectedVersion: existing.credential.version, now: connection.time)
            else {
                throw Self.noConnectSession
            }
        } else {
            try transaction.insertCredential(record, now: connection.time)
        }
        let grants = try transaction.activeGrants(credentialID: record.credential.id)
        let renewable =
            grants.first { $0.id == connection.session.repairGrantID }
            ?? grants.first { $0.label == connection.session.label }
            ?? (connection.session.label == nil ? grants.first : nil)
        let asked = connection.session.grantPolicy
        // A grant that was limited once stays so, with a fresh term, until other terms are asked for.
        let policy = asked.isEmpty ? renewable?.grantPolicy ?? asked : asked
        let terms = GrantPolicyTerms(Fields(policy, unknownMembers: .ignored))
        let expiresAt = terms.expiry(now: connection.time)
        // New consent heals every grant on the credential; only the one asked for gets the new term.
        for grant in grants where grant.id != renewable?.id {
            try transaction.renewGrant(
                grant.id, scopes: connection.scopes, accountIdentifier: connection.account.identifier,
                accountDisplayName: connection.account.displayName, policy: grant.grantPolicy,
                expiresAt: grant.expiresAt)
        }
        let grant =
            renewable ?? newGrant(connection, credentialID: record.credential.id, terms: terms, expiresAt: expiresAt)
        if renewable == nil {
            try transaction.insertGrant(grant, accountID: connection.account.id)
        } else {
            try transaction.renewGrant(
                grant.id, scopes: connection.scopes, accountIdentifier: connection.account.identifier,
                accountDisplayName: connection.account.displayName, policy: terms.json, expiresAt: expiresAt)
        }
        let operation = renewable == nil ? "creation" : "reauth"
        try transaction.appendAudit(
            AuditEntry(
                event: "grant.connected", principal: .browser, occurredAt: connection.time, appID: app.id,
                userID: connection.session.userID, grantID: grant.id, providerID: grant.providerID,
                details: ["operation": .string(operation), "scopes": .strings(connection.scopes)]), key: auditKey)
        return result(grant.id, connection, operation: operation)
    }

    /// The account's credential, or the one that a repair replaces when the same account came back.
    private func existingCredential(_ connection: NewConnection, in transaction: Transaction) throws
        -> CredentialRecord?
    {
        try transaction.credential(
            appID: connection.session.appID, providerID: connection.provider.record.providerID,
            userID: connection.session.userID, accountID: connection.account.id)
    }

    private func newGrant(
        _ connection: NewConnection, credentialID: CredentialID, terms: GrantPolicyTerms, expiresAt: Instant?
    ) -> Grant {
        Grant(
            id: GrantID(), appID: connection.session.appID, kind: .oauth,
            providerID: connection.provider.record.providerID,
            credentialID: credentialID, principalType: connection.session.userID == nil ? .system : .user,
            userID: connection.session.userID, label: connection.session.label,
            accountIdentifier: connection.account.identifier,
            accountDisplayName: connection.account.displayName, scopes: connection.scopes, grantPolicy: terms.json,
            expiresAt: expiresAt, createdAt: connection.time)
    }

    private func result(_ id: GrantID, _ connection: NewConnection, operation: String) -> JSON {
        var object: JSONObject = [
            "grant_id": id.json, "provider_id": .string(connection.provider.record.providerID),
            "operation": .string(operation),
            "scopes": .strings(connection.scopes),
        ]
        object["account_identifier"] = connection.account.identifier.map(JSON.string)
        return .object(object)
    }
}
