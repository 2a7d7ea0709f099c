import VaultAPI
import VaultService
import VaultStore

// Managed secrets in the Portal. Pages work without scripts, so the type is chosen first and its form comes after. A
// value goes in and never comes out.

extension PortalRoutes {
    var managedSecretRoutes: [Route<PortalCaller>] {
        let secrets = Self.app + "/secrets"
        return [
            Route("GET", secrets, "Managed secrets of an app") { caller, exchange in
                try secretsPage(caller, exchange)
            },
            Route("GET", secrets + "/new", "The types of managed secrets") { caller, exchange in
                let app = try vault.app(caller.account, exchange.appID, toWrite: true)
                return page(
                    caller, exchange, "New managed secret", app: app, section: .secrets,
                    SecretTypePage(app: app).html)
            },
            Route("GET", secrets + "/new/{type}", "A new managed secret") { caller, exchange in
                try newSecretPage(caller, exchange, FormState())
            },
            Route("POST", secrets + "/new/{type}", "Create a managed secret with an app-wide grant") {
                caller, exchange in
                let form = exchange.form
                let type = try Self.secretType(exchange)
                return try await exchange.submitting(form) {
                    try newSecretPage(caller, exchange, $0)
                } _: {
                    let fields = Self.secretFields(form, type)
                    let settings = ManagedSecretSettings(fields)
                    try fields.finish()
                    let created = try await vault.createManagedSecret(
                        caller.account, appID: exchange.appID, settings)
                    return done(.created, .portalApp(exchange.appID, "secrets/" + created.record.id.text))
                }
            },
        ] + oneSecretRoutes
    }

    private var oneSecretRoutes: [Route<PortalCaller>] {
        let secret = Self.app + "/secrets/{secret_id}"
        return [
            Route("GET", secret, "A managed secret, without its value") { caller, exchange in
                try secretPage(caller, exchange)
            },
            Route("GET", secret + "/value", "The form for another value") { caller, exchange in
                try valuePage(caller, exchange, FormState())
            },
            Route("POST", secret + "/value", "Replace the value of a managed secret") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try valuePage(caller, exchange, $0)
                } _: {
                    let id = exchange.parameter("secret_id")
                    let record = try vault.managedSecret(caller.account, appID: exchange.appID, id)
                    let type = ManagedCredentialType(rawValue: record.credentialType) ?? .bearer
                    let fields = Fields(["value": .object(type.object(in: form))], unknownMembers: .refused)
                    let value = type.value(fields.optionalFields("value") ?? fields)
                    try fields.finish()
                    try await vault.replaceManagedSecretValue(
                        caller.account, appID: exchange.appID, id, value: value)
                    return done(.secretSaved, .portalApp(exchange.appID, "secrets/" + id))
                }
            },
            Route("GET", secret + "/delete", "Before a managed secret is deleted") { caller, exchange in
                try secretDeletionPage(caller, exchange)
            },
            Route("POST", secret + "/delete", "Delete a managed secret and its grants") { caller, exchange in
                try await vault.deleteManagedSecret(
                    caller.account, appID: exchange.appID, exchange.parameter("secret_id"))
                return done(.deleted, .portalApp(exchange.appID, "secrets"))
            },
        ]
    }

    // MARK: Reading

    private static func secretType(_ exchange: Exchange) throws -> ManagedCredentialType {
        guard let type = ManagedCredentialType(rawValue: exchange.parameter("type")) else {
            throw VaultError(.notFound, "There is no such type of secret.")
        }
        return type
    }

    /// The body that the Management API takes for the same operation.
    private static func secretFields(_ form: FormValues, _ type: ManagedCredentialType) -> Fields {
        var body = form.object([.text("slug"), .text("name"), .list("allowed_hosts")])
        body["credential_type"] = .string(type.rawValue)
        body["value"] = .object(type.object(in: form))
        var injection = JSONObject()
        for name in ["header", "format"] where !form["injection." + name].isEmpty {
            injection[name] = .string(form["injection." + name])
        }
        let additional = form["injection.additional"]
        var isAdditionalJSON = true
        if !additional.isEmpty {
            do { injection["additional"] = try JSON(parsing: additional) } catch { isAdditionalJSON = false }
        }
        if !injection.isEmpty { body["injection"] = .object(injection) }
        let fields = Fields(body, unknownMembers: .refused)
        if !isAdditionalJSON { fields.report("injection.additional", "must be JSON") }
        return fields
    }

    // MARK: Pages

    private func secretsPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let paging = try Paging(exchange)
        let secrets = try vault.managedSecrets(
            caller.account, appID: exchange.appID, after: paging.position, limit: paging.limit + 1)
        let list = SecretListPage(
            app: app, mayChange: caller.mayChange(app),
            secrets: Array(secrets.prefix(paging.limit)),
            pager: Pager(
                paging, secrets, path: exchange.path,
                position: { PagePosition(at: $0.record.createdAt.milliseconds, id: $0.record.id.text) }), now: now)
        return page(caller, exchange, "Managed secrets", app: app, section: .secrets, list.html)
    }

    private func newSecretPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let form = NewSecretPage(
            app: app, type: try Self.secretType(exchange), csrfToken: caller.csrfToken, state: state)
        return page(caller, exchange, "New managed secret", app: app, section: .secrets, form.html)
    }

    private func secretPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let details = try vault.managedSecretDetails(
            caller.account, appID: exchange.appID, exchange.parameter("secret_id"))
        let shown = SecretPage(
            app: app, mayChange: caller.mayChange(app), details: details,
            snippet: PythonSnippet(publicURL: vault.configuration.publicURL), now: now)
        return page(caller, exchange, details.record.name, app: app, section: .secrets, shown.html)
    }

    private func valuePage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let record = try vault.managedSecret(caller.account, appID: exchange.appID, exchange.parameter("secret_id"))
        let type = ManagedCredentialType(rawValue: record.credentialType) ?? .bearer
        let question = ConfirmationPage(
            title: "Replace the value of \(record.name)",
            text: "<p>The next call uses the new value. Slug and grants stay; the old value is gone.</p>",
            path: exchange.path, csrfToken: caller.csrfToken, label: "Replace the value",
            backPath: SitePath.portalApp(app.id.text, "secrets/" + record.id.text).path, state: state,
            fields: SecretValueFields(type: type, state: state).html, style: "")
        return page(caller, exchange, "Replace a value", app: app, section: .secrets, question.html)
    }

    private func secretDeletionPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID, toWrite: true)
        let record = try vault.managedSecret(caller.account, appID: exchange.appID, exchange.parameter("secret_id"))
        let question = ConfirmationPage(
            title: "Delete \(record.name)?",
            text: """
                <p>The value of <code>\(record.slug)</code> and all of its grants are deleted. Calls that name the slug or \
                a grant of it are refused from then on. This cannot be undone.</p>
                <p>The service itself still takes the value: revoke it there if it may be known to others.</p>
                """,
            path: exchange.path, csrfToken: caller.csrfToken, label: "Delete the secret",
            backPath: SitePath.portalApp(app.id.text, "secrets/" + record.id.text).path)
        return page(caller, exchange, "Delete a managed secret", app: app, section: .secrets, question.html)
    }
}
