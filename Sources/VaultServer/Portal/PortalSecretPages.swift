import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The pages of managed secrets: the list, a new one by its type, and one of them. None shows a value.

extension ManagedCredentialType {
    /// One member of the value.
    struct Part: Sendable {
        let name: String
        let label: String
        /// What is no secret is shown again when the form has a problem.
        var isSecret = true

        var field: String { "value." + name }
    }

    var title: String {
        switch self {
        case .bearer: "Bearer token"
        case .apiKey: "API key"
        case .basic: "User name and password"
        }
    }

    var words: String {
        switch self {
        case .bearer: "Sent as “Authorization: Bearer …”, as most services want their tokens."
        case .apiKey: "Sent in a header of its own: X-API-Key, or another one that you name."
        case .basic: "Sent as HTTP Basic authentication."
        }
    }

    var parts: [Part] {
        switch self {
        case .bearer: [Part(name: "token", label: "Token")]
        case .apiKey: [Part(name: "key", label: "Key")]
        case .basic:
            [
                Part(name: "username", label: "User name", isSecret: false),
                Part(name: "password", label: "Password"),
            ]
        }
    }

    /// The value as the form sent it, for the reader of the type.
    func object(in form: FormValues) -> JSONObject {
        var object = JSONObject()
        for part in parts {
            let text = part.isSecret ? form.raw(part.field) : form[part.field]
            if !text.isEmpty { object[part.name] = .string(text) }
        }
        return object
    }
}

extension ManagedSecretRecord {
    var typeTitle: String { ManagedCredentialType(rawValue: credentialType)?.title ?? credentialType }

    var hosts: HTML { CodeList(allowedHosts).html }
}

struct SecretListPage: Sendable {
    let app: AppRecord
    let mayChange: Bool
    let secrets: [ManagedSecretDetails]
    let pager: Pager
    let now: Instant

    private func path(_ page: String) -> String { SitePath.portalApp(app.id.text, "secrets/" + page).path }

    var html: HTML {
        """
        <div class="page-head"><h1>Managed secrets</h1>\(mayChange ? newButton : nil)</div>
        <p>Secrets of the app itself: keys and tokens that no user brings along. They are used by their slug or their \
        grant, and never shown.</p>
        \(list)
        \(pager.html)
        """
    }

    private var newButton: HTML {
        "<p class=\"actions\"><a class=\"button\" href=\"\(path("new"))\">New secret</a></p>"
    }

    private var list: HTML {
        guard !secrets.isEmpty else {
            return EmptyState(
                title: "No secret yet", text: "Keep the first API key here instead of in your server’s settings.",
                action: mayChange ? "<a class=\"button\" href=\"\(path("new"))\">Add a secret</a>" : nil
            ).html
        }
        let columns = ["Secret", "Type", "Hosts", "Created", "Grant ID"] + (mayChange ? ["Action"] : [])
        return DataTable(
            label: "Managed secrets", columns: columns.map { DataTable.Column($0) }, rows: secrets.map(row)
        ).html
    }

    private func row(_ details: ManagedSecretDetails) -> [HTML] {
        let record = details.record
        var cells: [HTML] = [
            "<a href=\"\(path(record.id.text))\">\(record.name)</a><br><code>\(record.slug)</code>",
            "\(record.typeTitle)", record.hosts, TimeText(instant: record.createdAt, now: now).html, grant(details),
        ]
        if mayChange { cells.append(actions(record)) }
        return cells
    }

    private func grant(_ details: ManagedSecretDetails) -> HTML {
        guard let grantID = details.grantID?.text else { return "none" }
        let element = "grant-" + details.record.id.text
        return """
            <code id="\(element)">\(grantID)</code> <button type="button" class="plain compact" data-copy="\(element)" \
            hidden aria-label="Copy the grant ID of \(details.record.name)">Copy</button>
            """
    }

    private func actions(_ record: ManagedSecretRecord) -> HTML {
        let thing = "\(record.name) (\(record.slug))"
        let replace = ActionLink(
            path: path(record.id.text + "/value"), label: "Replace the value", thing: "of " + thing)
        let delete = ActionLink(path: path(record.id.text + "/delete"), label: "Delete", thing: thing, style: "danger")
        return "\(replace.html)\(delete.html)"
    }
}

/// The first step of a new secret.
struct SecretTypePage: Sendable {
    let app: AppRecord

    var html: HTML {
        """
        <div class="page-head"><h1>New managed secret</h1></div>
        <p>What kind of secret is it?</p>
        <ul class="cards">
        \(ManagedCredentialType.allCases.map(card))
        </ul>
        """
    }

    private func card(_ type: ManagedCredentialType) -> HTML {
        """
        <li>
        <h2><a href="\(SitePath.portalApp(app.id.text, "secrets/new/" + type.rawValue).path)">\(type.title)</a></h2>
        <p class="quiet">\(type.words)</p>
        </li>
        """
    }
}

struct SecretValueFields: Sendable {
    let type: ManagedCredentialType
    let state: FormState

    var html: HTML {
        let fields = type.parts.map { part in
            Field(
                part.field, part.label, state, kind: part.isSecret ? .password : .text, isRequired: true,
                autocomplete: part.isSecret ? "new-password" : "off"
            ).html
        }
        return "\(fields)"
    }
}

struct NewSecretPage: Sendable {
    let app: AppRecord
    let type: ManagedCredentialType
    let csrfToken: String
    let state: FormState

    var html: HTML {
        """
        <div class="page-head"><h1>New managed secret</h1> <span class="quiet">\(type.title)</span></div>
        <section class="panel" aria-label="\(type.title)">
        <form method="post" action="\(SitePath.portalApp(app.id.text, "secrets/new/" + type.rawValue).path)">
        \(CSRFField(csrfToken).html)
        \(state.alert)
        \(Field("name", "Name", state, hint: "For people.", isRequired: true).html)
        \(Field(
            "slug", "Slug", state,
            hint: "What code calls it: lower-case letters, digits, hyphens. It cannot be changed.", isRequired: true
        ).html)
        \(SecretValueFields(type: type, state: state).html)
        \(Field(
            "allowed_hosts", "Allowed hosts", state, kind: .area(rows: 3),
            hint: """
                One a line: <code>api.example.com</code>, <code>*.example.com</code> or \
                <code>api.example.com:8443</code>. The value is sent nowhere else.
                """,
            isRequired: true).html)
        \(injection)
        <p class="actions"><button>Save</button>
        <a class="button plain" href="\(SitePath.portalApp(app.id.text, "secrets/new").path)">Another type</a></p>
        </form>
        </section>
        """
    }

    private var injection: HTML {
        let usual = type.defaultInjection
        let names = ["injection.header", "injection.format", "injection.additional"]
        let isUsed = names.contains { !state.values[$0].isEmpty }
        let open: HTML? = isUsed ? " open" : nil
        return """
            <details\(open)>
            <summary>How it is sent</summary>
            \(Field("injection.header", "Header", state, placeholder: usual.header).html)
            \(Field(
                "injection.format", "Format", state,
                hint: "<code>{token}</code> stands for the value.", placeholder: usual.format).html)
            \(Field(
                "injection.additional", "Further headers and parameters", state, kind: .area(rows: 4),
                hint: """
                    JSON: a list such as \
                    <code>[{"target": "query_param", "key": "key", "value_source": "token"}]</code>; \
                    <code>target</code> may also be <code>header</code>.
                    """
            ).html)
            </details>
            """
    }
}

/// One secret: everything but its value.
struct SecretPage: Sendable {
    let app: AppRecord
    let mayChange: Bool
    let details: ManagedSecretDetails
    let snippet: PythonSnippet
    let now: Instant

    private var record: ManagedSecretRecord { details.record }
    private func path(_ page: String) -> String {
        SitePath.portalApp(app.id.text, "secrets/" + record.id.text + page).path
    }

    var html: HTML {
        """
        <div class="page-head"><h1>\(record.name)</h1>\(mayChange ? actions : nil)</div>
        <section class="panel" aria-labelledby="facts">
        <h2 id="facts">\(record.typeTitle)</h2>
        \(Facts([
            (name: "Slug", value: "<code>\(record.slug)</code>"),
            (name: "Sent only to", value: record.hosts),
            (name: "Sent as", value: sending),
            (name: "Created", value: TimeText(instant: record.createdAt, now: now).html),
        ]).html)
        \(details.grantID.map { CopyField(id: "grant", label: "Grant ID", value: $0.text).html })
        <p class="quiet">The value itself is never shown. It can only be replaced.</p>
        </section>
        <section class="panel" aria-labelledby="use">
        <h2 id="use">How to use it</h2>
        \(CopyBlock(
            id: "snippet", label: "Python",
            text: snippet.using(
                slug: record.slug, grantID: details.grantID?.text, host: record.allowedHosts.first ?? "")).html)
        </section>
        """
    }

    private var sending: HTML {
        let injection = CredentialInjection(stored: record.injection)
        let more = injection.additional.map { item -> HTML in
            let kind = item.target == .header ? "header" : "parameter"
            return ", and in the \(kind) <code>\(item.key)</code>"
        }
        return "<code>\(injection.header): \(injection.format)</code>\(more)"
    }

    private var actions: HTML {
        """
        <p class="actions"><a class="button plain" href="\(path("/value"))">Replace the value</a>
        <a class="button danger" href="\(path("/delete"))">Delete</a></p>
        """
    }
}
