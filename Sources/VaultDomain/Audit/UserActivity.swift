import VaultAPI

// What an end user may see of the records about them. A record also holds what operators and apps keep to themselves
// (rules and what they needed, keys, operators, addresses of servers), so that nothing is taken from it but what is named
// here; an event that is not known here is not shown.

package enum UserActivityKind: String, Sendable, CaseIterable {
    /// A call with a connected account.
    case used
    /// A call that was not allowed.
    case refused
    /// A connection began, changed or ended.
    case connections
    /// Signing in, and what happened to the user's account with the app.
    case account

    /// What an event is to the user; `nil` for what they do not see. The decision tells uses from refusals.
    package init?(event: String, decision: String) {
        switch event {
        case "credential.retrieved", "credential.proxied":
            self = decision == AuditDecision.deny.rawValue ? .refused : .used
        case "call.reported": self = .used
        case "grant.connected", "grant.revoked", "grant.extended", "grant.minted", "grant.scope_mismatch_reported",
            "connect.opened", "credential.died", "provider_revocation.done", "provider_revocation.failed",
            "provider_revocation.unsupported":
            self = .connections
        case "sign_in.completed", "wallet.signed_out", "user.suspended", "user.restored", "user.deprovisioned",
            "identity.asserted":
            self = .account
        default: return nil
        }
    }
}

package struct UserActivity: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
        case done
        /// The provider's answer, and how long it took.
        case answered(status: Int64, milliseconds: Int64?)
        case failed
        case refused(String)
    }

    /// Who did it, as far as it is the user's business.
    package enum Initiator: Sendable, Equatable {
        case user
        /// The app, by the label of whatever acted within it where it gave one.
        case app(label: String?)
        case operators
        case identityProvider
        case vault
    }

    package let occurredAt: Instant
    package let kind: UserActivityKind
    package let words: String
    package let providerID: String?
    package let method: String?
    /// Host and path of the address. Queries may hold what is nobody's business, and often do.
    package let place: String?
    package let outcome: Outcome
    package let initiator: Initiator
    package let reason: String?

    /// `nil` for a record that users do not see.
    package init?(_ record: JSONObject) {
        func text(_ name: String) -> String? { record[name]?.string }
        let event = text("event") ?? ""
        guard let kind = UserActivityKind(event: event, decision: text("decision") ?? ""),
            let time = text("occurred_at").flatMap({ Instant(rfc3339: $0) })
        else { return nil }
        let details = record["details"]
        occurredAt = time
        self.kind = kind
        initiator = Self.initiator(of: record)
        words = Self.words(event, kind: kind, operation: details?["operation"]?.string)
        providerID = text("provider_id")
        method = text("method")
        place = text("url").flatMap { Self.place(of: $0) }
        outcome = Self.outcome(of: record, kind: kind)
        // An operator's reason is for other operators. The one that the Wallet itself writes says nothing new.
        switch initiator {
        case .app: reason = text("reason")
        case .user, .operators, .identityProvider, .vault: reason = nil
        }
    }

    private static func words(_ event: String, kind: UserActivityKind, operation: String?) -> String {
        switch event {
        case "credential.retrieved": kind == .refused ? "Access was refused" : "Access was given for a call"
        case "credential.proxied": kind == .refused ? "A call was refused" : "A call was made"
        case "call.reported": "The app said how a call went"
        case "grant.connected": operation == "reauth" ? "Connected again" : "Connected"
        case "grant.revoked": "The connection was ended"
        case "grant.extended": "The connection was extended"
        case "grant.minted": "Another permission was made from the connection"
        case "grant.scope_mismatch_reported": "The provider asks for more permissions"
        case "connect.opened": "The app asked to connect an account"
        case "credential.died": "The provider ended the access"
        case "provider_revocation.done": "The provider was told to end the access, and did"
        case "provider_revocation.failed": "The provider was told to end the access, and did not confirm it"
        case "provider_revocation.unsupported": "The provider has no way to be told that the access ended"
        case "sign_in.completed": "Signed in"
        case "wallet.signed_out": "Signed out"
        case "user.suspended": "All access was suspended"
        case "user.restored": "Access was restored"
        case "user.deprovisioned": "All access was ended"
        case "identity.asserted": "The app showed somebody who you are"
        default: "Something else happened"
        }
    }

    private static func initiator(of record: JSONObject) -> Initiator {
        // A call that a restart cut off is closed by the vault; who made it stands in the details.
        let isInterrupted = record["details"]?["interrupted"]?.bool == true
        let principal = isInterrupted ? record["details"]?["principal"] : record["principal"]
        switch principal?["type"]?.string {
        case "user", "browser": return .user
        case "app": return .app(label: principal?["caller"]?.string)
        case "operator": return .operators
        case "identity_provider": return .identityProvider
        default: return .vault
        }
    }

    private static func outcome(of record: JSONObject, kind: UserActivityKind) -> Outcome {
        let error = record["details"]?["error"]?.string
        if kind == .refused { return .refused(refusal(error.flatMap { ErrorCode(rawValue: $0) })) }
        if let status = record["status"]?.number?.integer {
            return .answered(status: status, milliseconds: record["latency_ms"]?.number?.integer)
        }
        let isBroken = ["failure", "interrupted"].contains { record["details"]?[$0] != nil }
        return error == nil && !isBroken ? .done : .failed
    }

    /// Why, without how the app's rules are made: only that they did not allow it.
    private static func refusal(_ code: ErrorCode?) -> String {
        switch code {
        case .policyViolation, .blockedDestination, .restrictedGrantRequiresProxy, .approvalRequiresProxy:
            "not allowed by the app’s rules"
        case .rateLimitExceeded: "too many calls"
        case .userSuspended: "your access was suspended"
        case .userDeprovisioned, .grantDeleted: "your access has ended"
        case .grantRevoked: "the connection had ended"
        case .grantExpired: "the connection’s time was over"
        case .credentialRevoked, .scopeMismatch: "the account has to be connected again"
        case .grantNotFound, .ambiguousGrant: "no connection fitted"
        case .tokenRefreshFailed, .tokenRefreshInProgress, .providerUnreachable: "the provider did not answer"
        default: "the request was not in order"
        }
    }

    private static let placeCharactersMax = 300

    /// `api.example.com/v1/items`. Refused calls name whatever was asked for, so that it is cut as text and not trusted to
    /// be an address.
    static func place(of url: String) -> String? {
        let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
        let named = url[start...].prefix { $0 != "?" && $0 != "#" }
        let authority = named.prefix { $0 != "/" && $0 != "\\" }
        let host = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        let place = String(host) + String(named[authority.endIndex...])
        return place.isEmpty ? nil : String(place.prefix(placeCharactersMax))
    }
}
