import VaultAPI

// Figures of what apps did, by hour, added up from the audit trail. They stay when retention removes the records, and how far
// the trail is counted moves in the same transaction as they do, so that nothing is counted twice or left out.

package enum UsageOutcome: String, Sendable, CaseIterable {
    /// A credential was released, or a call made with it.
    case call
    /// Either was refused.
    case refusal
    /// An access token was renewed.
    case refresh
}

package struct UsageTotals: Sendable, Equatable {
    package var calls: Int64
    package var refusals: Int64
    package var refreshes: Int64

    package init(calls: Int64 = 0, refusals: Int64 = 0, refreshes: Int64 = 0) {
        self.calls = calls
        self.refusals = refusals
        self.refreshes = refreshes
    }

    package var sum: Int64 { calls + refusals + refreshes }

    package subscript(_ outcome: UsageOutcome) -> Int64 {
        get {
            switch outcome {
            case .call: calls
            case .refusal: refusals
            case .refresh: refreshes
            }
        }
        set {
            switch outcome {
            case .call: calls = newValue
            case .refusal: refusals = newValue
            case .refresh: refreshes = newValue
            }
        }
    }
}

/// What an app has been set up with so far.
package struct AppProgress: Sendable, Equatable {
    package let hasProvider: Bool
    package let hasKey: Bool
    package let hasIdentityProvider: Bool
    package let hasUser: Bool
    package let hasCall: Bool
}

extension Transaction {
    // MARK: Counting

    /// In order, so that PostgreSQL looks at the end of the trail, and not for the first record that is not counted yet from its
    /// beginning.
    package func hasUsageToCount() throws -> Bool {
        try row(
            """
            SELECT 1 AS found FROM audit_records
            WHERE position > (SELECT position FROM usage_progress WHERE id = 1) ORDER BY position LIMIT 1
            """) != nil
    }

    /// Counts the next records of the trail, at most `recordsMax` of them; how many there were.
    ///
    /// A use leaves one record, whichever way it went, and what an app reports of its own calls is another event. A position
    /// that was passed never gets a record later: SQLite gives them out inside the transaction that commits, and there is one
    /// at a time. An engine that commits several at once has to hold this step back behind its oldest open transaction.
    package func countUsage(recordsMax: Int) throws -> Int {
        let counted = try row("SELECT position FROM usage_progress WHERE id = 1")?.integer("position") ?? 0
        let next = try row(
            """
            SELECT max(position) AS last, count(*) AS total
            FROM (SELECT position FROM audit_records WHERE position > ?1 ORDER BY position LIMIT ?2) AS next
            """, counted, recordsMax)
        guard let next, let last = try next.optionalInteger("last") else { return 0 }
        // A refused caller may name any provider: only names of the app's own make rows.
        try execute(
            """
            INSERT INTO usage_figures (app_id, hour, provider_id, outcome, total)
            SELECT app_id, hour, provider_id, outcome, count(*) FROM (
                SELECT app_id, occurred_at - occurred_at % 3600000 AS hour,
                    CASE WHEN provider_id IS NULL THEN '' WHEN decision <> 'deny' THEN provider_id
                        WHEN EXISTS (SELECT 1 FROM oauth_providers WHERE oauth_providers.app_id = used.app_id
                            AND oauth_providers.provider_id = used.provider_id)
                            OR EXISTS (SELECT 1 FROM managed_secrets WHERE managed_secrets.app_id = used.app_id
                            AND managed_secrets.slug = used.provider_id) THEN provider_id
                        ELSE '' END AS provider_id,
                    CASE WHEN event = 'credential.refreshed' THEN 'refresh' WHEN decision = 'deny' THEN 'refusal'
                        ELSE 'call' END AS outcome
                FROM audit_records AS used
                WHERE position > ?1 AND position <= ?2
                    AND event IN ('credential.retrieved', 'credential.proxied', 'credential.refreshed')
                    AND EXISTS (SELECT 1 FROM apps WHERE apps.id = used.app_id)) AS uses
            WHERE 1 = 1 GROUP BY app_id, hour, provider_id, outcome
            ON CONFLICT (app_id, hour, provider_id, outcome) DO UPDATE SET total = usage_figures.total + excluded.total
            """, counted, last)
        try execute("UPDATE usage_progress SET position = ?1 WHERE id = 1", last)
        return Int(try next.integer("total"))
    }

    package func deleteUsage(before time: Instant) throws {
        try execute("DELETE FROM usage_figures WHERE hour < ?1", time)
    }

    // MARK: Reading

    /// Totals of slots of `slotMilliseconds`, by when each begins; slots in which nothing happened are left out.
    package func usage(appID: AppID, from: Instant, before end: Instant, slotMilliseconds: Int64) throws
        -> [Instant: UsageTotals]
    {
        let rows = try rows(
            """
            SELECT hour - (hour - ?2) % ?4 AS slot, outcome, CAST(sum(total) AS BIGINT) AS total FROM usage_figures
            WHERE app_id = ?1 AND hour >= ?2 AND hour < ?3 GROUP BY slot, outcome
            """, appID, from, end, slotMilliseconds)
        var slots: [Instant: UsageTotals] = [:]
        for row in rows {
            let outcome: UsageOutcome = try row.choice("outcome")
            let start = try row.instant("slot")
            slots[start, default: UsageTotals()][outcome] = try row.integer("total")
        }
        return slots
    }

    /// Totals by provider; `""` stands for refusals of what is no provider of the app.
    package func usageByProvider(appID: AppID, from: Instant, before end: Instant) throws -> [String: UsageTotals] {
        let rows = try rows(
            """
            SELECT provider_id, outcome, CAST(sum(total) AS BIGINT) AS total FROM usage_figures
            WHERE app_id = ?1 AND hour >= ?2 AND hour < ?3 GROUP BY provider_id, outcome
            """, appID, from, end)
        var providers: [String: UsageTotals] = [:]
        for row in rows {
            let outcome: UsageOutcome = try row.choice("outcome")
            let providerID = try row.text("provider_id")
            providers[providerID, default: UsageTotals()][outcome] = try row.integer("total")
        }
        return providers
    }

    /// Looks for one row of each, so that it costs the same however many there are. A first use shows on its grant at once,
    /// and in the figures for good.
    package func progress(of appID: AppID) throws -> AppProgress {
        func exists(_ sql: String) throws -> Bool { try row("SELECT 1 AS found FROM \(sql) LIMIT 1", appID) != nil }
        return AppProgress(
            hasProvider: try exists("oauth_providers WHERE app_id = ?1") || exists("managed_secrets WHERE app_id = ?1"),
            hasKey: try exists("api_keys WHERE app_id = ?1"),
            hasIdentityProvider: try exists("identity_providers WHERE app_id = ?1 AND removed_at IS NULL"),
            hasUser: try exists("users WHERE app_id = ?1"),
            hasCall: try exists("usage_figures WHERE app_id = ?1 AND outcome = 'call'")
                || exists(
                    """
                    (SELECT last_used_at FROM grants WHERE app_id = ?1 ORDER BY created_at, id LIMIT 100) AS oldest
                    WHERE last_used_at IS NOT NULL
                    """)
        )
    }

    /// The OAuth provider that the app has had longest.
    package func firstOAuthProvider(of appID: AppID) throws -> String? {
        try row(
            "SELECT provider_id FROM oauth_providers WHERE app_id = ?1 ORDER BY created_at, provider_id LIMIT 1", appID
        )?.text("provider_id")
    }
}
