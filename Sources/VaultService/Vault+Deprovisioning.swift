import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// The end of a user, as one verb with one transaction (behaviour contract, “Lifecycle”): status, grants, tokens, sessions,
// and the intent to destroy the user's data key. The key is destroyed before anybody hears that it is done; after a
// crash the intents are completed before anything is served. Providers are told afterwards, from a durable queue.

extension Vault {
    package func deprovisionUser(_ caller: OperatorCaller, appID: String, _ id: String, reason: String?) async throws
        -> UserDetails
    {
        let app = try app(caller, appID, toWrite: true)
        let userID = try read { try user(id, app: app, in: $0).user.id }
        var details = JSONObject()
        details["reason"] = reason.map(JSON.string)
        let entry = AuditEntry(
            event: "user.deprovisioned", principal: caller.principal, occurredAt: now(),
            requestID: caller.origin.requestID,
            appID: app.id, userID: userID, peer: caller.origin.peer?.description, details: details)
        try await write { transaction in
            let record = try self.user(userID.text, app: app, in: transaction)
            try self.deprovision(record, app: app, entry: entry, eventAt: nil, in: transaction)
        }
        try await finishKeyDestructions()
        revocationSignal.notify()
        return try user(caller, appID: appID, userID.text)
    }

    /// The transaction's part. The caller must run `finishKeyDestructions()` before it acknowledges anything.
    func deprovision(
        _ record: UserRecord, app: AppRecord, entry: AuditEntry, eventAt: Instant?, in transaction: Transaction
    ) throws {
        guard record.user.status != .deprovisioned else { return }
        let time = now()
        let grants = try transaction.activeGrants(userID: record.user.id)
        let credentials = try transaction.credentials(userID: record.user.id)
        try queueRevocations(of: credentials, grants: grants.map(\.grant), app: app, in: transaction)
        for grant in grants {
            _ = try transaction.revokeGrant(grant.grant.id, reason: "user_deprovisioned", now: time)
        }
        for credential in credentials { try transaction.deleteCredential(credential.credential.id) }
        if let dataKeyID = record.dataKeyID { try transaction.insertKeyDestruction(dataKeyID, now: time) }
        try transaction.endConnectSessions(
            userID: record.user.id, code: ErrorCode.userDeprovisioned.rawValue, message: "The user was deprovisioned.")
        var updated = record
        updated.user.status = .deprovisioned
        updated.user.epoch += 1
        updated.dataKeyID = nil
        updated.statusEventAt = eventAt ?? time
        // Whole seconds, as `iat` is: a token of this very second must not outlive the person.
        updated.tokensNotBefore = Instant(seconds: time.seconds)
        try transaction.updateUser(updated)
        var entry = entry
        entry.details["grants_revoked"] = .strings(grants.map(\.grant.id.text))
        entry.details["credentials_destroyed"] = .strings(credentials.map(\.credential.id.text))
        try transaction.appendAudit(entry, key: auditKey)
    }

    /// Destroys every key whose destruction was decided, then forgets the intent. Idempotent; also the crash recovery.
    func finishKeyDestructions() async throws {
        let pending = try read { try $0.pendingKeyDestructions() }
        guard !pending.isEmpty else { return }
        try keys.destroyDataKeys(pending)
        // The ciphertexts were overwritten in the database; now no earlier copy of their pages stays in the log either.
        try await store.checkpoint()
        try await write { transaction in
            for id in pending { try transaction.deleteKeyDestruction(id) }
        }
    }

    // MARK: Revocations owed to providers

    /// Queues the provider-side revocation of credentials that are about to be destroyed. Their tokens are sealed again
    /// under a one-off key, which lives until the provider has answered, or for a day.
    func queueRevocations(
        of credentials: [CredentialRecord], grants: [Grant], app: AppRecord, in transaction: Transaction
    ) throws {
        let time = now()
        let oauth = credentials.filter { $0.managedSecretID == nil }
        guard !oauth.isEmpty else { return }
        let oneOff = try keys.createDataKey(purpose: Self.revocationKeyPurpose, now: time)
        var isKeyUsed = false
        for record in oauth {
            let grantID = grants.first { $0.credentialID == record.credential.id }?.id
            let address = try template(record.providerID, appID: app.id, in: transaction)?.revocation.address
            let tokens = [
                ("refresh_token", try? openRefreshToken(record)), ("access_token", try? openAccessToken(record)),
            ]
            for (hint, token) in tokens {
                guard let token = token ?? nil else { continue }
                let id = RevocationID()
                var sealed: [UInt8]?
                if address != nil {
                    sealed = try oneOff.key.seal(token, Self.revocationContext(app.id, id))
                    isKeyUsed = true
                }
                try transaction.insertRevocation(
                    RevocationRecord(
                        id: id, appID: app.id, providerID: record.providerID, grantID: grantID,
                        userID: record.credential.userID,
                        token: sealed, dataKeyID: sealed == nil ? nil : oneOff.id, tokenTypeHint: hint,
                        status: sealed == nil ? "unsupported" : "pending", createdAt: time),
                    nextAttemptAt: sealed == nil ? nil : time)
                // One token ends the connection where the refresh token is accepted; without an address there is nothing to send.
                if address == nil { break }
            }
        }
        if !isKeyUsed { try keys.destroyDataKeys([oneOff.id]) }
    }

    static let revocationKeyPurpose = "revocation"

    static func revocationContext(_ appID: AppID, _ id: RevocationID) -> SealContext {
        SealContext(purpose: "revocation.token", app: appID.text, record: id.text)
    }

    /// One-off keys whose queueing transaction never committed.
    func destroyOrphanedRevocationKeys() async throws {
        let ids = try keys.dataKeyIDs(purpose: Self.revocationKeyPurpose)
        let orphans = try read { transaction in try ids.filter { try !transaction.isDataKeyUsedByRevocation($0) } }
        try keys.destroyDataKeys(orphans)
    }
}
