import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Policies of an app in the Portal: those of providers, of grants and of keys, each as a form; and what they would decide.

extension PortalRoutes {
    var policyRoutes: [Route<PortalCaller>] {
        var routes = policyOverviewRoutes
        routes += policyRoutes("/policies/{target}") { .provider($0.parameter("target")) }
        routes += policyRoutes("/grants/{grant_id}/policy") { .grant($0.grantID) }
        routes += policyRoutes("/keys/{key_id}/policy") { .key($0.parameter("key_id")) }
        return routes
    }

    private var policyOverviewRoutes: [Route<PortalCaller>] {
        [
            Route("GET", Self.app + "/policies", "Policies of an app") { caller, exchange in
                try policyListPage(caller, exchange)
            },
            // Before the policies of providers, one of which could have the name.
            Route("GET", Self.app + "/policies/simulate", "What policies would decide") { caller, exchange in
                try await simulationPage(caller, exchange)
            },
        ]
    }

    private func policyRoutes(_ template: String, _ target: @escaping @Sendable (Exchange) -> PolicyTarget)
        -> [Route<PortalCaller>]
    {
        [
            Route("GET", Self.app + template, "A policy") { caller, exchange in
                try policyPage(caller, exchange, target(exchange))
            },
            Route("POST", Self.app + template, "Set a policy") { caller, exchange in
                try await savePolicy(caller, exchange, target(exchange))
            },
            Route("POST", Self.app + template + "/delete", "Remove a policy") { caller, exchange in
                try await vault.deletePolicy(caller.account, appID: exchange.appID, target(exchange))
                return done(.deleted, PolicyPlace(appID: exchange.appID, target(exchange)).parent)
            },
        ]
    }

    private func policyListPage(_ caller: PortalCaller, _ exchange: Exchange) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let paging = try Paging(exchange)
        let secrets = try vault.managedSecrets(
            caller.account, appID: exchange.appID, after: paging.position, limit: paging.limit + 1)
        // Providers and what has a policy already are few; the app's own secrets go on from page to page.
        let isFirst = paging.position == .start
        let shown = PolicyListPage(
            appID: app.id,
            policies: try vault.policies(caller.account, appID: exchange.appID),
            providers: isFirst
                ? try vault.oauthProviders(caller.account, appID: exchange.appID).map(\.providerID) : [],
            secrets: secrets.prefix(paging.limit).map(\.record.slug),
            isFirst: isFirst, isReadOnly: !caller.mayChange(app),
            pager: Pager(
                paging, secrets, path: exchange.path,
                position: { PagePosition(at: $0.record.createdAt.milliseconds, id: $0.record.id.text) }))
        return page(caller, exchange, "Policies", app: app, section: .policies, shown.html)
    }

    /// What the app's users can connect, and the app's own secrets, as far as a menu can hold them.
    private func providerNames(_ caller: PortalCaller, _ exchange: Exchange) throws -> [String] {
        let providers = try vault.oauthProviders(caller.account, appID: exchange.appID).map(\.providerID)
        let secrets = try vault.managedSecrets(
            caller.account, appID: exchange.appID, after: .start, limit: Limits.pageMax
        ).map(\.record.slug)
        return (providers + secrets).sorted()
    }

    private func policyPage(
        _ caller: PortalCaller, _ exchange: Exchange, _ target: PolicyTarget, _ state: FormState? = nil
    ) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let stored = try vault.storedPolicy(caller.account, appID: exchange.appID, target)
        let place = PolicyPlace(appID: exchange.appID, target)
        let asked = Int(exchange.queryForm.raw("rows"))
        let shown = PolicyPage(
            caller: caller, place: place, stored: stored,
            state: state ?? PolicyForm.values(stored?.document ?? [:]),
            emptyRows: min(max(asked ?? PolicyPage.rowsToFill, 0), PolicyForm.windowsMax),
            isReadOnly: !caller.mayChange(app))
        return page(caller, exchange, place.title, app: app, section: place.section, shown.html)
    }

    private func savePolicy(_ caller: PortalCaller, _ exchange: Exchange, _ target: PolicyTarget) async throws
        -> Answer
    {
        _ = try writableApp(caller, exchange)
        let sent = exchange.form
        let form = PolicyForm.withoutEmptyWindows(sent)
        return try await exchange.submitting(form) {
            try policyPage(caller, exchange, target, $0)
        } _: {
            let stored = try vault.storedPolicy(caller.account, appID: exchange.appID, target)?.document ?? [:]
            let fields = Fields(PolicyForm.document(form, over: stored), unknownMembers: .refused)
            let policy = AccessPolicy(fields)
            try fields.finish()
            try await vault.setPolicy(caller.account, appID: exchange.appID, target, policy)
            let place = PolicyPlace(appID: exchange.appID, target)
            guard sent["action"] == "more" else { return done(.saved, place.path) }
            return .redirect("\(place.path.path)?done=\(PortalNotice.saved.rawValue)&rows=\(PolicyPage.rowsToFill * 3)")
        }
    }

    // MARK: Simulation

    private static let question = ["user", "provider_id", "grant_id", "key_id", "mode", "method", "url", "ip", "at"]

    private func simulationPage(_ caller: PortalCaller, _ exchange: Exchange) async throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let form = exchange.queryForm
        let providers = try providerNames(caller, exchange)
        let keys = try vault.keys(caller.account, appID: exchange.appID, after: .start, limit: Limits.pageDefault)
        func shown(_ state: FormState, _ outcome: SimulationPage.Outcome) -> Answer {
            let simulation = SimulationPage(
                appID: app.id, providers: providers, keys: keys, state: state, outcome: outcome)
            return page(caller, exchange, "Simulate", app: app, section: .policies, simulation.html)
        }
        let asked = Self.question.map { (name: $0, value: form[$0]) }.filter { !$0.value.isEmpty }
        guard asked.contains(where: { $0.name != "mode" }) else { return shown(FormState(), .nothing) }
        return try await exchange.submitting(form) { state in
            shown(state, .nothing)
        } _: {
            var question = form.object([
                .optional("provider_id"), .optional("grant_id"), .optional("key_id"), .optional("mode"),
                .optional("method"), .optional("url"), .optional("ip"), .dateTime("at"),
            ])
            var person: UserDetails?
            if !form["user"].isEmpty {
                let sought = form.fields(.text("user"))
                _ = sought.string("user", length: 1...255)
                try sought.finish()
                let found = try people(caller, exchange, matching: form["user"])
                guard found.count == 1, let only = found.first else {
                    if found.isEmpty { throw VaultError.validation("user", "fits nobody") }
                    return shown(FormState(asked), .candidates(found))
                }
                person = only
                question["user_id"] = only.record.user.id.json
            }
            let fields = Fields(question, unknownMembers: .refused)
            let call = ImaginedCall(fields)
            try fields.finish()
            let simulation = try vault.simulate(caller.account, appID: exchange.appID, call)
            return shown(FormState(asked), .decided(simulation, person))
        }
    }
}

/// Which policy a page is about: where it is, and what it is called.
struct PolicyPlace: Sendable {
    let appID: String
    let target: PolicyTarget

    init(appID: String, _ target: PolicyTarget) {
        self.appID = appID
        self.target = target
    }

    var path: SitePath {
        switch target {
        case .provider(let id): .portalApp(appID, "policies/" + FormText.encode(id))
        case .grant(let id): .portalApp(appID, "grants/" + FormText.encode(id) + "/policy")
        case .key(let id): .portalApp(appID, "keys/" + FormText.encode(id) + "/policy")
        }
    }

    /// Where its thing is.
    var parent: SitePath {
        switch target {
        case .provider: .portalApp(appID, "policies")
        case .grant(let id): .portalApp(appID, "grants/" + FormText.encode(id))
        case .key: .portalApp(appID, "keys")
        }
    }

    var title: String {
        switch target {
        case .provider("*"): "Policy of the app"
        case .provider(let id): "Policy of \(id)"
        case .grant: "Policy of a grant"
        case .key: "Policy of an API key"
        }
    }

    var explanation: String {
        switch target {
        case .provider("*"): "Holds for every use of every provider and secret of this app."
        case .provider(let id): "Holds for every use of \(id), beside the policy of the app."
        case .grant(let id): "Holds for the grant \(id) alone, beside the policies of the app and its provider."
        case .key(let id): "Holds for every use by the API key \(id), beside all other policies."
        }
    }

    var section: PortalSection {
        switch target {
        case .provider: .policies
        case .grant: .grants
        case .key: .keys
        }
    }
}
