import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Renewing access tokens (RFC 6749 §6). One refresh per credential at a time; the new pair is stored before anyone uses
// it; no transaction is open across the call; a revocation that lands meanwhile wins.

/// The credential went away while it was waited for: only a new decision can say what the caller is to hear.
struct CredentialGone: Error {}

extension Vault {
    /// The credential with an access token that is not about to expire. Throws `CredentialGone` when it was destroyed.
    func freshCredential(_ id: CredentialID, appID: AppID) async throws -> CredentialRecord {
        let record = try storedCredential(id)
        let time = now()
        guard record.credential.needsRefresh(now: time) else { return record }
        let isStillGood = record.credential.accessExpiresAt.map { $0 > time } ?? true
        do {
            try await refreshes.run(id) {
                let isDone: Void? = try await self.inTurn("refresh:\(id)") { try await self.refresh(id, appID: appID) }
                if isDone == nil { throw RefreshFlights.stillRunning }
            }
        } catch let error as VaultError where error.code == .tokenRefreshFailed && isStillGood {
            // The token at hand lives on; the next use tries again.
            return record
        }
        return try storedCredential(id)
    }

    func storedCredential(_ id: CredentialID) throws -> CredentialRecord {
        guard let record = try read({ try $0.credential(id) }) else { throw CredentialGone() }
        return record
    }

    private static func refreshFailed(_ reason: String) -> VaultError {
        VaultError(
            .tokenRefreshFailed, "The provider did not renew the access token: \(reason).", retryAfterSeconds: 5)
    }

    private static func outcome(of failure: TokenCallFailure) -> String {
        switch failure {
        case .refused(let code, _) where code == "invalid_grant": "dead"
        case .unusable: "dead"
        case .throttled: "throttled"
        case .unreachable: "unreachable"
        case .refused, .providerError, .malformed: "failed"
        }
    }

    /// One refresh. Runs alone for its credential, and reads everything anew: what it waited for may have happened.
    private func refresh(_ id: CredentialID, appID: AppID) async throws {
        let record = try storedCredential(id)
        guard record.credential.needsRefresh(now: now()) else { return }
        let client = "\(appID):\(record.providerID)"
        for pausable in [id.text, client] where await refreshes.isPaused(pausable, now: now()) {
            throw Self.refreshFailed("the provider asked for patience")
        }
        let found = try read { transaction in
            (
                app: try transaction.app(appID),
                provider: try configuredProvider(record.providerID, appID: appID, in: transaction)
            )
        }
        guard let app = found.app, let provider = found.provider else {
            throw Self.refreshFailed("the provider is not set up any more")
        }
        guard let refreshToken = try openRefreshToken(record) else { return }
        do {
            let answer = try await oauthClient(provider, app: app).refresh(refreshToken)
            try await storePatiently(answer, over: record, app: app)
            metrics.countRefresh("renewed")
        } catch let failure as TokenCallFailure {
            metrics.countRefresh(Self.outcome(of: failure))
            try await handle(failure, for: record, client: client)
        }
    }

    /// A rotated pair exists nowhere else: a database that is away for a moment must not lose it.
    private func storePatiently(_ answer: TokenAnswer, over old: CredentialRecord, app: AppRecord) async throws {
        for pause in Limits.refreshStorePauses {
            do {
                return try await store(answer, over: old, app: app)
            } catch let error as VaultError where error.code == .serviceUnavailable {
                try await Task.sleep(for: pause)
            }
        }
        do {
            try await store(answer, over: old, app: app)
        } catch let error as VaultError where error.code == .serviceUnavailable {
            // What was sent may be spent: not sent again while somebody can still look.
            await refreshes.pause(old.credential.id.text, until: now().adding(seconds: Limits.lostPairPauseSeconds))
            throw error
        }
    }

    private func renewed(_ old: CredentialRecord, by answer: TokenAnswer, at time: Instant) throws -> CredentialRecord?
    {
        var renewed = old
        renewed.credential.version += 1
        renewed.credential.tokenGeneration = Identifier<CredentialNoun>().text
        renewed.credential.accessExpiresAt = answer.expiresInSeconds.map { time.adding(seconds: $0) }
        renewed.credential.scopes = answer.scopes ?? old.credential.scopes
        let key: DataKey
        do { key = try dataKey(old.credential.dataKeyID) } catch KeyStoreError.keyDestroyed { return nil }
        renewed.accessToken = try seal(
            answer.accessToken, for: renewed.credential, purpose: Self.accessPurpose, with: key)
        do {
            if let refreshToken = try answer.refreshToken ?? openRefreshToken(old) {
                renewed.refreshToken = try seal(
                    refreshToken, for: renewed.credential, purpose: Self.refreshPurpose, with: key)
            }
        } catch is CredentialGone {
            return nil
        }
        return renewed
    }

    private func store(_ answer: TokenAnswer, over old: CredentialRecord, app: AppRecord) async throws {
        let time = now()
        let renewed = try renewed(old, by: answer, at: time)
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "credential.refreshed", principal: .system, occurredAt: time, appID: app.id,
            userID: old.credential.userID,
            providerID: old.providerID, details: ["credential_id": old.credential.id.json])
        let isGone = try await write(in: .app(app.id)) { transaction -> Bool in
            if let renewed,
                try transaction.updateCredential(renewed, expectedVersion: old.credential.version, now: time)
            {
                try transaction.appendAudit(entry, key: auditKey)
                return false
            }
            // Consent was renewed while the provider answered: its tokens are newer, and revoking ours could end both.
            if try transaction.credential(old.credential.id) != nil { return false }
            // Revoked while the provider answered: what it just issued must end, too.
            try self.queueRevocations(
                self.owed(
                    for: answer, providerID: old.providerID, userID: old.credential.userID,
                    credentialID: old.credential.id), app: app, in: transaction)
            return true
        }
        if isGone {
            revocationSignal.notify()
            throw CredentialGone()
        }
    }

    private func handle(_ failure: TokenCallFailure, for record: CredentialRecord, client: String) async throws {
        let credential = record.credential.id.text
        switch failure {
        case .refused(let code, _) where code == "invalid_grant":
            try await markDead(record, reason: code)
        case .refused(let code, let status):
            await refreshes.pause(credential, until: now().adding(seconds: Limits.refreshPauseSeconds))
            throw Self.refreshFailed("it answered \(status) \(code)")
        case .throttled(let retryAfterSeconds):
            let pause = Int64(min(retryAfterSeconds ?? 5, 300))
            await refreshes.pause(client, until: now().adding(seconds: pause))
            throw Self.refreshFailed("it asked for patience")
        case .providerError(let status):
            await refreshes.pause(client, until: now().adding(seconds: Limits.refreshPauseSeconds))
            throw Self.refreshFailed("it answered \(status)")
        case .unusable:
            // It issued a token that cannot be used, and may have spent the refresh token for it: never sent again.
            try await markDead(record, reason: "unusable_answer")
        case .malformed(let reason):
            // A maintenance page, most likely: nothing was issued.
            await refreshes.pause(credential, until: now().adding(seconds: Limits.refreshPauseSeconds))
            throw Self.refreshFailed(reason)
        case .unreachable(let failure):
            await refreshes.pause(client, until: now().adding(seconds: Limits.refreshPauseSeconds))
            throw Self.refreshFailed(failure.reason)
        }
    }

    /// The consent is over, or cannot be used any more. The version check spares a credential that was renewed meanwhile.
    private func markDead(_ record: CredentialRecord, reason: String) async throws {
        let time = now()
        let auditKey = auditKey
        let isDead = try await write(in: .app(record.credential.appID)) { transaction in
            guard
                try transaction.markCredentialDead(
                    record.credential.id, expectedVersion: record.credential.version, now: time)
            else { return false }
            try transaction.appendAudit(
                self.deathEntry(record.credential, providerID: record.providerID, reason: reason, at: time),
                key: auditKey)
            return true
        }
        guard isDead else { return }
        throw VaultError(
            .credentialRevoked, "The provider no longer accepts the stored credential.",
            hint: "Ask the user to connect the account again.", members: ["provider_id": .string(record.providerID)])
    }

    private func deathEntry(_ credential: Credential, providerID: String, reason: String, at time: Instant)
        -> AuditEntry
    {
        AuditEntry(
            event: "credential.died", principal: .system, occurredAt: time, appID: credential.appID,
            userID: credential.userID, providerID: providerID,
            details: ["credential_id": credential.id.json, "reason": .string(reason)])
    }

    /// The provider refused the very token that was released: it is renewed at the next use, or it is over.
    func noteUnauthorized(
        _ credential: Credential, grant: Grant, tokenGeneration: String?, at time: Instant, in transaction: Transaction
    ) throws {
        guard grant.kind == .oauth, credential.tokenGeneration == tokenGeneration else { return }
        if credential.hasRefreshToken {
            try transaction.expireAccessToken(credential.id, expectedVersion: credential.version, now: time)
        } else if try transaction.markCredentialDead(credential.id, expectedVersion: credential.version, now: time) {
            try transaction.appendAudit(
                deathEntry(credential, providerID: grant.providerID, reason: "unauthorized", at: time), key: auditKey)
        }
    }
}
