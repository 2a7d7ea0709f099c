import VaultAPI
import VaultService
import VaultStore

// API keys in the Portal: minted and rotated here, and shown that once.

extension PortalRoutes {
    var keyRoutes: [Route<PortalCaller>] {
        let keys = Self.app + "/keys"
        return [
            Route("GET", keys, "API keys of an app") { caller, exchange in try keysPage(caller, exchange) },
            Route("GET", keys + "/new", "A new API key") { caller, exchange in
                try newKeyPage(caller, exchange, FormState())
            },
            Route("POST", keys + "/new", "Create an API key, shown this once") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try newKeyPage(caller, exchange, $0)
                } _: {
                    let fields = Self.keyFields(form)
                    let settings = KeySettings(fields)
                    try fields.finish()
                    let minted = try await vault.createKey(caller.account, appID: exchange.appID, settings)
                    return try mintedKeyPage(caller, exchange, minted, replaced: nil)
                }
            },
        ] + keyChangeRoutes
    }

    private var keyChangeRoutes: [Route<PortalCaller>] {
        let key = Self.app + "/keys/{key_id}"
        return [
            Route("GET", key + "/rotate", "Replace an API key") { caller, exchange in
                try rotationPage(caller, exchange, FormState())
            },
            Route("POST", key + "/rotate", "Replace an API key, its successor shown this once") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try rotationPage(caller, exchange, $0)
                } _: {
                    let fields = form.fields(.integer("overlap_days"))
                    let overlap = fields.optionalInteger("overlap_days", in: 0...30) ?? 7
                    try fields.finish()
                    let id = exchange.parameter("key_id")
                    let minted = try await vault.rotateKey(
                        caller.account, appID: exchange.appID, id, overlapDays: overlap)
                    return try mintedKeyPage(
                        caller, exchange, minted,
                        replaced: vault.key(caller.account, appID: exchange.appID, id))
                }
            },
            Route("GET", key + "/revoke", "Before an API key is revoked") { caller, exchange in
                try revocationPage(caller, exchange)
            },
            Route("POST", key + "/revoke", "Revoke an API key") { caller, exchange in
                _ = try await vault.revokeKey(
                    caller.account, appID: exchange.appID, exchange.parameter("key_id"))
                return done(.revoked, .portalApp(exchange.appID, "keys"))
            },
        ]
    }

    private static func keyFields(_ form: FormValues) -> Fields {
        var body = form.object([
            .text("name"), .text("key_type"), .list("cidr_allowlist"), .integer("rate_limit_rpm"),
            .dateTime("expires_at"),
        ])
        // What was typed comes first, so that a problem tells its place there.
        let scopes = form.words("other_scopes") + form.all("scopes")
        if !scopes.isEmpty { body["scopes"] = .strings(scopes) }
        let fields = Fields(body, unknownMembers: .refused)
        // Left out, they would be all of the app's: nobody means that who ticks nothing.
        if scopes.isEmpty { fields.report("scopes", "need at least one tick") }
        return fields
    }

    // MARK: Pages

    private func keysPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let paging = try Paging(exchange)
        let keys = try vault.keys(
            caller.account, appID: exchange.appID, after: paging.position, limit: paging.limit + 1)
        let list = KeyListPage(
            app: app, mayChange: caller.mayChange(app),
            keys: Array(keys.prefix(paging.limit)),
            pager: Pager(
                paging, keys, path: exchange.path,
                position: { PagePosition(at: $0.createdAt.milliseconds, id: $0.id.text) }), now: now)
        return page(caller, exchange, "API keys", app: app, section: .keys, list.html)
    }

    private func newKeyPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let form = NewKeyPage(app: app, csrfToken: caller.csrfToken, state: state)
        return page(caller, exchange, "New API key", app: app, section: .keys, form.html)
    }

    private func mintedKeyPage(
        _ caller: PortalCaller, _ exchange: Exchange, _ minted: MintedKey, replaced: APIKeyRecord?
    ) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let shown = MintedKeyPage(
            app: app, minted: minted, replaced: replaced,
            snippet: PythonSnippet(publicURL: vault.configuration.publicURL), now: now)
        return page(caller, exchange, "Your new API key", app: app, section: .keys, shown.html)
    }

    private func rotationPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let key = try vault.key(caller.account, appID: exchange.appID, exchange.parameter("key_id"))
        let days = (0...Int64(30)).map { day -> (value: String, label: String) in
            (value: String(day), label: TimeText.count(day, "day"))
        }
        let question = ConfirmationPage(
            title: "Rotate \(key.name)",
            text: """
                <p>A new key takes the place of <code>\(key.prefix)…</code>, with the same scopes, addresses, limit and \
                expiry. Until the overlap is over both work, so that servers can change one by one.</p>
                """,
            path: exchange.path, csrfToken: caller.csrfToken, label: "Rotate the key",
            backPath: SitePath.portalApp(app.id.text, "keys").path, state: state,
            fields: Field(
                "overlap_days", "Overlap", state, kind: .select(days), hint: "0 days: the old key stops at once.",
                initial: "7"
            ).html, style: "")
        return page(caller, exchange, "Rotate an API key", app: app, section: .keys, question.html)
    }

    private func revocationPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let key = try vault.key(caller.account, appID: exchange.appID, exchange.parameter("key_id"))
        let question = ConfirmationPage(
            title: "Revoke \(key.name)?",
            text: """
                <p>Whatever uses <code>\(key.prefix)…</code> is refused from its next request on: no credential, no \
                proxied call, no Connect session. This cannot be undone.</p>
                <p>Users, grants, secrets and other keys of the app stay as they are. To change keys without a gap, \
                rotate it instead.</p>
                """,
            path: exchange.path, csrfToken: caller.csrfToken, label: "Revoke the key",
            backPath: SitePath.portalApp(app.id.text, "keys").path)
        return page(caller, exchange, "Revoke an API key", app: app, section: .keys, question.html)
    }
}
