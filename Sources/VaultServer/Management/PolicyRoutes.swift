import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Policies by layer, what they would decide, and what a draft would have decided.

extension ManagementRoutes {
    var policyRoutes: [Route<OperatorCaller>] {
        policyRoutes(
            Self.app + "/policies/{provider_id}", "a provider, or of all (`*`)",
            { .provider($0.parameter("provider_id")) })
            + policyRoutes(Self.app + "/grants/{grant_id}/policy", "a grant", { .grant($0.parameter("grant_id")) })
            + policyRoutes(Self.app + "/keys/{key_id}/policy", "an API key", { .key($0.parameter("key_id")) })
            + [listPolicies, simulate, replay]
    }

    private func policyRoutes(
        _ template: String, _ whose: String, _ target: @escaping @Sendable (Exchange) -> PolicyTarget
    ) -> [Route<OperatorCaller>] {
        [
            Route("PUT", template, "Set the policy of \(whose)") { caller, exchange in
                let fields = try exchange.fields(.refused)
                let policy = AccessPolicy(fields)
                try fields.finish()
                try await vault.setPolicy(caller, appID: exchange.appID, target(exchange), policy)
                return .json(policy.json)
            }
            .taking(body: OpenAPISchemas.policy).answering("Policy"),
            Route("GET", template, "Read the policy of \(whose)") { caller, exchange in
                .json(try vault.policy(caller, appID: exchange.appID, target(exchange)))
            }
            .answering("Policy"),
            Route("DELETE", template, "Remove the policy of \(whose)", status: 204) { caller, exchange in
                try await vault.deletePolicy(caller, appID: exchange.appID, target(exchange))
                return .noContent
            },
        ]
    }

    private var listPolicies: Route<OperatorCaller> {
        Route("GET", Self.app + "/policies", "List the policies of providers") { caller, exchange in
            let query = try exchange.queryFields()
            let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
            try query.finish()
            return paging.answer(
                all: try vault.policies(caller, appID: exchange.appID), id: \.target,
                json: { ["provider_id": .string($0.target), "policy": $0.document.map(JSON.object) ?? .null] })
        }
        .answering(pagesOf: "PolicyOfProvider")
    }

    private var simulate: Route<OperatorCaller> {
        Route("POST", Self.app + "/policies/simulate", "Decide an imagined call; changes nothing") {
            caller, exchange in
            let fields = try exchange.fields(.refused)
            let call = ImaginedCall(fields)
            try fields.finish()
            let simulation = try vault.simulate(caller, appID: exchange.appID, call)
            return .json([
                "decision": simulation.isAllowed ? "allow" : "deny", "rules": .array(simulation.rules),
            ])
        }
        .taking(
            body: [
                "provider_id", "grant_id", "user_id", "agent_id", "key_id", "mode", "method", "url", "ip", "at",
            ].map { .optional($0) }
        ).answering("PolicySimulation")
    }

    private var replay: Route<OperatorCaller> {
        Route("POST", Self.app + "/policies/replay", "Try a draft policy on the recorded calls; changes nothing") {
            caller, exchange in
            let fields = try exchange.fields(.refused)
            let providerID = fields.string("provider_id", length: 1...255)
            let draft = fields.optionalFields("policy").map(AccessPolicy.init)
            if draft == nil { fields.report("policy", "is required") }
            let to = fields.optionalInstant("to") ?? vault.currentTime
            let from = fields.optionalInstant("from") ?? to.adding(seconds: -7 * 86_400)
            try fields.finish()
            guard let draft else { throw VaultError.validation("policy", "is required") }
            let outcome = try await vault.replay(
                caller, appID: exchange.appID,
                PolicyReplay(providerID: providerID, draft: draft, from: from, to: to))
            return .json(outcome.json)
        }
        .taking(body: [
            .required("provider_id"), .required("policy", .object), .optional("from"), .optional("to"),
        ]).answering("PolicyReplay")
    }
}

extension ImaginedCall {
    init(_ fields: Fields) {
        let providerID = fields.optionalString("provider_id", length: 1...255)
        let grantID = fields.readID("grant_id", GrantID.init)
        if fields.has("provider_id") == fields.has("grant_id") {
            fields.report("grant_id", "give exactly one of grant_id and provider_id")
        }
        if fields.readID("agent_id", Identifier<ActorNoun>.init) != nil {
            fields.report("agent_id", "names no agent of this app")
        }
        var address: WebAddress?
        if let text = fields.optionalString("url", length: 1...65_536) {
            do { address = try WebAddress(encoding: text) } catch { fields.report("url", error.reason) }
        }
        var peer: IPAddress?
        if let text = fields.optionalString("ip", length: 1...64) {
            peer = IPAddress(text)
            if peer == nil { fields.report("ip", "must be an IPv4 or IPv6 address") }
        }
        self.init(
            providerID: providerID, grantID: grantID, userID: fields.readID("user_id", UserID.init),
            keyID: fields.readID("key_id", APIKeyID.init),
            mode: fields.optionalChoice("mode", ReleaseMode.self) ?? .proxy,
            method: fields.optionalString("method", length: 1...20), address: address, peer: peer,
            at: fields.optionalInstant("at"))
    }
}

extension ReplayOutcome {
    package var json: JSONObject {
        [
            "calls": .integer(calls), "newly_denied": .integer(newlyDenied), "newly_allowed": .integer(newlyAllowed),
            "is_complete": .bool(isComplete),
            "changes": .array(changes.map { .object($0.json) }),
        ]
    }
}

extension ReplayOutcome.Change {
    fileprivate var json: JSONObject {
        var object: JSONObject = [
            "was": record["decision"] ?? .null, "would_be": wouldBeAllowed ? "allow" : "deny", "rule": .string(rule),
            "reason": .string(reason), "event_id": record["id"] ?? .null,
        ]
        for name in ["occurred_at", "request_id", "user_id", "grant_id", "provider_id", "method", "url"] {
            object[name] = record[name] ?? .null
        }
        return object
    }
}
