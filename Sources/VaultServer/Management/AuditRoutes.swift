import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// The audit trail: newest first, its verification, its export, and where it is sent.

extension ManagementRoutes {
    private static var filterNames: [String] {
        [
            "from", "to", "event", "provider_id", "user_id", "grant_id", "agent_id", "decision", "request_id",
            "trace_id",
        ]
    }

    var auditRoutes: [Route<OperatorCaller>] {
        [
            Route("GET", Self.app + "/audit", "List audit records, newest first") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                let filter = AuditFilter(query)
                try query.finish()
                // By the last record's id: places among all records would tell how busy others are.
                let last = paging.position == .start ? nil : paging.position.id
                let records = try vault.auditRecords(
                    caller, appID: exchange.appID, filter: filter, before: last, limit: paging.limit + 1)
                return paging.answer(
                    records, position: { PagePosition(at: 0, id: $0.record["id"]?.string ?? "") },
                    json: { .object($0.json) })
            }
            .taking(query: Self.filterNames.map { .optional($0) }).answering(pagesOf: "AuditRecord"),
            Route("GET", Self.app + "/audit/export", "Export audit records, oldest first (csv, ndjson)") {
                caller, exchange in
                try await export(caller, exchange)
            }
            .taking(query: (["format"] + Self.filterNames).map { .optional($0) }).answering(
                files: "application/x-ndjson", "text/csv"),
            Route("GET", Self.app + "/audit/checkpoints", "List signed checkpoints of the app's trail, newest first") {
                caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let before = paging.position == .start ? Int64.max : paging.position.at
                let checkpoints = try await vault.checkpoints(
                    caller, appID: exchange.appID, before: before, limit: paging.limit + 1)
                return paging.answer(
                    checkpoints, position: { PagePosition(at: $0.sequence, id: "") }, json: { .object($0.json) })
            }
            .answering(pagesOf: "AuditCheckpoint"),
            Route("GET", Self.app + "/audit/retention", "Read how many days audit records are kept") {
                caller, exchange in
                .json(Self.retention(try vault.auditRetention(caller, appID: exchange.appID)))
            }
            .answering("AuditRetention"),
            Route("PUT", Self.app + "/audit/retention", "Set how many days audit records are kept; null is for ever") {
                caller, exchange in
                let fields = try exchange.fields(.refused)
                let days = fields.optionalInteger("days", in: Limits.auditRetentionDays)
                if !fields.isPresent("days") { fields.report("days", "is required; null is for ever") }
                try fields.finish()
                try await vault.setAuditRetention(caller, appID: exchange.appID, days: days)
                return .json(Self.retention(days))
            }
            .taking(body: [.required("days", .integer)]).answering("AuditRetention"),
            Route("GET", Self.app + "/audit/{event_id}", "Read an audit record") { caller, exchange in
                .json(try vault.auditRecord(caller, appID: exchange.appID, exchange.parameter("event_id")).json)
            }
            .answering("AuditRecord"),
            Route("POST", Self.app + "/audit/verify", "Verify the app's audit trail") { caller, exchange in
                try exchange.fields(.refused, allowsEmpty: true).finish()
                return .json(try await vault.verifyAudit(caller, appID: exchange.appID).json)
            }
            .taking(body: []).answering("AuditVerification"),
        ]
    }

    private static func retention(_ days: Int64?) -> JSONObject { ["days": days.map { .integer($0) } ?? .null] }

    private func export(_ caller: OperatorCaller, _ exchange: Exchange) async throws -> Answer {
        let query = try exchange.queryFields()
        let format = query.optionalChoice("format", AuditExportFormat.self) ?? .ndjson
        let filter = AuditFilter(query)
        try query.finish()
        let export = try await vault.exportAudit(caller, appID: exchange.appID, filter: filter, format: format)
        return .export(export, format, at: vault.currentTime)
    }
}

extension Answer {
    /// An export as a file, written while it is read.
    static func export(_ export: AuditExport, _ format: AuditExportFormat, at now: Instant) -> Answer {
        var answer = Answer(
            status: 200,
            headers: [
                (name: "Content-Type", value: format == .csv ? "text/csv; charset=utf-8" : "application/x-ndjson"),
                (
                    name: "Content-Disposition",
                    value: "attachment; filename=\"audit-\(now.seconds).\(format.rawValue)\""
                ),
            ])
        answer.stream = { write in
            var export = export
            if format == .csv { try await write(ExportedAuditRecord.csvHeader) }
            while case let page = try export.next(), !page.isEmpty {
                try await write(
                    page.flatMap { format == .csv ? $0.csvLine : JSON.object($0.json).bytes + [UInt8(ascii: "\n")] })
            }
        }
        return answer
    }
}

extension AuditFilter {
    init(_ query: Fields) {
        self.init()
        from = query.optionalInstant("from")
        to = query.optionalInstant("to")
        event = query.optionalString("event", length: 1...100)
        decision = query.optionalChoice("decision", AuditDecision.self)?.rawValue
        providerID = query.optionalString("provider_id", length: 1...255)
        userID = query.readID("user_id", UserID.init)
        grantID = query.readID("grant_id", GrantID.init)
        requestID = query.optionalString("request_id", length: 1...64)
        traceID = query.optionalString("trace_id", length: 1...64)
        agentID = query.readID("agent_id", Identifier<ActorNoun>.init)?.text
    }
}

extension AuditRecord {
    /// The record as it was written, with its place in the chain and the caller's key prefix at the top level.
    var json: JSONObject {
        var object = record
        object["chain"] = .string(chain.name)
        object["sequence"] = .integer(sequence)
        object["hash"] = .string(Hex.encode(hash))
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

extension AuditCheckpoint {
    package var json: JSONObject {
        [
            "chain": .string(chain.name), "sequence": .integer(sequence), "created_at": .string(createdAt.rfc3339),
            "statement": .string(statement),
        ]
    }
}

extension AuditVerification {
    fileprivate var json: JSONObject {
        switch self {
        case .intact(let records): ["intact": true, "records": .integer(records)]
        case .broken(_, let sequence, let reason):
            ["intact": false, "first_broken_sequence": .integer(sequence), "reason": .string(reason)]
        }
    }
}

// MARK: - Streams

extension ManagementRoutes {
    var auditStreamRoutes: [Route<OperatorCaller>] {
        let streams = Self.app + "/audit-streams"
        return [
            Route("POST", streams, "Send audit records to a webhook or a collector", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = AuditStreamSettings(fields)
                try fields.finish()
                let created = try await vault.createAuditStream(caller, appID: exchange.appID, settings)
                var object = created.status.json
                // plaintext leaves here
                object["signing_secret"] = created.signingSecret.map { .string($0.revealed()) }
                return .json(object, status: 201)
            }
            .taking(body: [
                .required("kind"), .required("url"), .optional("headers", .object), .optional("from_start", .boolean),
            ]).answering("AuditStream"),
            Route("GET", streams, "List audit streams, and how far each has come") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                return paging.answer(
                    all: try vault.auditStreams(caller, appID: exchange.appID), id: \.stream.id.text,
                    json: { .object($0.json) })
            }
            .answering(pagesOf: "AuditStream"),
            Route("DELETE", streams + "/{stream_id}", "Stop sending to a stream", status: 204) { caller, exchange in
                try await vault.deleteAuditStream(
                    caller, appID: exchange.appID, exchange.parameter("stream_id"))
                return .noContent
            },
        ]
    }
}

extension AuditStreamSettings {
    /// What the message itself needs.
    private static let ownHeaders: Set<String> = [
        "content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection", "expect",
    ]

    init(_ fields: Fields) {
        if !fields.has("kind") { fields.report("kind", "is required") }
        let kind = fields.optionalChoice("kind", AuditStreamKind.self) ?? .webhook
        let url = fields.string("url")
        if !url.isEmpty {
            do {
                if try WebAddress(url).query != nil {
                    fields.report("url", "must have no query: addresses are on record, and secrets belong into headers")
                }
            } catch {
                fields.report("url", error.reason)
            }
        }
        let headers = fields.optionalObject("headers")
        if headers != nil, kind == .webhook { fields.report("headers", "are for collectors; a webhook is signed") }
        let pairs = (headers?.members ?? []).compactMap { name, value -> (name: String, value: String)? in
            guard let text = value.string, HeaderField.isToken(name), HeaderField.isValue(text),
                !Self.ownHeaders.contains(name.lowercased())
            else {
                fields.report("headers.\(name.prefix(64))", "must be a header field of your own with a text")
                return nil
            }
            return (name: name, value: text)
        }
        if pairs.count > 10 { fields.report("headers", "must be at most 10") }
        self.init(
            kind: kind, url: url, headers: pairs, isFromStart: fields.optionalBool("from_start") ?? false)
    }
}

extension AuditStreamStatus {
    fileprivate var json: JSONObject {
        [
            "id": stream.id.json, "kind": .string(stream.kind.rawValue), "url": .string(stream.url),
            "sent_sequence": .integer(stream.sentSequence), "waiting": .integer(waiting),
            "last_sent_at": .optional(stream.lastSentAt), "last_error": .optional(stream.lastError),
            "created_at": .string(stream.createdAt.rfc3339),
        ]
    }
}
