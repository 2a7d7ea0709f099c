import Foundation
import VaultAPI
import VaultDomain
import VaultService
import VaultStore

/// What happened with a user's connections: each record in words, with who did it and what came of it.
struct WalletActivityPage: Sendable {
    let frame: WalletFrame
    let query: WalletActivityQuery
    let page: ActivityPage
    let providers: [NamedProvider]
    let now: Instant

    var layout: PageLayout { frame.layout("Activity", at: .activity, body) }

    private var body: HTML {
        """
        <div class="page-head">
        <h1>Activity</h1>
        <p class="actions"><a class="button plain compact" href="\(query.address(of: .walletActivityFile))">Download as CSV</a></p>
        </div>
        \(filters)
        \(list)
        \(pager)
        """
    }

    private var filters: HTML {
        let state = FormState([
            (name: "provider", value: query.provider), (name: "kind", value: query.kind?.rawValue ?? ""),
        ])
        var names = providers
        if !query.provider.isEmpty, !names.contains(where: { $0.id == query.provider }) {
            names.append(NamedProvider(id: query.provider, name: query.provider))
        }
        let accounts = [(value: "", label: "All")] + names.map { (value: $0.id, label: $0.name) }
        let kinds =
            [(value: "", label: "Everything")]
            + UserActivityKind.allCases.map { (value: $0.rawValue, label: Self.label($0)) }
        return """
            <form class="filters" method="get" action="\(SitePath.walletActivity.path)" role="search" aria-label="Activity">
            \(Field("provider", "Provider", state, kind: .select(accounts)).html)
            \(Field("kind", "What", state, kind: .select(kinds)).html)
            \(dateField("from", "From", query.from))
            \(dateField("to", "To", query.to))
            <button class="plain">Show</button>
            \(query.isEmpty ? nil : reset)
            </form>
            """
    }

    private var reset: HTML? { "<a href=\"\(SitePath.walletActivity.path)\">Show all</a>" }

    private func dateField(_ name: String, _ label: String, _ value: String) -> HTML {
        """
        <div class="field"><label for="f-\(name)">\(label)</label>
        <input type="date" id="f-\(name)" name="\(name)" value="\(value)"></div>
        """
    }

    private static func label(_ kind: UserActivityKind) -> String {
        switch kind {
        case .used: "Uses"
        case .refused: "Refused"
        case .connections: "Connected or ended"
        case .account: "Sign-in and account"
        }
    }

    private var list: HTML {
        guard !page.items.isEmpty else { return nothing.html }
        return DataTable(
            label: "Activity",
            columns: ["When", "What", "Provider", "Call", "Outcome", "By", "Reason"].map { DataTable.Column($0) },
            rows: page.items.map(row)
        ).html
    }

    private var nothing: EmptyState {
        if page.isPartial {
            return EmptyState(title: "Nothing so far", text: "None of the latest records fits. There are older ones.")
        }
        if !query.isEmpty || query.cursor != nil {
            return EmptyState(title: "Nothing fits", text: "No record fits what you asked for.")
        }
        return EmptyState(
            title: "Nothing happened yet",
            text: """
                When \(frame.caller.app.name) uses an account that you connected, it is told here: what was called, when \
                and why.
                """)
    }

    private func row(_ item: UserActivity) -> [HTML] {
        let text = WalletActivityText(item: item, appName: frame.caller.app.name, providers: providers)
        let outcome: HTML
        switch item.outcome {
        case .refused: outcome = "\(Badge("refused", .bad).html) \(text.outcome)"
        case .failed: outcome = "\(Badge("failed", .warn).html)"
        case .done, .answered: outcome = "\(text.outcome)"
        }
        let call: HTML = text.call.isEmpty ? "" : "<code>\(text.call)</code>"
        return [
            TimeText(instant: item.occurredAt, now: now).html, "\(text.what)", "\(text.provider)", call, outcome,
            "\(text.who)", "\(text.reason)",
        ]
    }

    private var pager: HTML? {
        let older = page.next.map { cursor -> HTML in
            let address = query.address(of: .walletActivity, cursor: cursor)
            return "<a href=\"\(address)\" rel=\"next\">\(page.isPartial ? "Look further back" : "Older")</a>"
        }
        let newest: HTML? =
            query.cursor == nil ? nil : "<a href=\"\(query.address(of: .walletActivity))\">Newest</a>"
        guard older != nil || newest != nil else { return nil }
        return "<nav class=\"pager\" aria-label=\"Pages\">\(newest)\(older)</nav>"
    }
}

/// A record in the words of the page and of the file.
struct WalletActivityText: Sendable {
    let item: UserActivity
    let appName: String
    let providers: [NamedProvider]

    var what: String { item.words }

    var provider: String {
        item.providerID.map { id in providers.first { $0.id == id }?.name ?? id } ?? ""
    }

    var call: String { [item.method, item.place].compactMap(\.self).joined(separator: " ") }
    var reason: String { item.reason ?? "" }

    var outcome: String {
        switch item.outcome {
        case .done: return item.kind == .used ? "allowed" : ""
        case .failed: return "failed"
        case .refused(let why): return why
        case .answered(let status, let milliseconds):
            return "answered \(status)" + (milliseconds.map { " in \($0) ms" } ?? "")
        }
    }

    var who: String {
        switch item.initiator {
        case .user: "You"
        case .app(let label): label.map { "\(appName): \($0)" } ?? appName
        case .operators: "The people who run \(appName)"
        case .identityProvider: "Your sign-in provider"
        case .vault: "The vault"
        }
    }
}

/// The address of a list: what it is narrowed to, and where it goes on.
struct WalletActivityQuery: Sendable {
    var provider = ""
    var kind: UserActivityKind?
    /// Dates as they were typed, `2026-11-28`, both meant.
    var from = ""
    var to = ""
    var cursor: String?

    init(_ exchange: Exchange) throws {
        let values = try exchange.query()
        func text(_ name: String) -> String { values[name]?.string ?? "" }
        provider = text("provider")
        from = text("from")
        to = text("to")
        cursor = values["before"]?.string
        let kindText = text("kind")
        kind = UserActivityKind(rawValue: kindText)
        if kind == nil, !kindText.isEmpty { throw VaultError.validation("kind", "is not one of the list") }
    }

    var isEmpty: Bool { provider.isEmpty && kind == nil && from.isEmpty && to.isEmpty }

    func filter() throws -> ActivityFilter {
        ActivityFilter(
            kind: kind, providerID: provider.isEmpty ? nil : provider, from: try Self.midnight(from, "From"),
            end: try Self.midnight(to, "To")?.adding(seconds: 86_400))
    }

    private static func midnight(_ date: String, _ name: String) throws -> Instant? {
        guard !date.isEmpty else { return nil }
        guard let instant = Instant(rfc3339: date + "T00:00:00Z") else {
            throw VaultError.validation(name, "must be a date like 2026-11-28")
        }
        return instant
    }

    func address(of path: SitePath, cursor: String? = nil) -> String {
        let items = [
            ("provider", provider), ("kind", kind?.rawValue ?? ""), ("from", from), ("to", to),
            ("before", cursor ?? ""),
        ].filter { !$0.1.isEmpty }
        return path.path + (items.isEmpty ? "" : "?" + FormText.query(items))
    }
}
