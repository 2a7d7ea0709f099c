import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// API keys as operators manage them.

package struct KeySettings: Sendable {
    package var name: String
    package var scopes: [String]?
    package var keyType: APIKeyGrammar.KeyType
    package var cidrAllowlist: [String]?
    package var rateLimitPerMinute: Int64?
    package var expiresAt: Instant?

    package init(
        name: String, scopes: [String]?, keyType: APIKeyGrammar.KeyType, cidrAllowlist: [String]?,
        rateLimitPerMinute: Int64?,
        expiresAt: Instant?
    ) {
        self.name = name
        self.scopes = scopes
        self.keyType = keyType
        self.cidrAllowlist = cidrAllowlist
        self.rateLimitPerMinute = rateLimitPerMinute
        self.expiresAt = expiresAt
    }
}

package struct MintedKey: Sendable {
    package let record: APIKeyRecord
    /// Shown this once.
    package let key: Secret
}

extension Vault {
    package func createKey(_ caller: OperatorCaller, appID: String, _ settings: KeySettings) async throws -> MintedKey {
        let app = try app(caller, appID, toWrite: true)
        if let expiresAt = settings.expiresAt, expiresAt <= now() {
            throw VaultError.validation("expires_at", "must be in the future")
        }
        let minted = mint(app, settings)
        let digest = digestKey.digest(minted.key.revealed())
        try await record(caller, "key.created", app: app, details: ["key_id": minted.record.id.json]) {
            try $0.insertKey(minted.record, digest: digest)
        }
        return minted
    }

    private func mint(_ app: AppRecord, _ settings: KeySettings) -> MintedKey {
        let text = APIKeyGrammar.key(type: settings.keyType, random: RandomBytes.make(APIKeyGrammar.randomByteCount))
        let record = APIKeyRecord(
            id: APIKeyID(), appID: app.id, name: settings.name, keyType: settings.keyType,
            prefix: String(text.prefix(APIKeyGrammar.prefixLength)),
            scopes: settings.scopes ?? KeyScopeCatalog.runtimeDefaults,
            cidrAllowlist: settings.cidrAllowlist, rateLimitPerMinute: settings.rateLimitPerMinute, createdAt: now(),
            expiresAt: settings.expiresAt)
        return MintedKey(record: record, key: Secret(text))
    }

    package func keys(_ caller: OperatorCaller, appID: String, after: PagePosition, limit: Int) throws -> [APIKeyRecord]
    {
        let app = try app(caller, appID)
        return try read { try $0.keys(appID: app.id, after: after, limit: limit) }
    }

    package func key(_ caller: OperatorCaller, appID: String, _ id: String) throws -> APIKeyRecord {
        try key(app(caller, appID), id)
    }

    func key(_ app: AppRecord, _ id: String) throws -> APIKeyRecord {
        guard let keyID = APIKeyID(id), let key = try read({ try $0.key(keyID, appID: app.id) }) else {
            throw Self.notFound
        }
        return key
    }

    /// A successor with the same rights; the old key works on until the overlap ends.
    package func rotateKey(_ caller: OperatorCaller, appID: String, _ id: String, overlapDays: Int64) async throws
        -> MintedKey
    {
        let app = try app(caller, appID, toWrite: true)
        let old = try key(app, id)
        guard old.revokedAt == nil, old.deprecatedAt == nil, old.expiresAt.map({ $0 > now() }) ?? true else {
            throw VaultError(
                .conflict, "The key is revoked, expired, or was rotated before.", hint: "Rotate its successor.")
        }
        let minted = mint(
            app,
            KeySettings(
                name: old.name, scopes: old.scopes, keyType: old.keyType, cidrAllowlist: old.cidrAllowlist,
                rateLimitPerMinute: old.rateLimitPerMinute, expiresAt: old.expiresAt))
        let digest = digestKey.digest(minted.key.revealed())
        let rotated = now()
        try await record(
            caller, "key.rotated", app: app, details: ["key_id": old.id.json, "successor_id": minted.record.id.json]
        ) { transaction in
            try transaction.insertKey(minted.record, digest: digest)
            try transaction.copyPolicy(
                appID: app.id, layer: .key, from: old.id.text, to: minted.record.id.text,
                revision: PolicyRevisionID().text)
            try transaction.deprecateKey(
                old.id, now: rotated, graceEndsAt: rotated.adding(seconds: overlapDays * 86_400))
        }
        return minted
    }

    package func revokeKey(_ caller: OperatorCaller, appID: String, _ id: String) async throws -> APIKeyRecord {
        let app = try app(caller, appID, toWrite: true)
        let key = try key(app, id)
        let revoked = now()
        try await record(caller, "key.revoked", app: app, details: ["key_id": key.id.json]) {
            try $0.revokeKey(key.id, now: revoked)
        }
        return try self.key(app, id)
    }
}
