import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The audit trail: newest first, and its verification.

extension ManagementRoutes {
    var auditRoutes: [Route<OperatorCaller>] {
        [
            Route("GET", Self.app + "/audit", "List audit records, newest first") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                let filter = AuditFilter(query)
                try query.finish()
                let before = paging.position == .start ? Int64.max : paging.position.at
                let records = try vault.auditRecords(
                    caller, appID: exchange.appID, filter: filter, before: before, limit: paging.limit + 1)
                return paging.answer(
                    records, position: { PagePosition(at: $0.sequence, id: "") }, json: { .object($0.json) })
            }
            .taking(
                query: ["from", "to", "event", "decision", "provider_id", "user_id", "grant_id", "agent_id"].map {
                    .optional($0)
                }
            ).answering(pagesOf: "AuditRecord"),
            Route("GET", Self.app + "/audit/{event_id}", "Read an audit record") { caller, exchange in
                .json(try vault.auditRecord(caller, appID: exchange.appID, exchange.parameter("event_id")).json)
            }
            .answering("AuditRecord"),
            Route("POST", Self.app + "/audit/verify", "Verify the audit chain of the installation") {
                caller, exchange in
                try exchange.fields(.refused, allowsEmpty: true).finish()
                return .json(try await vault.verifyAudit(caller, appID: exchange.appID).json)
            }
            .taking(body: []).answering("AuditVerification"),
        ]
    }
}

extension AuditFilter {
    fileprivate init(_ query: Fields) {
        self.init()
        from = query.optionalInstant("from")
        to = query.optionalInstant("to")
        event = query.optionalString("event", length: 1...100)
        decision = query.optionalChoice("decision", AuditDecision.self)?.rawValue
        providerID = query.optionalString("provider_id", length: 1...255)
        userID = query.readID("user_id", UserID.init)
        grantID = query.readID("grant_id", GrantID.init)
        agentID = query.readID("agent_id", Identifier<ActorNoun>.init)?.text
    }
}

extension AuditRecord {
    /// The record as it was written, with its place in the chain and the caller's key prefix at the top level.
    fileprivate var json: JSONObject {
        var object = record
        object["sequence"] = .integer(sequence)
        object["key_prefix"] = record["principal"]?["key_prefix"] ?? .null
        // What a record does not have is null here, so that every item has the same members.
        for name in [
            "request_id", "user_id", "grant_id", "provider_id", "method", "url", "status", "latency_ms", "reason",
        ]
        where object[name] == nil {
            object[name] = .null
        }
        return object
    }
}

extension AuditVerification {
    fileprivate var json: JSONObject {
        switch self {
        case .intact(let records): ["intact": true, "records": .integer(records)]
        case .broken(let sequence, let reason):
            ["intact": false, "first_broken_sequence": .integer(sequence), "reason": .string(reason)]
        }
    }
}
