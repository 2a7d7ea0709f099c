import Logging
import VaultAPI
import VaultDomain
import VaultStore

// What a start does before anything is served: it completes what a crash interrupted, and ends again whom an older copy of the
// database would let in.

extension Vault {
    /// Completes what a crash interrupted. Runs before anything is served.
    package func recover() async throws {
        try await finishKeyDestructions()
        try await forgetDestructions()
        await emptyDatabaseLog()
        try await destroyOrphanedRevocationKeys()
        try await maintainSigningKeys()
        // Before anything is appended to it.
        try checkAuditEnds()
        // Where other nodes serve, what is not too old may be theirs.
        let usesMayGoOn = store.isShared ? -Limits.openUseSecondsMax : 1
        try await closeInterruptedUses(startedBefore: now().adding(seconds: usesMayGoOn))
        try await endUsersAgain()
    }

    /// Who was ended stays so, whatever an older copy of the database says: the key store remembers the user, or at least has
    /// the user's key no more.
    private func endUsersAgain() async throws {
        for ended in try keys.endedUsers() {
            let stored = try read { try $0.user(ended.id, appID: ended.appID) }
            if let stored, stored.user.epoch >= ended.epoch { continue }
            try await write { transaction in
                guard let app = try transaction.app(ended.appID),
                    var record = try transaction.user(ended.id, appID: app.id)
                        ?? Self.insertTombstone(of: ended, in: transaction)
                else { return }
                record.user.epoch = ended.epoch - 1
                try self.endAgain(record, app: app, in: transaction)
            }
        }
        // In this order: a key that is made meanwhile belongs to none of these users, and a key that one of them had is gone.
        let users = try read { try $0.usersWithKeys() }
        let alive = try keys.dataKeyIDs()
        for item in users where !alive.contains(item.dataKeyID) {
            try await write { transaction in
                guard let app = try transaction.app(item.appID),
                    let record = try transaction.user(item.userID, appID: item.appID),
                    record.dataKeyID == item.dataKeyID
                else { return }
                try self.endAgain(record, app: app, in: transaction)
            }
        }
        try await finishKeyDestructions()
        try await forgetDestructions()
    }

    private func endAgain(_ record: UserRecord, app: AppRecord, in transaction: Transaction) throws {
        let entry = AuditEntry(
            event: "user.deprovisioned", principal: .system, occurredAt: now(), appID: app.id, userID: record.user.id,
            details: ["reason": "the user was ended before, as the key store says"])
        try deprovision(record, app: app, entry: entry, eventAt: nil, in: transaction)
    }

    /// A record for a user whom the database does not know. `nil` when it knows the person under another id, which no history
    /// of one installation brings about.
    private static func insertTombstone(of ended: EndedUser, in transaction: Transaction) throws -> UserRecord? {
        let known = try transaction.user(
            appID: ended.appID, issuer: ended.issuer, externalSubjectID: ended.externalSubjectID)
        guard known == nil, let subject = ended.subjects.first else { return nil }
        let record = UserRecord(
            user: User(
                id: ended.id, appID: ended.appID, issuer: ended.issuer, externalSubjectID: ended.externalSubjectID,
                subject: subject, status: .active, firstSeenAt: ended.endedAt))
        try transaction.insertUser(record)
        for subject in ended.subjects.dropFirst() { try transaction.insertSubject(subject, of: ended.id) }
        return record
    }
}
