import VaultAPI
import VaultDomain

// Policies of an app by layer, and the counts behind limits.

/// One layer's policy as it is stored.
package struct PolicyRecord: Sendable {
    package let layer: PolicyLayer
    /// `*`, a provider's id or a secret's slug, a grant's id, a key's id.
    package let target: String
    /// `nil` when what is stored is no document.
    package let document: JSONObject?
    /// New with every change: what was compiled of one revision holds for as long as it is found here.
    package let revision: String
    /// Names the counts of the rate rule; it stays while the rule does.
    package let rateSource: String?

    package init(layer: PolicyLayer, target: String, document: JSONObject?, revision: String, rateSource: String?) {
        self.layer = layer
        self.target = target
        self.document = document
        self.revision = revision
        self.rateSource = rateSource
    }

    init(_ row: Row) throws {
        self.init(
            layer: try row.choice("layer"), target: try row.text("target"), document: try row.documentIfAny("document"),
            revision: try row.text("revision"), rateSource: try row.optionalText("rate_source"))
    }
}

/// Which policy is in force in a layer, without its document.
package struct PolicyReference: Sendable {
    package let layer: PolicyLayer
    package let target: String
    package let revision: String
    package let rateSource: String?
}

/// What became of a use that was to be counted.
package struct CountedUse: Sendable {
    /// Whether there was room. Nothing was counted otherwise.
    package let isCounted: Bool
    /// With this use in it.
    package let state: RateLimitState
}

extension Row {
    /// A policy that was spoilt has to be replaceable, and to deny until it is.
    fileprivate func documentIfAny(_ column: String) throws -> JSONObject? {
        (try? JSON(parsing: try text(column)))?.object
    }
}

extension Transaction {
    package func upsertPolicy(_ policy: PolicyRecord, appID: AppID, grantTTLMax: Int64?, now: Instant) throws {
        try execute(
            """
            INSERT INTO policies (app_id, layer, target, document, revision, rate_source, grant_ttl_max, updated_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            ON CONFLICT (app_id, layer, target) DO UPDATE SET document = excluded.document, revision = excluded.revision,
                rate_source = excluded.rate_source, grant_ttl_max = excluded.grant_ttl_max,
                updated_at = excluded.updated_at
            """, appID, policy.layer.rawValue, policy.target, policy.document.map(JSON.object), policy.revision,
            policy.rateSource, grantTTLMax, now)
    }

    package func policy(appID: AppID, layer: PolicyLayer, target: String) throws -> PolicyRecord? {
        try row(
            "SELECT * FROM policies WHERE app_id = ?1 AND layer = ?2 AND target = ?3", appID, layer.rawValue, target
        ).map(PolicyRecord.init)
    }

    /// Those of providers, and of all of them.
    package func providerPolicies(appID: AppID) throws -> [PolicyRecord] {
        try rows("SELECT * FROM policies WHERE app_id = ?1 AND layer IN ('app', 'provider') ORDER BY target", appID)
            .map(PolicyRecord.init)
    }

    /// The same rules for another target, if there are any. A limit counts on over both.
    @discardableResult
    package func copyPolicy(appID: AppID, layer: PolicyLayer, from target: String, to other: String, revision: String)
        throws -> Bool
    {
        try execute(
            """
            INSERT INTO policies (app_id, layer, target, document, revision, rate_source, grant_ttl_max, updated_at)
            SELECT app_id, layer, ?4, document, ?5, rate_source, grant_ttl_max, updated_at FROM policies
            WHERE app_id = ?1 AND layer = ?2 AND target = ?3
            """, appID, layer.rawValue, target, other, revision) == 1
    }

    package func deletePolicy(appID: AppID, layer: PolicyLayer, target: String) throws -> Bool {
        try execute(
            "DELETE FROM policies WHERE app_id = ?1 AND layer = ?2 AND target = ?3", appID, layer.rawValue, target) == 1
    }

    /// The policies that bear on a use, in the order of layers.
    package func policiesInForce(appID: AppID, providerID: String, grantID: GrantID?, keyID: APIKeyID?) throws
        -> [PolicyReference]
    {
        let key = RecordMemory.Key(.policies, appID.text, providerID, grantID?.text ?? "", keyID?.text ?? "")
        let found = try remembered(key) { () -> [PolicyReference]? in
            try readPoliciesInForce(appID: appID, providerID: providerID, grantID: grantID, keyID: keyID)
        }
        return found ?? []
    }

    private func readPoliciesInForce(appID: AppID, providerID: String, grantID: GrantID?, keyID: APIKeyID?) throws
        -> [PolicyReference]
    {
        try rows(
            """
            WITH places (layer, target, rank) AS (
                VALUES ('app', '*', 1), ('provider', ?2, 2), ('grant', ?3, 3), ('key', ?4, 4))
            SELECT policies.layer, policies.target, policies.revision, policies.rate_source
            FROM places CROSS JOIN policies
            WHERE policies.app_id = ?1 AND policies.layer = places.layer AND policies.target = places.target
            ORDER BY places.rank
            """, appID, providerID, grantID?.text ?? "", keyID?.text ?? ""
        ).map {
            PolicyReference(
                layer: try $0.choice("layer"), target: try $0.text("target"), revision: try $0.text("revision"),
                rateSource: try $0.optionalText("rate_source"))
        }
    }

    /// `nil` when what is stored is no document.
    package func policyDocument(revision: String) throws -> JSONObject? {
        try row("SELECT document FROM policies WHERE revision = ?1", revision)?.documentIfAny("document")
    }

    // MARK: Limits

    // Exact in every window, wherever it begins: use n is allowed when use n − limit is a whole window ago, and the slot
    // that use n takes is the one that holds it.

    /// Whether there is room for a use now.
    package func rateReading(_ counter: RateCounter, now: Instant) throws -> RateReading {
        let window = try rateWindow(counter, now: now)
        return window.used < counter.limit ? .free : .usedUp(until: window.freeAt)
    }

    /// Counts one use if there is room.
    package func countUse(_ counter: RateCounter, now: Instant) throws -> CountedUse {
        let window = try rateWindow(counter, now: now)
        func state(remaining: Int64) -> RateLimitState {
            RateLimitState(limit: counter.limit, remaining: remaining, resetsAt: window.freeAt)
        }
        guard window.used < counter.limit else { return CountedUse(isCounted: false, state: state(remaining: 0)) }
        // Never before the last one: transactions may be a little out of step with the clock.
        let usedAt = max(now, window.lastAt)
        let endsAt = usedAt.adding(seconds: counter.seconds)
        let id: Int64
        if let known = window.counterID {
            id = known
            try execute(
                "UPDATE rate_counters SET used = used + 1, last_at = ?2, ends_at = ?3 WHERE id = ?1", id, usedAt,
                endsAt)
        } else {
            id = Int64.random(in: 1...Int64.max)
            try execute(
                """
                INSERT INTO rate_counters (id, source, subject, used, last_at, ends_at) VALUES (?1, ?2, ?3, 1, ?4, ?5)
                """, id, counter.source, counter.subject, usedAt, endsAt)
        }
        try execute(
            """
            INSERT INTO rate_uses (counter_id, slot, used_at) VALUES (?1, ?2, ?3)
            ON CONFLICT (counter_id, slot) DO UPDATE SET used_at = excluded.used_at
            """, id, window.total % counter.limit, usedAt)
        return CountedUse(isCounted: true, state: state(remaining: counter.limit - window.used - 1))
    }

    private struct RateWindow {
        var counterID: Int64?
        /// Uses ever, and those inside the window.
        var total: Int64 = 0
        var used: Int64 = 0
        var lastAt: Instant
        /// When the first use leaves the window.
        var freeAt: Instant
    }

    private func rateWindow(_ counter: RateCounter, now: Instant) throws -> RateWindow {
        var window = RateWindow(lastAt: now, freeAt: now.adding(seconds: counter.seconds))
        let row = try row(
            "SELECT id, used, last_at FROM rate_counters WHERE source = ?1 AND subject = ?2", counter.source,
            counter.subject)
        guard let row else { return window }
        let id = try row.integer("id")
        window.counterID = id
        window.total = try row.integer("used")
        window.lastAt = try row.instant("last_at")
        let start = now.adding(seconds: -counter.seconds)
        guard window.lastAt > start else { return window }
        // Uses are in the order of time: the first one inside the window is found by halving.
        var low = max(0, window.total - counter.limit)
        var high = window.total - 1
        while low < high {
            let middle = (low + high) / 2
            let usedAt = try usedAt(middle, of: id, limit: counter.limit)
            if let usedAt, usedAt > start { high = middle } else { low = middle + 1 }
        }
        window.used = window.total - low
        window.freeAt = (try usedAt(low, of: id, limit: counter.limit) ?? now).adding(seconds: counter.seconds)
        return window
    }

    /// `nil` for a use that is forgotten, long after it left the window.
    private func usedAt(_ use: Int64, of counterID: Int64, limit: Int64) throws -> Instant? {
        try row("SELECT used_at FROM rate_uses WHERE counter_id = ?1 AND slot = ?2", counterID, use % limit)?
            .instant("used_at")
    }

    /// A clock that was set back: uses that lie ahead of it, which would block for as long as it was wrong, count as now.
    /// Nodes are allowed to differ by `tolerance` seconds.
    package func settleRateCounters(now: Instant, tolerance: Int64) throws {
        let limit = now.adding(seconds: tolerance)
        for row in try rows("SELECT id FROM rate_counters WHERE ends_at > ?1 AND last_at > ?1", limit) {
            let id = try row.integer("id")
            try execute("UPDATE rate_uses SET used_at = ?2 WHERE counter_id = ?1 AND used_at > ?2", id, now)
            try execute("UPDATE rate_counters SET last_at = ?2 WHERE id = ?1", id, now)
        }
    }

    /// Forgets uses of counters whose every use has left the window, at most `limit` of them, then the counters that have none
    /// left; how many uses there were.
    package func deleteOldRateUses(now: Instant, limit: Int) throws -> Int {
        let count = try execute(
            """
            DELETE FROM rate_uses WHERE (counter_id, slot) IN (
                SELECT rate_uses.counter_id, rate_uses.slot FROM rate_counters
                JOIN rate_uses ON rate_uses.counter_id = rate_counters.id WHERE rate_counters.ends_at < ?1 LIMIT ?2)
            """, now, limit)
        guard count < limit else { return count }
        try execute("DELETE FROM rate_counters WHERE ends_at < ?1", now)
        return count
    }
}
