import VaultAPI
import VaultDomain

// What an app set up: OAuth clients and managed secrets.

package struct OAuthProviderRecord: Sendable {
    package let appID: AppID
    package let providerID: String
    package let clientID: String
    /// Sealed under the app's data key.
    package let clientSecret: [UInt8]
    package let version: Int64
    /// What the operator set: everything for a custom provider, overrides for a built-in one.
    package let configuration: JSONObject
    package let createdAt: Instant
    package let updatedAt: Instant

    package init(
        appID: AppID, providerID: String, clientID: String, clientSecret: [UInt8], version: Int64,
        configuration: JSONObject, createdAt: Instant, updatedAt: Instant
    ) {
        self.appID = appID
        self.providerID = providerID
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.version = version
        self.configuration = configuration
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }

    init(_ row: Row) throws {
        self.init(
            appID: try row.id("app_id"), providerID: try row.text("provider_id"), clientID: try row.text("client_id"),
            clientSecret: try row.blob("client_secret"), version: try row.integer("version"),
            configuration: try row.object("configuration"), createdAt: try row.instant("created_at"),
            updatedAt: try row.instant("updated_at"))
    }
}

package struct ManagedSecretRecord: Sendable {
    package let id: ManagedSecretID
    package let appID: AppID
    package let slug: String
    package let name: String
    package let credentialType: String
    package let allowedHosts: [String]
    package let injection: JSONObject
    package let createdAt: Instant

    package init(
        id: ManagedSecretID, appID: AppID, slug: String, name: String, credentialType: String, allowedHosts: [String],
        injection: JSONObject, createdAt: Instant
    ) {
        self.id = id
        self.appID = appID
        self.slug = slug
        self.name = name
        self.credentialType = credentialType
        self.allowedHosts = allowedHosts
        self.injection = injection
        self.createdAt = createdAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), appID: try row.id("app_id"), slug: try row.text("slug"), name: try row.text("name"),
            credentialType: try row.text("credential_type"), allowedHosts: try row.strings("allowed_hosts"),
            injection: try row.object("injection"), createdAt: try row.instant("created_at"))
    }
}

extension Transaction {
    /// What the operator set, as it is stored.
    package func oauthProviderConfiguration(_ providerID: String, appID: AppID) throws -> String? {
        try row(
            "SELECT configuration FROM oauth_providers WHERE app_id = ?1 AND provider_id = ?2", appID, providerID
        )?.text("configuration")
    }

    package func upsertOAuthProvider(_ provider: OAuthProviderRecord) throws {
        try execute(
            """
            INSERT INTO oauth_providers (app_id, provider_id, client_id, client_secret, version, configuration,
                created_at, updated_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            ON CONFLICT (app_id, provider_id) DO UPDATE SET client_id = excluded.client_id,
                client_secret = excluded.client_secret, version = excluded.version,
                configuration = excluded.configuration, updated_at = excluded.updated_at
            """, provider.appID, provider.providerID, provider.clientID, provider.clientSecret, provider.version,
            JSON.object(provider.configuration), provider.createdAt, provider.updatedAt)
    }

    package func oauthProvider(_ providerID: String, appID: AppID) throws -> OAuthProviderRecord? {
        try row("SELECT * FROM oauth_providers WHERE app_id = ?1 AND provider_id = ?2", appID, providerID)
            .map(OAuthProviderRecord.init)
    }

    package func oauthProviders(appID: AppID) throws -> [OAuthProviderRecord] {
        try rows("SELECT * FROM oauth_providers WHERE app_id = ?1 ORDER BY provider_id", appID).map(
            OAuthProviderRecord.init)
    }

    package func deleteOAuthProvider(_ providerID: String, appID: AppID) throws -> Bool {
        try execute("DELETE FROM oauth_providers WHERE app_id = ?1 AND provider_id = ?2", appID, providerID) == 1
    }

    package func insertManagedSecret(_ secret: ManagedSecretRecord) throws {
        try execute(
            """
            INSERT INTO managed_secrets (id, app_id, slug, name, credential_type, allowed_hosts, injection, created_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            """, secret.id, secret.appID, secret.slug, secret.name, secret.credentialType,
            JSON.strings(secret.allowedHosts), JSON.object(secret.injection), secret.createdAt)
    }

    package func managedSecret(_ id: ManagedSecretID, appID: AppID) throws -> ManagedSecretRecord? {
        try remembered(.init(.managedSecret, id.text, appID.text)) {
            try row("SELECT * FROM managed_secrets WHERE id = ?1 AND app_id = ?2", id, appID)
                .map(ManagedSecretRecord.init)
        }
    }

    package func managedSecret(slug: String, appID: AppID) throws -> ManagedSecretRecord? {
        try row("SELECT * FROM managed_secrets WHERE slug = ?1 AND app_id = ?2", slug, appID).map(
            ManagedSecretRecord.init)
    }

    package func managedSecrets(appID: AppID, after: PagePosition, limit: Int) throws -> [ManagedSecretRecord] {
        try rows(
            """
            SELECT * FROM managed_secrets WHERE app_id = ?1 AND (created_at, id) > (?2, ?3)
            ORDER BY created_at, id LIMIT ?4
            """, appID, after.at, after.id, limit
        ).map(ManagedSecretRecord.init)
    }

    package func deleteManagedSecret(_ id: ManagedSecretID) throws {
        try execute("DELETE FROM managed_secrets WHERE id = ?1", id)
    }
}
