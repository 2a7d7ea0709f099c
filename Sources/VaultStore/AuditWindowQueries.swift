import VaultAPI

// Looking through a long trail for people: a page answers at once however rare the records are that fit, and says when it
// has not looked at all of them. The Management API's list looks until it has a full page.

/// What fits among the newest records that were looked at.
package struct AuditWindow: Sendable {
    package let records: [AuditRecord]
    /// Before which record to go on; `nil` when there is nothing before.
    package let next: String?
    /// Whether there may be fewer records than fit because no more were looked at.
    package let isCut: Bool

    package init(records: [AuditRecord], next: String?, isCut: Bool) {
        self.records = records
        self.next = next
        self.isCut = isCut
    }
}

extension AuditFilter {
    /// By which index the records to be looked at are few, or at least the app's own.
    fileprivate enum Narrowing { case request, grant, user, denials, app }

    fileprivate var narrowing: Narrowing {
        if requestID != nil { return .request }
        if grantID != nil { return .grant }
        if userID != nil { return .user }
        return decision == "deny" ? .denials : .app
    }
}

extension Transaction {
    /// Newest first, before a position, looking at `lookedAtMax` records at most.
    ///
    /// - Parameter slackSeconds: by how much records may be out of the order of their times: calls are written when they end,
    ///   with the time at which they began. A clock that was set further than that hides records from a search by time here;
    ///   an export looks at every record.
    package func auditWindow(
        appID: AppID, filter: AuditFilter, before position: Int64, limit: Int, lookedAtMax: Int, slackSeconds: Int64
    ) throws -> AuditWindow {
        var before = position
        var first: Int64 = 0
        if let to = filter.to {
            before = min(before, try auditPosition(appID, reaching: to.adding(seconds: slackSeconds)))
        }
        if let from = filter.from {
            first = try auditPosition(appID, reaching: from.adding(seconds: -slackSeconds))
        }
        let narrowing = filter.narrowing
        let window = try lookedAt(narrowing, appID, filter, before: before, from: first, limit: lookedAtMax)
        guard let window, let lowest = try window.optionalInteger("lowest") else {
            return AuditWindow(records: [], next: nil, isCut: false)
        }
        let found = try rows(
            """
            SELECT * FROM audit_records WHERE \(Self.condition(narrowing))\(Self.filterCondition)
                AND position < ?2 AND position >= ?14 ORDER BY position DESC LIMIT ?13
            """, appID, before, filter.from, filter.to, filter.event, filter.decision, filter.providerID,
            filter.userID, filter.grantID, filter.requestID, filter.traceID, filter.agentID, limit + 1, lowest
        ).map(AuditRecord.init)
        if found.count > limit {
            let records = Array(found.prefix(limit))
            return AuditWindow(records: records, next: records.last?.record["id"]?.string, isCut: false)
        }
        let isCut = try window.integer("total") >= Int64(lookedAtMax)
        let next = try isCut ? row("SELECT id FROM audit_records WHERE position = ?1", lowest)?.text("id") : nil
        return AuditWindow(records: found, next: next, isCut: isCut)
    }

    /// The equality that an index serves: behind the filter's own “is not asked for, or equal” none is used.
    private static func condition(_ narrowing: AuditFilter.Narrowing) -> String {
        switch narrowing {
        case .request: "request_id = ?10 AND "
        case .grant: "grant_id = ?9 AND "
        case .user: "user_id = ?8 AND "
        case .denials: "decision = 'deny' AND "
        case .app: ""
        }
    }

    /// How many records there are to look at, and the lowest position among them; from the index alone.
    private func lookedAt(
        _ narrowing: AuditFilter.Narrowing, _ appID: AppID, _ filter: AuditFilter, before: Int64, from first: Int64,
        limit: Int
    ) throws -> Row? {
        func count(_ key: String, _ value: some SQLBindable) throws -> Row? {
            try row(
                """
                SELECT min(position) AS lowest, count(*) AS total FROM (
                    SELECT position FROM audit_records WHERE \(key) AND position < ?2 AND position >= ?3
                    ORDER BY position DESC LIMIT ?4) AS looked_at
                """, value, before, first, limit)
        }
        switch narrowing {
        case .request: return try count("request_id = ?1", filter.requestID)
        case .grant: return try count("grant_id = ?1", filter.grantID)
        case .user: return try count("user_id = ?1", filter.userID)
        case .denials: return try count("app_id = ?1 AND decision = 'deny'", appID)
        case .app: return try count("app_id = ?1", appID)
        }
    }

    /// The position of the app's first record that is not before `time`, or what comes after its last; found in some twenty
    /// steps, because positions grow with time.
    private func auditPosition(_ appID: AppID, reaching time: Instant) throws -> Int64 {
        let ends = (
            oldest: try row(
                "SELECT position FROM audit_records WHERE app_id = ?1 ORDER BY position LIMIT 1", appID),
            newest: try row(
                "SELECT position FROM audit_records WHERE app_id = ?1 ORDER BY position DESC LIMIT 1", appID)
        )
        guard let oldest = ends.oldest, let newest = ends.newest else { return 0 }
        var low = try oldest.integer("position")
        var high = try newest.integer("position") + 1
        while low < high {
            let middle = low + (high - low) / 2
            let found = try row(
                """
                SELECT position, occurred_at FROM audit_records WHERE app_id = ?1 AND position <= ?2
                ORDER BY position DESC LIMIT 1
                """, appID, middle)
            if let found, try found.instant("occurred_at") >= time {
                high = try found.integer("position")
            } else {
                low = middle + 1
            }
        }
        return low
    }
}
