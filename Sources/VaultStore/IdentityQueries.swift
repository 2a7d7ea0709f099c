import VaultAPI
import VaultDomain

// Identity providers and the users they name.

package struct IdentityProviderRecord: Sendable {
    package var id: IdentityProviderID
    package var appID: AppID
    package var type: IdentityProviderType
    package var issuer: String
    /// The discovery document as it was read.
    package var document: JSONObject
    package var audience: String?
    package var claims: ClaimMapping
    package var claimsLockedAt: Instant?
    package var webhookEndpointID: String
    package var webhookSecret: [UInt8]?
    package var webhookVersion: Int64
    package var webhooksEnabledAt: Instant?
    package var eventMap: LifecycleEventMap
    package var membershipRemoval: MembershipRemovalRule
    /// `nil` until browser sign-in is set up.
    package var signInClientID: String?
    package var signInClientSecret: [UInt8]?
    package var signInVersion: Int64
    package var signInScopes: [String]
    package var createdAt: Instant
    package var removedAt: Instant?

    package init(
        id: IdentityProviderID, appID: AppID, type: IdentityProviderType, issuer: String, document: JSONObject,
        audience: String?, claims: ClaimMapping, webhookEndpointID: String, createdAt: Instant
    ) {
        self.id = id
        self.appID = appID
        self.type = type
        self.issuer = issuer
        self.document = document
        self.audience = audience
        self.claims = claims
        self.webhookEndpointID = webhookEndpointID
        webhookVersion = 0
        eventMap = LifecycleEventMap(type)
        membershipRemoval = .lastMembership
        signInVersion = 0
        signInScopes = []
        self.createdAt = createdAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), appID: try row.id("app_id"), type: try row.choice("idp_type"),
            issuer: try row.text("issuer"), document: try row.object("document"),
            audience: try row.optionalText("audience"),
            claims: ClaimMapping(
                userID: try row.text("user_id_claim"), group: try row.optionalText("group_claim"),
                role: try row.optionalText("role_claim")),
            webhookEndpointID: try row.text("webhook_endpoint_id"), createdAt: try row.instant("created_at"))
        claimsLockedAt = try row.optionalInstant("claims_locked_at")
        webhookSecret = try row.optionalBlob("webhook_secret")
        webhookVersion = try row.integer("webhook_version")
        webhooksEnabledAt = try row.optionalInstant("webhooks_enabled_at")
        eventMap = LifecycleEventMap(type, changes: try row.object("event_map_changes"))
        membershipRemoval = try row.choice("membership_removal")
        signInClientID = try row.optionalText("sign_in_client_id")
        signInClientSecret = try row.optionalBlob("sign_in_client_secret")
        signInVersion = try row.integer("sign_in_version")
        signInScopes = try row.strings("sign_in_scopes")
        removedAt = try row.optionalInstant("removed_at")
    }
}

package struct UserRecord: Sendable {
    package var user: User
    package var dataKeyID: DataKeyID?
    package var suspendedBy: String?
    package var statusEventAt: Instant?
    /// Tokens issued at or before this are refused (a restored user's old ones).
    package var tokensNotBefore: Instant?
    package var emailAsOf: Instant?
    package var displayNameAsOf: Instant?
    package var groupsAsOf: Instant?
    /// The last removal from a group by an event: tokens of then or before say nothing about groups any more.
    package var groupsRemovedAt: Instant?
    /// When an operator last opened the user again after a deprovisioning.
    package var reopenedAt: Instant?
    package var rolesAsOf: Instant?

    package init(user: User) { self.user = user }

    init(_ row: Row) throws {
        user = User(
            id: try row.id("id"), appID: try row.id("app_id"), issuer: try row.text("issuer"),
            externalSubjectID: try row.text("external_subject_id"), subject: try row.text("subject"),
            email: try row.optionalText("email"), displayName: try row.optionalText("display_name"),
            status: try row.choice("status"), epoch: try row.integer("epoch"), groups: try row.strings("groups"),
            roles: try row.strings("roles"), firstSeenAt: try row.instant("first_seen_at"),
            lastSeenAt: try row.optionalInstant("last_seen_at"))
        dataKeyID = try row.optionalID("data_key_id")
        suspendedBy = try row.optionalText("suspended_by")
        statusEventAt = try row.optionalInstant("status_event_at")
        tokensNotBefore = try row.optionalInstant("tokens_not_before")
        emailAsOf = try row.optionalInstant("email_as_of")
        displayNameAsOf = try row.optionalInstant("display_name_as_of")
        groupsAsOf = try row.optionalInstant("groups_as_of")
        groupsRemovedAt = try row.optionalInstant("groups_removed_at")
        reopenedAt = try row.optionalInstant("reopened_at")
        rolesAsOf = try row.optionalInstant("roles_as_of")
    }
}

extension Transaction {
    package func insertIdentityProvider(_ provider: IdentityProviderRecord) throws {
        try execute(
            """
            INSERT INTO identity_providers (id, app_id, idp_type, issuer, document, audience, user_id_claim,
                group_claim, role_claim, webhook_endpoint_id, webhook_version, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11)
            """, provider.id, provider.appID, provider.type.rawValue, provider.issuer, JSON.object(provider.document),
            provider.audience, provider.claims.userID, provider.claims.group, provider.claims.role,
            provider.webhookEndpointID, provider.createdAt)
    }

    package func identityProvider(appID: AppID) throws -> IdentityProviderRecord? {
        try remembered(.init(.identityProvider, appID.text)) {
            try row("SELECT * FROM identity_providers WHERE app_id = ?1 AND removed_at IS NULL", appID)
                .map(IdentityProviderRecord.init)
        }
    }

    /// Of the active provider.
    package func identityProviderIssuer(appID: AppID) throws -> String? {
        try remembered(.init(.issuer, appID.text)) {
            try row("SELECT issuer FROM identity_providers WHERE app_id = ?1 AND removed_at IS NULL", appID)?
                .text("issuer")
        }
    }

    package func identityProvider(webhookEndpointID: String) throws -> IdentityProviderRecord? {
        try row(
            "SELECT * FROM identity_providers WHERE webhook_endpoint_id = ?1 AND removed_at IS NULL", webhookEndpointID
        ).map(IdentityProviderRecord.init)
    }

    package func hasHadIdentityProvider(appID: AppID) throws -> Bool {
        try remembered(.init(.hadIdentityProvider, appID.text)) {
            try row("SELECT 1 AS found FROM identity_providers WHERE app_id = ?1 LIMIT 1", appID).map { _ in true }
        } ?? false
    }

    package func updateClaims(_ id: IdentityProviderID, claims: ClaimMapping, audience: String?) throws {
        try execute(
            """
            UPDATE identity_providers SET user_id_claim = ?2, group_claim = ?3, role_claim = ?4, audience = ?5
            WHERE id = ?1
            """, id, claims.userID, claims.group, claims.role, audience)
    }

    package func lockClaims(_ id: IdentityProviderID, now: Instant) throws {
        try execute(
            "UPDATE identity_providers SET claims_locked_at = ?2 WHERE id = ?1 AND claims_locked_at IS NULL", id, now)
    }

    package func removeIdentityProvider(_ id: IdentityProviderID, now: Instant) throws {
        try execute(
            """
            UPDATE identity_providers SET removed_at = ?2, webhook_secret = NULL, webhooks_enabled_at = NULL,
                sign_in_client_id = NULL, sign_in_client_secret = NULL
            WHERE id = ?1
            """, id, now)
    }

    /// Whether the secret is now this one: of two who set the same version at once, one does. Without a version the secret
    /// goes, whatever it was.
    package func setWebhookSecret(_ id: IdentityProviderID, sealed: [UInt8]?, version: Int64?, enabledAt: Instant?)
        throws -> Bool
    {
        try execute(
            """
            UPDATE identity_providers SET webhook_secret = ?2, webhook_version = coalesce(?3, webhook_version),
                webhooks_enabled_at = ?4
            WHERE id = ?1 AND (?3 IS NULL OR webhook_version = ?3 - 1)
            """, id, sealed, version, enabledAt) == 1
    }

    package func setEventRules(
        _ id: IdentityProviderID, map: LifecycleEventMap, membershipRemoval: MembershipRemovalRule
    )
        throws
    {
        try execute(
            "UPDATE identity_providers SET event_map_changes = ?2, membership_removal = ?3 WHERE id = ?1", id,
            JSON.object(map.changes), membershipRemoval.rawValue)
    }

    // MARK: Users

    package func insertUser(_ record: UserRecord) throws {
        let user = record.user
        try execute(
            """
            INSERT INTO users (id, app_id, issuer, external_subject_id, subject, email, display_name, groups, roles,
                status, epoch, data_key_id, suspended_by, status_event_at, tokens_not_before, email_as_of,
                display_name_as_of, groups_as_of, roles_as_of, first_seen_at, last_seen_at, groups_removed_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
            """, user.id, user.appID, user.issuer, user.externalSubjectID, user.subject, user.email, user.displayName,
            JSON.strings(user.groups), JSON.strings(user.roles), user.status.rawValue, user.epoch, record.dataKeyID,
            record.suspendedBy, record.statusEventAt, record.tokensNotBefore, record.emailAsOf, record.displayNameAsOf,
            record.groupsAsOf, record.rolesAsOf, user.firstSeenAt, user.lastSeenAt, record.groupsRemovedAt)
        try insertSubject(user.subject, of: user.id)
    }

    /// Notes a `sub` that the user came with.
    package func insertSubject(_ subject: String, of userID: UserID) throws {
        try execute(
            "INSERT INTO user_subjects (user_id, subject) VALUES (?1, ?2) ON CONFLICT (user_id, subject) DO NOTHING",
            userID, subject)
    }

    package func hasSubject(_ subject: String, userID: UserID) throws -> Bool {
        try remembered(.init(.subject, userID.text, subject)) {
            try row("SELECT 1 AS found FROM user_subjects WHERE user_id = ?1 AND subject = ?2", userID, subject)
                .map { _ in true }
        } ?? false
    }

    static let touchUserStatement = "UPDATE users SET last_seen_at = ?2 WHERE id = ?1"

    /// Nothing else of the user is changed.
    package func touchUser(_ id: UserID, now: Instant) throws { try execute(Self.touchUserStatement, id, now) }

    package func updateUser(_ record: UserRecord) throws {
        let user = record.user
        try execute(
            """
            UPDATE users SET email = ?2, display_name = ?3, groups = ?4, roles = ?5, status = ?6, epoch = ?7,
                data_key_id = ?8, suspended_by = ?9, status_event_at = ?10, tokens_not_before = ?11, email_as_of = ?12,
                display_name_as_of = ?13, groups_as_of = ?14, roles_as_of = ?15, last_seen_at = ?16,
                groups_removed_at = ?17, reopened_at = ?18
            WHERE id = ?1
            """, user.id, user.email, user.displayName, JSON.strings(user.groups), JSON.strings(user.roles),
            user.status.rawValue, user.epoch, record.dataKeyID, record.suspendedBy, record.statusEventAt,
            record.tokensNotBefore, record.emailAsOf, record.displayNameAsOf, record.groupsAsOf, record.rolesAsOf,
            user.lastSeenAt, record.groupsRemovedAt, record.reopenedAt)
    }

    package func user(_ id: UserID, appID: AppID) throws -> UserRecord? {
        try remembered(.init(.user, id.text, appID.text)) {
            try row("SELECT * FROM users WHERE id = ?1 AND app_id = ?2", id, appID).map(UserRecord.init)
        }
    }

    package func user(appID: AppID, issuer: String, externalSubjectID: String) throws -> UserRecord? {
        try remembered(.init(.userBySubject, appID.text, issuer, externalSubjectID)) {
            try row(
                "SELECT * FROM users WHERE app_id = ?1 AND issuer = ?2 AND external_subject_id = ?3", appID, issuer,
                externalSubjectID
            ).map(UserRecord.init)
        }
    }

    package func users(appID: AppID, issuer: String, subject: String) throws -> [UserRecord] {
        // The few of that subject first: without statistics both engines would walk all users of the app.
        let found = try remembered(.init(.usersBySubject, appID.text, issuer, subject)) { () -> [UserRecord]? in
            let found = try rows(
                """
                WITH named AS MATERIALIZED (SELECT user_id FROM user_subjects WHERE subject = ?3)
                SELECT users.* FROM named CROSS JOIN users
                WHERE users.id = named.user_id AND users.app_id = ?1 AND users.issuer = ?2 ORDER BY users.id
                """, appID, issuer, subject
            ).map(UserRecord.init)
            return found.isEmpty ? nil : found
        }
        return found ?? []
    }

    /// The next users who have keys, in the order of their ids.
    package func usersWithKeys(after id: UserID?, limit: Int) throws -> [(
        userID: UserID, appID: AppID, dataKeyID: DataKeyID
    )] {
        try rows(
            """
            SELECT id, app_id, data_key_id FROM users WHERE id > ?1 AND data_key_id IS NOT NULL ORDER BY id LIMIT ?2
            """, id?.text ?? "", limit
        ).map {
            (userID: try $0.id("id"), appID: try $0.id("app_id"), dataKeyID: try $0.id("data_key_id"))
        }
    }

    /// A page of users; `status`, an exact group, and a text contained in subject, address or name narrow it.
    package func users(
        appID: AppID, status: UserStatus?, group: String?, query: String?, after: PagePosition, limit: Int
    ) throws -> [UserRecord] {
        var condition = ListCondition("users")
        condition.require("app_id = \(condition.bind(appID))")
        if let status { condition.require("status = \(condition.bind(status.rawValue))") }
        if let query {
            let pattern = condition.bind(Self.containing(query))
            condition.require(
                """
                lower(external_subject_id || ' ' || coalesce(email, '') || ' ' || coalesce(display_name, ''))
                    LIKE \(pattern) ESCAPE '\\'
                """)
        }
        // In the list's own JSON, where its quotes end a name.
        if let group { condition.require("replace(groups, \(condition.bind(JSON.string(group))), '') <> groups") }
        condition.require("(first_seen_at, id) > (\(condition.bind(after.at)), \(condition.bind(after.id)))")
        let count = condition.bind(limit)
        return try rows(
            "SELECT * FROM \(condition.source) WHERE \(condition.text) ORDER BY first_seen_at, id LIMIT \(count)",
            arguments: condition.arguments
        ).map(UserRecord.init)
    }

    private static func containing(_ text: String) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("%", with: "\\%").replacing("_", with: "\\_")
        return "%" + escaped.lowercased() + "%"
    }
}
