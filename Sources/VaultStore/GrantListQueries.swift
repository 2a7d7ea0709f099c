import VaultAPI
import VaultDomain

// Lists of grants: what narrows them, and when a grant ends by its own terms and by those of policies.

/// What a list of grants is narrowed by; everything is optional and all must fit.
package struct GrantFilter: Sendable {
    package var userID: UserID?
    package var providerID: String?
    package var account: String?
    package var label: String?
    package var status: GrantStatus?

    package init(
        userID: UserID? = nil, providerID: String? = nil, account: String? = nil, label: String? = nil,
        status: GrantStatus? = nil
    ) {
        self.userID = userID
        self.providerID = providerID
        self.account = account
        self.label = label
        self.status = status
    }
}

extension Transaction {
    /// Grants of the app in the order they were made, narrowed by what SQL can decide. Their ends are read for the page alone.
    package func grants(
        appID: AppID, filter: GrantFilter, now: Instant, after: PagePosition, offset: Int64 = 0, limit: Int64
    ) throws -> [GrantRecord] {
        var condition = try condition(appID: appID, filter, now: now)
        if after != .start {
            condition.require(
                "(grants.created_at, grants.id) > (\(condition.bind(after.at)), \(condition.bind(after.id)))")
        }
        let page = "LIMIT \(condition.bind(limit)) OFFSET \(condition.bind(offset))"
        return try rows(
            """
            SELECT \(Self.grantColumns) FROM grants WHERE grants.id IN (
                SELECT grants.id FROM \(condition.source) WHERE \(condition.text)
                ORDER BY grants.created_at, grants.id \(page))
            ORDER BY grants.created_at, grants.id
            """, arguments: condition.arguments
        ).map(grantRecord)
    }

    package func grantCount(appID: AppID, filter: GrantFilter, now: Instant) throws -> Int64 {
        let condition = try condition(appID: appID, filter, now: now)
        return try rows(
            "SELECT count(*) AS total FROM \(condition.source) WHERE \(condition.text)", arguments: condition.arguments
        ).first?.integer("total") ?? 0
    }

    /// When a grant ends: its own end, or that of the longest term that policies give it now, whichever is first (see
    /// `Grant.termEnd`). Null for never.
    private static let grantEnd = """
        (SELECT min(ends.at) FROM (
            SELECT grants.expires_at AS at WHERE grants.expires_at IS NOT NULL
            \(longestTerms)) AS ends)
        """

    /// Where policies give terms, by layer and target.
    private static let termPlaces = [("app", "'*'"), ("provider", "grants.provider_id"), ("grant", "grants.id")]

    /// One key of the table after the other: an `OR` would read every policy of the app.
    private static let longestTerms = termPlaces.map {
        """
        UNION ALL
        SELECT grants.term_started_at + 1000 * policies.grant_ttl_max FROM policies
        WHERE policies.app_id = grants.app_id AND policies.layer = '\($0.0)' AND policies.target = \($0.1)
            AND policies.grant_ttl_max IS NOT NULL AND grants.principal_type <> 'system'
        """
    }.joined(separator: "\n")

    static let grantColumns = "grants.*, \(grantEnd) AS ends_at"

    private func condition(appID: AppID, _ filter: GrantFilter, now: Instant) throws -> ListCondition {
        var condition = ListCondition("grants")
        let app = condition.bind(appID)
        condition.require("grants.app_id = \(app)")
        if let userID = filter.userID { condition.require("grants.user_id = \(condition.bind(userID))") }
        if let providerID = filter.providerID {
            condition.require("grants.provider_id = \(condition.bind(providerID))")
        }
        if let account = filter.account { condition.require("grants.account_identifier = \(condition.bind(account))") }
        if let label = filter.label { condition.require("grants.label = \(condition.bind(label))") }
        guard let status = filter.status else { return condition }
        guard status != .revoked else {
            condition.require("grants.revoked_at IS NOT NULL")
            return condition
        }
        condition.require("grants.revoked_at IS NULL")
        let time = condition.bind(now)
        let isOver = Self.isOver(app: app, now: time)
        switch status {
        case .expired:
            if try areFewEnding(appID: appID, now: now) {
                condition.source = Self.ending(app: app, now: time) + " AS ending CROSS JOIN grants"
                condition.require("grants.id = ending.id")
            }
            condition.require(isOver)
        case .needsReauth:
            condition.source = Self.ended(app: app) + " AS ended CROSS JOIN grants"
            condition.require("grants.id = ended.id AND NOT \(isOver)")
        case .active, .revoked:
            condition.require(
                """
                NOT \(isOver) AND EXISTS (SELECT 1 FROM credentials
                    WHERE credentials.id = grants.credential_id AND credentials.died_at IS NULL)
                """)
        }
        return condition
    }

    /// Whether `grantEnd` is past, asked so that most grants are decided by their own row: a list may have to walk over
    /// 100,000 of them. The same order of states as `Grant.status(credential:now:)`; a test holds the two together.
    private static func isOver(app: String, now: String) -> String {
        let terms = termPlaces.map { layer, target in
            """
            (EXISTS (SELECT 1 FROM policies WHERE policies.app_id = \(app) AND policies.layer = '\(layer)'
                    AND policies.grant_ttl_max IS NOT NULL)
                AND coalesce(grants.term_started_at + 1000 * (SELECT policies.grant_ttl_max FROM policies
                    WHERE policies.app_id = \(app) AND policies.layer = '\(layer)' AND policies.target = \(target))
                    <= \(now), FALSE))
            """
        }.joined(separator: " OR ")
        return
            "(coalesce(grants.expires_at <= \(now), FALSE) OR (grants.principal_type <> 'system' AND (\(terms))))"
    }

    /// Open grants whose end may be past, found by their ends and by the shortest term of any policy.
    private static func ending(app: String, now: String) -> String {
        """
        (SELECT grants.id FROM grants WHERE grants.app_id = \(app) AND grants.revoked_at IS NULL
                AND grants.expires_at IS NOT NULL AND grants.expires_at <= \(now)
        UNION
        SELECT grants.id FROM grants WHERE grants.app_id = \(app) AND grants.revoked_at IS NULL
            AND grants.term_started_at <= \(now) - 1000 * (SELECT min(policies.grant_ttl_max) FROM policies
                WHERE policies.app_id = \(app) AND policies.grant_ttl_max IS NOT NULL))
        """
    }

    /// Whether they are so few that sorting them costs less than to walk along the list until a page of them is met.
    private func areFewEnding(appID: AppID, now: Instant) throws -> Bool {
        let row = try row(
            """
            SELECT (SELECT count(*) FROM (SELECT 1 FROM grants WHERE app_id = ?1 AND revoked_at IS NULL
                    AND expires_at IS NOT NULL AND expires_at <= ?2 LIMIT 1000) AS ended)
                + (SELECT count(*) FROM (SELECT 1 FROM grants WHERE app_id = ?1 AND revoked_at IS NULL
                    AND term_started_at <= ?2 - 1000 * (SELECT min(grant_ttl_max) FROM policies
                        WHERE app_id = ?1 AND grant_ttl_max IS NOT NULL) LIMIT 1000) AS limited) AS total
            """, appID, now)
        return try (row?.integer("total") ?? 0) < 1000
    }

    /// Open grants that have no usable credential: found from the few credentials that died, not from the many grants.
    private static func ended(app: String) -> String {
        """
        (SELECT grants.id FROM credentials JOIN grants ON grants.credential_id = credentials.id
            WHERE credentials.app_id = \(app) AND credentials.died_at IS NOT NULL AND grants.revoked_at IS NULL
        UNION ALL
        SELECT grants.id FROM grants
            WHERE grants.app_id = \(app) AND grants.credential_id IS NULL AND grants.revoked_at IS NULL)
        """
    }
}
