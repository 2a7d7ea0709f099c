import VaultAPI

// The one place where a code becomes a status and a body. Exhaustive: a new code does not compile until it has one.

extension ErrorCode {
    var status: Int {
        switch self {
        case .invalidJSON, .invalidRequest, .constraintNotNarrowing, .invalidRequestRule, .callerAgentMismatch,
            .identityProviderNotConfigured, .credentialRevoked, .systemGrantUserTokenMismatch,
            .restrictedGrantRequiresProxy, .approvalRequiresProxy,
            .scopeNotAllowed, .providerNotConfigured, .agentRequiresUserToken, .invalidOrigin:
            400
        case .unauthenticated, .invalidKey, .keyRevoked, .keyExpired, .keyRotatedGraceExpired, .keyNotActive,
            .invalidSignature, .timestampOutOfRange, .nonceReplayed, .jwtValidationError:
            401
        case .forbidden, .ipNotAllowed, .insufficientScope, .userSuspended, .userDeprovisioned, .grantRevoked,
            .grantExpired, .agentsCannotMint,
            .scopeMismatch, .policyViolation:
            403
        case .notFound, .callerAgentUnresolved, .identityProviderNotFound, .grantNotFound, .noDelegatedGrant,
            .agentNotFound:
            404
        case .methodNotAllowed: 405
        case .requestTimeout: 408
        case .identityProviderInactive, .identityProviderExists, .signInNotConfigured, .claimMappingsLocked,
            .ambiguousGrant,
            .siblingLabelConflict,
            .tokenRefreshInProgress, .conflict:
            409
        case .grantDeleted: 410
        case .bodyTooLarge: 413
        case .validationFailed, .invalidAudience, .signInNotSupported, .queryTooLong, .discoveryFailed,
            .webhooksNotSupported, .invalidGrantPolicy,
            .blockedDestination, .invalidScopeConstraint:
            422
        case .rateLimitExceeded: 429
        case .internalError: 500
        case .tokenRefreshFailed, .providerUnreachable: 502
        case .serviceUnavailable: 503
        }
    }
}

extension RateLimitState {
    var headers: [(name: String, value: String)] {
        [
            (name: "X-RateLimit-Limit", value: String(limit)),
            (name: "X-RateLimit-Remaining", value: String(remaining)),
            (name: "X-RateLimit-Reset", value: String(resetsAt.seconds)),
        ]
    }
}

extension VaultError {
    /// The envelope that SDK and Management API share (wire contract §5.1).
    var answer: Answer {
        var object = members
        object["error"] = .string(code.rawValue)
        object["message"] = .string(message)
        object["hint"] = hint.map(JSON.string)
        if !details.isEmpty { object["details"] = .object(details) }
        var answer = Answer.json(object, status: code.status)
        answer.errorCode = code
        answer.headers += rateLimit?.headers ?? []
        if let retryAfterSeconds { answer.headers.append((name: "Retry-After", value: String(retryAfterSeconds))) }
        return answer
    }
}
