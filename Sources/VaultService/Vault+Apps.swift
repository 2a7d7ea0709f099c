import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Apps: the tenant boundary. Everything an operator asks about an app goes through `app(_:_:)`, which answers “not
// found” for what is not theirs.

extension Vault {
    static var notFound: VaultError { VaultError(.notFound, "There is no such thing here.") }

    /// The app, if the caller's organizations hold it.
    package func app(_ caller: OperatorCaller, _ id: String, toWrite: Bool = false) throws -> AppRecord {
        guard let appID = AppID(id), let app = try read({ try $0.app(appID) }),
            let role = caller.roles[app.organizationID]
        else { throw Self.notFound }
        if toWrite {
            try caller.requireWrite()
            guard role != .readOnly else {
                throw VaultError(.forbidden, "Your role in this organization is read-only.")
            }
        }
        return app
    }

    /// For commands on the installation itself, which stand above organizations. Throws `not_found`.
    package func appID(named id: String) throws -> AppID {
        guard let appID = AppID(id), try read({ try $0.app(appID) }) != nil else { throw Self.notFound }
        return appID
    }

    /// The one app of an installation that has only one.
    package func onlyAppID() throws -> AppID {
        let ids = try read { try $0.appIDs(limit: 2) }
        guard ids.count == 1, let id = ids.first else {
            throw VaultError.validation("app", ids.isEmpty ? "there is none" : "there are several: name one")
        }
        return id
    }

    package func createApp(_ caller: OperatorCaller, name: String, websiteURL: String?, organizationID: OrganizationID?)
        async throws -> AppRecord
    {
        try caller.requireWrite()
        if let organizationID, caller.roles[organizationID] == nil { throw Self.notFound }
        let writable = caller.roles.filter { $0.value != .readOnly }.keys.sorted { $0.text < $1.text }
        guard let organization = writable.first(where: { organizationID == nil || $0 == organizationID }) else {
            throw VaultError(.forbidden, "You may not create apps in this organization.")
        }
        let created = now()
        let dataKey = try createDataKey(purpose: "app", now: created)
        let app = AppRecord(
            id: AppID(), organizationID: organization, name: name, websiteURL: websiteURL, dataKeyID: dataKey.id,
            createdAt: created)
        try await record(caller, "app.created", app: app, details: ["name": .string(name)]) { try $0.insertApp(app) }
        return app
    }

    package func apps(_ caller: OperatorCaller, after: PagePosition, limit: Int) throws -> [AppRecord] {
        try read { try $0.apps(operatorID: caller.operatorID, after: after, limit: limit) }
    }

    /// The same list, with what each app holds.
    package func appSummaries(_ caller: OperatorCaller, after: PagePosition, limit: Int) throws -> [AppSummary] {
        try read { transaction in
            try transaction.apps(operatorID: caller.operatorID, after: after, limit: limit).map(transaction.summary)
        }
    }

    /// - Parameter websiteURL: `nil` leaves it, `.some(nil)` takes it away.
    package func updateApp(_ caller: OperatorCaller, _ id: String, name: String?, websiteURL: String??) async throws
        -> AppRecord
    {
        let app = try app(caller, id, toWrite: true)
        try await record(caller, "app.updated", app: app) {
            try $0.updateApp(app.id, name: name ?? app.name, websiteURL: websiteURL ?? app.websiteURL)
        }
        return try self.app(caller, id)
    }

    package func setAppArchived(_ caller: OperatorCaller, _ id: String, _ isArchived: Bool) async throws -> AppRecord {
        let app = try app(caller, id, toWrite: true)
        let archivedAt = isArchived ? (app.archivedAt ?? now()) : nil
        try await record(caller, isArchived ? "app.archived" : "app.unarchived", app: app) {
            try $0.setAppArchived(app.id, at: archivedAt)
        }
        return try self.app(caller, id)
    }

    /// Deletes the app with everything under it, and destroys every key that opened something of it.
    package func deleteApp(_ caller: OperatorCaller, _ id: String, confirmation: String) async throws {
        let app = try app(caller, id, toWrite: true)
        guard caller.roles[app.organizationID] == .admin else {
            throw VaultError(.forbidden, "Only an admin of the organization deletes apps.")
        }
        guard confirmation == app.name else {
            throw VaultError.validation("confirm", "must be the app's name")
        }
        let deleted = now()
        try await record(caller, "app.deleted", app: app, details: ["name": .string(app.name)]) { transaction in
            for key in try transaction.dataKeyIDs(appID: app.id) {
                try transaction.insertKeyDestruction(key, now: deleted)
            }
            try transaction.deleteApp(app.id)
        }
        try await finishKeyDestructions()
    }

    /// One operator action: what it does and its audit record, in one transaction. A body that throws leaves neither.
    func record<Result: Sendable>(
        _ caller: OperatorCaller, _ event: String, app: AppRecord, userID: UserID? = nil, grantID: GrantID? = nil,
        providerID: String? = nil, details: JSONObject = [:], _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        var entry = operatorEntry(caller, event, app: app)
        entry.userID = userID
        entry.grantID = grantID
        entry.providerID = providerID
        entry.details = details
        let recorded = entry
        let auditKey = auditKey
        return try await write { transaction in
            let result = try body(transaction)
            try transaction.appendAudit(recorded, key: auditKey)
            return result
        }
    }

    /// An entry that names the operator and the request.
    func operatorEntry(_ caller: OperatorCaller, _ event: String, app: AppRecord) -> AuditEntry {
        AuditEntry(
            event: event, principal: caller.principal, occurredAt: now(), requestID: caller.origin.requestID,
            trace: caller.origin.trace, appID: app.id, peer: caller.origin.peer?.description)
    }

    /// What is sealed for an app itself and for none of its users.
    func sealForApp(_ app: AppRecord, _ secret: Secret, purpose: String, record: String, version: Int64) throws
        -> [UInt8]
    {
        try dataKey(app.dataKeyID).seal(
            secret, SealContext(purpose: purpose, app: app.id.text, record: record, version: version))
    }

    func openForApp(_ app: AppRecord, _ sealed: [UInt8], purpose: String, record: String, version: Int64) throws
        -> Secret
    {
        try dataKey(app.dataKeyID).open(
            sealed, SealContext(purpose: purpose, app: app.id.text, record: record, version: version))
    }
}
