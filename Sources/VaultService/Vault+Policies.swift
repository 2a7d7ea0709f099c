import VaultAPI
import VaultDomain
import VaultStore

// Policies of an app (`*`) and of single providers. Read at every decision, so that an edit acts on the next request.

extension Vault {
    package func setPolicy(_ caller: OperatorCaller, appID: String, providerID: String, _ policy: AccessPolicy)
        async throws
    {
        let app = try app(caller, appID, toWrite: true)
        guard providerID == "*" || Self.isProviderID(providerID) else {
            throw VaultError.validation("provider_id", "must be a provider id, a secret's slug, or *")
        }
        let changed = now()
        try await record(
            caller, "policy.changed", app: app, providerID: providerID, details: ["policy": .object(policy.json)]
        ) {
            try $0.upsertPolicy(appID: app.id, providerID: providerID, document: policy.json, now: changed)
        }
    }

    package func policy(_ caller: OperatorCaller, appID: String, providerID: String) throws -> JSONObject {
        let app = try app(caller, appID)
        guard let document = try read({ try $0.policy(appID: app.id, providerID: providerID) }) else {
            throw Self.notFound
        }
        return document
    }

    package func policies(_ caller: OperatorCaller, appID: String) throws -> [(
        providerID: String, document: JSONObject
    )] {
        let app = try app(caller, appID)
        return try read { try $0.policies(appID: app.id) }
    }

    package func deletePolicy(_ caller: OperatorCaller, appID: String, providerID: String) async throws {
        let app = try app(caller, appID, toWrite: true)
        try await record(caller, "policy.deleted", app: app, providerID: providerID) {
            guard try $0.deletePolicy(appID: app.id, providerID: providerID) else { throw Self.notFound }
        }
    }
}
