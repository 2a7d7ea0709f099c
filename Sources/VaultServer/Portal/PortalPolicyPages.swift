import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The pages of policies: what each says, and one of them as a form.

/// A policy in words.
struct PolicySentences: Sendable {
    /// `nil` for one that cannot be read.
    let document: JSONObject?

    var html: HTML {
        guard let document else {
            return Notice("What is stored cannot be read, and refuses everything. Save it again.", .bad).html
        }
        let sentences = PolicyWords.sentences(document)
        guard !sentences.isEmpty else { return "<p class=\"quiet\">No rule: everything is allowed here.</p>" }
        return "<ul class=\"steps\">\(sentences.map { "<li>\($0.text)</li>\n" as HTML })</ul>"
    }
}

struct PolicyListPage: Sendable {
    let appID: AppID
    let policies: [PolicyRecord]
    let providers: [String]
    /// Of this page.
    let secrets: [String]
    let isFirst: Bool
    let isReadOnly: Bool
    let pager: Pager

    /// The app's own first; then whatever has a policy or could have one. Later pages go on with the app's own secrets.
    private var targets: [String] {
        guard isFirst else { return secrets.sorted() }
        return ["*"] + Set(providers + secrets + policies.map(\.target)).subtracting(["*"]).sorted()
    }

    var html: HTML {
        """
        <div class="page-head"><h1>Policies</h1>
        <p class="actions"><a class="button plain" href="\(SitePath.portalApp(appID.text, "policies/simulate").path)">Simulate a call</a></p></div>
        <p>A use is allowed when every policy that bears on it allows it: that of the app, of the provider, of the grant, and of the API key. An edit acts on the next request. Grants and API keys have their policies on their own pages.</p>
        \(targets.map(panel))
        \(pager.html)
        """
    }

    private func panel(_ target: String) -> HTML {
        let place = PolicyPlace(appID: appID.text, .provider(target))
        let record = policies.first { $0.target == target }
        let name = target == "*" ? "Every provider" : target
        let id = "policy-" + (target == "*" ? "app" : target)
        let words: HTML =
            record.map { PolicySentences(document: $0.document).html } ?? "<p class=\"quiet\">No policy.</p>"
        return """
            <section class="panel" aria-labelledby="\(id)">
            <h2 id="\(id)">\(name)</h2>
            \(words)
            <p class="actions"><a class="button plain compact" href="\(place.path.path)" aria-label="\(isReadOnly ? "Show" : "Edit") the policy: \(name)">\(isReadOnly ? "Show" : "Edit")</a></p>
            </section>
            """
    }
}

struct PolicyPage: Sendable {
    /// Rows to fill beside those that are filled.
    static let rowsToFill = 2

    let caller: PortalCaller
    let place: PolicyPlace
    let stored: PolicyRecord?
    let state: FormState
    let emptyRows: Int
    let isReadOnly: Bool

    private var path: String { place.path.path }

    var html: HTML {
        """
        <div class="page-head"><h1>\(place.title)</h1>
        <p class="actions"><a class="button plain" href="\(place.parent.path)">Back</a></p></div>
        <p>\(place.explanation)</p>
        <section class="panel" aria-labelledby="says">
        <h2 id="says">What it says</h2>
        \(words)
        </section>
        \(isReadOnly ? nil : form)
        \(isReadOnly || stored == nil ? nil : deletion)
        """
    }

    private var words: HTML {
        stored.map { PolicySentences(document: $0.document).html }
            ?? "<p class=\"quiet\">There is no policy here yet. Fill in what should be limited.</p>"
    }

    private var problem: HTML? {
        if let alert = state.alert { return alert }
        guard !state.problems.isEmpty else { return nil }
        return Notice("Nothing was saved. Look at what is marked below.", .bad, isAlert: true).html
    }

    private var form: HTML {
        """
        <section class="panel" aria-labelledby="rules">
        <h2 id="rules">Rules</h2>
        \(problem)
        \(Notice("What is left empty is not limited. A change acts on the next request.").html)
        <form method="post" action="\(path)">
        \(caller.csrfField)
        \(who)
        \(time)
        \(calls)
        \(limits)
        \(approval)
        <p class="actions"><button name="action" value="save">Save</button>
        <button class="plain" name="action" value="more">Save, and add more hours</button></p>
        </form>
        </section>
        """
    }

    /// A list, one entry on each line.
    private func list(_ name: String, _ label: String, hint: HTML) -> HTML {
        let box = PolicyForm.emptyBox(name)
        let isEmptyList = state.values.has(box, "on")
        let keep: HTML? =
            isEmptyList
            ? CheckBox(
                name: box, value: "on", label: "\(label): keep the empty list, which refuses everything", state: state
            ).html
            : nil
        return "\(Field(name, label, state, kind: .area(rows: 3), hint: hint).html)\(keep)"
    }

    private var who: HTML {
        """
        <h3>Who</h3>
        \(list("allowed_groups", "Allowed groups", hint: "One on each line, exactly as the identity provider names them."))
        \(list("allowed_roles", "Allowed roles", hint: "One on each line."))
        \(list(
            "ip_allowlist", "Allowed addresses",
            hint: "Addresses or ranges such as 203.0.113.0/24, one on each line. They are held against the address of your app’s server, not against that of the end user."))
        """
    }

    private var time: HTML {
        let filled = (0..<PolicyForm.windowsMax).filter { row in
            ["start", "end"].contains { !state.values[PolicyForm.window(row, $0)].isEmpty }
        }
        let count = min((filled.last ?? -1) + 1 + emptyRows, PolicyForm.windowsMax)
        return """
            <h3>When</h3>
            <fieldset><legend>Only</legend>
            \(CheckBox(name: "time.business_hours_only", value: "on", label: "in business hours, 09:00 to 17:00", state: state).html)
            \(CheckBox(name: "time.weekdays_only", value: "on", label: "on weekdays, Monday to Friday", state: state).html)
            </fieldset>
            \(Field(
                "time.timezone", "Time zone", state,
                hint: "An IANA name such as Europe/Berlin. Empty: UTC.", placeholder: "Europe/Berlin").html)
            <p class="hint" id="hours-hint">Hours: a call fits when it is inside one of them. Times as 22:00, the end of a day as 24:00; an end before the start is on the next day. No day ticked: every day. Empty both times to take one away.</p>
            \((0..<count).map(hours))
            """
    }

    private static let dayLabels = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

    private func hours(_ row: Int) -> HTML {
        let name = PolicyForm.window(row, "days")
        let boxes = zip(PolicyForm.days, Self.dayLabels).map { day, label -> HTML in
            CheckBox(name: name, value: day, label: "\(label)", state: state).html
        }
        let problem: HTML? = state.problem(name).map { "<p class=\"problem\">Days \($0).</p>" }
        let number = String(row + 1)
        return """
            <fieldset class="hours" aria-describedby="hours-hint"><legend>Hours \(number)</legend>
            <div class="checks days">\(boxes)</div>
            \(problem)
            <div class="pair">
            \(Field(PolicyForm.window(row, "start"), "Hours \(number), from", state).html)
            \(Field(PolicyForm.window(row, "end"), "Hours \(number), to", state).html)
            </div>
            </fieldset>
            """
    }

    private var calls: HTML {
        """
        <h3>Which calls</h3>
        <p class="hint">With one of these, credentials are not handed out any more: calls go through the proxy, which can hold them against it.</p>
        \(list("methods", "Allowed methods", hint: "Such as GET, one on each line."))
        \(list("paths", "Allowed paths", hint: "Such as /v1/items/*, or /v1/** for everything below. One on each line, without queries."))
        """
    }

    private static let subjects = [
        (value: "grant", label: "each grant"), (value: "user", label: "each user"),
        (value: "provider", label: "each provider"), (value: "key", label: "each API key"),
        (value: "app", label: "the whole app"),
    ]

    private var limits: HTML {
        """
        <h3>How often, and how long</h3>
        \(Field("rate_limit.requests", "Uses at most", state, kind: .number).html)
        \(Field("rate_limit.per_seconds", "Within seconds", state, kind: .number, hint: "60 for a minute, 3600 for an hour.").html)
        \(Field("rate_limit.per", "Counted for", state, kind: .select(Self.subjects)).html)
        \(Field(
            "grant_ttl.default_seconds", "Life of a grant, in seconds", state, kind: .number,
            hint: "For grants that ask for no other. 86400 is a day.").html)
        \(Field(
            "grant_ttl.max_seconds", "Longest life of a grant, in seconds", state, kind: .number,
            hint: "Longer ones are cut, also those that exist.").html)
        """
    }

    private static let approvers = [(value: "user", label: "the user"), (value: "operator", label: "an operator")]

    private var approval: HTML {
        """
        <h3>Approval</h3>
        \(CheckBox(name: "require_approval", value: "on", label: "Somebody approves calls first", state: state).html)
        \(Field("require_approval.approvers", "Approved by", state, kind: .select(Self.approvers)).html)
        \(list("require_approval.methods", "Methods to approve", hint: "One on each line. Empty: all."))
        \(list("require_approval.paths", "Paths to approve", hint: "One on each line. Empty: all."))
        """
    }

    private var deletion: HTML {
        """
        <section class="panel" aria-labelledby="delete">
        <h2 id="delete">Remove</h2>
        <p>Without this policy, only the others limit what is allowed.</p>
        \(ButtonForm(path: path + "/delete", csrfToken: caller.csrfToken, label: "Remove this policy", style: "danger").html)
        </section>
        """
    }
}
