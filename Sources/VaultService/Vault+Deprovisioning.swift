import Logging
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// The end of a user, as one verb with one transaction (behaviour contract, “Lifecycle”): status, grants, tokens, sessions,
// and the intent to destroy the user's data key. The key is destroyed before anybody hears that it is done; after a
// crash the intents are completed before anything is served. Providers are told afterwards, from a durable queue.

extension Vault {
    /// Ends the user and answers the receipt. Of a user who is at their end already nothing changes.
    package func deprovisionUser(_ caller: OperatorCaller, appID: String, _ id: String, reason: String?) async throws
        -> DeprovisioningReceipt
    {
        let app = try app(caller, appID, toWrite: true)
        let userID = try read { try user(id, app: app, in: $0).user.id }
        var details = JSONObject()
        details["reason"] = reason.map(JSON.string)
        let entry = AuditEntry(
            event: "user.deprovisioned", principal: caller.principal, occurredAt: now(),
            requestID: caller.origin.requestID,
            appID: app.id, userID: userID, peer: caller.origin.peer?.description, details: details)
        try await write(in: .app(app.id)) { transaction in
            let record = try self.user(userID.text, app: app, in: transaction)
            try self.deprovision(record, app: app, entry: entry, eventAt: nil, in: transaction)
        }
        try await finishKeyDestructions()
        revocationSignal.notify()
        return try await deprovisioningReceipt(caller, appID: appID, userID.text)
    }

    /// The transaction's part. The caller must run `finishKeyDestructions()` before it acknowledges anything.
    func deprovision(
        _ record: UserRecord, app: AppRecord, entry: AuditEntry, eventAt: Instant?, in transaction: Transaction
    ) throws {
        guard record.user.status != .deprovisioned else { return }
        let time = now()
        let user = record.user
        let grants = try transaction.activeGrants(userID: user.id)
        let credentials = try transaction.credentials(userID: user.id)
        var updated = record
        updated.user.status = .deprovisioned
        updated.user.epoch += 1
        updated.dataKeyID = nil
        updated.statusEventAt = eventAt ?? time
        updated.tokensNotBefore = time
        try transaction.updateUser(updated)
        try transaction.insertDeprovisioning(
            DeprovisioningRecord(
                id: DeprovisioningID(), userID: user.id,
                facts: Self.receiptFacts(user, entry: entry, grants: grants, eventAt: eventAt, at: time),
                dataKeyID: record.dataKeyID, createdAt: time), appID: app.id)
        try transaction.revokeGrants(userID: user.id, reason: "user_deprovisioned", now: time)
        try queueRevocations(owed(for: credentials, grants: grants), app: app, in: transaction)
        try transaction.deleteCredentials(userID: user.id)
        if let dataKeyID = record.dataKeyID { try transaction.insertKeyDestruction(dataKeyID, now: time) }
        try transaction.insertUserEnding(updated.user, now: time)
        try transaction.endConnectSessions(
            userID: user.id, code: ErrorCode.userDeprovisioned.rawValue, message: "The user was deprovisioned.")
        try transaction.deleteWalletSessions(userID: user.id)
        try transaction.endSignInSessions(
            userID: user.id, code: ErrorCode.userDeprovisioned.rawValue, message: "The user was deprovisioned.")
        var entry = entry
        entry.details["grants_revoked"] = .strings(grants.map(\.id.text))
        entry.details["credentials_destroyed"] = .strings(credentials.map(\.credential.id.text))
        try transaction.appendAudit(entry, key: auditKey)
    }

    /// Carries out in the key store whatever was decided before this call. Idempotent; also the crash recovery.
    func finishKeyDestructions() async throws {
        try await keyDestructions.join { carriedOut in
            let pending = try read { try $0.pendingDestructions() }.removing(carriedOut)
            guard !pending.isEmpty else { return nil }
            // The ciphertexts were overwritten in the database; its log loses its copies as well, while the keys go. Who reads
            // the log at length keeps nobody waiting: it is tried again, and nothing opens what is in it.
            async let isLogEmpty = emptyDatabaseLog()
            do { try await keys.carryOut(pending) } catch let error as StoreError { throw Self.unavailable(error) }
            let time = now()
            await keyDestructions.noteLog(isEmpty: isLogEmpty)
            return (pending, at: time)
        }
    }

    /// What a round could not do, because somebody was reading.
    func emptyOwedLog() async {
        guard await keyDestructions.owesEmptyLog else { return }
        await keyDestructions.noteLog(isEmpty: await emptyDatabaseLog())
    }

    /// Forgets the intents that were carried out, and notes when. Nobody who waits for the destruction waits for this.
    func forgetDestructions() async throws {
        let notes = await keyDestructions.carriedOut()
        guard !notes.isEmpty else { return }
        try await write { transaction in
            for note in notes { try transaction.finishDestructions(note.destructions, at: note.at) }
        }
        await keyDestructions.forget(notes)
    }

    func destroyKeys(_ ids: [DataKeyID]) async throws {
        do {
            try await keys.destroyDataKeys(ids)
        } catch let error as StoreError {
            throw Self.unavailable(error)
        }
    }

    /// Whether the write-ahead log holds no earlier page any more. What was committed is committed either way.
    @discardableResult
    func emptyDatabaseLog() async -> Bool {
        do {
            try await store.erase()
            return true
        } catch {
            logger.warning("the database log could not be emptied yet", metadata: ["error": "\(type(of: error))"])
            return false
        }
    }
}
