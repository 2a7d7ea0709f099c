import VaultAPI
import VaultDomain
import VaultService
import VaultStore

/// A question to the policies, and what they answer. The question is in the address, so that it can be passed on.
struct SimulationPage: Sendable {
    enum Outcome: Sendable {
        case nothing
        /// Whom the words could mean.
        case candidates([UserDetails])
        case decided(Simulation, UserDetails?)
    }

    private static let candidatesShown = 10

    let appID: AppID
    let providers: [String]
    let keys: [APIKeyRecord]
    let state: FormState
    let outcome: Outcome

    private var path: String { SitePath.portalApp(appID.text, "policies/simulate").path }

    var html: HTML {
        """
        <div class="page-head"><h1>Simulate a call</h1>
        <p class="actions"><a class="button plain" href="\(SitePath.portalApp(appID.text, "policies").path)">Policies</a></p></div>
        \(answer)
        <section class="panel" aria-labelledby="question">
        <h2 id="question">The call</h2>
        <p>Decides an imagined call as a real one would be, and changes nothing. The address of this page holds the question: share it.</p>
        \(question)
        </section>
        """
    }

    private var question: HTML {
        let providerChoices = choices(providers.map { (value: $0, label: $0) }, of: "provider_id", none: "–")
        let keyChoices = choices(
            keys.map { (value: $0.id.text, label: "\($0.name) (\($0.prefix)…)") }, of: "key_id", none: "any")
        let modes = [
            (value: "proxy", label: "the vault makes the call"),
            (value: "retrieve", label: "the app gets the credential"),
        ]
        return """
            <form method="get" action="\(path)">
            \(state.alert)
            \(Field("user", "Who", state, kind: .search, hint: "E-mail, subject, name or id of a user. Empty: the app itself.").html)
            \(Field("provider_id", "Provider", state, kind: .select(providerChoices)).html)
            \(Field("grant_id", "Or a grant, by its id", state, kind: .search).html)
            \(Field("mode", "How", state, kind: .select(modes)).html)
            \(Field("method", "Method", state, placeholder: "GET").html)
            \(Field("url", "Address of the call", state, kind: .url, placeholder: "https://api.example.com/v1/items").html)
            \(Field("ip", "From address", state, hint: "Of your app’s server.", placeholder: "203.0.113.7").html)
            \(Field("at", "When", state, kind: .dateTime, hint: "In UTC. Empty: now.").html)
            \(Field("key_id", "API key", state, kind: .select(keyChoices)).html)
            <p class="actions"><button>Simulate</button></p>
            </form>
            """
    }

    /// With what the address names, should it not be in the list.
    private func choices(_ listed: [(value: String, label: String)], of name: String, none: String) -> [(
        value: String, label: String
    )] {
        let named = state.values[name]
        let isMissing = !named.isEmpty && !listed.contains { $0.value == named }
        return [(value: "", label: none)] + listed + (isMissing ? [(value: named, label: named)] : [])
    }

    private var answer: HTML? {
        switch outcome {
        case .nothing: nil
        case .candidates(let users): candidates(users)
        case .decided(let simulation, let person): decided(simulation, person)
        }
    }

    private func candidates(_ users: [UserDetails]) -> HTML {
        let names = ["provider_id", "grant_id", "key_id", "mode", "method", "url", "ip", "at"]
        let rest = names.map { ($0, state.values[$0]) }.filter { !$0.1.isEmpty }
        return """
            <section class="panel" aria-labelledby="who">
            <h2 id="who">Who is meant?</h2>
            <ul class="steps">
            \(users.prefix(Self.candidatesShown).map { details -> HTML in
                let user = details.record.user
                let address = path + "?" + FormText.query([("user", user.id.text)] + rest)
                return "<li><a href=\"\(address)\">\(user.shownName)</a> <span class=\"quiet\">\(user.email ?? user.externalSubjectID)</span></li>\n"
            })
            </ul>
            <p class="quiet">Somebody else? Give more of the name, or the e-mail address.</p>
            </section>
            """
    }

    private func decided(_ simulation: Simulation, _ person: UserDetails?) -> HTML {
        let verdict: HTML =
            simulation.isAllowed
            ? "<p class=\"verdict good\">Allowed</p>" : "<p class=\"verdict bad\">Not allowed</p>"
        let who: HTML? = person.map { Principal.link(appID, $0.record.user.id, $0.record.user.shownName) }
        return """
            <section aria-labelledby="decision">
            <h2 id="decision">Decision</h2>
            \(verdict)
            \(who.map { "<p>For \($0).</p>" as HTML })
            \(DataTable(
                label: "Every rule", columns: [.init("Layer"), .init("Rule"), .init("Result"), .init("Why")],
                rows: simulation.rules.map(Self.row)).html)
            </section>
            """
    }

    private static func row(_ rule: JSON) -> [HTML] {
        let needed: HTML? = rule["needed"]?.string.map { "<br><span class=\"quiet\">needed: \($0)</span>" }
        return [
            "\(rule["layer"]?.string ?? "")", Code(rule["rule"]?.string ?? "").html,
            RuleResultWords.badge(rule["result"]?.string).html, "\(rule["reason"]?.string ?? "")\(needed)",
        ]
    }
}
