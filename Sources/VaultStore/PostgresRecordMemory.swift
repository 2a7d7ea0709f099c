import Synchronization

/// What a node remembers of records that any node may change. Triggers count their changes in one row, which each decision reads
/// once its transaction has its scope for itself: from then on no node changes what lies in there.
final class PostgresRecordMemory: Sendable {
    private let records = RecordMemory()
    /// Up to which change the records are known.
    private let known = Mutex<Int64?>(nil)

    var view: RecordMemory.View { records.view }

    func forgetAll() { records.forgetAll() }

    /// The records, which are forgotten where the database has changed.
    func records(asOf change: Int64) -> RecordMemory {
        known.withLock { known in
            guard known != change else { return }
            // Under the lock: whoever finds the change known must find nothing of before.
            records.forgetAll()
            known = change
        }
        return records
    }

    static let changeStatement = "SELECT number FROM record_changes"

    /// Divides by zero, an error, unless the number of changes lies between the two arguments.
    static let unchangedStatement =
        "SELECT 1 / CASE WHEN number BETWEEN ?1 AND ?2 THEN 1 ELSE 0 END AS unchanged FROM record_changes"

    /// Each transaction counts once; the row stays locked until it ends, so that changes are seen in the order in which they
    /// are counted. What uses leave behind in grants and users, when they were last used and seen, is no change.
    static let migration = Schema.Migration(name: "postgresql-0001-record-changes", statements: schema)

    private static let schema =
        [
            "CREATE TABLE record_changes (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL) STRICT",
            "INSERT INTO record_changes (id, number) VALUES (1, 0)",
            """
            CREATE FUNCTION count_record_change() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF current_setting('sallyport.counted', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
                    EXECUTE format('UPDATE %I.record_changes SET number = number + 1', TG_TABLE_SCHEMA);
                    PERFORM set_config('sallyport.counted', pg_current_xact_id()::text, true);
                END IF;
                RETURN NULL;
            END $$
            """,
        ] + tables.map { trigger(on: $0, "INSERT OR UPDATE OR DELETE") }
        + partlyCounted.map { trigger(on: $0.table, "INSERT OR DELETE OR UPDATE OF \($0.columns)") }

    private static func trigger(on table: String, _ events: String) -> String {
        "CREATE TRIGGER count_changes AFTER \(events) ON \(table) FOR EACH ROW EXECUTE FUNCTION count_record_change()"
    }

    private static let tables = [
        "actors", "api_keys", "apps", "credentials", "identity_providers", "managed_secrets", "oauth_providers",
        "policies", "user_subjects",
    ]

    private static let partlyCounted = [
        (
            table: "grants",
            columns: """
            id, app_id, kind, provider_id, credential_id, managed_secret_id, principal_type, user_id, label, account_id,
            account_identifier, account_display_name, scopes, scope_mismatch, grant_policy, expires_at, created_at,
            revoked_at, revoke_reason, term_started_at, credential_ref
            """
        ),
        (
            table: "users",
            columns: """
            id, app_id, issuer, external_subject_id, subject, email, display_name, groups, roles, status, epoch,
            data_key_id, suspended_by, status_event_at, tokens_not_before, email_as_of, display_name_as_of, groups_as_of,
            roles_as_of, first_seen_at, groups_removed_at, reopened_at
            """
        ),
    ]
}
