import VaultAPI
import VaultDomain
import VaultStore

// Who asks. A caller exists only after authentication, and a verb that needs one takes it as its first argument.

/// The request that a caller came with: for records and rules, never for identity.
package struct RequestOrigin: Sendable {
    package let requestID: String
    /// The TCP peer, or the client behind a trusted proxy; `nil` when it cannot be known.
    package let peer: IPAddress?
    /// Where the caller's own trace was.
    package let trace: TraceContext?

    package init(requestID: String, peer: IPAddress?, trace: TraceContext? = nil) {
        self.requestID = requestID
        self.peer = peer
        self.trace = trace
    }
}

/// An operator, with what each organization lets them do.
package struct OperatorCaller: Sendable {
    package let operatorID: OperatorID
    package let email: String
    package let roles: [OrganizationID: MembershipRole]
    /// Whether it came with a token that changes nothing.
    package let isReadOnly: Bool
    /// The session of the Portal it came with.
    package let sessionID: PortalSessionID?
    /// When the token it came with ends.
    let tokenExpiresAt: Instant?
    package let origin: RequestOrigin

    var principal: AuditPrincipal { .operatorAccount(operatorID) }

    func requireWrite() throws {
        guard !isReadOnly else { throw VaultError(.forbidden, "This token may only read.") }
    }
}

/// An app or agent whose signed request was verified.
package struct AppCaller: Sendable {
    /// As it was found good.
    let key: APIKeyRecord
    let app: AppRecord
    /// The records of when the request came.
    let records: RecordMemory.View?
    package let scopes: GrantedScopes
    package let actorID: ActorID?
    /// `X-Alter-Caller`: a label, not an identity.
    package let callerLabel: String?
    package let context: JSONObject?
    package let requestRule: RequestRule?
    package let rateLimit: RateLimitState?
    package let origin: RequestOrigin
    /// Burned already, or in the transaction that the verb commits.
    let nonce: RequestNonce

    package var appID: AppID { app.id }
    package var keyID: APIKeyID { key.id }
    package var keyPrefix: String { key.prefix }
    /// A key of type `agent` that no managed agent owns: it holds only what was delegated to it, and nothing can be yet.
    package var isAgentKey: Bool { key.keyType == .agent }
    package var isKeyDeprecated: Bool { key.deprecatedAt != nil }

    var principal: AuditPrincipal { .app(keyID: keyID, keyPrefix: keyPrefix, actorID: actorID, caller: callerLabel) }

    /// An entry that names this caller and its request.
    func entry(_ event: String, _ decision: AuditDecision, at now: Instant) -> AuditEntry {
        AuditEntry(
            event: event, decision: decision, principal: principal, occurredAt: now, requestID: origin.requestID,
            trace: origin.trace, appID: appID, context: context, peer: origin.peer?.description)
    }

    /// Throws `insufficient_scope` with the body of wire contract §5.5.
    package func require(_ scope: String) throws {
        try require(anyOf: [scope])
    }

    package func require(anyOf needed: [String]) throws {
        let wanted = needed.compactMap(KeyScope.init)
        guard !wanted.contains(where: scopes.allows) else { return }
        throw insufficientScope(needed)
    }

    /// A scope of one instance, under any of its names, or of all instances.
    package func require(_ scope: String, instance names: [String]) throws {
        guard !scopes.allows(scope, anyOf: names) else { return }
        throw insufficientScope(names.first.map { ["\(scope):\($0)"] } ?? [scope])
    }

    /// A scope of some instance at least; of which one is decided where it is known.
    package func requireSome(_ scope: String) throws {
        guard !scopes.allowsSome(scope) else { return }
        throw insufficientScope([scope])
    }

    func insufficientScope(_ needed: [String]) -> VaultError {
        VaultError(
            .insufficientScope, "The key lacks the scope \(needed.joined(separator: " or ")).",
            members: [
                "required": .strings(needed), "granted": .strings(scopes.scopes.map(\.description)),
                "missing": .strings(needed), "scope_version": .integer(KeyScopeCatalog.version),
                "current_scope_version": .integer(KeyScopeCatalog.version), "scope_version_mismatch": false,
                "required_any_of": .bool(needed.count > 1),
            ])
    }
}
