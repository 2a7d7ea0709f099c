import Logging
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Telling providers that tokens are over (RFC 7009): a durable queue, worked off beside requests. Nothing here is waited
// for: what a revocation or a deprovisioning promises holds before any provider has heard of it.

/// A token that its provider is to revoke.
struct OwedRevocation: Sendable {
    let providerID: String
    /// `nil` when the token was never stored.
    let credentialID: CredentialID?
    let grantID: GrantID?
    let userID: UserID?
    /// `refresh_token` or `access_token`.
    let hint: String
    /// `nil` when the stored one could not be opened.
    let token: Secret?
}

extension Vault {
    /// What ending these credentials owes to their providers. Both tokens: where a provider ends the consent by one of them,
    /// it answers the other as done.
    func owed(for credentials: [CredentialRecord], grants: [Grant]) throws -> [OwedRevocation] {
        let grantIDs = Dictionary(
            grants.compactMap { grant in grant.credentialID.map { ($0, grant.id) } },
            uniquingKeysWith: { first, _ in first })
        // A user's credentials share one key, which is read once here.
        var dataKeys: [DataKeyID: DataKey] = [:]
        return try credentials.filter { $0.managedSecretID == nil }.flatMap { record -> [OwedRevocation] in
            let credential = record.credential
            var key = dataKeys[credential.dataKeyID]
            do { key = try key ?? dataKey(of: record) } catch is CredentialGone {} catch is KeyStoreError {}
            dataKeys[credential.dataKeyID] = key
            func owed(_ hint: String, _ sealed: [UInt8], _ purpose: String) -> OwedRevocation {
                OwedRevocation(
                    providerID: record.providerID, credentialID: credential.id, grantID: grantIDs[credential.id],
                    userID: credential.userID,
                    hint: hint,
                    // One that does not open is no reason to keep a user: it is queued as failed, for everybody to see.
                    token: key.flatMap { try? open(sealed, of: credential, purpose: purpose, with: $0) })
            }
            let accessToken = owed("access_token", record.accessToken, Self.accessPurpose)
            return (record.refreshToken.map { [owed("refresh_token", $0, Self.refreshPurpose)] } ?? []) + [accessToken]
        }
    }

    /// What a provider just issued and nobody may keep.
    func owed(
        for answer: TokenAnswer, providerID: String, userID: UserID?, credentialID: CredentialID? = nil
    ) -> [OwedRevocation] {
        [("refresh_token", answer.refreshToken), ("access_token", answer.accessToken)].compactMap { hint, token in
            token.map {
                OwedRevocation(
                    providerID: providerID, credentialID: credentialID, grantID: nil, userID: userID, hint: hint,
                    token: $0)
            }
        }
    }

    /// Queues the revocations. Their tokens are sealed under a one-off key, which lives until the provider has answered,
    /// or for a day.
    func queueRevocations(_ owed: [OwedRevocation], app: AppRecord, in transaction: Transaction) throws {
        guard !owed.isEmpty else { return }
        let time = now()
        let addresses = try Dictionary(
            Set(owed.map(\.providerID)).map { id in
                (id, try template(id, appID: app.id, in: transaction)?.revocation.address)
            }, uniquingKeysWith: { first, _ in first })
        // What a user's end still owes, or brings to light later, is part of its receipt.
        let ends = try Dictionary(
            Set(owed.compactMap(\.userID)).map { ($0, try transaction.openDeprovisioning(userID: $0)) },
            uniquingKeysWith: { first, _ in first })
        func isSendable(_ item: OwedRevocation) -> Bool {
            item.token != nil && addresses[item.providerID] ?? nil != nil
        }
        let oneOff =
            owed.contains(where: isSendable)
            ? try spareRevocationKey.take() ?? createDataKey(purpose: Self.revocationKeyPurpose, now: time) : nil
        for item in owed {
            let id = RevocationID()
            let isSendable = isSendable(item)
            let sealed =
                try isSendable
                ? item.token.flatMap { try oneOff?.key.seal($0, Self.revocationContext(app.id, id)) } : nil
            try transaction.insertRevocation(
                RevocationRecord(
                    id: id, appID: app.id, providerID: item.providerID, credentialID: item.credentialID,
                    grantID: item.grantID, userID: item.userID, token: sealed,
                    dataKeyID: sealed == nil ? nil : oneOff?.id, tokenTypeHint: item.hint,
                    status: isSendable ? "pending" : item.token == nil ? "failed" : "unsupported",
                    lastError: isSendable
                        ? nil
                        : item.token == nil
                            ? "the token could not be opened" : "the provider has no revocation address",
                    deprovisioningID: item.userID.flatMap { ends[$0] ?? nil }, createdAt: time),
                nextAttemptAt: isSendable ? time : nil)
        }
    }

    static let revocationKeyPurpose = "revocation"

    /// A one-off key that is durable before it is needed, so that whoever deprovisions does not wait for it.
    func prepareRevocationKey() throws {
        // Another node would take it for an orphan.
        guard !store.isShared else { return }
        try spareRevocationKey.fill { try createDataKey(purpose: Self.revocationKeyPurpose, now: now()) }
    }

    static func revocationContext(_ appID: AppID, _ id: RevocationID) -> SealContext {
        SealContext(purpose: "revocation.token", app: appID.text, record: id.text)
    }

    /// One-off keys whose queueing transaction never committed.
    func destroyOrphanedRevocationKeys() async throws {
        // Of another node, one that is young may be about to be used.
        let before = now().adding(seconds: store.isShared ? -Limits.unusedKeySecondsMax : 1)
        let ids = try keys.dataKeyIDs(purpose: Self.revocationKeyPurpose, createdBefore: before)
        let orphans = try read { transaction in try ids.filter { try !transaction.isDataKeyUsedByRevocation($0) } }
        try await destroyKeys(orphans)
    }

    // MARK: Working it off

    /// Starts working off every provider at which something is due and which nobody works off already. `start` runs what it is
    /// given beside everything else: one call after the other at each provider, side by side at different ones.
    func startDueRevocations(_ start: (@escaping @Sendable () async -> Void) -> Void) async throws {
        let providers = try read {
            try $0.providersWithDueRevocations(now: now(), limit: Limits.revocationProvidersAtOnce)
        }
        for provider in providers {
            start {
                await orReport("revocations could not be worked off") {
                    try await ifFree("revocations:\(provider.appID):\(provider.providerID)") {
                        try await workOff(provider)
                    }
                }
            }
        }
    }

    /// Until nothing is due at the provider, or it is in trouble: then its next turn is in the next round.
    private func workOff(_ provider: ProviderOfApp) async throws {
        while !Task.isCancelled, let revocation = try read({ try $0.dueRevocation(at: provider, now: now()) }) {
            let lifeEnds = revocation.createdAt.adding(seconds: Limits.revocationLifeSeconds)
            guard now() < lifeEnds else {
                try await finish(revocation, status: "failed", error: revocation.lastError ?? "its time was over")
                continue
            }
            switch try await outcome(of: revocation) {
            case .done: try await finish(revocation, status: "done", error: nil)
            case .unsupported(let reason): try await finish(revocation, status: "unsupported", error: reason)
            case .retry(let reason):
                let pause = min(Limits.revocationPauseSecondsMax, 1 << min(revocation.attempts, 12))
                let next = min(now().adding(seconds: pause), lifeEnds)
                return try await write(in: .app(revocation.appID)) {
                    try $0.postponeRevocation(revocation.id, until: next, error: reason)
                }
            }
        }
    }

    /// What became of the call. One that cannot be made is over, or waits; it never stands in the way of the others.
    private func outcome(of revocation: RevocationRecord) async throws -> RevocationOutcome {
        do {
            return try await call(revocation)
        } catch KeyStoreError.keyDestroyed {
            return .unsupported(reason: "the token was destroyed before the provider could be told")
        } catch is SealError {
            return .unsupported(reason: "the token cannot be opened")
        } catch let error as CancellationError {
            throw error
        } catch {
            logger.error("a revocation could not be sent", metadata: ["error": "\(type(of: error))"])
            return .retry(reason: "the call could not be made")
        }
    }

    private func call(_ revocation: RevocationRecord) async throws -> RevocationOutcome {
        let found = try read { transaction in
            (
                app: try transaction.app(revocation.appID),
                provider: try configuredProvider(revocation.providerID, appID: revocation.appID, in: transaction)
            )
        }
        guard let app = found.app, let provider = found.provider else {
            return .unsupported(reason: "the provider is not set up any more")
        }
        guard let sealed = revocation.token, let dataKeyID = revocation.dataKeyID else {
            return .unsupported(reason: "no token is held")
        }
        let token = try dataKey(dataKeyID).open(sealed, Self.revocationContext(revocation.appID, revocation.id))
        return await (try oauthClient(provider, app: app)).revoke(token, hint: revocation.tokenTypeHint)
    }

    /// Stores the outcome, forgets the token, and destroys its one-off key when nothing else needs it.
    private func finish(_ revocation: RevocationRecord, status: String, error: String?) async throws {
        let time = now()
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "provider_revocation.\(status)", principal: .system, occurredAt: time, appID: revocation.appID,
            userID: revocation.userID, grantID: revocation.grantID, providerID: revocation.providerID,
            details: ["token_type": .string(revocation.tokenTypeHint)])
        try await write(in: .app(revocation.appID)) { transaction in
            try transaction.finishRevocation(revocation.id, status: status, error: error, now: time)
            if let key = revocation.dataKeyID, try !transaction.isDataKeyUsedByRevocation(key) {
                try transaction.insertKeyDestruction(key, now: time)
            }
            try transaction.appendAudit(entry, key: auditKey)
        }
        metrics.countRevocation(status)
        try await finishKeyDestructions()
    }
}
