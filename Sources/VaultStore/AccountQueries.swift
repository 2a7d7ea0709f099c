import VaultAPI
import VaultDomain

// Organizations, operators, apps.

package struct OperatorRecord: Sendable {
    package let id: OperatorID
    package let email: String

    init(_ row: Row) throws {
        id = try row.id("id")
        email = try row.text("email")
    }
}

package enum MembershipRole: String, Sendable, CaseIterable { case admin, member, readOnly = "read_only" }

package final class AppRecord: Sendable {
    package let id: AppID
    package let organizationID: OrganizationID
    package let name: String
    package let websiteURL: String?
    /// `#rrggbb`: the colour of buttons on the pages that its users see.
    package let accentColor: String?
    /// Seals what belongs to the app and not to one of its users.
    package let dataKeyID: DataKeyID
    package let createdAt: Instant
    package let archivedAt: Instant?

    package init(
        id: AppID, organizationID: OrganizationID, name: String, websiteURL: String?, accentColor: String? = nil,
        dataKeyID: DataKeyID, createdAt: Instant, archivedAt: Instant? = nil
    ) {
        self.id = id
        self.organizationID = organizationID
        self.name = name
        self.websiteURL = websiteURL
        self.accentColor = accentColor
        self.dataKeyID = dataKeyID
        self.createdAt = createdAt
        self.archivedAt = archivedAt
    }

    convenience init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), organizationID: try row.id("organization_id"), name: try row.text("name"),
            websiteURL: try row.optionalText("website_url"), accentColor: try row.optionalText("accent_color"),
            dataKeyID: try row.id("data_key_id"),
            createdAt: try row.instant("created_at"), archivedAt: try row.optionalInstant("archived_at"))
    }
}

/// A number that is not counted beyond a bound, so that large tables do not make it slow.
package struct CappedCount: Sendable, Equatable {
    package let value: Int64
    /// Whether there are more than `value`.
    package let isMore: Bool

    static let bound: Int64 = 10_000

    package init(value: Int64, isMore: Bool) {
        self.value = value
        self.isMore = isMore
    }

    init(_ counted: Int64) { self.init(value: min(counted, Self.bound), isMore: counted > Self.bound) }
}

/// An app in a list, with what it holds.
package struct AppSummary: Sendable {
    package let app: AppRecord
    package let organizationName: String
    package let users: CappedCount
    package let grants: CappedCount
    package let keys: CappedCount
}

/// Where a list goes on: the sort key of the last row answered.
package struct PagePosition: Sendable, Equatable {
    package let at: Int64
    package let id: String

    package init(at: Int64, id: String) {
        self.at = at
        self.id = id
    }

    /// Before the first row.
    package static let start = PagePosition(at: Int64.min, id: "")
}

extension Transaction {
    package func insertOrganization(id: OrganizationID, name: String, now: Instant) throws {
        try execute("INSERT INTO organizations (id, name, created_at) VALUES (?1, ?2, ?3)", id, name, now)
    }

    package func insertOperator(id: OperatorID, email: String, now: Instant) throws {
        try execute("INSERT INTO operators (id, email, created_at) VALUES (?1, ?2, ?3)", id, email, now)
    }

    package func insertMembership(organizationID: OrganizationID, operatorID: OperatorID, role: MembershipRole) throws {
        try execute(
            "INSERT INTO memberships (organization_id, operator_id, role) VALUES (?1, ?2, ?3)", organizationID,
            operatorID, role.rawValue)
    }

    package func memberships(of operatorID: OperatorID) throws -> [OrganizationID: MembershipRole] {
        let rows = try rows("SELECT organization_id, role FROM memberships WHERE operator_id = ?1", operatorID)
        return try Dictionary(
            rows.map { (try $0.id("organization_id"), try $0.choice("role") as MembershipRole) },
            uniquingKeysWith: { first, _ in first })
    }

    package func operatorAccount(email: String) throws -> OperatorRecord? {
        try row("SELECT id, email FROM operators WHERE email = ?1", email).map(OperatorRecord.init)
    }

    package func insertApp(_ app: AppRecord) throws {
        try execute(
            """
            INSERT INTO apps (id, organization_id, name, website_url, data_key_id, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            """, app.id, app.organizationID, app.name, app.websiteURL, app.dataKeyID, app.createdAt)
    }

    package func app(_ id: AppID) throws -> AppRecord? {
        try remembered(.init(.app, id.text)) { try row("SELECT * FROM apps WHERE id = ?1", id).map(AppRecord.init) }
    }

    package func apps(operatorID: OperatorID, after: PagePosition, limit: Int) throws -> [AppRecord] {
        try rows(
            """
            SELECT apps.* FROM apps JOIN memberships ON memberships.organization_id = apps.organization_id
            WHERE memberships.operator_id = ?1 AND (apps.created_at, apps.id) > (?2, ?3)
            ORDER BY apps.created_at, apps.id LIMIT ?4
            """, operatorID, after.at, after.id, limit
        ).map(AppRecord.init)
    }

    /// What the app holds. Revoked grants and keys count: they are listed, too.
    package func summary(_ app: AppRecord) throws -> AppSummary {
        func count(_ table: String) throws -> CappedCount {
            let row = try row(
                "SELECT COUNT(*) AS total FROM (SELECT 1 FROM \(table) WHERE app_id = ?1 LIMIT ?2) AS counted", app.id,
                CappedCount.bound + 1)
            return CappedCount(try row?.integer("total") ?? 0)
        }
        return AppSummary(
            app: app,
            organizationName: try row("SELECT name FROM organizations WHERE id = ?1", app.organizationID)?.text("name")
                ?? "",
            users: try count("users"), grants: try count("grants"), keys: try count("api_keys"))
    }

    package func appIDs(limit: Int) throws -> [AppID] {
        try rows("SELECT id FROM apps ORDER BY created_at, id LIMIT ?1", limit).map { try $0.id("id") }
    }

    package func updateApp(_ id: AppID, name: String, websiteURL: String?) throws {
        try execute("UPDATE apps SET name = ?2, website_url = ?3 WHERE id = ?1", id, name, websiteURL)
    }

    package func setAppArchived(_ id: AppID, at archivedAt: Instant?) throws {
        try execute("UPDATE apps SET archived_at = ?2 WHERE id = ?1", id, archivedAt)
    }

    package func deleteApp(_ id: AppID) throws { try execute("DELETE FROM apps WHERE id = ?1", id) }

    /// Every data key that seals something of the app: the app's own and its users'.
    package func dataKeyIDs(appID: AppID) throws -> [DataKeyID] {
        try rows(
            """
            SELECT data_key_id FROM apps WHERE id = ?1
            UNION SELECT data_key_id FROM users WHERE app_id = ?1 AND data_key_id IS NOT NULL
            UNION SELECT data_key_id FROM revocations WHERE app_id = ?1 AND data_key_id IS NOT NULL
            """, appID
        ).map { try $0.id("data_key_id") }
    }
}
