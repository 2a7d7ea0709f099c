// The schema, in migrations that are never edited once released. Times are milliseconds since the epoch, ids are
// canonical UUID text, lists and documents are JSON text that no query looks into. `INTEGER`, `BLOB`, `STRICT` and
// `WITHOUT ROWID` are the only words of this text that an engine may have to translate.

enum Schema {
    struct Migration {
        let name: String
        let statements: [String]
        /// Whether programs that do not know it can no longer work on the database. A change is made in two versions: one adds
        /// what is new, the next removes what is old, so that nodes of two neighbouring versions work side by side.
        var excludesOlder = false
    }

    /// Applies, in order, the migrations that the database has not seen.
    ///
    /// - Parameter translate: makes a statement of what is written here one of the engine.
    static func apply(_ migrations: [Migration], in transaction: Transaction, translate: (String) -> String) throws {
        for table in ["schema_migrations", "schema_needs"] {
            try transaction.execute(
                translate("CREATE TABLE IF NOT EXISTS \(table) (name TEXT PRIMARY KEY NOT NULL) STRICT"))
        }
        func names(_ table: String) throws -> Set<String> {
            Set(try transaction.rows("SELECT name FROM \(table)").map { try $0.text("name") })
        }
        guard try names("schema_needs").isSubset(of: migrations.map(\.name)) else {
            throw StoreError.unavailable("it belongs to a newer version, and this one cannot work on it")
        }
        let applied = try names("schema_migrations")
        for migration in migrations where !applied.contains(migration.name) {
            for statement in migration.statements { try transaction.execute(translate(statement)) }
            try transaction.execute("INSERT INTO schema_migrations (name) VALUES (?1)", migration.name)
            guard migration.excludesOlder else { continue }
            try transaction.execute("INSERT INTO schema_needs (name) VALUES (?1)", migration.name)
        }
    }

    static let migrations = [
        Migration(name: "0001-accounts", statements: accounts),
        Migration(name: "0002-identity", statements: identity),
        Migration(name: "0003-credentials", statements: credentials),
        Migration(name: "0004-connect", statements: connect),
        Migration(name: "0005-audit", statements: audit),
        Migration(name: "0006-subjects", statements: subjects),
        Migration(name: "0007-installation", statements: installation),
        Migration(name: "0008-sign-in", statements: signIn),
        Migration(name: "0009-lifecycle", statements: lifecycle),
        Migration(name: "0010-policies", statements: policies),
        Migration(name: "0011-audit-chains", statements: auditChains),
        Migration(name: "0012-portal", statements: portal + connectSignIn),
        Migration(name: "0013-nonces", statements: nonces),
    ]

    /// Whose rows the engine numbers.
    static let numberedTable = "audit_records"

    /// Every table, in an order in which rows can be inserted: what they refer to comes first.
    static let tables = [
        "installation", "organizations", "operators", "operator_identities", "memberships", "invitations",
        "personal_access_tokens", "setup_addresses", "portal_sessions", "portal_sign_ins", "sign_in_failures", "apps",
        "app_logos", "api_keys", "request_nonces", "actors", "rate_counters", "rate_uses", "identity_providers",
        "users",
        "user_subjects", "user_endings", "webhook_deliveries", "oauth_providers", "managed_secrets", "credentials",
        "grants", "policies", "deprovisionings", "revocations", "key_destructions", "open_uses", "connect_sessions",
        "connect_attempts", "sign_in_sessions", "sign_in_attempts", "wallet_sessions", "audit_records", "audit_heads",
        "audit_checkpoints", "audit_streams", "usage_figures", "usage_progress",
    ]

    private static let accounts = [
        """
        CREATE TABLE organizations (
            id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT
        """,
        """
        CREATE TABLE operators (
            id TEXT PRIMARY KEY NOT NULL, email TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL) STRICT
        """,
        """
        CREATE TABLE memberships (
            organization_id TEXT NOT NULL REFERENCES organizations (id),
            operator_id TEXT NOT NULL REFERENCES operators (id),
            role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'read_only')),
            PRIMARY KEY (operator_id, organization_id)) STRICT
        """,
        """
        CREATE TABLE personal_access_tokens (
            id TEXT PRIMARY KEY NOT NULL, operator_id TEXT NOT NULL REFERENCES operators (id), name TEXT NOT NULL,
            digest BLOB NOT NULL UNIQUE, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER) STRICT
        """,
        """
        CREATE TABLE apps (
            id TEXT PRIMARY KEY NOT NULL, organization_id TEXT NOT NULL REFERENCES organizations (id),
            name TEXT NOT NULL, website_url TEXT, data_key_id TEXT NOT NULL, created_at INTEGER NOT NULL,
            archived_at INTEGER) STRICT
        """,
        "CREATE INDEX apps_by_organization ON apps (organization_id, created_at)",
        """
        CREATE TABLE api_keys (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            name TEXT NOT NULL, key_type TEXT NOT NULL CHECK (key_type IN ('rk', 'ak')), digest BLOB NOT NULL UNIQUE,
            prefix TEXT NOT NULL, scopes TEXT NOT NULL, cidr_allowlist TEXT, rate_limit_rpm INTEGER,
            created_at INTEGER NOT NULL, expires_at INTEGER, deprecated_at INTEGER, grace_ends_at INTEGER,
            revoked_at INTEGER) STRICT
        """,
        "CREATE INDEX api_keys_by_app ON api_keys (app_id, created_at)",
        """
        CREATE TABLE request_nonces (
            key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE, nonce TEXT NOT NULL,
            expires_at INTEGER NOT NULL, PRIMARY KEY (key_id, nonce)) STRICT
        """,
        "CREATE INDEX request_nonces_by_expiry ON request_nonces (expires_at)",
        """
        CREATE TABLE key_rate_windows (
            key_id TEXT PRIMARY KEY NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
            started_at INTEGER NOT NULL, used INTEGER NOT NULL) STRICT
        """,
        """
        CREATE TABLE actors (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            caller TEXT NOT NULL, caller_type TEXT NOT NULL, created_at INTEGER NOT NULL,
            UNIQUE (app_id, caller, caller_type)) STRICT
        """,
    ]

    private static let identity = [
        """
        CREATE TABLE identity_providers (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            idp_type TEXT NOT NULL, issuer TEXT NOT NULL, document TEXT NOT NULL, audience TEXT,
            user_id_claim TEXT NOT NULL, group_claim TEXT, role_claim TEXT, claims_locked_at INTEGER,
            webhook_endpoint_id TEXT NOT NULL UNIQUE, webhook_secret BLOB, webhook_version INTEGER NOT NULL,
            webhooks_enabled_at INTEGER, created_at INTEGER NOT NULL, removed_at INTEGER) STRICT
        """,
        "CREATE UNIQUE INDEX identity_providers_one_active ON identity_providers (app_id) WHERE removed_at IS NULL",
        """
        CREATE TABLE users (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            issuer TEXT NOT NULL, external_subject_id TEXT NOT NULL, subject TEXT NOT NULL, email TEXT,
            display_name TEXT, groups TEXT NOT NULL, roles TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'deprovisioned')), epoch INTEGER NOT NULL,
            data_key_id TEXT, suspended_by TEXT CHECK (suspended_by IN ('provider', 'operator')),
            status_event_at INTEGER, tokens_not_before INTEGER, email_as_of INTEGER, display_name_as_of INTEGER,
            groups_as_of INTEGER, roles_as_of INTEGER, first_seen_at INTEGER NOT NULL, last_seen_at INTEGER,
            UNIQUE (app_id, issuer, external_subject_id)) STRICT
        """,
        "CREATE INDEX users_by_subject ON users (app_id, issuer, subject)",
        "CREATE INDEX users_by_first_seen ON users (app_id, first_seen_at, id)",
        """
        CREATE TABLE webhook_deliveries (
            id TEXT PRIMARY KEY NOT NULL,
            identity_provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
            delivery_id TEXT NOT NULL, event_type TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT,
            user_id TEXT REFERENCES users (id) ON DELETE CASCADE, event_at INTEGER, received_at INTEGER NOT NULL,
            UNIQUE (identity_provider_id, delivery_id)) STRICT
        """,
        "CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (identity_provider_id, received_at)",
    ]

    private static let credentials = [
        """
        CREATE TABLE oauth_providers (
            app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE, provider_id TEXT NOT NULL,
            client_id TEXT NOT NULL, client_secret BLOB NOT NULL, version INTEGER NOT NULL, configuration TEXT NOT NULL,
            created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (app_id, provider_id)) STRICT
        """,
        """
        CREATE TABLE managed_secrets (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            slug TEXT NOT NULL, name TEXT NOT NULL, credential_type TEXT NOT NULL, allowed_hosts TEXT NOT NULL,
            injection TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (app_id, slug)) STRICT
        """,
        """
        CREATE TABLE credentials (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            provider_id TEXT NOT NULL, user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
            managed_secret_id TEXT REFERENCES managed_secrets (id) ON DELETE CASCADE, account_id TEXT,
            data_key_id TEXT NOT NULL, version INTEGER NOT NULL, token_generation TEXT NOT NULL,
            access_token BLOB NOT NULL, refresh_token BLOB, scopes TEXT NOT NULL, access_expires_at INTEGER,
            died_at INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX credentials_by_user ON credentials (user_id)",
        "CREATE INDEX credentials_by_account ON credentials (app_id, provider_id, account_id)",
        """
        CREATE TABLE grants (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('oauth', 'managed_secret')), provider_id TEXT NOT NULL,
            credential_id TEXT REFERENCES credentials (id) ON DELETE SET NULL,
            managed_secret_id TEXT REFERENCES managed_secrets (id) ON DELETE CASCADE,
            principal_type TEXT NOT NULL CHECK (principal_type IN ('user', 'group', 'system', 'agent')),
            user_id TEXT REFERENCES users (id) ON DELETE CASCADE, label TEXT, account_id TEXT, account_identifier TEXT,
            account_display_name TEXT, scopes TEXT NOT NULL, scope_mismatch INTEGER NOT NULL DEFAULT 0,
            grant_policy TEXT NOT NULL, expires_at INTEGER, created_at INTEGER NOT NULL, last_used_at INTEGER,
            revoked_at INTEGER, revoke_reason TEXT,
            CHECK (principal_type <> 'user' OR user_id IS NOT NULL)) STRICT
        """,
        "CREATE INDEX grants_by_app ON grants (app_id, created_at, id)",
        "CREATE INDEX grants_by_user ON grants (user_id, provider_id)",
        "CREATE INDEX grants_by_credential ON grants (credential_id)",
        "CREATE INDEX grants_by_provider ON grants (app_id, provider_id, principal_type)",
        """
        CREATE TABLE policies (
            app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE, provider_id TEXT NOT NULL,
            document TEXT NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (app_id, provider_id)) STRICT
        """,
        """
        CREATE TABLE revocations (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            provider_id TEXT NOT NULL, grant_id TEXT, user_id TEXT, token BLOB, data_key_id TEXT,
            token_type_hint TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed', 'unsupported')),
            attempts INTEGER NOT NULL, next_attempt_at INTEGER, last_error TEXT, created_at INTEGER NOT NULL,
            finished_at INTEGER) STRICT
        """,
        "CREATE INDEX revocations_due ON revocations (next_attempt_at) WHERE status = 'pending'",
        "CREATE INDEX revocations_by_grant ON revocations (grant_id)",
        """
        CREATE TABLE key_destructions (
            data_key_id TEXT PRIMARY KEY NOT NULL, created_at INTEGER NOT NULL) STRICT
        """,
        """
        CREATE TABLE open_uses (
            id TEXT PRIMARY KEY NOT NULL, entry TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT
        """,
    ]

    private static let connect = [
        """
        CREATE TABLE connect_sessions (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            user_id TEXT REFERENCES users (id) ON DELETE CASCADE, user_epoch INTEGER, allowed_providers TEXT NOT NULL,
            required_scopes TEXT NOT NULL, label TEXT, grant_policy TEXT NOT NULL, repair_grant_id TEXT,
            return_url TEXT, status TEXT NOT NULL CHECK (status IN ('open', 'completed', 'error')), error_code TEXT,
            error_message TEXT, declined TEXT NOT NULL, results TEXT NOT NULL, failures TEXT NOT NULL,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX connect_sessions_by_user ON connect_sessions (user_id)",
        """
        CREATE TABLE connect_attempts (
            state_digest BLOB PRIMARY KEY NOT NULL,
            session_id TEXT NOT NULL REFERENCES connect_sessions (id) ON DELETE CASCADE, provider_id TEXT NOT NULL,
            browser_digest BLOB NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
    ]

    /// Every `sub` that a user has come with: where the id claim is another one, a person may have several.
    private static let subjects = [
        """
        CREATE TABLE user_subjects (
            user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, subject TEXT NOT NULL,
            PRIMARY KEY (user_id, subject)) STRICT
        """,
        "CREATE INDEX user_subjects_by_subject ON user_subjects (subject, user_id)",
        "INSERT INTO user_subjects (user_id, subject) SELECT id, subject FROM users",
        "DROP INDEX users_by_subject",
    ]

    private static let signIn = [
        "ALTER TABLE identity_providers ADD COLUMN sign_in_client_id TEXT",
        "ALTER TABLE identity_providers ADD COLUMN sign_in_client_secret BLOB",
        "ALTER TABLE identity_providers ADD COLUMN sign_in_version INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE identity_providers ADD COLUMN sign_in_scopes TEXT",
        """
        CREATE TABLE sign_in_sessions (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            identity_provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
            purpose TEXT NOT NULL CHECK (purpose IN ('sdk', 'wallet')),
            status TEXT NOT NULL CHECK (status IN ('open', 'completed', 'error')),
            user_id TEXT REFERENCES users (id) ON DELETE CASCADE, user_token BLOB, error_code TEXT, error_message TEXT,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX sign_in_sessions_by_user ON sign_in_sessions (user_id)",
        """
        CREATE TABLE sign_in_attempts (
            state_digest BLOB PRIMARY KEY NOT NULL,
            session_id TEXT NOT NULL REFERENCES sign_in_sessions (id) ON DELETE CASCADE,
            browser_digest BLOB NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
        """
        CREATE TABLE wallet_sessions (
            digest BLOB PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            identity_provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
            user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, user_epoch INTEGER NOT NULL,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX wallet_sessions_by_user ON wallet_sessions (user_id)",
    ]

    private static let lifecycle = [
        "ALTER TABLE users ADD COLUMN groups_removed_at INTEGER",
        "ALTER TABLE users ADD COLUMN reopened_at INTEGER",
        "ALTER TABLE identity_providers ADD COLUMN event_map_changes TEXT NOT NULL DEFAULT '{}'",
        """
        ALTER TABLE identity_providers ADD COLUMN membership_removal TEXT NOT NULL DEFAULT 'last_membership'
            CHECK (membership_removal IN ('always_deprovision', 'last_membership', 'membership_only'))
        """,
        "ALTER TABLE webhook_deliveries ADD COLUMN source TEXT",
        "ALTER TABLE webhook_deliveries ADD COLUMN replayed_at INTEGER",
        "CREATE INDEX webhook_deliveries_by_user ON webhook_deliveries (user_id)",
        "CREATE INDEX webhook_deliveries_ignored ON webhook_deliveries (received_at) WHERE outcome = 'ignored'",
        """
        CREATE TABLE deprovisionings (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, facts TEXT NOT NULL, data_key_id TEXT,
            key_destroyed_at INTEGER, created_at INTEGER NOT NULL, version INTEGER NOT NULL, statement TEXT,
            receipt TEXT) STRICT
        """,
        "CREATE INDEX deprovisionings_by_user ON deprovisionings (user_id, created_at)",
        "CREATE INDEX deprovisionings_by_key ON deprovisionings (data_key_id)",
        "ALTER TABLE revocations ADD COLUMN deprovisioning_id TEXT REFERENCES deprovisionings (id) ON DELETE SET NULL",
        "ALTER TABLE revocations ADD COLUMN credential_id TEXT",
        // What a grant was given for; it stays when the credential is deleted.
        "ALTER TABLE grants ADD COLUMN credential_ref TEXT",
        "UPDATE grants SET credential_ref = credential_id",
        "DROP INDEX revocations_due",
        "DROP INDEX revocations_by_grant",
        "CREATE INDEX revocations_by_deprovisioning ON revocations (deprovisioning_id) WHERE deprovisioning_id IS NOT NULL",
        "CREATE INDEX revocations_by_credential ON revocations (credential_id)",
        "CREATE INDEX revocations_by_key ON revocations (data_key_id) WHERE data_key_id IS NOT NULL",
        """
        CREATE INDEX revocations_by_provider ON revocations (app_id, provider_id, next_attempt_at)
            WHERE status = 'pending'
        """,
        """
        CREATE TABLE user_endings (
            user_id TEXT PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE, epoch INTEGER NOT NULL,
            created_at INTEGER NOT NULL) STRICT
        """,
    ]

    private static let policies = [
        """
        CREATE TABLE layered_policies (
            app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            layer TEXT NOT NULL CHECK (layer IN ('app', 'provider', 'grant', 'agent', 'key')), target TEXT NOT NULL,
            document TEXT NOT NULL, revision TEXT NOT NULL UNIQUE, rate_source TEXT, grant_ttl_max INTEGER,
            updated_at INTEGER NOT NULL, PRIMARY KEY (app_id, layer, target)) STRICT
        """,
        """
        INSERT INTO layered_policies (app_id, layer, target, document, revision, updated_at)
        SELECT app_id, CASE provider_id WHEN '*' THEN 'app' ELSE 'provider' END, provider_id, document,
            app_id || '/' || provider_id, updated_at FROM policies
        """,
        "DROP TABLE policies",
        "ALTER TABLE layered_policies RENAME TO policies",
        "ALTER TABLE grants ADD COLUMN term_started_at INTEGER NOT NULL DEFAULT 0",
        "UPDATE grants SET term_started_at = created_at",
        "DROP TABLE key_rate_windows",
        """
        CREATE TABLE rate_counters (
            id INTEGER PRIMARY KEY NOT NULL, source TEXT NOT NULL, subject TEXT NOT NULL, used INTEGER NOT NULL,
            last_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, UNIQUE (source, subject)) STRICT
        """,
        "CREATE INDEX rate_counters_by_end ON rate_counters (ends_at)",
        """
        CREATE TABLE rate_uses (
            counter_id INTEGER NOT NULL REFERENCES rate_counters (id) ON DELETE CASCADE, slot INTEGER NOT NULL,
            used_at INTEGER NOT NULL, PRIMARY KEY (counter_id, slot)) STRICT
        """,
    ]

    /// What was one chain becomes that of the installation, whole as it is; apps get chains of their own from here on.
    private static let auditChains = [
        "ALTER TABLE audit_records RENAME COLUMN sequence TO position",
        "ALTER TABLE audit_records ADD COLUMN chain TEXT NOT NULL DEFAULT 'installation'",
        "ALTER TABLE audit_records ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE audit_records ADD COLUMN request_id TEXT",
        "ALTER TABLE audit_records ADD COLUMN trace_id TEXT",
        "UPDATE audit_records SET sequence = position",
        "CREATE UNIQUE INDEX audit_records_by_chain ON audit_records (chain, sequence)",
        "CREATE INDEX audit_records_by_request ON audit_records (request_id) WHERE request_id IS NOT NULL",
        """
        CREATE TABLE audit_heads (
            chain TEXT PRIMARY KEY NOT NULL, sequence INTEGER NOT NULL, hash BLOB NOT NULL,
            start_sequence INTEGER NOT NULL, start_hash BLOB NOT NULL, retention_days INTEGER, mac BLOB NOT NULL) STRICT
        """,
        """
        INSERT INTO audit_heads (chain, sequence, hash, start_sequence, start_hash, mac)
        SELECT 'installation', sequence, hash, 0, hash, mac FROM audit_head
        """,
        "DROP TABLE audit_head",
        """
        CREATE TABLE audit_checkpoints (
            chain TEXT NOT NULL, sequence INTEGER NOT NULL, created_at INTEGER NOT NULL, statement TEXT NOT NULL,
            PRIMARY KEY (chain, sequence)) STRICT
        """,
        """
        CREATE TABLE audit_streams (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('webhook', 'otlp')), url TEXT NOT NULL, secret BLOB NOT NULL,
            sent_sequence INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt_at INTEGER NOT NULL, last_error TEXT,
            last_sent_at INTEGER, created_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX audit_streams_by_app ON audit_streams (app_id, created_at)",
    ]

    private static let portal = [
        "ALTER TABLE operators ADD COLUMN password TEXT",
        """
        CREATE TABLE operator_identities (
            issuer TEXT NOT NULL, subject TEXT NOT NULL,
            operator_id TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE, created_at INTEGER NOT NULL,
            PRIMARY KEY (issuer, subject)) STRICT
        """,
        "CREATE TABLE setup_addresses (digest BLOB PRIMARY KEY NOT NULL, expires_at INTEGER NOT NULL) STRICT",
        """
        CREATE TABLE portal_sessions (
            id TEXT PRIMARY KEY NOT NULL, digest BLOB NOT NULL UNIQUE,
            operator_id TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE, browser TEXT NOT NULL, peer TEXT,
            created_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX portal_sessions_by_operator ON portal_sessions (operator_id, created_at)",
        """
        CREATE TABLE portal_sign_ins (
            state_digest BLOB PRIMARY KEY NOT NULL, browser_digest BLOB NOT NULL, invitation BLOB,
            operator_id TEXT REFERENCES operators (id) ON DELETE CASCADE, expires_at INTEGER NOT NULL) STRICT
        """,
        """
        CREATE TABLE sign_in_failures (
            subject BLOB PRIMARY KEY NOT NULL, failures INTEGER NOT NULL, last_at INTEGER NOT NULL) STRICT
        """,
        "CREATE INDEX sign_in_failures_by_time ON sign_in_failures (last_at)",
        """
        CREATE TABLE invitations (
            id TEXT PRIMARY KEY NOT NULL, organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
            email TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('admin', 'member', 'read_only')),
            digest BLOB NOT NULL UNIQUE, invited_by TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, accepted_at INTEGER, revoked_at INTEGER) STRICT
        """,
        "CREATE INDEX invitations_by_organization ON invitations (organization_id, created_at)",
        "CREATE INDEX memberships_by_organization ON memberships (organization_id)",
        "ALTER TABLE personal_access_tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '[\"read\",\"write\"]'",
        "ALTER TABLE personal_access_tokens ADD COLUMN last_used_at INTEGER",
        "CREATE INDEX personal_access_tokens_by_operator ON personal_access_tokens (operator_id, created_at)",
        "ALTER TABLE apps ADD COLUMN accent_color TEXT",
        """
        CREATE TABLE app_logos (
            app_id TEXT PRIMARY KEY NOT NULL REFERENCES apps (id) ON DELETE CASCADE, media_type TEXT NOT NULL,
            bytes BLOB NOT NULL, version TEXT NOT NULL) STRICT
        """,
        """
        CREATE TABLE usage_figures (
            app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE, hour INTEGER NOT NULL,
            provider_id TEXT NOT NULL, outcome TEXT NOT NULL CHECK (outcome IN ('call', 'refusal', 'refresh')),
            total INTEGER NOT NULL, PRIMARY KEY (app_id, hour, provider_id, outcome)) STRICT
        """,
        "CREATE TABLE usage_progress (id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1), position INTEGER NOT NULL) STRICT",
        "INSERT INTO usage_progress (id, position) VALUES (1, 0)",
        "CREATE INDEX usage_figures_by_hour ON usage_figures (hour)",
        "CREATE INDEX audit_records_denied ON audit_records (app_id, position) WHERE decision = 'deny'",
        "ALTER TABLE connect_sessions ADD COLUMN allowed_origin TEXT",
        "ALTER TABLE connect_sessions ADD COLUMN browser_digest BLOB",
        // Lists of an app with 100,000 grants, by each of their filters in the order of their pages.
        "CREATE INDEX users_by_status ON users (app_id, status, first_seen_at, id)",
        "CREATE INDEX grants_by_user_and_time ON grants (app_id, user_id, created_at, id)",
        "CREATE INDEX grants_by_user_and_provider ON grants (app_id, user_id, provider_id, created_at, id)",
        "CREATE INDEX grants_by_provider_and_time ON grants (app_id, provider_id, created_at, id, revoked_at)",
        "CREATE INDEX grants_revoked ON grants (app_id, created_at, id) WHERE revoked_at IS NOT NULL",
        """
        CREATE INDEX grants_open ON grants (app_id, created_at, id, expires_at, term_started_at, principal_type,
            provider_id, credential_id) WHERE revoked_at IS NULL
        """,
        """
        CREATE INDEX grants_by_end ON grants (app_id, expires_at)
            WHERE revoked_at IS NULL AND expires_at IS NOT NULL
        """,
        "CREATE INDEX grants_by_term ON grants (app_id, term_started_at) WHERE revoked_at IS NULL",
        "CREATE INDEX grants_without_credential ON grants (app_id) WHERE credential_id IS NULL AND revoked_at IS NULL",
        "CREATE INDEX credentials_dead ON credentials (app_id) WHERE died_at IS NOT NULL",
    ]

    /// A use inserts into one tree, without a foreign key to hold it against: nonces of a key that is gone expire like all others.
    private static let nonces = [
        """
        CREATE TABLE nonces_to_keep (
            key_id TEXT NOT NULL, nonce TEXT NOT NULL, expires_at INTEGER NOT NULL,
            PRIMARY KEY (key_id, nonce)) STRICT, WITHOUT ROWID
        """,
        "INSERT INTO nonces_to_keep (key_id, nonce, expires_at) SELECT key_id, nonce, expires_at FROM request_nonces",
        "DROP TABLE request_nonces",
        "ALTER TABLE nonces_to_keep RENAME TO request_nonces",
    ]

    /// Ties the database to its key store.
    private static let installation = [
        "CREATE TABLE installation (id TEXT PRIMARY KEY NOT NULL) STRICT"
    ]

    private static let audit = [
        """
        CREATE TABLE audit_records (
            sequence INTEGER PRIMARY KEY NOT NULL, id TEXT NOT NULL UNIQUE, occurred_at INTEGER NOT NULL, app_id TEXT,
            event TEXT NOT NULL, decision TEXT NOT NULL, provider_id TEXT, user_id TEXT, grant_id TEXT,
            record TEXT NOT NULL, hash BLOB NOT NULL) STRICT
        """,
        "CREATE INDEX audit_records_by_app ON audit_records (app_id, sequence)",
        "CREATE INDEX audit_records_by_user ON audit_records (user_id, sequence)",
        "CREATE INDEX audit_records_by_grant ON audit_records (grant_id, sequence)",
        """
        CREATE TABLE audit_head (
            id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1), sequence INTEGER NOT NULL, hash BLOB NOT NULL,
            mac BLOB NOT NULL) STRICT
        """,
    ]
}
