import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Webhooks on the Identity page: their secret, what each event does, and what came in.

struct WebhooksPanel: Sendable {
    let context: IdentityPageContext
    let provider: IdentityProviderRecord
    let forms: IdentityForms
    let counts: [(outcome: String, count: Int64)]
    let deliveries: [DeliveryRecord]

    private var path: String { context.path + "/webhooks" }
    private var isEnabled: Bool { provider.webhooksEnabledAt != nil }

    var html: HTML {
        guard let steps = context.instructions.webhooks else { return unsupported }
        return """
            <div class="columns">
            <section class="panel" aria-labelledby="webhooks">
            <h2 id="webhooks">Webhooks</h2>
            <p>\(provider.type.title) tells by webhook when a user is deleted, blocked or changed. Access then ends within seconds, not with the next token.</p>
            \(CopyField(id: "webhook-url", label: "Webhook URL", value: context.instructions.webhookURL ?? "").html)
            \(state)
            \(forms.webhooks.alert)
            \(context.canEdit ? controls : nil)
            </section>
            <section class="panel" aria-labelledby="webhook-steps">
            \(steps)
            </section>
            </div>
            \(EventMapForm(context: context, provider: provider, state: forms.events).html)
            \(log)
            """
    }

    private var unsupported: HTML {
        """
        <section class="panel" aria-labelledby="webhooks">
        <h2 id="webhooks">Webhooks</h2>
        <p>\(provider.type.title) sends no events that are understood here. What works all the same:</p>
        <ul class="steps">
        <li>Users, groups and profiles follow from the tokens that your app sends.</li>
        <li>Operators suspend and deprovision users on the <a href="\(SitePath.portalApp(context.instructions.appID, "users").path)">Users</a> page.</li>
        <li>Scripts do the same by the Management API: <code>POST /api/v1/apps/\(context.instructions.appID)/users/{user_id}/deprovision</code>.</li>
        </ul>
        </section>
        """
    }

    // MARK: The secret

    private var state: HTML {
        guard let since = provider.webhooksEnabledAt else {
            return "<p>\(Badge("not enabled").html) The address refuses everything until webhooks are enabled.</p>"
        }
        return "<p>\(Badge("enabled", .good).html) since \(context.time(since))</p>"
    }

    private var controls: HTML { provider.type == .clerk ? pastedSecret : madeSecret }

    private var madeSecret: HTML {
        guard isEnabled else {
            return """
                <p>The signing secret is made here and shown once, on the next page.</p>
                \(ButtonForm(path: path, csrfToken: context.csrfToken, label: "Enable Webhooks", style: "").html)
                """
        }
        return """
            <p>Lost the signing secret? Rotate Secret makes a new one and shows it once. The old one is refused from that moment.</p>
            <div class="actions">
            \(ButtonForm(path: path + "/rotate", csrfToken: context.csrfToken, label: "Rotate Secret", style: "plain").html)
            \(disabling)
            </div>
            """
    }

    /// Where the provider makes the secret, it is pasted.
    private var pastedSecret: HTML {
        let open: HTML? = forms.webhooks.isSent ? " open" : nil
        return """
            <details\(open)>
            <summary class="button\(isEnabled ? " plain" : "")">\(isEnabled ? "Rotate Secret" : "Enable Webhooks")</summary>
            <form method="post" action="\(path)\(isEnabled ? "/rotate" : "")">
            \(context.csrfField)
            \(Field(
                "signing_secret", "Signing Secret", forms.webhooks, kind: .password, hint: secretHint, isRequired: true,
                placeholder: "whsec_…").html)
            <p class="actions"><button>Save Secret</button></p>
            </form>
            </details>
            \(isEnabled ? disabling : nil)
            """
    }

    private var secretHint: HTML {
        isEnabled
            ? "The new secret that Clerk shows for the endpoint. The old one is refused from the moment this is saved."
            : "As Clerk shows it for the endpoint: it begins with whsec_. It is stored encrypted and never shown again."
    }

    private var disabling: HTML {
        ButtonForm(path: path + "/disable", csrfToken: context.csrfToken, label: "Disable webhooks", style: "danger")
            .html
    }

    // MARK: The log

    private var log: HTML {
        """
        <section class="panel" aria-labelledby="deliveries">
        <h2 id="deliveries">Latest deliveries</h2>
        \(forms.deliveries.alert)
        \(deliveries.isEmpty ? nothingYet : table)
        </section>
        """
    }

    private var nothingYet: HTML {
        """
        <p class="quiet">Nothing has come in yet. Once webhooks are set up on both sides, delete or block a test user there, and the event appears here.</p>
        """
    }

    private var table: HTML {
        let total = counts.map { CappedCount.grouped($0.count) + " " + Self.words($0.outcome) }.joined(separator: " · ")
        var columns: [DataTable.Column] = [
            .init("Delivery"), .init("Received"), .init("Event"), .init("Outcome"), .init("Detail"),
        ]
        if context.canEdit { columns.append(.init("Action")) }
        return """
            <p class="quiet">\(total)</p>
            \(DataTable(label: "Deliveries", columns: columns, rows: deliveries.map(row)).html)
            <p class="quiet">Applying a delivery again follows the events as they are set up now. An older event never undoes a newer one. Ignored deliveries are forgotten after 30 days.</p>
            """
    }

    private func row(_ delivery: DeliveryRecord) -> [HTML] {
        let again: HTML? = delivery.replayedAt.map {
            " <span class=\"quiet\">applied again \(context.time($0))</span>"
        }
        let cells: [HTML] = [
            "<code>\(delivery.deliveryID)</code>", context.time(delivery.receivedAt),
            "<code>\(delivery.eventType)</code>",
            "\(Badge(Self.words(delivery.outcome), Self.tone(delivery.outcome)).html)\(again)",
            "\(delivery.detail ?? "")",
        ]
        return context.canEdit ? cells + [replay(delivery)] : cells
    }

    /// What was no event cannot be applied.
    private func replay(_ delivery: DeliveryRecord) -> HTML {
        guard delivery.source != nil else { return "" }
        return ButtonForm(
            path: path + "/deliveries/" + delivery.id.text + "/replay", csrfToken: context.csrfToken,
            label: "Apply again", accessibleLabel: "Apply \(delivery.eventType) \(delivery.deliveryID) again"
        ).html
    }

    private static func words(_ outcome: String) -> String { outcome.replacing("_", with: " ") }

    private static func tone(_ outcome: String) -> Tone {
        switch outcome {
        case "deprovisioned", "suspended", "restored", "updated", "membership_removed": .good
        case "invalid": .bad
        case "stale": .warn
        default: .neutral
        }
    }
}

/// Which events do what, and the form that changes it.
struct EventMapForm: Sendable {
    let context: IdentityPageContext
    let provider: IdentityProviderRecord
    let state: FormState

    /// The choice that takes an operator's change of an event away.
    private static let standard = "default"
    private static let prefix = "event:"

    /// What the form asks to change, as the Management API takes it: only what differs from now, because the record of a
    /// change names what was changed.
    static func edit(_ form: FormValues, of map: LifecycleEventMap) -> JSON? {
        var edit = JSONObject()
        for event in map.json.names {
            let choice = form[prefix + event]
            guard !choice.isEmpty, choice != map.changes[event]?.string ?? standard else { continue }
            edit[event] = choice == standard ? JSON.null : JSON.string(choice)
        }
        if !form["new_event"].isEmpty { edit[form["new_event"]] = .string(form["new_action"]) }
        return edit.isEmpty ? nil : JSON.object(edit)
    }

    private var events: [String] { provider.eventMap.json.names }
    private var standards: LifecycleEventMap { LifecycleEventMap(provider.type) }

    var html: HTML {
        """
        <section class="panel" aria-labelledby="events">
        <h2 id="events">What events do</h2>
        <p>Every event that is not listed is recorded and ignored.</p>
        \(context.canEdit ? form : list)
        </section>
        """
    }

    private var list: HTML {
        DataTable(
            label: "What events do", columns: [.init("Event"), .init("Action")],
            rows: events.map { ["<code>\($0)</code>", "\(provider.eventMap.action($0).words)"] }
        ).html
    }

    private var form: HTML {
        """
        <form method="post" action="\(context.path)/webhooks/events">
        \(context.csrfField)
        \(state.alert)
        \(problems)
        <div class="choice-grid">
        \(events.map { field($0).html })
        </div>
        \(provider.type == .clerk ? membershipField : nil)
        <details\(state.values["new_event"].isEmpty ? nil : open)>
        <summary>Another event</summary>
        \(Field("new_event", "Event type", state, hint: "As the provider names it, for one that names its user.").html)
        \(Field(
            "new_action", "What it does", state,
            kind: .select([LifecycleAction.deprovision, .suspend, .restore].map { (value: $0.rawValue, label: $0.words) })
        ).html)
        </details>
        <p class="actions"><button class="plain">Save events</button></p>
        </form>
        """
    }

    private var open: HTML { " open" }

    private var problems: [HTML] {
        state.problems.sorted { $0.key < $1.key }.map { field, problem in
            Notice("\(field.replacing("event_map.", with: "")) \(problem).", .bad, isAlert: true).html
        }
    }

    private func field(_ event: String) -> Field {
        let usual = (value: Self.standard, label: "Default: " + standards.action(event).words)
        let choices = provider.eventMap.choices(event).map { (value: $0.rawValue, label: $0.words) }
        return Field(
            Self.prefix + event, event, state, kind: .select([usual] + choices), hint: Self.meaning(event),
            initial: provider.eventMap.changes[event]?.string ?? Self.standard)
    }

    private var membershipField: HTML {
        Field(
            "membership_removal", "When a membership of an organization ends", state,
            kind: .select(MembershipRemovalRule.allCases.map { (value: $0.rawValue, label: $0.words) }),
            hint: "The group that goes is the one with the organization’s ID, or else with its slug.",
            initial: provider.membershipRemoval.rawValue
        ).html
    }

    private static func meaning(_ event: String) -> HTML? {
        switch event {
        case "sdu": "An administrator deleted the user."
        case "ublkdu":
            "An administrator blocked the user. Where the event’s own text says that a block was released, it restores."
        case "ubuu": "An administrator unblocked the user."
        case "sapi":
            "A call of Auth0’s Management API, which is how a block in its dashboard may arrive. The call itself says what was done to whom."
        case "user.updated": "The user’s data changed. Banned or locked suspends, and the end of it restores."
        case "user.deleted": "The user was deleted."
        case "user.suspended": "The user was suspended."
        case "user.unsuspended": "The suspension of the user ended."
        case "organizationMembership.deleted": "The user left an organization, or was removed from it."
        default: nil
        }
    }
}

extension LifecycleAction {
    fileprivate var words: String {
        switch self {
        case .deprovision: "deprovision"
        case .suspend: "suspend"
        case .restore: "restore"
        case .ignore: "ignore"
        case .sync: "bring the user up to date"
        case .removeMembership: "take the group away"
        case .byOperation: "as the call says"
        }
    }
}

extension MembershipRemovalRule {
    fileprivate var words: String {
        switch self {
        case .alwaysDeprovision: "Deprovision the user"
        case .lastMembership: "Deprovision the user when it was the last one"
        case .membershipOnly: "Take away that group alone"
        }
    }
}
