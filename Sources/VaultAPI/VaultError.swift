/// The closed vocabulary of refusals. The word is what callers see in `error`; wire contract §5.4 and the management
/// contract fix those that clients act on. `ErrorResponse` in VaultServer maps each to its HTTP status.
package enum ErrorCode: String, Sendable, CaseIterable {
    // Requests that cannot be understood
    case invalidJSON = "invalid_json"
    case validationFailed = "validation_failed"
    case invalidRequest = "invalid_request"
    case queryTooLong = "query_too_long"
    case bodyTooLarge = "body_too_large"
    case requestTimeout = "request_timeout"
    case notFound = "not_found"
    case methodNotAllowed = "method_not_allowed"
    // Who is calling
    case unauthenticated
    case forbidden
    case invalidKey = "invalid_key"
    case keyRevoked = "key_revoked"
    case keyExpired = "key_expired"
    case keyRotatedGraceExpired = "key_rotated_grace_expired"
    case keyNotActive = "key_not_active"
    case invalidSignature = "invalid_signature"
    case timestampOutOfRange = "timestamp_out_of_range"
    case nonceReplayed = "nonce_replayed"
    case ipNotAllowed = "ip_not_allowed"
    case rateLimitExceeded = "rate_limit_exceeded"
    case insufficientScope = "insufficient_scope"
    case constraintNotNarrowing = "constraint_not_narrowing"
    case invalidRequestRule = "invalid_request_rule"
    case callerAgentMismatch = "caller_agent_mismatch"
    case callerAgentUnresolved = "caller_agent_unresolved"
    // End users and their identity provider
    case jwtValidationError = "jwt_validation_error"
    case identityProviderNotConfigured = "identity_provider_not_configured"
    case identityProviderInactive = "identity_provider_inactive"
    case identityProviderNotFound = "identity_provider_not_found"
    case identityProviderExists = "identity_provider_exists"
    case claimMappingsLocked = "claim_mappings_locked"
    case discoveryFailed = "discovery_failed"
    case webhooksNotSupported = "webhooks_not_supported"
    case invalidAudience = "invalid_audience"
    case signInNotSupported = "sign_in_not_supported"
    case signInNotConfigured = "idp_signin_not_configured"
    case userSuspended = "user_suspended"
    case userDeprovisioned = "user_deprovisioned"
    // Grants and credentials
    case grantNotFound = "grant_not_found"
    case noDelegatedGrant = "no_delegated_grant"
    case agentsCannotMint = "agents_cannot_mint"
    case grantRevoked = "grant_revoked"
    case grantExpired = "grant_expired"
    case grantDeleted = "grant_deleted"
    case credentialRevoked = "credential_revoked"
    case scopeMismatch = "scope_mismatch"
    case ambiguousGrant = "ambiguous_grant"
    case systemGrantUserTokenMismatch = "system_grant_user_token_mismatch"
    case siblingLabelConflict = "sibling_label_conflict"
    case invalidGrantPolicy = "invalid_grant_policy"
    case restrictedGrantRequiresProxy = "restricted_grant_requires_proxy"
    case approvalRequiresProxy = "hitl_grant_requires_proxy"
    case policyViolation = "policy_violation"
    case blockedDestination = "blocked_destination"
    case tokenRefreshInProgress = "token_refresh_in_progress"
    case tokenRefreshFailed = "token_refresh_failed"
    case providerUnreachable = "provider_unreachable"
    // Connect
    case scopeNotAllowed = "scope_not_allowed"
    case providerNotConfigured = "provider_not_configured"
    case agentRequiresUserToken = "agent_requires_user_token"
    case agentNotFound = "agent_not_found"
    case invalidScopeConstraint = "invalid_scope_constraint"
    case invalidOrigin = "invalid_origin"
    // Conflicts and the server itself
    case conflict
    case serviceUnavailable = "service_unavailable"
    case internalError = "internal"
}

/// What is left of a key's minute (wire contract §3.2).
package struct RateLimitState: Sendable, Equatable {
    package let limit: Int64
    package let remaining: Int64
    package let resetsAt: Instant

    package init(limit: Int64, remaining: Int64, resetsAt: Instant) {
        self.limit = limit
        self.remaining = remaining
        self.resetsAt = resetsAt
    }
}

/// The one error a verb throws on purpose.
package struct VaultError: Error, Sendable {
    package let code: ErrorCode
    /// Safe for the caller: never input, never a secret.
    package let message: String
    package var hint: String?
    package var details: JSONObject
    /// Members at the top level of the body beside `error` and `message` (wire contract §5.4, third column).
    package var members: JSONObject
    /// For the `X-RateLimit-…` headers of a refused request.
    package var rateLimit: RateLimitState?
    /// Whole seconds for `Retry-After`.
    package var retryAfterSeconds: Int?
    /// For the log: a description made by us, never rendered to a caller.
    package var cause: String?

    package init(
        _ code: ErrorCode, _ message: String, hint: String? = nil, details: JSONObject = [:], members: JSONObject = [:],
        retryAfterSeconds: Int? = nil, cause: String? = nil
    ) {
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details
        self.members = members
        self.retryAfterSeconds = retryAfterSeconds
        self.cause = cause
    }
}
