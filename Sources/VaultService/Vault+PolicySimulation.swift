import VaultAPI
import VaultDomain
import VaultStore

// Asking policies without acting: what would be decided of a call.

/// A call as an operator imagines it; what is left open is not known to the rules.
package struct ImaginedCall: Sendable {
    package var providerID: String?
    package var grantID: GrantID?
    package var userID: UserID?
    package var keyID: APIKeyID?
    package var mode: ReleaseMode
    package var method: String?
    package var address: WebAddress?
    package var peer: IPAddress?
    package var at: Instant?

    package init(
        providerID: String?, grantID: GrantID?, userID: UserID?, keyID: APIKeyID?, mode: ReleaseMode, method: String?,
        address: WebAddress?, peer: IPAddress?, at: Instant?
    ) {
        self.providerID = providerID
        self.grantID = grantID
        self.userID = userID
        self.keyID = keyID
        self.mode = mode
        self.method = method
        self.address = address
        self.peer = peer
        self.at = at
    }
}

package struct Simulation: Sendable {
    package let isAllowed: Bool
    /// What has to hold before any policy is asked, in the form of outcomes, then every rule.
    package let rules: [JSON]
}

extension Vault {
    /// Decides the call as a real one would be, and changes nothing: no count, no record, no refresh.
    package func simulate(_ caller: OperatorCaller, appID: String, _ call: ImaginedCall) throws -> Simulation {
        let app = try app(caller, appID)
        return try read { transaction in
            let time = call.at ?? now()
            let (grant, credential) = try imaginedGrant(call, app: app, now: time, in: transaction)
            let user = try grant.userID.flatMap { try transaction.user($0, appID: app.id)?.user }
            if let keyID = call.keyID, try transaction.key(keyID, appID: app.id) == nil { throw Self.notFound }
            let policies = try policiesInForce(grant, keyID: call.keyID, in: transaction)
            var facts = ReleaseFacts(
                mode: call.mode, grant: grant, credential: credential, user: user, hasUserToken: user != nil,
                allowedHosts: try allowedHosts(of: grant, in: transaction), method: call.method, address: call.address,
                peer: call.peer, policies: policies, requestRule: nil, now: time)
            try readLimits(of: &facts, in: transaction)
            // A question about no grant and no address is not refused for the lack of them.
            let open: Set<String> = Set(
                (credential == nil && call.grantID == nil ? ["grant_state"] : [])
                    + (call.address == nil ? ["allowed_hosts"] : []) + (grant.userID == nil ? ["user_status"] : []))
            let rules = ReleaseDecision.decide(facts).rules
            let foundations = ReleaseDecision.foundations(facts, rules).map { rule, refusal -> (JSON, Bool) in
                let isOpen = open.contains(rule)
                let json: JSON = [
                    "rule": .string(rule), "layer": "vault",
                    "result": .string(isOpen ? "not_applicable" : refusal == nil ? "allow" : "deny"),
                    "reason": .string(
                        isOpen
                            ? "not part of the question"
                            : refusal.map { "\($0.code.rawValue): \($0.message)" } ?? "holds"
                    ),
                ]
                return (json, isOpen || refusal == nil)
            }
            let issuer = try issuerOutcome(of: user, app: app, in: transaction)
            return Simulation(
                isAllowed: issuer.isAllowed && foundations.allSatisfy(\.1) && !rules.contains(where: \.isDenial),
                rules: [issuer.json] + foundations.map(\.0) + rules.map(\.json))
        }
    }

    /// Whether the user's identity provider is still the app's.
    private func issuerOutcome(of user: User?, app: AppRecord, in transaction: Transaction) throws -> (
        json: JSON, isAllowed: Bool
    ) {
        func json(_ result: RuleVerdict.Result, _ reason: String) -> JSON {
            [
                "rule": "identity_provider", "layer": "vault", "result": .string(result.rawValue),
                "reason": .string(reason),
            ]
        }
        guard let user else { return (json(.notApplicable, "no user is part of the question"), true) }
        do { try requireActiveIssuer(user.issuer, appID: app.id, in: transaction) } catch let error as VaultError {
            return (json(.deny, error.message), false)
        }
        return (json(.allow, "holds"), true)
    }

    /// The grant that is asked about, or one that could be.
    private func imaginedGrant(_ call: ImaginedCall, app: AppRecord, now: Instant, in transaction: Transaction) throws
        -> (Grant, Credential?)
    {
        if let grantID = call.grantID {
            guard let record = try transaction.grant(grantID, appID: app.id),
                call.userID == nil || record.grant.userID == call.userID
            else { throw Self.notFound }
            return (record.grant, record.credential?.credential)
        }
        if let userID = call.userID, try transaction.user(userID, appID: app.id) == nil { throw Self.notFound }
        let providerID = call.providerID ?? ""
        let candidates = try transaction.candidateGrants(
            appID: app.id, providerID: providerID, principalType: call.userID == nil ? .system : .user,
            userID: call.userID, account: nil, label: nil, limit: Limits.ambiguousCandidatesMax)
        let live = candidates.first { $0.grant.status(credential: $0.credential?.credential, now: now) == .active }
        if let found = live ?? candidates.first { return (found.grant, found.credential?.credential) }
        let secret = try transaction.managedSecret(slug: providerID, appID: app.id)
        return (
            Grant(
                id: GrantID(), appID: app.id, kind: secret == nil ? .oauth : .managedSecret, providerID: providerID,
                credentialID: nil, managedSecretID: secret?.id, principalType: call.userID == nil ? .system : .user,
                userID: call.userID, createdAt: now), nil
        )
    }
}
