import Logging
import ServiceLifecycle
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Audit records on their way to where an app's operators collect them, in order and at least once: how far a stream has come
// is a row, and what the other side does not take is sent again, for as long as the records are kept.

package struct AuditStreamSettings: Sendable {
    package var kind: AuditStreamKind
    package var url: String
    /// For a collector that wants to know who sends.
    package var headers: [(name: String, value: String)]
    /// Whether records of before are sent, too.
    package var isFromStart: Bool

    package init(kind: AuditStreamKind, url: String, headers: [(name: String, value: String)], isFromStart: Bool) {
        self.kind = kind
        self.url = url
        self.headers = headers
        self.isFromStart = isFromStart
    }
}

package struct CreatedAuditStream: Sendable {
    package let status: AuditStreamStatus
    /// Of a webhook; shown this once.
    package let signingSecret: Secret?
}

extension Vault {
    private static func streamContext(_ appID: AppID, _ id: AuditStreamID) -> SealContext {
        SealContext(purpose: "audit_stream.secret", app: appID.text, record: id.text, version: 1)
    }

    package func createAuditStream(_ caller: OperatorCaller, appID: String, _ settings: AuditStreamSettings)
        async throws
        -> CreatedAuditStream
    {
        let app = try app(caller, appID, toWrite: true)
        guard configuration.isDevelopment || settings.url.lowercased().hasPrefix("https://") else {
            throw VaultError.validation("url", "must be an https address")
        }
        let id = AuditStreamID()
        let secret: Secret
        switch settings.kind {
        case .webhook: secret = WebhookSignature.newSecret()
        case .otlp:
            let headers = settings.headers.map { JSON.array([.string($0.name), .string($0.value)]) }
            secret = Secret(JSON.array(headers).text)
        }
        let sealed = try dataKey(app.dataKeyID).seal(secret, Self.streamContext(app.id, id))
        let created = now()
        try await record(
            caller, "audit_stream.created", app: app,
            details: ["stream_id": id.json, "kind": .string(settings.kind.rawValue), "url": .string(settings.url)]
        ) { transaction in
            let chain = AuditChain(app.id)
            let head = try transaction.auditEnds(chain, key: auditKey)?.head.sequence ?? 0
            guard try transaction.auditStreams(appID: app.id).count < Limits.auditStreamsMax else {
                throw VaultError(.conflict, "The app has \(Limits.auditStreamsMax) streams already.")
            }
            try transaction.insertAuditStream(
                AuditStreamRecord(
                    id: id, appID: app.id, kind: settings.kind, url: settings.url, secret: sealed,
                    sentSequence: settings.isFromStart ? 0 : head, createdAt: created))
        }
        guard let status = try read({ try $0.auditStreams(appID: app.id) }).first(where: { $0.stream.id == id }) else {
            throw Self.notFound
        }
        return CreatedAuditStream(status: status, signingSecret: settings.kind == .webhook ? secret : nil)
    }

    package func auditStreams(_ caller: OperatorCaller, appID: String) throws -> [AuditStreamStatus] {
        let app = try app(caller, appID)
        return try read { try $0.auditStreams(appID: app.id) }
    }

    package func deleteAuditStream(_ caller: OperatorCaller, appID: String, _ id: String) async throws {
        let app = try app(caller, appID, toWrite: true)
        guard let streamID = AuditStreamID(id) else { throw Self.notFound }
        try await record(caller, "audit_stream.deleted", app: app, details: ["stream_id": .string(id)]) {
            guard try $0.deleteAuditStream(streamID, appID: app.id) else { throw Self.notFound }
        }
    }

    // MARK: Sending

    /// Starts work for every stream that has something to send and nobody at it. One that hangs keeps no other waiting.
    func startDueAuditStreams(_ start: (@escaping @Sendable () async -> Void) -> Void) async throws {
        for id in try read({ try $0.dueAuditStreams(now: now()) }) {
            start {
                await orReport("audit records could not be sent") {
                    try await ifFree("audit-stream:\(id)") { try await sendAudit(id) }
                }
            }
        }
    }

    /// What a stream has to send next, of one moment: nothing that came after its end.
    private func waiting(_ id: AuditStreamID) throws -> (AuditStreamRecord, AppRecord, [AuditRecord])? {
        try read { transaction in
            guard let stream = try transaction.auditStream(id), let app = try transaction.app(stream.appID) else {
                return nil
            }
            let records = try transaction.auditRecords(
                AuditChain(app.id), after: stream.sentSequence, limit: Limits.auditStreamBatch)
            return (stream, app, records)
        }
    }

    /// Batch after batch, until nothing waits or one is not taken.
    private func sendAudit(_ id: AuditStreamID) async throws {
        while !Task.isCancelled {
            guard let (stream, app, records) = try waiting(id), let last = records.last else { return }
            let failure: String?
            var remark: String?
            do {
                let secret = try dataKey(app.dataKeyID).open(
                    stream.secret, Self.streamContext(app.id, stream.id))
                let request = try AuditStreamMessage.request(stream, records: records, secret: secret, now: now())
                let response = try await send(request)
                failure = (200..<300).contains(response.status) ? nil : "it answered \(response.status)"
                remark = AuditStreamMessage.remark(in: response, kind: stream.kind)
            } catch let error as OutgoingFailure {
                failure = error.reason
            } catch let error as CancellationError {
                throw error
            } catch {
                failure = "the message could not be made"
            }
            let time = now()
            metrics.countStreamBatch(kind: stream.kind.rawValue, isTaken: failure == nil)
            if let failure {
                let pause = min(Limits.auditStreamPauseSecondsMax, 1 << min(stream.attempts, 12))
                return try await write(in: .app(app.id)) {
                    try $0.postponeAuditStream(id, until: time.adding(seconds: pause), error: failure)
                }
            }
            try await write(in: .app(app.id)) { [remark] in
                try $0.advanceAuditStream(id, to: last.sequence, remark: remark, now: time)
            }
        }
    }
}

/// What is sent: a batch of records in the form that the other side reads.
enum AuditStreamMessage {
    static func request(_ stream: AuditStreamRecord, records: [AuditRecord], secret: Secret, now: Instant) throws
        -> OutgoingRequest
    {
        let body: [UInt8]
        var headers = [(name: "Content-Type", value: "application/json")]
        switch stream.kind {
        case .webhook:
            body = webhookBody(stream, records).bytes
            // Names the records in it.
            let id = "\(stream.id.text).\(records.first?.sequence ?? 0)-\(records.last?.sequence ?? 0)"
            headers += WebhookSignature.headers(
                id: id, timestamp: now.seconds, body: body, secret: secret)
        case .otlp:
            body = otlpBody(stream, records).bytes
            let stored = try JSON(parsing: secret.revealed()).array ?? []  // plaintext leaves here
            headers += stored.compactMap { pair in
                guard let name = pair.array?.first?.string, let value = pair.array?.last?.string else { return nil }
                return (name: name, value: value)
            }
        }
        return OutgoingRequest(
            method: "POST", address: try WebAddress(stream.url), headers: headers, body: body,
            timeoutSeconds: Limits.auditStreamSeconds, responseBytesMax: 64 * 1024, whenTooLarge: .truncate)
    }

    /// A collector may take a batch and say that it dropped some of it; sending it again is not wanted (OTLP, “Partial success”).
    static func remark(in response: OutgoingResponse, kind: AuditStreamKind) -> String? {
        guard kind == .otlp, let partial = (try? JSON(parsing: response.body))?["partialSuccess"],
            let rejected = partial["rejectedLogRecords"], let count = rejected.string ?? rejected.number?.text,
            count != "0"
        else { return nil }
        return "the collector rejected \(count.prefix(20)) records"
    }

    private static func webhookBody(_ stream: AuditStreamRecord, _ records: [AuditRecord]) -> JSON {
        [
            "type": "audit.records", "app_id": stream.appID.json,
            "records": .array(
                records.map { record in
                    var object = record.record
                    object["sequence"] = .integer(record.sequence)
                    object["hash"] = .string(Hex.encode(record.hash))
                    return .object(object)
                }),
        ]
    }

    /// `ExportLogsServiceRequest` in the JSON form of OTLP/HTTP: bytes of ids as hex, 64-bit numbers as text.
    private static func otlpBody(_ stream: AuditStreamRecord, _ records: [AuditRecord]) -> JSON {
        [
            "resourceLogs": [
                [
                    "resource": [
                        "attributes": [
                            attribute("service.name", "sallyport"), attribute("sallyport.app_id", stream.appID.text),
                        ]
                    ],
                    "scopeLogs": [
                        ["scope": ["name": "sallyport.audit"], "logRecords": .array(records.map(otlpRecord))]
                    ],
                ]
            ]
        ]
    }

    private static func otlpRecord(_ record: AuditRecord) -> JSON {
        let entry = record.record
        let isDenied = entry["decision"]?.string == AuditDecision.deny.rawValue
        let milliseconds = entry["occurred_at"]?.string.flatMap(Instant.init(rfc3339:))?.milliseconds ?? 0
        var attributes = [attribute("sallyport.sequence", String(record.sequence))]
        for name in ["id", "decision", "request_id", "user_id", "grant_id", "provider_id", "method", "url", "reason"] {
            if let value = entry[name]?.string { attributes.append(attribute("sallyport.\(name)", value)) }
        }
        var object: JSONObject = [
            "timeUnixNano": .string("\(milliseconds)000000"), "severityNumber": isDenied ? 13 : 9,
            "severityText": isDenied ? "WARN" : "INFO", "eventName": entry["event"] ?? "",
            "body": ["stringValue": .string(JSON.object(entry).text)], "attributes": .array(attributes),
        ]
        object["traceId"] = entry["trace_id"]
        object["spanId"] = entry["span_id"]
        return .object(object)
    }

    private static func attribute(_ key: String, _ value: String) -> JSON {
        ["key": .string(key), "value": ["stringValue": .string(value)]]
    }
}

/// Looks every second for what waits to be sent.
package struct AuditStreamWorker: Service {
    private let vault: Vault

    package init(vault: Vault) { self.vault = vault }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                while !Task.isCancelled {
                    do {
                        try await vault.startDueAuditStreams { group.addTask(operation: $0) }
                    } catch {
                        vault.logger.error("audit streams failed", metadata: ["error": "\(type(of: error))"])
                    }
                    // A cancelled sleep ends the loop above.
                    _ = try? await Task.sleep(for: .seconds(1))
                }
            }
        }
    }
}
