extension Schema {
    /// Sign-ins of a third purpose. The table is made anew for its CHECK; its child is copied first and dropped first, so that
    /// no cascade deletes a sign-in that is under way.
    static let connectSignIn: [String] = [
        """
        CREATE TABLE new_sign_in_sessions (
            id TEXT PRIMARY KEY NOT NULL, app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
            identity_provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
            purpose TEXT NOT NULL CHECK (purpose IN ('sdk', 'wallet', 'connect')),
            status TEXT NOT NULL CHECK (status IN ('open', 'completed', 'error')),
            user_id TEXT REFERENCES users (id) ON DELETE CASCADE, user_token BLOB, error_code TEXT, error_message TEXT,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
            connect_session_id TEXT REFERENCES connect_sessions (id) ON DELETE CASCADE, browser_digest BLOB,
            CHECK (purpose <> 'connect' OR (connect_session_id IS NOT NULL AND browser_digest IS NOT NULL))) STRICT
        """,
        """
        INSERT INTO new_sign_in_sessions (id, app_id, identity_provider_id, purpose, status, user_id, user_token,
            error_code, error_message, created_at, expires_at)
        SELECT id, app_id, identity_provider_id, purpose, status, user_id, user_token, error_code, error_message,
            created_at, expires_at FROM sign_in_sessions
        """,
        """
        CREATE TABLE new_sign_in_attempts (
            state_digest BLOB PRIMARY KEY NOT NULL,
            session_id TEXT NOT NULL REFERENCES new_sign_in_sessions (id) ON DELETE CASCADE,
            browser_digest BLOB NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT
        """,
        """
        INSERT INTO new_sign_in_attempts (state_digest, session_id, browser_digest, created_at, expires_at)
        SELECT state_digest, session_id, browser_digest, created_at, expires_at FROM sign_in_attempts
        """,
        "DROP TABLE sign_in_attempts",
        "DROP TABLE sign_in_sessions",
        "ALTER TABLE new_sign_in_sessions RENAME TO sign_in_sessions",
        "ALTER TABLE new_sign_in_attempts RENAME TO sign_in_attempts",
        "CREATE INDEX sign_in_sessions_by_user ON sign_in_sessions (user_id)",
        """
        CREATE INDEX sign_in_sessions_by_connect ON sign_in_sessions (connect_session_id)
            WHERE connect_session_id IS NOT NULL
        """,
    ]
}
