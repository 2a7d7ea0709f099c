import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Users, grants and the audit trail as operators see them.

extension ManagementRoutes {
    var userRoutes: [Route<OperatorCaller>] {
        let user = Self.app + "/users/{user_id}"
        func action(
            _ name: String, _ summary: String,
            _ verb: @escaping @Sendable (OperatorCaller, Exchange, String?) async throws -> UserDetails
        ) -> Route<OperatorCaller> {
            Route("POST", user + "/" + name, summary) { caller, exchange in
                .json(try await verb(caller, exchange, try exchange.readReason()).json)
            }
            .taking(body: [.optional("reason")]).answering("User")
        }
        return [
            Route("GET", Self.app + "/users", "List users") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                let status = query.optionalChoice("status", UserStatus.self)
                let group = query.optionalString("group", length: 1...255)
                let text = query.optionalString("query", length: 1...255)
                try query.finish()
                let users = try vault.users(
                    caller, appID: exchange.appID, status: status, group: group, query: text, after: paging.position,
                    limit: paging.limit + 1)
                return paging.answer(
                    users,
                    position: { PagePosition(at: $0.record.user.firstSeenAt.milliseconds, id: $0.record.user.id.text) },
                    json: { .object($0.json) })
            }
            .taking(query: [.optional("status"), .optional("group"), .optional("query")]).answering(pagesOf: "User"),
            Route("GET", user, "Read a user") { caller, exchange in
                .json(try vault.user(caller, appID: exchange.appID, exchange.parameter("user_id")).json)
            }
            .answering("User"),
            action("suspend", "Suspend a user: every use is refused, credentials stay") {
                try await vault.suspendUser($0, appID: $1.appID, $1.parameter("user_id"), reason: $2)
            },
            action("restore", "Restore a user") {
                try await vault.restoreUser($0, appID: $1.appID, $1.parameter("user_id"), reason: $2)
            },
            Route("POST", user + "/deprovision", "Deprovision a user: grants revoked, tokens destroyed") {
                caller, exchange in
                let reason = try exchange.readReason()
                return .json(
                    try await vault.deprovisionUser(
                        caller, appID: exchange.appID, exchange.parameter("user_id"), reason: reason
                    ).json)
            }
            .taking(body: [.optional("reason")]).answering("DeprovisioningReceipt"),
            Route("GET", user + "/deprovisioning-receipt", "Read the signed receipt of what ended with the user") {
                caller, exchange in
                .json(
                    try await vault.deprovisioningReceipt(
                        caller, appID: exchange.appID, exchange.parameter("user_id")
                    ).json)
            }
            .answering("DeprovisioningReceipt"),
        ]
    }

    var grantManagementRoutes: [Route<OperatorCaller>] {
        let grant = Self.app + "/grants/{grant_id}"
        return [
            Route("GET", Self.app + "/grants", "List grants") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                let filter = GrantFilter(
                    userID: query.readID("user_id", UserID.init),
                    providerID: query.optionalString("provider_id", length: 1...255),
                    status: query.optionalChoice("status", GrantStatus.self))
                try query.finish()
                let grants = try vault.grants(
                    caller, appID: exchange.appID, filter: filter, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    grants, position: { PagePosition(at: $0.grant.createdAt.milliseconds, id: $0.grant.id.text) },
                    json: { .object($0.managementJSON) })
            }
            .taking(query: [.optional("status"), .optional("provider_id"), .optional("user_id")]).answering(
                pagesOf: "Grant"),
            Route("GET", grant, "Read a grant") { caller, exchange in
                .json(try vault.grant(caller, appID: exchange.appID, exchange.parameter("grant_id")).managementJSON)
            }
            .answering("Grant"),
            Route("POST", grant + "/extend", "Give a limited grant a new term, cut to what policies allow") {
                caller, exchange in
                let fields = try exchange.fields(.refused)
                let until = fields.readInstant("expires_at")
                try fields.finish()
                return .json(
                    try await vault.extendGrant(
                        caller, appID: exchange.appID, exchange.parameter("grant_id"), until: until
                    ).managementJSON)
            }
            .taking(body: [.required("expires_at")]).answering("Grant"),
            Route("POST", grant + "/revoke", "Revoke a grant") { caller, exchange in
                let reason = try exchange.readReason()
                return .json(
                    try await vault.revokeGrant(
                        caller, appID: exchange.appID, exchange.parameter("grant_id"), reason: reason
                    ).managementJSON)
            }
            .taking(body: [.optional("reason")]).answering("Grant"),
        ]
    }
}

extension Exchange {
    fileprivate func readReason() throws -> String? {
        let fields = try fields(.refused, allowsEmpty: true)
        let reason = fields.readActionReason()
        try fields.finish()
        return reason
    }
}

extension Fields {
    /// Why an operator acts. Optional, and kept with the record.
    func readActionReason() -> String? { optionalString("reason", length: 1...2000) }

    /// A time that must be given.
    func readInstant(_ name: String) -> Instant {
        if !has(name) { report(name, "is required") }
        return optionalInstant(name) ?? Instant(milliseconds: 0)
    }
}

extension DeprovisioningReceipt {
    fileprivate var json: JSON { ["receipt": .string(receipt), "version": .integer(version)] }
}

extension UserDetails {
    fileprivate var json: JSONObject {
        let user = record.user
        return [
            "id": user.id.json, "external_subject_id": .string(user.externalSubjectID),
            "subject": .string(user.subject),
            "issuer": .string(user.issuer), "email": .optional(user.email), "display_name": .optional(user.displayName),
            "status": .string(user.status.rawValue), "group_ids": .strings(user.groups), "roles": .strings(user.roles),
            "first_seen_at": .string(user.firstSeenAt.rfc3339), "last_seen_at": .optional(user.lastSeenAt),
            "grants": .integer(grantCount),
        ]
    }
}

extension GrantDetails {
    fileprivate var managementJSON: JSONObject {
        var object = sdkJSON.object ?? [:]
        object["user_id"] = grant.userID?.json ?? .null
        object["grant_expires_at"] = .optional(grant.expiresAt)
        object["revoked_at"] = .optional(grant.revokedAt)
        object["revoke_reason"] = .optional(grant.revokeReason)
        object["provider_revocations"] = .array(
            revocations.map { revocation in
                [
                    "token_type": .string(revocation.tokenTypeHint), "status": .string(revocation.status),
                    "attempts": .integer(revocation.attempts), "last_error": .optional(revocation.lastError),
                ]
            })
        return object
    }
}
