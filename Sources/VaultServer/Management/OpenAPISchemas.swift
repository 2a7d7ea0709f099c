/// The members of every answer, by the name its routes give it. A member that is there always is required, if only as null.
enum OpenAPISchemas {
    static let all: [(name: String, fields: [RouteField])] = [
        ("App", required("id", "organization_id", "name", "website_url", "created_at", "archived_at", "status")),
        ("Organization", required("id", "name", "created_at", "role")),
        ("Member", required("operator_id", "email", "role")),
        ("Invitation", invitation), ("OpenedInvitation", invitation + [.required("invitation_url")]),
        ("AccessToken", accessToken), ("MintedAccessToken", accessToken + [.required("token")]),
        ("AppBranding", required("accent_color", "logo_url")), ("APIKey", key),
        ("MintedAPIKey", key + [.required("api_key")]),
        (
            "DiscoveredIdentityProvider",
            required(
                "idp_type", "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint")
                + [.required("suggested_claims", .object), .required("capabilities", .object)]
        ),
        (
            "IdentityProvider",
            required(
                "id", "idp_type", "issuer", "audience", "user_id_claim", "group_claim", "role_claim", "locked_at",
                "first_sign_in_at", "webhook_url", "wallet_logout_url", "created_at")
                + [
                    .required("claims_locked", .boolean), .required("webhooks", .object), .required("sign_in", .object),
                    .required("redirect_uris", .strings),
                ]
        ),
        ("SignInClient", required("client_id", "wallet_logout_url") + [.required("redirect_uris", .strings)]),
        ("EnabledWebhooks", [.required("url"), .optional("signing_secret")]),
        ("RotatedWebhookSecret", [.optional("signing_secret")]),
        (
            "WebhookStatus",
            [
                .required("enabled", .boolean), .required("url"), .required("last_delivery_at"),
                .required("counts", .object), .required("deliveries", .objects), .required("event_map", .object),
                .required("membership_removal"),
            ]
        ),
        (
            "WebhookDelivery",
            required(
                "id", "delivery_id", "received_at", "event_type", "event_at", "user_id", "outcome", "detail",
                "replayed_at")
        ),
        ("DeprovisioningReceipt", [.required("receipt"), .required("version", .integer)]),
        (
            "OAuthProviderTemplate",
            required(
                "id", "display_name", "category", "description", "documentation_url", "authorization_url", "token_url",
                "revocation_url", "userinfo_url", "pkce", "token_auth")
                + [
                    .required("scopes", .strings), .required("supports_refresh", .boolean),
                    .required("api_hosts", .strings),
                ]
        ),
        (
            "OAuthProvider",
            required("provider_id", "client_id", "redirect_uri", "created_at", "updated_at")
                + [.required("custom", .boolean)]
                + optional(
                    "display_name", "authorization_url", "token_url", "revocation_url", "userinfo_url", "pkce",
                    "token_auth", "account_claim") + [.optional("scopes", .strings), .optional("api_hosts", .strings)]
        ),
        (
            "ManagedSecret",
            required("id", "slug", "name", "credential_type", "grant_id", "created_at")
                + [.required("allowed_hosts", .strings), .required("injection", .object)]
        ),
        ("PolicySimulation", [.required("decision"), .required("rules", .objects)]),
        (
            "PolicyReplay",
            ["calls", "newly_denied", "newly_allowed"].map { .required($0, .integer) }
                + [.required("is_complete", .boolean), .required("changes", .objects)]
        ),
        ("Policy", policy), ("PolicyOfProvider", [.required("provider_id"), .required("policy", .object)]),
        (
            "User",
            required(
                "id", "external_subject_id", "subject", "issuer", "email", "display_name", "status", "first_seen_at",
                "last_seen_at") + [
                    .required("group_ids", .strings), .required("roles", .strings), .required("grants", .integer),
                ]
        ),
        (
            "Grant",
            required(
                "grant_id", "grant_kind", "provider_id", "principal_type", "status", "created_at", "access_via",
                "user_id",
                "grant_expires_at", "revoked_at", "revoke_reason")
                + [.required("provider_revocations", .objects)]
                + optional(
                    "label", "account_identifier", "account_display_name", "last_used_at", "expires_at",
                    "managed_secret_id", "managed_secret_slug", "managed_secret_name", "credential_kind")
                + [
                    .optional("grant_policy", .object), .optional("scopes", .strings),
                    .optional("scope_mismatch", .boolean), .optional("needs_reconnect", .boolean),
                ]
        ),
        (
            "AuditRecord",
            required(
                "id", "occurred_at", "event", "decision", "request_id", "user_id", "grant_id", "provider_id", "method",
                "url", "reason", "key_prefix", "chain", "hash")
                + [
                    .required("sequence", .integer), .required("principal", .object), .required("status", .integer),
                    .required("latency_ms", .integer), .optional("app_id"),
                    .optional("context", .object), .optional("peer"), .optional("details", .object),
                    .optional("trace_id"), .optional("span_id"),
                ]
        ),
        ("AuditRetention", [.required("days", .integer)]),
        ("AuditCheckpoint", required("chain", "created_at", "statement") + [.required("sequence", .integer)]),
        (
            "AuditStream",
            required("id", "kind", "url", "last_sent_at", "last_error", "created_at")
                + [.required("sent_sequence", .integer), .required("waiting", .integer), .optional("signing_secret")]
        ),
        (
            "AuditVerification",
            [
                .required("intact", .boolean), .optional("records", .integer),
                .optional("first_broken_sequence", .integer), .optional("reason"),
            ]
        ),
    ]

    static let policy: [RouteField] =
        ["allowed_groups", "allowed_roles", "ip_allowlist", "methods", "paths"].map { .optional($0, .strings) }
        + ["time", "rate_limit", "grant_ttl", "require_approval"].map { .optional($0, .object) }

    private static let invitation = required("id", "organization_id", "email", "role", "created_at", "expires_at")
    private static let accessToken =
        required("id", "name", "created_at", "expires_at", "last_used_at") + [.required("scopes", .strings)]
    private static let key =
        required(
            "id", "name", "key_prefix", "key_type", "created_at", "expires_at", "deprecated_at", "grace_ends_at",
            "revoked_at") + [
            .required("scopes", .strings), .required("scope_version", .integer), .required("cidr_allowlist", .strings),
            .required("rate_limit_rpm", .integer),
        ]

    private static func required(_ names: String...) -> [RouteField] { names.map { .required($0) } }
    private static func optional(_ names: String...) -> [RouteField] { names.map { .optional($0) } }
}
