import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

/// What has become of a key.
enum KeyState: Sendable, Equatable {
    case active
    /// Rotated, and still taken until then.
    case deprecated(until: Instant)
    /// Rotated, and its overlap is over.
    case replaced
    case expired
    case revoked
}

extension APIKeyRecord {
    func state(at now: Instant) -> KeyState {
        if revokedAt != nil { return .revoked }
        if let expiresAt, expiresAt <= now { return .expired }
        guard let graceEndsAt else { return .active }
        return graceEndsAt > now ? .deprecated(until: graceEndsAt) : .replaced
    }
}

struct KeyListPage: Sendable {
    let app: AppRecord
    let mayChange: Bool
    let keys: [APIKeyRecord]
    let pager: Pager
    let now: Instant

    private func path(_ page: String) -> String { SitePath.portalApp(app.id.text, "keys/" + page).path }

    var html: HTML {
        """
        <div class="page-head"><h1>API keys</h1>\(mayChange ? newButton : nil)</div>
        <p>With a key your server speaks for this app. Each is shown once, when it is made.</p>
        \(list)
        \(pager.html)
        """
    }

    private var newButton: HTML { "<p class=\"actions\"><a class=\"button\" href=\"\(path("new"))\">New key</a></p>" }

    private var list: HTML {
        guard !keys.isEmpty else {
            return EmptyState(
                title: "No key yet", text: "Create one, and give it to your server as a secret.",
                action: mayChange ? "<a class=\"button\" href=\"\(path("new"))\">Create the first key</a>" : nil
            ).html
        }
        let columns = ["Key", "May", "From", "Limit", "Created", "State"] + (mayChange ? ["Action"] : [])
        return DataTable(label: "API keys", columns: columns.map { DataTable.Column($0) }, rows: keys.map(row)).html
    }

    private func row(_ key: APIKeyRecord) -> [HTML] {
        let agent: HTML? = key.keyType == .agent ? Badge("agent").html : nil
        let limit = key.rateLimitPerMinute.map { "\($0) a minute" } ?? "none"
        var cells: [HTML] = [
            "\(key.name) \(agent)<br><code class=\"nowrap\">\(key.prefix)…</code>", scopes(key), addresses(key),
            "\(limit)", TimeText(instant: key.createdAt, now: now).html, state(key),
        ]
        if mayChange { cells.append(actions(key)) }
        return cells
    }

    private func scopes(_ key: APIKeyRecord) -> HTML {
        """
        <details><summary>\(KeyScopeWords.summary(key.scopes))</summary>
        <ul class="plain-list">\(key.scopes.map {
            "<li>\(KeyScopeWords.phrase($0)) <code>\($0)</code></li>" as HTML
        })</ul>
        </details>
        """
    }

    private func addresses(_ key: APIKeyRecord) -> HTML {
        guard let ranges = key.cidrAllowlist else { return "anywhere" }
        return CodeList(ranges).html
    }

    private func state(_ key: APIKeyRecord) -> HTML {
        switch key.state(at: now) {
        case .active:
            "\(Badge("active", .good).html) \(key.expiresAt.map { when("expires", $0) })"
        case .deprecated(let until):
            "\(Badge("deprecated", .warn).html) \(when("works until", until))"
        case .replaced: Badge("rotated", .bad).html
        case .expired: "\(Badge("expired", .bad).html) \(key.expiresAt.map { when("", $0) })"
        case .revoked: "\(Badge("revoked", .bad).html) \(key.revokedAt.map { when("", $0) })"
        }
    }

    private func when(_ word: String, _ instant: Instant) -> HTML {
        "<span class=\"quiet\">\(word) \(TimeText(instant: instant, now: now).html)</span>"
    }

    private func actions(_ key: APIKeyRecord) -> HTML {
        let thing = "\(key.name) (\(key.prefix)…)"
        let rotate = ActionLink(path: path(key.id.text + "/rotate"), label: "Rotate", thing: thing)
        let policy = ActionLink(path: path(key.id.text + "/policy"), label: "Policy", thing: thing)
        let revoke = ActionLink(path: path(key.id.text + "/revoke"), label: "Revoke", thing: thing, style: "danger")
        return switch key.state(at: now) {
        case .active: "\(policy.html)\(rotate.html)\(revoke.html)"
        case .deprecated: "\(policy.html)\(revoke.html)"
        case .replaced, .expired, .revoked: ""
        }
    }
}

struct NewKeyPage: Sendable {
    let app: AppRecord
    let csrfToken: String
    let state: FormState

    private static let types = [
        (value: "runtime", label: "App: your own server"),
        (value: "agent", label: "Agent: only what is delegated to it"),
    ]

    var html: HTML {
        """
        <div class="page-head"><h1>New API key</h1></div>
        <section class="panel" aria-label="New API key">
        <form method="post" action="\(SitePath.portalApp(app.id.text, "keys/new").path)">
        \(CSRFField(csrfToken).html)
        \(state.alert)
        \(Field("name", "Name", state, hint: "What will use it, such as “production web”.", isRequired: true).html)
        \(Field("key_type", "Type", state, kind: .select(Self.types)).html)
        \(scopes)
        \(limits)
        <p class="actions"><button>Create key</button>
        <a class="button plain" href="\(SitePath.portalApp(app.id.text, "keys").path)">Cancel</a></p>
        </form>
        </section>
        """
    }

    private var scopes: HTML {
        let problem = state.values.words("other_scopes").isEmpty ? state.problem("scopes") : nil
        let described: HTML? = problem == nil ? nil : " aria-describedby=\"scopes-problem\""
        return """
            <fieldset\(described)><legend>Scopes</legend>
            <p class="quiet">What the key may do. “Manage” includes changing, and changing includes reading.</p>
            <div class="checks">
            \(KeyScopeCatalog.verbs.keys.sorted().map(group))
            </div>
            \(problem.map { "<p class=\"problem\" id=\"scopes-problem\">Scopes \($0).</p>" as HTML })
            </fieldset>
            \(Field(
                "other_scopes", "Scopes for single providers or grants", typed, kind: .area(rows: 2),
                hint: "One a line, such as <code>tokens:retrieve:github</code>. Leave the box of the whole scope unticked."
            ).html)
            """
    }

    /// Problems of scopes belong to what was typed: a box cannot be wrong.
    private var typed: FormState {
        var typed = state
        if !state.values.words("other_scopes").isEmpty {
            for (field, problem) in state.problems where field.hasPrefix("scopes") {
                typed.problems["other_" + field] = problem
            }
        }
        return typed
    }

    private func group(_ resource: String) -> HTML {
        let boxes = (KeyScopeCatalog.verbs[resource] ?? []).map { verb -> HTML in
            let scope = resource + ":" + verb
            return CheckBox(
                name: "scopes", value: scope, label: "\(KeyScopeWords.verb(verb)) <code>\(scope)</code>", state: state,
                isInitiallyOn: KeyScopeCatalog.runtimeDefaults.contains(scope)
            ).html
        }
        return "<fieldset><legend>\(KeyScopeWords.resource(resource))</legend>\n\(boxes)</fieldset>\n"
    }

    private var limits: HTML {
        """
        \(Field(
            "cidr_allowlist", "Only from these addresses", state, kind: .area(rows: 3),
            hint: """
                The addresses of your own servers, not those of users: one a line, such as <code>203.0.113.7</code> or \
                <code>10.0.0.0/8</code>. Empty: from anywhere.
                """
        ).html)
        \(Field(
            "rate_limit_rpm", "Requests a minute", state, kind: .number, hint: "Empty: no limit."
        ).html)
        \(Field("expires_at", "Expires", state, kind: .dateTime, hint: "In UTC. Empty: never.").html)
        """
    }
}

/// Shown in answer to the form that made the key, and never again.
struct MintedKeyPage: Sendable {
    let app: AppRecord
    let minted: MintedKey
    /// The key that this one takes over from.
    let replaced: APIKeyRecord?
    let snippet: PythonSnippet
    let now: Instant

    var html: HTML {
        """
        <div class="page-head"><h1>Your new API key</h1></div>
        <section class="panel" aria-labelledby="minted">
        <h2 id="minted">\(minted.record.name)</h2>
        \(ShownOnce(id: "key", label: "API key", value: minted.key).html)
        \(overlap)
        <p class="actions"><a class="button" href="\(SitePath.portalApp(app.id.text, "keys").path)">I have copied it</a></p>
        </section>
        <section class="panel" aria-labelledby="use">
        <h2 id="use">How to use it</h2>
        <p>Keep it in your server’s secrets as <code>ALTER_API_KEY</code>, and install the official SDK with \
        <code>pip install alter-sdk</code>. Without https the SDK speaks only to a vault on its own machine.</p>
        \(CopyBlock(id: "snippet", label: "Python", text: snippet.opening(minted.record.keyType)).html)
        </section>
        """
    }

    private var overlap: HTML? {
        guard let replaced else { return nil }
        guard case .deprecated(let until) = replaced.state(at: now) else {
            return "<p>The old key <code>\(replaced.prefix)…</code> is refused from now on.</p>"
        }
        return """
            <p>The old key <code>\(replaced.prefix)…</code> works until \(until.dayAndTime). Change your servers before \
            that.</p>
            """
    }
}
