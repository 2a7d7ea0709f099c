import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Renewing access tokens (RFC 6749 §6). One refresh per credential at a time; the new pair is stored before anyone uses
// it; no transaction is open across the call; a revocation that lands meanwhile wins.

extension Vault {
    /// The credential with an access token that is not about to expire.
    func freshCredential(_ id: CredentialID, appID: AppID) async throws -> CredentialRecord {
        let record = try storedCredential(id)
        let time = now()
        guard record.credential.needsRefresh(now: time) else { return record }
        let isStillGood = record.credential.accessExpiresAt.map { $0 > time } ?? true
        if await refreshes.isPaused(id, now: time) {
            if isStillGood { return record }
            throw Self.refreshFailed("the provider asked for patience")
        }
        do {
            try await refreshes.run(id) { try await self.refresh(id, appID: appID) }
        } catch let error as VaultError where error.code == .tokenRefreshFailed && isStillGood {
            // The token at hand lives on; the next use tries again.
            return record
        }
        return try storedCredential(id)
    }

    private func storedCredential(_ id: CredentialID) throws -> CredentialRecord {
        guard let record = try read({ try $0.credential(id) }) else {
            throw VaultError(.grantRevoked, "The grant was revoked.")
        }
        return record
    }

    private static func refreshFailed(_ reason: String) -> VaultError {
        VaultError(
            .tokenRefreshFailed, "The provider did not renew the access token: \(reason).", retryAfterSeconds: 5)
    }

    private func refresh(_ id: CredentialID, appID: AppID) async throws {
        let record = try storedCredential(id)
        guard record.credential.needsRefresh(now: now()) else { return }
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
            try await store(answer, over: record, app: app)
        } catch let failure as TokenCallFailure {
            try await handle(failure, for: record)
        }
    }

    private func store(_ answer: TokenAnswer, over old: CredentialRecord, app: AppRecord) async throws {
        let time = now()
        var renewed = old
        renewed.credential.version += 1
        renewed.credential.tokenGeneration = Identifier<CredentialNoun>().text
        renewed.credential.accessExpiresAt = answer.expiresInSeconds.map { time.adding(seconds: $0) }
        renewed.credential.scopes = answer.scopes ?? old.credential.scopes
        let key = try keys.dataKey(old.credential.dataKeyID)
        renewed.accessToken = try seal(
            answer.accessToken, for: renewed.credential, purpose: Self.accessPurpose, with: key)
        if let refreshToken = try answer.refreshToken ?? openRefreshToken(old) {
            renewed.refreshToken = try seal(
                refreshToken, for: renewed.credential, purpose: Self.refreshPurpose, with: key)
        }
        let stored = renewed
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "credential.refreshed", principal: .system, occurredAt: time, appID: app.id,
            userID: old.credential.userID,
            providerID: old.providerID, details: ["credential_id": old.credential.id.json])
        let isStored = try await write { transaction in
            guard try transaction.updateCredential(stored, expectedVersion: old.credential.version, now: time) else {
                // Revoked while the provider answered: what it just issued must end, too.
                try self.queueRevocations(of: [stored], grants: [], app: app, in: transaction)
                return false
            }
            try transaction.appendAudit(entry, key: auditKey)
            return true
        }
        if !isStored {
            revocationSignal.notify()
            throw VaultError(.grantRevoked, "The grant was revoked.")
        }
    }

    private func handle(_ failure: TokenCallFailure, for record: CredentialRecord) async throws {
        let id = record.credential.id
        switch failure {
        case .refused(let code, _) where code == "invalid_grant":
            try await markDead(record)
            throw VaultError(
                .credentialRevoked, "The provider no longer accepts the stored credential.",
                hint: "Ask the user to connect the account again.", members: ["provider_id": .string(record.providerID)]
            )
        case .refused(let code, let status):
            throw Self.refreshFailed("it answered \(status) \(code)")
        case .throttled(let retryAfterSeconds):
            await refreshes.pause(id, until: now().adding(seconds: Int64(min(retryAfterSeconds ?? 5, 300))))
            throw Self.refreshFailed("it asked for patience")
        case .providerError(let status):
            await refreshes.pause(id, until: now().adding(seconds: 2))
            throw Self.refreshFailed("it answered \(status)")
        case .unreachable(let failure):
            await refreshes.pause(id, until: now().adding(seconds: 2))
            throw Self.refreshFailed(failure.reason)
        case .malformed(let reason):
            throw Self.refreshFailed(reason)
        }
    }

    /// The provider ended the consent. The version check spares a credential that was renewed meanwhile.
    private func markDead(_ record: CredentialRecord) async throws {
        let time = now()
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "credential.died", principal: .system, occurredAt: time, appID: record.credential.appID,
            userID: record.credential.userID, providerID: record.providerID,
            details: ["credential_id": record.credential.id.json, "reason": "invalid_grant"])
        try await write { transaction in
            guard
                try transaction.markCredentialDead(
                    record.credential.id, expectedVersion: record.credential.version, now: time)
            else { return }
            try transaction.appendAudit(entry, key: auditKey)
        }
    }
}
