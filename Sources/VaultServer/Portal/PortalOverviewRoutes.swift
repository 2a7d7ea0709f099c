import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The overview of an app: how far it is set up, what was done with it, and code for a first call.

extension PortalRoutes {
    var overviewRoutes: [Route<PortalCaller>] {
        [
            Route("GET", Self.app, "The overview of an app") { caller, exchange in
                let overview = try vault.overview(
                    caller.account, appID: exchange.appID,
                    range: UsageRange(rawValue: exchange.queryForm["range"]) ?? .day)
                return page(
                    caller, exchange, "Overview", app: overview.app, section: .overview,
                    OverviewPage(overview: overview, baseURL: vault.configuration.publicURL).html)
            }
        ]
    }
}

struct OverviewPage: Sendable {
    let overview: AppOverview
    let baseURL: String

    private var usage: UsageReport { overview.usage }
    private func path(_ page: String) -> String { SitePath.portalApp(overview.app.id.text, page).path }

    var html: HTML {
        """
        <div class="page-head"><h1>Overview</h1>\(overview.app.archivedAt == nil ? nil : Badge("archived", .warn).html)</div>
        \(GettingStarted(appID: overview.app.id.text, progress: overview.progress).html)
        \(figures)
        <section aria-labelledby="use">
        <div class="page-head"><h2 id="use">Use</h2>\(ranges)</div>
        \(charts)
        </section>
        \(snippets)
        """
    }

    private var figures: HTML {
        """
        <dl class="figures">
        <div><dt>Users</dt><dd>\(overview.holdings.users.text)</dd></div>
        <div><dt>Grants</dt><dd>\(overview.holdings.grants.text)</dd></div>
        <div><dt>Calls, \(usage.range.title)</dt><dd>\(CappedCount.grouped(usage.total.calls))</dd></div>
        <div><dt>Refusals, \(usage.range.title)</dt><dd>\(CappedCount.grouped(usage.total.refusals))</dd></div>
        </dl>
        """
    }

    private var ranges: HTML {
        let links = UsageRange.allCases.map { range -> HTML in
            let current: HTML? = range == usage.range ? " aria-current=\"true\"" : nil
            return
                "<a class=\"button plain compact\" href=\"\(path(""))?range=\(range.rawValue)\"\(current)>\(range.label)</a>\n"
        }
        return "<nav class=\"ranges\" aria-label=\"Time shown\">\(links)</nav>"
    }

    private var charts: HTML {
        guard usage.total.sum > 0 else {
            return """
                <div class="empty"><h3>Nothing happened in the \(usage.range.title)</h3>
                <p>Calls, refusals and refreshes show here a few seconds after they happen.</p></div>
                """
        }
        let legend = UsageOutcome.drawn.map { outcome -> HTML in
            "<li><span class=\"key key-\(outcome.rawValue)\"></span>\(outcome.title)</li>"
        }
        return """
            <section class="panel" aria-labelledby="over-time">
            <h3 id="over-time">Over time</h3>
            <ul class="legend">\(legend)</ul>
            \(UsageColumns(report: usage).html)
            <p class="quiet">Times are UTC.</p>
            </section>
            <section class="panel" aria-labelledby="by-provider">
            <h3 id="by-provider">By provider</h3>
            <ul class="legend">\(legend)</ul>
            \(UsageBars(report: usage).html)
            </section>
            """
    }

    private var snippets: HTML {
        let snippets = Snippets(baseURL: baseURL, call: overview.sample)
        let open: HTML? = overview.progress.hasCall ? nil : " open"
        return """
            <section class="panel" aria-labelledby="first-call">
            <h2 id="first-call">Call from your code</h2>
            <p>With an API key of this app in <code>ALTER_API_KEY</code>. Keys are minted on \
            <a href="\(path("keys"))">API keys</a>.</p>
            <details\(open)><summary>Code for a first call</summary>
            \(CopyBlock(id: "python", label: "Python, with the official SDK", text: snippets.python).html)
            \(CopyBlock(id: "swift", label: "Swift, with URLSession and swift-crypto", text: snippets.swift).html)
            </details>
            </section>
            """
    }
}

/// What is left to do before the app is in use. It ticks itself.
struct GettingStarted: Sendable {
    let appID: String
    let progress: AppProgress

    private struct Step {
        let isDone: Bool
        let title: String
        let hint: String
        /// The page where it is done; the last step is done in code.
        let page: String?
    }

    private var steps: [Step] {
        [
            Step(
                isDone: progress.hasProvider, title: "Add an OAuth provider",
                hint: "What users connect, or a managed secret of your own.", page: "providers"),
            Step(
                isDone: progress.hasKey, title: "Mint an API key", hint: "Your code signs its requests with it.",
                page: "keys"),
            Step(
                isDone: progress.hasIdentityProvider, title: "Add your identity provider",
                hint: "So that the vault knows your users by their tokens. An app without users needs none.",
                page: "identity"),
            Step(
                isDone: progress.hasUser, title: "See the first user",
                hint: "Users are there from their first token or sign-in.", page: "users"),
            Step(
                isDone: progress.hasCall, title: "Make the first call", hint: "With the code at the end of this page.",
                page: nil),
        ]
    }

    var html: HTML {
        let steps = steps
        let done = steps.filter(\.isDone).count
        guard done < steps.count else {
            return
                "<p class=\"quiet\" id=\"getting-started\">Set-up is complete: all \(String(done)) steps are done.</p>"
        }
        return """
            <section class="panel" aria-labelledby="getting-started">
            <h2 id="getting-started">Getting started: \(String(done)) of \(String(steps.count)) done</h2>
            <ul class="checklist">
            \(steps.map(item))</ul>
            </section>
            """
    }

    private func item(_ step: Step) -> HTML {
        let target = step.page.map { SitePath.portalApp(appID, $0).path } ?? "#first-call"
        let tick: HTML = step.isDone ? "✓" : ""
        let doneClass: HTML? = step.isDone ? " class=\"is-done\"" : nil
        let spoken: HTML = step.isDone ? "done: " : "to do: "
        let secrets: HTML? =
            step.page == "providers"
            ? " <a href=\"\(SitePath.portalApp(appID, "secrets").path)\">Managed secrets</a>" : nil
        return """
            <li\(doneClass)><span class="tick" aria-hidden="true">\(tick)</span>\
            <span><span class="visually-hidden">\(spoken)</span><a href="\(target)">\(step.title)</a> \
            <span class="quiet">\(step.hint)</span>\(secrets)</span></li>

            """
    }
}
