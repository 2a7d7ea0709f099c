import VaultAPI
import VaultDomain
import VaultStore

// Policies of an app by layer, and what is in force for one use. Which revision is in force is read at every decision, so
// that an edit acts on the next request.

/// Which policy of an app an operator means.
package enum PolicyTarget: Sendable {
    /// A provider's id or a secret's slug; `*` is every one of the app.
    case provider(String)
    case grant(String)
    case key(String)
}

extension Vault {
    package func setPolicy(_ caller: OperatorCaller, appID: String, _ target: PolicyTarget, _ policy: AccessPolicy)
        async throws
    {
        let app = try app(caller, appID, toWrite: true)
        let (layer, name) = try place(of: target, app: app)
        let changed = now()
        try await recordPolicyChange(
            caller, "policy.changed", app: app, target, details: ["policy": .object(policy.json)]
        ) { transaction in
            let before = try transaction.policy(appID: app.id, layer: layer, target: name)
            let limit = policy.json["rate_limit"]
            // A limit that was not touched counts on.
            let kept = limit == before?.document?["rate_limit"] ? before?.rateSource : nil
            let rateSource = limit.map { _ in kept ?? PolicyRevisionID().text }
            try transaction.upsertPolicy(
                PolicyRecord(
                    layer: layer, target: name, document: policy.json, revision: PolicyRevisionID().text,
                    rateSource: rateSource),
                appID: app.id, grantTTLMax: policy.grantTTL?.maxSeconds, now: changed)
        }
    }

    package func policy(_ caller: OperatorCaller, appID: String, _ target: PolicyTarget) throws -> JSONObject {
        guard let record = try storedPolicy(caller, appID: appID, target) else { throw Self.notFound }
        guard let document = record.document else {
            throw VaultError(.conflict, "The stored policy cannot be read, and denies everything. Set it again.")
        }
        return document
    }

    /// What is stored for the target, readable or not; `nil` where nothing is. Throws 404 for a grant or key that is not there.
    package func storedPolicy(_ caller: OperatorCaller, appID: String, _ target: PolicyTarget) throws -> PolicyRecord? {
        let app = try app(caller, appID)
        let (layer, name) = try place(of: target, app: app)
        return try read { try $0.policy(appID: app.id, layer: layer, target: name) }
    }

    /// Those of providers, `*` among them.
    package func policies(_ caller: OperatorCaller, appID: String) throws -> [PolicyRecord] {
        let app = try app(caller, appID)
        return try read { try $0.providerPolicies(appID: app.id) }
    }

    package func deletePolicy(_ caller: OperatorCaller, appID: String, _ target: PolicyTarget) async throws {
        let app = try app(caller, appID, toWrite: true)
        let (layer, name) = try place(of: target, app: app)
        try await recordPolicyChange(caller, "policy.deleted", app: app, target) {
            guard try $0.deletePolicy(appID: app.id, layer: layer, target: name) else { throw Self.notFound }
        }
    }

    private func recordPolicyChange(
        _ caller: OperatorCaller, _ event: String, app: AppRecord, _ target: PolicyTarget, details: JSONObject = [:],
        _ body: @escaping @Sendable (Transaction) throws -> Void
    ) async throws {
        switch target {
        case .provider(let id):
            try await record(caller, event, app: app, providerID: id, details: details, body)
        case .grant(let id):
            try await record(caller, event, app: app, grantID: GrantID(id), details: details, body)
        case .key(let id):
            var details = details
            details["key_id"] = .string(id)
            try await record(caller, event, app: app, details: details, body)
        }
    }

    /// Where the policy is kept. Grants and keys have to be the app's.
    private func place(of target: PolicyTarget, app: AppRecord) throws -> (layer: PolicyLayer, name: String) {
        switch target {
        case .provider("*"): return (.app, "*")
        case .provider(let id):
            guard Self.isProviderID(id) else {
                throw VaultError.validation("provider_id", "must be a provider id, a secret's slug, or *")
            }
            return (.provider, id)
        case .grant(let id):
            guard let grantID = GrantID(id), try read({ try $0.grant(grantID, appID: app.id) }) != nil else {
                throw Self.notFound
            }
            return (.grant, id)
        case .key(let id): return (.key, try key(app, id).id.text)
        }
    }

    // MARK: In force

    /// The policies that bear on the use of a grant by a key. What their limits have counted is not read yet.
    func policiesInForce(_ grant: Grant, keyID: APIKeyID?, in transaction: Transaction) throws -> [LayeredPolicy] {
        let references = try transaction.policiesInForce(
            appID: grant.appID, providerID: grant.providerID, grantID: grant.id, keyID: keyID)
        return try references.map { reference in
            let policy = try compiled(reference, in: transaction)
            let counter = policy.rateLimit.flatMap { Self.counter($0, reference, grant: grant, keyID: keyID) }
            return LayeredPolicy(layer: reference.layer, policy: policy, counter: counter)
        }
    }

    func readLimits(of facts: inout ReleaseFacts, in transaction: Transaction) throws {
        for index in facts.policies.indices {
            guard let counter = facts.policies[index].counter else { continue }
            facts.policies[index].rate = try transaction.rateReading(counter, now: facts.now)
        }
    }

    func compiled(_ reference: PolicyReference, in transaction: Transaction) throws -> AccessPolicy {
        try policyCache.policy(revision: reference.revision) {
            try transaction.policyDocument(revision: reference.revision)
        }
    }

    private static func counter(_ limit: RateLimit, _ reference: PolicyReference, grant: Grant, keyID: APIKeyID?)
        -> RateCounter?
    {
        let subject: String? =
            switch limit.per {
            case .grant: consent(of: grant)
            case .user: grant.userID?.text
            case .provider: grant.providerID
            case .key: keyID?.text
            case .app: grant.appID.text
            }
        guard let subject, let source = reference.rateSource else { return nil }
        return RateCounter(
            source: source, subject: "\(limit.per.rawValue):\(subject)", limit: limit.requests, seconds: limit.seconds)
    }

    /// Siblings are minted at will, so that a limit per grant is one of the consent that they share.
    static func consent(of grant: Grant) -> String {
        guard let secretID = grant.managedSecretID else { return grant.credentialID?.text ?? grant.id.text }
        return "\(secretID.text)/\(grant.userID?.text ?? "app")"
    }

    /// The longest terms and the default that policies give a new or renewed grant of a provider.
    func grantTTL(appID: AppID, providerID: String, grantID: GrantID?, in transaction: Transaction) throws -> GrantTTL {
        var ttl = GrantTTL.none
        let references = try transaction.policiesInForce(
            appID: appID, providerID: providerID, grantID: grantID, keyID: nil)
        for reference in references {
            guard let rule = try compiled(reference, in: transaction).grantTTL else { continue }
            // Of several defaults the one nearest to the grant counts, of several maxima the shortest.
            ttl.defaultSeconds = rule.defaultSeconds ?? ttl.defaultSeconds
            ttl.maxSeconds = [ttl.maxSeconds, rule.maxSeconds].compactMap(\.self).min()
        }
        return ttl
    }

    /// Why a person may not connect a provider: of all rules, only those of groups and roles apply (behaviour contract,
    /// “Policies”). Sessions for the app itself have no person to judge.
    func connectRefusal(_ user: User?, appID: AppID, providerID: String, in transaction: Transaction) throws
        -> VaultError?
    {
        guard let user else { return nil }
        let facts = PolicyFacts(user: user, grant: nil, method: nil, path: nil, peer: nil, now: now())
        let references = try transaction.policiesInForce(
            appID: appID, providerID: providerID, grantID: nil, keyID: nil)
        for reference in references {
            let outcomes = try compiled(reference, in: transaction).connectRules.evaluate(
                facts, layer: reference.layer, rate: nil)
            guard let denied = outcomes.first(where: \.isDenial) else { continue }
            var details = denied.details
            details["provider_id"] = .string(providerID)
            return VaultError(
                .policyViolation, "Refused by policy: \(denied.verdict.reason).", details: details)
        }
        return nil
    }
}
