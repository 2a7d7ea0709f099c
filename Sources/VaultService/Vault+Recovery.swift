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
        let remembered = try keys.endedUsers()
        let forgotten = try read { transaction in
            try remembered.filter { ended in
                let stored = try transaction.user(ended.id, appID: ended.appID)
                return stored.map { $0.user.epoch < ended.epoch } ?? true
            }
        }
        for ended in forgotten {
            try await write { transaction in
                guard let app = try transaction.app(ended.appID),
                    var record = try transaction.user(ended.id, appID: app.id)
                        ?? Self.insertTombstone(of: ended, in: transaction),
                    // Another node may have been first.
                    record.user.epoch < ended.epoch
                else { return }
                record.user.epoch = ended.epoch - 1
                try self.endAgain(record, app: app, in: transaction)
            }
        }
        try await finishKeyDestructions()
        try await forgetDestructions()
    }

    /// The same for who was ended before the key store remembered users: their keys are gone, so that nothing of theirs opens
    /// anyway. Goes through all users who have keys, beside requests.
    func endUsersWithoutKeys() async throws {
        var last: UserID?
        while !Task.isCancelled {
            // In this order: a key that is made meanwhile belongs to none of these users.
            let users = try read { [last] in try $0.usersWithKeys(after: last, limit: Limits.usersLookedAtOnce) }
            guard let next = users.last?.userID else { return }
            last = next
            let alive = try keys.existing(users.map(\.dataKeyID))
            for item in users where !alive.contains(item.dataKeyID) {
                try await write(in: .app(item.appID)) { transaction in
                    guard let app = try transaction.app(item.appID),
                        let record = try transaction.user(item.userID, appID: item.appID),
                        record.dataKeyID == item.dataKeyID
                    else { return }
                    try self.endAgain(record, app: app, in: transaction)
                }
                try await finishKeyDestructions()
            }
            try await Task.sleep(for: Limits.turnPause)
        }
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
