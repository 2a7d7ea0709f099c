import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Users of an app in the Portal: the list, one of them, and what an operator can do to them.

extension PortalRoutes {
    var userRoutes: [Route<PortalCaller>] {
        let user = Self.app + "/users/{user_id}"
        return [
            Route("GET", Self.app + "/users", "Users of an app") { caller, exchange in
                try await userListPage(caller, exchange)
            },
            Route("GET", user, "A user") { caller, exchange in try userPage(caller, exchange) },
            Route("POST", user + "/suspend", "Suspend a user") { caller, exchange in
                try await changeUser(caller, exchange, .suspended) {
                    _ = try await vault.suspendUser(caller.account, appID: exchange.appID, exchange.userID, reason: $0)
                }
            },
            Route("POST", user + "/restore", "Restore a user") { caller, exchange in
                try await changeUser(caller, exchange, .restored) {
                    _ = try await vault.restoreUser(caller.account, appID: exchange.appID, exchange.userID, reason: $0)
                }
            },
            Route("GET", user + "/deprovision", "What a deprovisioning ends") { caller, exchange in
                try deprovisioningPage(caller, exchange, FormState())
            },
            Route("POST", user + "/deprovision", "Deprovision a user") { caller, exchange in
                try await deprovision(caller, exchange)
            },
            Route("GET", user + "/receipt", "The receipt of a deprovisioned user") { caller, exchange in
                let app = try vault.app(caller.account, exchange.appID)
                let receipt = try await vault.deprovisioningReceipt(
                    caller.account, appID: exchange.appID, exchange.userID)
                let details = try vault.user(caller.account, appID: exchange.appID, exchange.userID)
                let shown = ReceiptPage(appID: app.id, user: details.record.user, receipt: receipt, now: now)
                return page(caller, exchange, "Receipt", app: app, section: .users, shown.html)
            },
            Route("GET", user + "/receipt.jws", "The receipt as a file") { caller, exchange in
                let receipt = try await vault.deprovisioningReceipt(
                    caller.account, appID: exchange.appID, exchange.userID)
                let name = "deprovisioning-receipt-\(exchange.userID)-\(receipt.version).jws"
                return Answer(
                    status: 200,
                    headers: [
                        (name: "Content-Type", value: "application/jose"),
                        (name: "Content-Disposition", value: "attachment; filename=\"\(name)\""),
                        (name: "Cache-Control", value: "no-store"),
                    ], body: Array(receipt.receipt.utf8))
            },
        ]
    }

    /// The app, for whoever may change it: a form that is refused for its sender is refused before it is read.
    func writableApp(_ caller: PortalCaller, _ exchange: Exchange) throws -> AppRecord {
        try vault.app(caller.account, exchange.appID, toWrite: true)
    }

    /// Whom a text means: the user of that id, the one of exactly that address or subject, or those that contain it.
    func people(_ caller: PortalCaller, _ exchange: Exchange, matching text: String) throws -> [UserDetails] {
        if UserID(text) != nil { return [try vault.user(caller.account, appID: exchange.appID, text)] }
        let found = try vault.users(
            caller.account, appID: exchange.appID, status: nil, group: nil, query: text, after: .start,
            limit: Limits.pageDefault)
        let exact = found.filter { $0.record.user.email == text || $0.record.user.externalSubjectID == text }
        return exact.count == 1 ? exact : found
    }

    private func userListPage(_ caller: PortalCaller, _ exchange: Exchange) async throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let form = exchange.queryForm
        func list(_ state: FormState, _ users: [UserDetails], _ pager: Pager) -> Answer {
            let shown = UserListPage(appID: app.id, filter: state, users: users, pager: pager, now: now)
            return page(caller, exchange, "Users", app: app, section: .users, shown.html)
        }
        return try await exchange.submitting(form) { state in
            list(state, [], Pager(next: nil))
        } _: {
            let paging = try Paging(exchange)
            let fields = form.fields(.optional("status"), .optional("group"), .optional("query"))
            let status = fields.optionalChoice("status", UserStatus.self)
            let group = fields.optionalString("group", length: 1...255)
            let text = fields.optionalString("query", length: 1...255)
            try fields.finish()
            let users = try vault.users(
                caller.account, appID: exchange.appID, status: status, group: group, query: text,
                after: paging.position, limit: paging.limit + 1)
            let filter = ["status", "group", "query"].map { (name: $0, value: form[$0]) }
            let pager = Pager(paging, users, path: exchange.path, filter: filter.map { ($0.name, $0.value) }) {
                PagePosition(at: $0.record.user.firstSeenAt.milliseconds, id: $0.record.user.id.text)
            }
            return list(FormState(filter), Array(users.prefix(paging.limit)), pager)
        }
    }

    private func userPage(_ caller: PortalCaller, _ exchange: Exchange, _ action: FormState = FormState()) throws
        -> Answer
    {
        let app = try vault.app(caller.account, exchange.appID)
        let details = try vault.user(caller.account, appID: exchange.appID, exchange.userID)
        let grants = try vault.grants(
            caller.account, appID: exchange.appID, filter: GrantFilter(userID: details.record.user.id), after: .start,
            limit: UserPage.grantsShown)
        let shown = UserPage(
            caller: caller, appID: app.id, details: details, grants: grants, action: action,
            isReadOnly: !caller.mayChange(app), now: now)
        return page(caller, exchange, shown.name, app: app, section: .users, shown.html)
    }

    private func changeUser(
        _ caller: PortalCaller, _ exchange: Exchange, _ notice: PortalNotice,
        _ verb: @Sendable (_ reason: String?) async throws -> Void
    ) async throws -> Answer {
        _ = try writableApp(caller, exchange)
        let form = exchange.form
        return try await exchange.submitting(form) {
            try userPage(caller, exchange, $0)
        } _: {
            let fields = form.fields(.optional("reason"))
            let reason = fields.readActionReason()
            try fields.finish()
            try await verb(reason)
            return done(notice, .portalApp(exchange.appID, "users/" + exchange.userID))
        }
    }

    private func deprovisioningPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try writableApp(caller, exchange)
        let details = try vault.user(caller.account, appID: exchange.appID, exchange.userID)
        guard details.record.user.status != .deprovisioned else {
            return .redirect(SitePath.portalApp(app.id.text, "users/" + exchange.userID).path)
        }
        let shown = DeprovisioningPage(caller: caller, appID: app.id, details: details, state: state)
        return page(caller, exchange, "Deprovision", app: app, section: .users, shown.html)
    }

    private func deprovision(_ caller: PortalCaller, _ exchange: Exchange) async throws -> Answer {
        _ = try writableApp(caller, exchange)
        let user = try vault.user(caller.account, appID: exchange.appID, exchange.userID).record.user
        let form = exchange.form
        return try await exchange.submitting(form) {
            try deprovisioningPage(caller, exchange, $0)
        } _: {
            let fields = form.fields(.optional("reason"))
            let reason = fields.readActionReason()
            let typed = form["confirm"]
            let names = [user.email, user.externalSubjectID, user.subject].compactMap { $0.map(Self.trimmed) }
            if typed.isEmpty || !names.contains(typed) {
                fields.report("confirm", "is not the user’s e-mail address or subject")
            }
            try fields.finish()
            _ = try await vault.deprovisionUser(caller.account, appID: exchange.appID, user.id.text, reason: reason)
            return done(.deprovisioned, .portalApp(exchange.appID, "users/\(user.id.text)/receipt"))
        }
    }

    /// As a form's field is read.
    private static func trimmed(_ text: String) -> String { FormValues([(name: "text", value: text)])["text"] }
}

extension Exchange {
    var userID: String { parameter("user_id") }
}
