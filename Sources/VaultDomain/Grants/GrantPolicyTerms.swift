import VaultAPI

/// The life that a grant is given when it is made: `expires_at`, `max_ttl_seconds`, `default_ttl_seconds`.
///
/// A life above the maximum is cut, not refused (behaviour contract, “Policies”).
package struct GrantPolicyTerms: Sendable, Equatable {
    package var expiresAt: Instant?
    package var maxTTLSeconds: Int64?
    package var defaultTTLSeconds: Int64?

    /// Ten years: longer lives are typing errors, and sums stay far from overflow.
    private static let ttlRange: ClosedRange<Int64> = 1...315_360_000

    package init() {}

    /// Reads the object and reports what is wrong with it to `fields`.
    package init(_ fields: Fields) {
        expiresAt = fields.optionalInstant("expires_at")
        maxTTLSeconds = fields.optionalInteger("max_ttl_seconds", in: Self.ttlRange)
        defaultTTLSeconds = fields.optionalInteger("default_ttl_seconds", in: Self.ttlRange)
    }

    /// When a grant made now ends, or `nil` for never. What the policies say fills in, and cuts.
    package func expiry(now: Instant, policy: GrantTTL) -> Instant? {
        let wanted = expiresAt ?? (defaultTTLSeconds ?? policy.defaultSeconds).map { now.adding(seconds: $0) }
        guard let maxTTLSeconds = [maxTTLSeconds, policy.maxSeconds].compactMap(\.self).min() else { return wanted }
        let latest = now.adding(seconds: maxTTLSeconds)
        return wanted.map { min($0, latest) } ?? latest
    }

    package var json: JSONObject {
        var object = JSONObject()
        object["expires_at"] = expiresAt.map { .string($0.rfc3339) }
        object["max_ttl_seconds"] = maxTTLSeconds.map { .integer($0) }
        object["default_ttl_seconds"] = defaultTTLSeconds.map { .integer($0) }
        return object
    }
}
