import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// The audit trail of an app in the Portal: looking through it, one record with its reasons, and exports. How the trail is
// kept is a page of its own.

extension PortalRoutes {
    static let audit = app + "/audit"
    private static let recordsShown = 50

    var auditRoutes: [Route<PortalCaller>] {
        [
            Route("GET", Self.audit, "The audit trail of an app") { caller, exchange in
                try await auditList(caller, exchange)
            },
            Route("GET", Self.audit + "/export", "The records that fit a filter, as a file") { caller, exchange in
                let form = exchange.queryForm
                let fields = form.fields(.optional("format"))
                let format = fields.optionalChoice("format", AuditExportFormat.self) ?? .ndjson
                try fields.finish()
                let export = try await vault.exportAudit(
                    caller.account, appID: exchange.appID, filter: try form.auditFilter(), format: format)
                return .export(export, format, at: now)
            },
        ] + auditTrailRoutes + [
            Route("GET", Self.audit + "/{event_id}", "An audit record") { caller, exchange in
                let app = try vault.app(caller.account, exchange.appID)
                let view = try vault.auditView(
                    caller.account, appID: exchange.appID, exchange.parameter("event_id"))
                return page(
                    caller, exchange, "Audit record", app: app, section: .audit,
                    AuditRecordPage(appID: app.id.text, view: view, now: now).html)
            }
        ]
    }

    private func auditList(_ caller: PortalCaller, _ exchange: Exchange) async throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let form = exchange.queryForm
        func shown(_ state: FormState, _ listing: AuditListing?, _ pager: Pager) -> Answer {
            let list = AuditListPage(
                appID: app.id.text, state: state, filter: form.auditFilterItems, listing: listing, pager: pager,
                isFirst: form["cursor"].isEmpty, now: now)
            return page(caller, exchange, "Audit", app: app, section: .audit, list.html)
        }
        return try await exchange.submitting(form) { state in
            shown(state, nil, Pager(next: nil))
        } _: {
            let filter = try form.auditFilter()
            let items = form.auditFilterItems
            let fields = form.fields(.optional("cursor"))
            let paging = Paging(
                fields, path: exchange.path,
                filter: items.reduce(into: JSONObject()) { $0[$1.0] = .string($1.1) }, limit: Self.recordsShown)
            try fields.finish()
            // By the last record's id: places among all records would tell how busy others are.
            let listing = try vault.auditListing(
                caller.account, appID: exchange.appID, filter: filter,
                before: paging.position == .start ? nil : paging.position.id, limit: paging.limit)
            var pager = Pager(next: nil)
            if let next = listing.window.next {
                let cursor = paging.cursor(PagePosition(at: 0, id: next))
                pager = Pager(next: exchange.path + "?" + FormText.query(items + [("cursor", cursor)]))
                pager.label = listing.window.isCut ? "Look further back" : "Older"
            }
            return shown(FormState(FormText.decode(exchange.rawQuery ?? "")), listing, pager)
        }
    }
}

extension FormValues {
    private static let auditFilterNames = [
        "from", "to", "event", "provider_id", "user_id", "grant_id", "decision", "request_id", "trace_id",
    ]

    /// What narrows the trail, as a link repeats it.
    var auditFilterItems: [(String, String)] {
        Self.auditFilterNames.map { ($0, self[$0]) }.filter { !$0.1.isEmpty }
    }

    /// The same reader as for the list of the Management API.
    func auditFilter() throws -> AuditFilter {
        let fields = fields(
            .dateTime("from"), .dateTime("to"), .optional("event"), .optional("provider_id"), .optional("user_id"),
            .optional("grant_id"), .optional("decision"), .optional("request_id"), .optional("trace_id"))
        let filter = AuditFilter(fields)
        try fields.finish()
        return filter
    }
}
