import VaultAPI

// What is written down. One entry per use, refusal, lifecycle event and operator action; never a secret. The canonical
// text of an entry is what the chain covers, and the columns beside it exist only to be searched.

package enum AuditDecision: String, Sendable, CaseIterable { case allow, deny, none }

/// Who caused an entry.
package enum AuditPrincipal: Sendable, Equatable {
    case app(keyID: APIKeyID, keyPrefix: String, actorID: ActorID?, caller: String?)
    case operatorAccount(OperatorID)
    case identityProvider(deliveryID: String)
    /// An end user in the Wallet.
    case user(UserID)
    case browser
    case system
}

package struct AuditEntry: Sendable, Equatable {
    package var id: AuditEventID
    package var occurredAt: Instant
    package var event: String
    package var decision: AuditDecision
    package var principal: AuditPrincipal
    package var requestID: String?
    package var trace: TraceContext?
    package var appID: AppID?
    package var userID: UserID?
    package var grantID: GrantID?
    package var providerID: String?
    package var method: String?
    /// The full address as the caller named it, before any injection.
    package var url: String?
    package var status: Int?
    package var latencyMilliseconds: Int64?
    package var reason: String?
    /// The caller's own `X-Alter-Context`.
    package var context: JSONObject?
    package var peer: String?
    package var details: JSONObject

    package init(
        event: String, decision: AuditDecision = .none, principal: AuditPrincipal, occurredAt: Instant,
        requestID: String? = nil, trace: TraceContext? = nil, appID: AppID? = nil, userID: UserID? = nil,
        grantID: GrantID? = nil,
        providerID: String? = nil, method: String? = nil, url: String? = nil, status: Int? = nil,
        latencyMilliseconds: Int64? = nil, reason: String? = nil, context: JSONObject? = nil, peer: String? = nil,
        details: JSONObject = [:]
    ) {
        id = AuditEventID(at: occurredAt)
        self.occurredAt = occurredAt
        self.event = event
        self.decision = decision
        self.principal = principal
        self.requestID = requestID
        self.trace = trace
        self.appID = appID
        self.userID = userID
        self.grantID = grantID
        self.providerID = providerID
        self.method = method
        self.url = url
        self.status = status
        self.latencyMilliseconds = latencyMilliseconds
        self.reason = reason
        self.context = context
        self.peer = peer
        self.details = details
    }

    package var keyPrefix: String? {
        if case .app(_, let prefix, _, _) = principal { prefix } else { nil }
    }

    /// The canonical form: members in this fixed order, absent ones left out.
    package var json: JSONObject {
        JSONObject(
            present: ("id", id.json), ("occurred_at", .string(occurredAt.rfc3339)), ("event", .string(event)),
            ("decision", .string(decision.rawValue)), ("principal", principalJSON),
            ("request_id", requestID.map(JSON.string)), ("trace_id", trace.map { .string($0.traceID) }),
            ("span_id", trace.map { .string($0.spanID) }), ("app_id", appID?.json), ("user_id", userID?.json),
            ("grant_id", grantID?.json), ("provider_id", providerID.map(JSON.string)),
            ("method", method.map(JSON.string)), ("url", url.map(JSON.string)), ("status", status.map { .integer($0) }),
            ("latency_ms", latencyMilliseconds.map { .integer($0) }), ("reason", reason.map(JSON.string)),
            ("context", context.map(JSON.object)), ("peer", peer.map(JSON.string)),
            ("details", details.isEmpty ? nil : .object(details)))
    }

    private var principalJSON: JSON {
        switch principal {
        case .app(let keyID, let keyPrefix, let actorID, let caller):
            return .object(
                JSONObject(
                    present: ("type", "app"), ("key_id", keyID.json), ("key_prefix", .string(keyPrefix)),
                    ("actor_id", actorID?.json), ("caller", caller.map(JSON.string))))
        case .operatorAccount(let id): return ["type": "operator", "operator_id": id.json]
        case .identityProvider(let deliveryID):
            return ["type": "identity_provider", "delivery_id": .string(deliveryID)]
        case .user(let id): return ["type": "user", "user_id": id.json]
        case .browser: return ["type": "browser"]
        case .system: return ["type": "system"]
        }
    }
}
