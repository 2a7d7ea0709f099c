import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

/// The trail, newest first, with what narrows it.
struct AuditListPage: Sendable {
    let appID: String
    let state: FormState
    let filter: [(String, String)]
    /// `nil` when the filter could not be read.
    let listing: AuditListing?
    let pager: Pager
    let isFirst: Bool
    let now: Instant

    private var path: String { SitePath.portalApp(appID, "audit").path }

    var html: HTML {
        """
        <div class="page-head"><h1>Audit</h1>
        <p class="actions"><a href="\(path)/trail">Integrity, retention and streams</a></p></div>
        <section class="panel" aria-labelledby="find">
        <h2 id="find">Find records</h2>
        \(problem)
        \(form)
        </section>
        \(isFirst && listing != nil ? live : nil)
        <div id="records">
        \(listing.map(records))
        </div>
        \(pager.html)
        """
    }

    /// What is wrong with the whole, or with what no field of the form shows.
    private var problem: HTML? {
        let unseen = ["event", "trace_id", "format"].compactMap { name in
            state.problem(name).map { "\(name) \($0)." }
        }
        var said = [state.message].compactMap(\.self) + unseen
        if state.problem("cursor") != nil { said.append("This link is from another list. Search again.") }
        return said.isEmpty ? nil : Notice("\(said.joined(separator: " "))", .bad, isAlert: true).html
    }

    private var form: HTML {
        let decisions = [
            (value: "", label: "any"), (value: "allow", label: "allowed"), (value: "deny", label: "refused"),
        ]
        return """
            <form method="get" action="\(path)">
            <div class="filters">
            \(eventField)
            \(Field("decision", "Decision", state, kind: .select(decisions)).html)
            \(Field("provider_id", "Provider", state, kind: .search).html)
            \(Field("user_id", "User ID", state, kind: .search).html)
            \(Field("grant_id", "Grant ID", state, kind: .search).html)
            \(Field("request_id", "Request ID", state, kind: .search).html)
            \(Field("from", "From (UTC)", state, kind: .dateTime).html)
            \(Field("to", "To (UTC)", state, kind: .dateTime).html)
            <p class="actions"><button>Find</button> <a class="button plain" href="\(path)">Clear</a></p>
            </div>
            </form>
            <p class="actions">
            <a class="button plain compact" href="\(export("csv"))">Export as CSV</a>
            <a class="button plain compact" href="\(export("ndjson"))">Export as NDJSON</a>
            <span class="quiet">All records that fit, oldest first. An export is itself on record.</span>
            </p>
            """
    }

    private func export(_ format: String) -> String {
        path + "/export?" + FormText.query([("format", format)] + filter)
    }

    /// Every known event by its words, and the one at hand even when it is none of them.
    private var eventField: HTML {
        let current = state.values["event"]
        func option(_ name: String, _ label: String) -> HTML {
            let selected: HTML? = name == current ? " selected" : nil
            return "<option value=\"\(name)\"\(selected)>\(label)</option>"
        }
        let groups = AuditWords.groups.map { group -> HTML in
            "<optgroup label=\"\(group.title)\">\(group.events.map { option($0.name, $0.words) })</optgroup>\n"
        }
        let isOther = !current.isEmpty && AuditWords.words(current) == nil
        return """
            <div class="field">
            <label for="f-event">Event</label>
            <select id="f-event" name="event">
            \(option("", "any"))
            \(isOther ? option(current, current) : nil)
            \(groups)</select>
            </div>
            """
    }

    private var live: HTML {
        """
        <label class="check" hidden><input type="checkbox" data-live="records"> \
        <span>Show new records as they come</span></label>
        """
    }

    private func records(_ listing: AuditListing) -> HTML {
        let window = listing.window
        let note: HTML? =
            window.isCut
            ? Notice(
                "These are what fits among the records looked at so far, back to a certain time. There may be more further back."
            ).html : nil
        guard !window.records.isEmpty else {
            return window.isCut ? "\(note)" : empty
        }
        let table = DataTable(
            label: "Audit records",
            columns: [
                .init("Time"), .init("Event"), .init("Decision"), .init("Who"), .init("Provider"), .init("What"),
                .init("Reason"),
            ],
            rows: window.records.map { row(AuditRecordWords(record: $0.record, operators: listing.operators)) })
        return "\(table.html)\(note)"
    }

    private var empty: HTML {
        filter.isEmpty
            ? EmptyState(title: "Nothing on record", text: "What is done with this app from now on shows here.").html
            : EmptyState(
                title: "Nothing fits", text: "No record of this app fits what you look for.",
                action: "<a class=\"button plain\" href=\"\(path)\">Show all records</a>"
            ).html
    }

    private func row(_ words: AuditRecordWords) -> [HTML] {
        let time = words.occurredAt
        let name = AuditWords.words(words.event) ?? words.event
        let link: HTML =
            "<a href=\"\(path)/\(words.text("id") ?? "")\" aria-label=\"\(name), \(time?.rfc3339 ?? "")\">\(name)</a>"
        return [
            time.map { TimeText(instant: $0, now: now).html } ?? "",
            "\(link)<br><code class=\"quiet\">\(words.event)</code>", words.decision, "\(words.who)",
            "\(words.text("provider_id") ?? "")", words.call.map { "<span class=\"address\">\($0)</span>" } ?? "",
            "\(shortened(words.text("reason") ?? ""))",
        ]
    }

    private func shortened(_ text: String) -> String { text.count > 160 ? String(text.prefix(160)) + "…" : text }
}

/// One record: all that it says, and why the use was decided as it was.
struct AuditRecordPage: Sendable {
    let appID: String
    let view: AuditView
    let now: Instant

    private var words: AuditRecordWords { AuditRecordWords(record: view.record.record, operators: view.operators) }
    private var explanation: AuditExplanation { AuditExplanation(view.record.record) }

    var html: HTML {
        """
        <p class="eyebrow"><a href="\(SitePath.portalApp(appID, "audit").path)">Audit</a></p>
        <div class="page-head"><h1>\(AuditWords.words(words.event) ?? words.event)</h1>\(words.decision)</div>
        \(changes)
        <section class="panel" aria-labelledby="facts">
        <h2 id="facts">What is on record</h2>
        \(facts)
        </section>
        \(rules)
        <section class="panel" aria-labelledby="whole">
        <h2 id="whole">The whole record</h2>
        \(CopyBlock(id: "record", label: "Record as JSON", text: IndentedJSON.text(.object(view.record.json))).html)
        </section>
        """
    }

    private var changes: HTML? {
        let changes = explanation.changes
        guard !changes.isEmpty else { return nil }
        return """
            <section class="panel" aria-labelledby="changes">
            <h2 id="changes">What would have to change</h2>
            <p>\(explanation.summary.last ?? "")</p>
            <ul class="steps">\(changes.map { "<li>\($0)</li>" as HTML })</ul>
            </section>
            """
    }

    private var facts: HTML {
        let record = view.record.record
        func plain(_ name: String) -> HTML? { words.text(name).map { "\($0)" } }
        func code(_ text: String?) -> HTML? { text.map { "<code>\($0)</code>" } }
        func link(_ name: String, _ page: String) -> HTML? {
            guard let id = words.text(name) else { return nil }
            return "<a href=\"\(SitePath.portalApp(appID, page + "/" + id).path)\"><code>\(id)</code></a>"
        }
        let time: HTML? = words.occurredAt.map { "\(TimeText(instant: $0, now: now).html) (\($0.rfc3339))" }
        let who: HTML = "\(words.who)"
        let latency: HTML? = record["latency_ms"]?.number.map { "\($0.text) ms" }
        let own: [(name: String, value: HTML?)] = [
            (name: "Time", value: time), (name: "Event", value: code(words.event)), (name: "Who", value: who),
            (name: "User", value: link("user_id", "users")), (name: "Grant", value: link("grant_id", "grants")),
            (name: "Provider", value: plain("provider_id")), (name: "Method", value: plain("method")),
            (name: "Address", value: code(words.text("url"))),
            (name: "Answered", value: code(record["status"]?.number?.text)), (name: "Took", value: latency),
            (name: "Reason", value: plain("reason")), (name: "Caller’s address", value: code(words.text("peer"))),
            (name: "Request", value: code(words.text("request_id"))),
            (name: "Trace", value: code(words.text("trace_id"))),
            (name: "Context", value: code(record["context"]?.text)),
        ]
        let details = (record["details"]?.object ?? [:]).members.filter { $0.name != "rules" }
        let others = details.map { member -> (name: String, value: HTML?) in
            (name: member.name, value: code(member.value.string ?? member.value.text))
        }
        let chain: [(name: String, value: HTML?)] = [
            (name: "Record number", value: code(String(view.record.sequence))),
            (name: "Chain", value: code(view.record.chain.name)),
            (name: "Hash", value: code(String(Hex.encode(view.record.hash)))),
        ]
        return Facts(own + others + chain).html
    }

    private var rules: HTML? {
        let outcomes = view.record.record["details"]?["rules"]?.array ?? []
        guard !outcomes.isEmpty else { return nil }
        let table = DataTable(
            label: "Rules", columns: [.init("Rule"), .init("Policy"), .init("Outcome"), .init("Why"), .init("Needed")],
            rows: outcomes.map { outcome -> [HTML] in
                func part(_ name: String) -> HTML { "\(outcome[name]?.string ?? "")" }
                return [
                    part("rule"), part("layer"), RuleResultWords.badge(outcome["result"]?.string).html, part("reason"),
                    part("needed"),
                ]
            })
        return """
            <section class="panel" aria-labelledby="rules">
            <h2 id="rules">Rules that were asked</h2>
            \(table.html)
            </section>
            """
    }
}

/// JSON for reading, a member on each line.
enum IndentedJSON {
    /// What a page would not show as it is stands as its escape, so that the text is still the same JSON.
    static func text(_ value: JSON) -> String {
        indented(value, "").unicodeScalars.reduce(into: "") { output, scalar in
            switch scalar {
            case "\u{7F}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}":
                let digits = String(scalar.value, radix: 16)
                output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: output.unicodeScalars.append(scalar)
            }
        }
    }

    private static func indented(_ value: JSON, _ indent: String) -> String {
        let deeper = indent + "  "
        switch value {
        case .object(let object) where !object.isEmpty:
            let members = object.members.map {
                deeper + JSON.string($0.name).text + ": " + indented($0.value, deeper)
            }
            return "{\n" + members.joined(separator: ",\n") + "\n" + indent + "}"
        case .array(let items) where !items.isEmpty:
            return "[\n" + items.map { deeper + indented($0, deeper) }.joined(separator: ",\n") + "\n" + indent
                + "]"
        default: return value.text
        }
    }
}
