import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Grants of an app in the Portal: the list, one of them, its end and its extension.

extension PortalRoutes {
    var grantRoutes: [Route<PortalCaller>] {
        let grant = Self.app + "/grants/{grant_id}"
        return [
            Route("GET", Self.app + "/grants", "Grants of an app") { caller, exchange in
                try await grantListPage(caller, exchange)
            },
            Route("GET", grant, "A grant") { caller, exchange in try grantPage(caller, exchange) },
            Route("GET", grant + "/revoke", "What a revocation ends") { caller, exchange in
                try revocationPage(caller, exchange, FormState())
            },
            Route("POST", grant + "/revoke", "Revoke a grant") { caller, exchange in
                _ = try writableApp(caller, exchange)
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try revocationPage(caller, exchange, $0)
                } _: {
                    let fields = form.fields(.optional("reason"))
                    let reason = fields.readActionReason()
                    try fields.finish()
                    _ = try await vault.revokeGrant(
                        caller.account, appID: exchange.appID, exchange.grantID, reason: reason)
                    return done(.revoked, .portalApp(exchange.appID, "grants/" + exchange.grantID))
                }
            },
            Route("POST", grant + "/extend", "Give a limited grant a new term, cut to what policies allow") {
                caller, exchange in
                _ = try writableApp(caller, exchange)
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try grantPage(caller, exchange, extending: $0)
                } _: {
                    let fields = form.fields(.dateTime("expires_at"))
                    let wanted = fields.readInstant("expires_at")
                    try fields.finish()
                    _ = try await vault.extendGrant(
                        caller.account, appID: exchange.appID, exchange.grantID, until: wanted)
                    return try grantPage(caller, exchange, extended: wanted)
                }
            },
        ]
    }

    private func grantListPage(_ caller: PortalCaller, _ exchange: Exchange) async throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let form = exchange.queryForm
        func list(_ state: FormState, _ grants: [GrantDetails], _ pager: Pager) throws -> Answer {
            let shown = GrantListPage(
                appID: app.id, filter: state, grants: grants, users: try owners(of: grants, caller, exchange),
                pager: pager, now: now)
            return page(caller, exchange, "Grants", app: app, section: .grants, shown.html)
        }
        return try await exchange.submitting(form) { state in
            try list(state, [], Pager(next: nil))
        } _: {
            let paging = try Paging(exchange)
            let fields = form.fields(.optional("status"), .optional("provider_id"), .optional("user"))
            var filter = GrantFilter(
                providerID: fields.optionalString("provider_id", length: 1...255),
                status: fields.optionalChoice("status", GrantStatus.self))
            if let text = fields.optionalString("user", length: 1...255) {
                let found = try people(caller, exchange, matching: text)
                if found.count != 1 {
                    fields.report("user", found.isEmpty ? "fits nobody" : "fits several users; give the whole address")
                }
                filter.userID = found.first?.record.user.id
            }
            try fields.finish()
            let grants = try vault.grants(
                caller.account, appID: exchange.appID, filter: filter, after: paging.position, limit: paging.limit + 1)
            let names = ["status", "provider_id", "user"].map { (name: $0, value: form[$0]) }
            let pager = Pager(paging, grants, path: exchange.path, filter: names.map { ($0.name, $0.value) }) {
                PagePosition(at: $0.grant.createdAt.milliseconds, id: $0.grant.id.text)
            }
            return try list(FormState(names), Array(grants.prefix(paging.limit)), pager)
        }
    }

    private typealias Owners = [UserID: User]

    private func owners(of grants: [GrantDetails], _ caller: PortalCaller, _ exchange: Exchange) throws -> Owners {
        try vault.users(caller.account, appID: exchange.appID, ids: Set(grants.compactMap(\.grant.userID)))
    }

    /// - Parameter extended: what was just asked for, to be held against what came out.
    private func grantPage(
        _ caller: PortalCaller, _ exchange: Exchange, extending: FormState = FormState(), extended: Instant? = nil
    ) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let details = try vault.grant(caller.account, appID: exchange.appID, exchange.grantID)
        let policy = try vault.storedPolicy(caller.account, appID: exchange.appID, .grant(exchange.grantID))
        let shown = GrantDetailPage(
            caller: caller, appID: app.id, details: details,
            user: try owners(of: [details], caller, exchange).values.first, policy: policy, extending: extending,
            extended: extended, isReadOnly: !caller.mayChange(app), now: now)
        return page(caller, exchange, "Grant", app: app, section: .grants, shown.html)
    }

    private func revocationPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try writableApp(caller, exchange)
        let details = try vault.grant(caller.account, appID: exchange.appID, exchange.grantID)
        guard details.grant.revokedAt == nil else {
            return .redirect(SitePath.portalApp(app.id.text, "grants/" + exchange.grantID).path)
        }
        let shown = GrantRevocationPage(
            caller: caller, appID: app.id, details: details,
            user: try owners(of: [details], caller, exchange).values.first, state: state)
        return page(caller, exchange, "Revoke a grant", app: app, section: .grants, shown.html)
    }
}

extension Exchange {
    var grantID: String { parameter("grant_id") }
}
