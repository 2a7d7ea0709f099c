import VaultAPI

/// The events of the trail in words, in the groups that people look for them in.
enum AuditWords {
    struct Group: Sendable {
        let title: String
        let events: [(name: String, words: String)]
    }

    static let groups = [
        Group(
            title: "Uses of credentials",
            events: [
                ("credential.proxied", "Call made by the vault"), ("credential.retrieved", "Credential asked for"),
                ("call.reported", "Call reported by the app"), ("credential.refreshed", "Access token renewed"),
                ("credential.died", "Credential no longer accepted"),
                ("grant.scope_mismatch_reported", "Missing scopes reported"),
                ("identity.asserted", "Identity asserted"),
            ]),
        Group(
            title: "Grants and Connect",
            events: [
                ("connect.opened", "Connect opened"), ("connect.ended", "Connect ended"),
                ("grant.connected", "Account connected"), ("grant.minted", "Grant minted"),
                ("grant.extended", "Grant extended"), ("grant.revoked", "Grant revoked"),
                ("provider_revocation.done", "Provider has revoked the token"),
                ("provider_revocation.failed", "Provider did not revoke the token"),
                ("provider_revocation.unsupported", "Provider cannot revoke tokens"),
            ]),
        Group(
            title: "Users",
            events: [
                ("user.created", "User created"), ("user.updated", "User updated"),
                ("user.suspended", "User suspended"), ("user.restored", "User restored"),
                ("user.deprovisioned", "User deprovisioned"), ("user.membership_removed", "Membership removed"),
                ("sign_in.opened", "Sign-in opened"), ("sign_in.completed", "Signed in"),
                ("sign_in.failed", "Sign-in failed"), ("wallet.signed_out", "Signed out of the Wallet"),
            ]),
        Group(
            title: "Identity provider",
            events: [
                ("identity_provider.added", "Identity provider added"),
                ("identity_provider.changed", "Identity provider changed"),
                ("identity_provider.removed", "Identity provider removed"),
                ("identity_provider.sign_in_saved", "Sign-in credentials saved"),
                ("webhooks.enabled", "Webhooks enabled"), ("webhooks.disabled", "Webhooks disabled"),
                ("webhooks.secret_rotated", "Webhook secret rotated"),
                ("webhooks.event_rules_changed", "Event rules changed"),
                ("webhook_delivery.replayed", "Webhook delivery replayed"),
            ]),
        Group(
            title: "Set-up of the app",
            events: [
                ("app.created", "App created"), ("app.updated", "App changed"),
                ("app.branding_changed", "Branding changed"), ("app.archived", "App archived"),
                ("app.unarchived", "App brought back"), ("app.deleted", "App deleted"),
                ("key.created", "API key minted"), ("key.rotated", "API key rotated"),
                ("key.revoked", "API key revoked"), ("oauth_provider.saved", "OAuth provider saved"),
                ("oauth_provider.deleted", "OAuth provider deleted"),
                ("managed_secret.created", "Managed secret created"),
                ("managed_secret.value_replaced", "Managed secret replaced"),
                ("managed_secret.deleted", "Managed secret deleted"), ("policy.changed", "Policy changed"),
                ("policy.deleted", "Policy deleted"),
            ]),
        Group(
            title: "The trail itself",
            events: [
                ("audit.exported", "Audit records exported"), ("audit.pruned", "Old records removed"),
                ("audit.retention_changed", "Retention changed"), ("audit_stream.created", "Stream created"),
                ("audit_stream.deleted", "Stream deleted"),
            ]),
    ]

    private static let byName = Dictionary(
        groups.flatMap(\.events).map { ($0.name, $0.words) }, uniquingKeysWith: { first, _ in first })

    /// `nil` for an event that has no words here: its name says enough.
    static func words(_ event: String) -> String? { byName[event] }
}

/// One record, as lists and its own page show it.
struct AuditRecordWords: Sendable {
    let record: JSONObject
    /// E-mail addresses by operator id.
    let operators: [String: String]

    func text(_ name: String) -> String? { record[name]?.string }

    var event: String { text("event") ?? "" }
    var occurredAt: Instant? { text("occurred_at").flatMap(Instant.init(rfc3339:)) }

    var decision: HTML {
        switch text("decision") {
        case "allow": Badge("allowed", .good).html
        case "deny": Badge("refused", .bad).html
        default: ""
        }
    }

    var who: String {
        let principal = record["principal"]
        switch principal?["type"]?.string {
        case "app":
            let key = principal?["key_prefix"]?.string.map { "key \($0)" } ?? "the app"
            return principal?["caller"]?.string.map { "\($0) (\(key))" } ?? key
        case "operator":
            let id = principal?["operator_id"]?.string ?? ""
            return operators[id] ?? "operator \(id)"
        case "identity_provider": return "the identity provider"
        case "user": return "the user"
        case "browser": return "a browser"
        case "system": return "the vault"
        default: return "unknown"
        }
    }

    /// Method, host and path; what comes after is on the record's own page.
    var call: String? {
        guard let url = text("url") else { return nil }
        let address = url.firstRange(of: "://").map { String(url[$0.upperBound...]) } ?? url
        let place = String(address.prefix { $0 != "?" && $0 != "#" })
        let shown = place.count > 120 ? String(place.prefix(120)) + "…" : place
        return [text("method"), shown].compactMap(\.self).joined(separator: " ")
    }
}

/// What a rule of a policy said, on record or in a simulation.
enum RuleResultWords {
    static func badge(_ result: String?) -> Badge {
        switch result {
        case "allow": Badge("allows", .good)
        case "deny": Badge("refuses", .bad)
        case "not_applicable": Badge("does not apply")
        default: Badge(result ?? "unknown")
        }
    }
}
