import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// How the trail of an app is kept: whether it holds, its signed checkpoints, for how long, and where it is sent.

extension PortalRoutes {
    private static let trail = audit + "/trail"

    var auditTrailRoutes: [Route<PortalCaller>] {
        [
            Route("GET", Self.trail, "How the trail of an app is kept") { caller, exchange in
                try await trailPage(caller, exchange)
            },
            Route("POST", Self.trail + "/verify", "Verify the trail of an app") { caller, exchange in
                let found = try await vault.verifyAudit(caller.account, appID: exchange.appID)
                return try await trailPage(caller, exchange, outcome: TrailOutcome(verification: found))
            },
            Route("POST", Self.trail + "/retention", "Set how long records are kept") { caller, exchange in
                let form = exchange.form
                do {
                    let fields = form.fields(.integer("days"))
                    let days = fields.optionalInteger("days", in: Limits.auditRetentionDays)
                    try fields.finish()
                    try await vault.setAuditRetention(caller.account, appID: exchange.appID, days: days)
                    return done(.saved, .portalApp(exchange.appID, "audit/trail"))
                } catch let error as VaultError where error.code == .validationFailed {
                    return try await trailPage(
                        caller, exchange, outcome: TrailOutcome(retention: FormState(form, error)), refused: error)
                }
            },
            Route("POST", Self.trail + "/streams", "Send records to a webhook or a collector") { caller, exchange in
                let form = exchange.form
                do {
                    let fields = form.fields(
                        .text("kind"), .text("url"), .json("headers", form.headerLines("headers")),
                        .flag("from_start"))
                    let settings = AuditStreamSettings(fields)
                    try fields.finish()
                    let created = try await vault.createAuditStream(caller.account, appID: exchange.appID, settings)
                    guard created.signingSecret != nil else {
                        return done(.created, .portalApp(exchange.appID, "audit/trail"))
                    }
                    return try await trailPage(caller, exchange, outcome: TrailOutcome(stream: created))
                } catch let error as VaultError where error.code == .validationFailed || error.code == .conflict {
                    return try await trailPage(
                        caller, exchange, outcome: TrailOutcome(streamForm: FormState(form, error)), refused: error)
                }
            },
            Route("POST", Self.trail + "/streams/{stream_id}/delete", "Stop sending to a stream") {
                caller, exchange in
                try await vault.deleteAuditStream(
                    caller.account, appID: exchange.appID, exchange.parameter("stream_id"))
                return done(.deleted, .portalApp(exchange.appID, "audit/trail"))
            },
        ]
    }

    /// - Parameter refused: why the form that led here was refused.
    private func trailPage(
        _ caller: PortalCaller, _ exchange: Exchange, outcome: TrailOutcome = TrailOutcome(),
        refused: VaultError? = nil
    ) async throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let path = SitePath.portalApp(app.id.text, "audit/trail").path
        let fields = exchange.queryForm.fields(.optional("cursor"))
        let paging = Paging(fields, path: path, filter: [:], limit: 20)
        try fields.finish()
        let checkpoints = try await vault.checkpoints(
            caller.account, appID: exchange.appID, before: paging.position == .start ? .max : paging.position.at,
            limit: paging.limit + 1)
        // Where the ends of the trail were forged nothing of them is believed, and the page is wanted most.
        var retention = TrailPage.Retention.unreadable
        do {
            retention = .days(try vault.auditRetention(caller.account, appID: exchange.appID))
        } catch let error as VaultError where error.code == .serviceUnavailable {}
        let trail = TrailPage(
            caller: caller, appID: app.id.text, role: caller.role(in: app),
            checkpoints: Array(checkpoints.prefix(paging.limit)),
            pager: Pager(paging, checkpoints, path: path, position: { PagePosition(at: $0.sequence, id: "") }),
            retention: retention, streams: try vault.auditStreams(caller.account, appID: exchange.appID),
            outcome: outcome, now: now)
        var answer = page(
            caller, exchange, "Integrity, retention and streams", app: app, section: .audit,
            status: refused?.code.status ?? 200, trail.html)
        answer.errorCode = refused?.code
        return answer
    }
}

/// What a form of the page did, or why it was refused.
struct TrailOutcome: Sendable {
    var verification: AuditVerification?
    var retention = FormState()
    var streamForm = FormState()
    var stream: CreatedAuditStream?
}

extension FormValues {
    /// `Name: value` on each line, as an object. A line that is none becomes a name that is refused, without its text.
    func headerLines(_ name: String) -> JSON? {
        var headers = JSONObject()
        for (index, line) in raw(name).split(whereSeparator: \.isNewline).enumerated() {
            let pair = line.split(separator: ":", maxSplits: 1).map { FormValues.trimmed($0) }
            if pair.count == 2 {
                headers[pair[0]] = .string(pair[1])
            } else {
                headers["line \(index + 1)"] = .string("")
            }
        }
        return headers.isEmpty ? nil : .object(headers)
    }

    private static func trimmed(_ text: Substring) -> String {
        let start = text.drop { $0 == " " || $0 == "\t" }
        let end = start.lastIndex { $0 != " " && $0 != "\t" }
        return end.map { String(start[...$0]) } ?? ""
    }
}
