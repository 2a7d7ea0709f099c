import VaultAPI
import VaultDomain

// API keys, the nonces of their requests, and the actors that callers name.

package final class APIKeyRecord: Sendable {
    package let id: APIKeyID
    package let appID: AppID
    package let name: String
    package let keyType: APIKeyGrammar.KeyType
    package let prefix: String
    package let scopes: [String]
    /// The same, understood.
    package let grantedScopes: GrantedScopes
    package let cidrAllowlist: [String]?
    package let rateLimitPerMinute: Int64?
    package let createdAt: Instant
    package let expiresAt: Instant?
    package let deprecatedAt: Instant?
    /// End of the overlap after a rotation.
    package let graceEndsAt: Instant?
    package let revokedAt: Instant?

    package init(
        id: APIKeyID, appID: AppID, name: String, keyType: APIKeyGrammar.KeyType, prefix: String, scopes: [String],
        cidrAllowlist: [String]?, rateLimitPerMinute: Int64?, createdAt: Instant, expiresAt: Instant?,
        deprecatedAt: Instant? = nil, graceEndsAt: Instant? = nil, revokedAt: Instant? = nil
    ) {
        self.id = id
        self.appID = appID
        self.name = name
        self.keyType = keyType
        self.prefix = prefix
        self.scopes = scopes
        grantedScopes = GrantedScopes(scopes.compactMap(KeyScope.init))
        self.cidrAllowlist = cidrAllowlist
        self.rateLimitPerMinute = rateLimitPerMinute
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.deprecatedAt = deprecatedAt
        self.graceEndsAt = graceEndsAt
        self.revokedAt = revokedAt
    }

    convenience init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), appID: try row.id("app_id"), name: try row.text("name"),
            keyType: try row.choice("key_type"), prefix: try row.text("prefix"), scopes: try row.strings("scopes"),
            cidrAllowlist: try row.optionalStrings("cidr_allowlist"),
            rateLimitPerMinute: try row.optionalInteger("rate_limit_rpm"), createdAt: try row.instant("created_at"),
            expiresAt: try row.optionalInstant("expires_at"), deprecatedAt: try row.optionalInstant("deprecated_at"),
            graceEndsAt: try row.optionalInstant("grace_ends_at"), revokedAt: try row.optionalInstant("revoked_at"))
    }
}

/// Where a nonce is among all that are kept.
package struct NoncePlace: Sendable, Equatable {
    /// Before the first.
    package static let start = NoncePlace(keyID: "", nonce: "")
    /// After the last: ids are hexadecimal.
    package static let end = NoncePlace(keyID: "~", nonce: "")

    fileprivate let keyID: String
    fileprivate let nonce: String
}

extension Transaction {
    package func insertKey(_ key: APIKeyRecord, digest: [UInt8]) throws {
        try execute(
            """
            INSERT INTO api_keys (id, app_id, name, key_type, digest, prefix, scopes, cidr_allowlist, rate_limit_rpm,
                created_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """, key.id, key.appID, key.name, key.keyType.rawValue, digest, key.prefix, JSON.strings(key.scopes),
            key.cidrAllowlist.map { JSON.strings($0) }, key.rateLimitPerMinute, key.createdAt, key.expiresAt)
    }

    package func key(digest: [UInt8]) throws -> APIKeyRecord? {
        try remembered(.init(.keyDigest, digest)) {
            try row("SELECT * FROM api_keys WHERE digest = ?1", digest).map(APIKeyRecord.init)
        }
    }

    package func key(_ id: APIKeyID, appID: AppID) throws -> APIKeyRecord? {
        try remembered(.init(.key, id.text, appID.text)) {
            try row("SELECT * FROM api_keys WHERE id = ?1 AND app_id = ?2", id, appID).map(APIKeyRecord.init)
        }
    }

    package func keys(appID: AppID, after: PagePosition, limit: Int) throws -> [APIKeyRecord] {
        try rows(
            """
            SELECT * FROM api_keys WHERE app_id = ?1 AND (created_at, id) > (?2, ?3) ORDER BY created_at, id LIMIT ?4
            """, appID, after.at, after.id, limit
        ).map(APIKeyRecord.init)
    }

    package func deprecateKey(_ id: APIKeyID, now: Instant, graceEndsAt: Instant) throws {
        try execute(
            "UPDATE api_keys SET deprecated_at = ?2, grace_ends_at = ?3 WHERE id = ?1", id, now, graceEndsAt)
    }

    package func revokeKey(_ id: APIKeyID, now: Instant) throws {
        try execute("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", id, now)
    }

    /// Whether the nonce is new for the key; it then counts as seen until `expiresAt`. None is new for a key that is gone.
    package func insertNonce(_ nonce: String, keyID: APIKeyID, expiresAt: Instant) throws -> Bool {
        try post(
            """
            INSERT INTO request_nonces (key_id, nonce, expires_at) SELECT id, ?2, ?3 FROM api_keys WHERE id = ?1
            ON CONFLICT (key_id, nonce) DO NOTHING
            """, changesOneRow: true, keyID, nonce, expiresAt)
    }

    package func hasKey(_ id: APIKeyID) throws -> Bool {
        try row("SELECT 1 AS found FROM api_keys WHERE id = ?1", id) != nil
    }

    /// The next `limit` nonces after a place: where they end, and whether any of them has expired. There is no index by that: each
    /// use would have to keep it.
    package func nonces(after place: NoncePlace, limit: Int, now: Instant) throws -> (
        end: NoncePlace, holdsExpired: Bool
    ) {
        let last = try row(
            """
            SELECT key_id, nonce FROM request_nonces WHERE (key_id, nonce) > (?1, ?2)
            ORDER BY key_id, nonce LIMIT 1 OFFSET ?3
            """, place.keyID, place.nonce, limit - 1)
        let end = try last.map { NoncePlace(keyID: try $0.text("key_id"), nonce: try $0.text("nonce")) } ?? .end
        let expired = try row(
            """
            SELECT nonce FROM request_nonces
            WHERE (key_id, nonce) > (?1, ?2) AND (key_id, nonce) <= (?3, ?4) AND expires_at < ?5
            ORDER BY key_id, nonce LIMIT 1
            """, place.keyID, place.nonce, end.keyID, end.nonce, now)
        return (end, expired != nil)
    }

    package func deleteExpiredNonces(after place: NoncePlace, upTo end: NoncePlace, now: Instant) throws {
        try execute(
            """
            DELETE FROM request_nonces
            WHERE (key_id, nonce) > (?1, ?2) AND (key_id, nonce) <= (?3, ?4) AND expires_at < ?5
            """, place.keyID, place.nonce, end.keyID, end.nonce, now)
    }

    package func actor(appID: AppID, caller: String, callerType: String) throws -> ActorID? {
        try remembered(.init(.actor, appID.text, caller, callerType)) {
            try row(
                "SELECT id FROM actors WHERE app_id = ?1 AND caller = ?2 AND caller_type = ?3", appID, caller,
                callerType
            )?.id("id")
        }
    }

    package func actor(_ id: ActorID, appID: AppID) throws -> ActorID? {
        try row("SELECT id FROM actors WHERE id = ?1 AND app_id = ?2", id, appID)?.id("id")
    }

    package func insertActor(appID: AppID, caller: String, callerType: String, now: Instant) throws -> ActorID? {
        try execute(
            """
            INSERT INTO actors (id, app_id, caller, caller_type, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT (app_id, caller, caller_type) DO NOTHING
            """, ActorID(), appID, caller, callerType, now)
        return try actor(appID: appID, caller: caller, callerType: callerType)
    }
}
