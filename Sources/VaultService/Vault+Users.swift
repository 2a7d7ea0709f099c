import VaultAPI
import VaultDomain
import VaultStore

// Users as operators see them; suspension and its end.

package struct UserDetails: Sendable {
    package let record: UserRecord
    package let grantCount: Int64
}

extension Vault {
    package func users(
        _ caller: OperatorCaller, appID: String, status: UserStatus?, group: String?, query: String?,
        after: PagePosition, limit: Int
    ) throws -> [UserDetails] {
        let app = try app(caller, appID)
        return try read { transaction in
            try transaction.users(appID: app.id, status: status, group: group, query: query, after: after, limit: limit)
                .map { try details($0, in: transaction) }
        }
    }

    package func user(_ caller: OperatorCaller, appID: String, _ id: String) throws -> UserDetails {
        let app = try app(caller, appID)
        return try read { try details(try user(id, app: app, in: $0), in: $0) }
    }

    /// The users of the app among these ids, for the names in a list.
    package func users(_ caller: OperatorCaller, appID: String, ids: Set<UserID>) throws -> [UserID: User] {
        let app = try app(caller, appID)
        return try read { transaction in
            var found: [UserID: User] = [:]
            for id in ids { found[id] = try transaction.user(id, appID: app.id)?.user }
            return found
        }
    }

    func user(_ id: String, app: AppRecord, in transaction: Transaction) throws -> UserRecord {
        guard let userID = UserID(id), let record = try transaction.user(userID, appID: app.id) else {
            throw Self.notFound
        }
        return record
    }

    private func details(_ record: UserRecord, in transaction: Transaction) throws -> UserDetails {
        let filter = GrantFilter(userID: record.user.id)
        return UserDetails(
            record: record, grantCount: try transaction.grantCount(appID: record.user.appID, filter: filter, now: now())
        )
    }

    package func suspendUser(_ caller: OperatorCaller, appID: String, _ id: String, reason: String?) async throws
        -> UserDetails
    {
        try await changeStatus(caller, appID: appID, id, reason: reason, event: "user.suspended") {
            transaction, record, time in
            guard record.user.status != .deprovisioned else {
                throw VaultError(.conflict, "The user is deprovisioned.", hint: "Restore the user first.")
            }
            try Self.suspend(record, by: "operator", eventAt: nil, in: transaction, now: time)
        }
    }

    package func restoreUser(_ caller: OperatorCaller, appID: String, _ id: String, reason: String?) async throws
        -> UserDetails
    {
        _ = try app(caller, appID, toWrite: true)
        let known = try user(caller, appID: appID, id)
        // Nothing changes, so nothing is recorded.
        guard known.record.user.status != .active else { return known }
        return try await changeStatus(caller, appID: appID, id, reason: reason, event: "user.restored") {
            transaction, record, time in
            try Self.restore(record, eventAt: nil, in: transaction, now: time)
        }
    }

    private func changeStatus(
        _ caller: OperatorCaller, appID: String, _ id: String, reason: String?, event: String,
        _ change: @escaping @Sendable (Transaction, UserRecord, Instant) throws -> Void
    ) async throws -> UserDetails {
        let app = try app(caller, appID, toWrite: true)
        let userID = try read { try user(id, app: app, in: $0).user.id }
        let time = now()
        var details = JSONObject()
        details["reason"] = reason.map(JSON.string)
        return try await record(caller, event, app: app, userID: userID, details: details) { transaction in
            let record = try self.user(userID.text, app: app, in: transaction)
            try change(transaction, record, time)
            return try self.details(try self.user(userID.text, app: app, in: transaction), in: transaction)
        }
    }

    // MARK: Effects, shared with lifecycle events

    /// Every use is refused from now on; credentials stay. An operator's suspension is kept over a provider's.
    static func suspend(
        _ record: UserRecord, by origin: String, eventAt: Instant?, in transaction: Transaction, now: Instant
    ) throws {
        guard record.user.status != .deprovisioned else { return }
        var updated = record
        updated.user.status = .suspended
        updated.suspendedBy = record.suspendedBy == "operator" ? "operator" : origin
        updated.statusEventAt = eventAt ?? now
        try transaction.updateUser(updated)
        try transaction.endConnectSessions(
            userID: record.user.id, code: ErrorCode.userSuspended.rawValue, message: "The user is suspended.")
        try transaction.deleteWalletSessions(userID: record.user.id)
        try transaction.endSignInSessions(
            userID: record.user.id, code: ErrorCode.userSuspended.rawValue, message: "The user is suspended.")
    }

    /// Ends a suspension; for a deprovisioned user opens a fresh, empty one under the same id.
    static func restore(_ record: UserRecord, eventAt: Instant?, in transaction: Transaction, now: Instant) throws {
        guard record.user.status != .active else { return }
        var updated = record
        if record.user.status == .deprovisioned {
            updated.user.epoch += 1
            updated.user.groups = []
            updated.user.roles = []
            updated.dataKeyID = nil
            updated.reopenedAt = now
        }
        updated.user.status = .active
        updated.suspendedBy = nil
        updated.statusEventAt = eventAt ?? now
        try transaction.updateUser(updated)
    }
}
