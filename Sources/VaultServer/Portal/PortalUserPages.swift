import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The pages of users: the list, one of them, and the confirmation of their end.

extension User {
    /// What people call the user.
    var shownName: String { displayName ?? email ?? externalSubjectID }
}

extension UserStatus {
    var badge: Badge {
        switch self {
        case .active: Badge("active", .good)
        case .suspended: Badge("suspended", .warn)
        case .deprovisioned: Badge("deprovisioned", .bad)
        }
    }
}

struct UserListPage: Sendable {
    let appID: AppID
    let filter: FormState
    let users: [UserDetails]
    let pager: Pager
    let now: Instant

    private var path: String { SitePath.portalApp(appID.text, "users").path }
    private static let statuses =
        [(value: "", label: "any")] + UserStatus.allCases.map { (value: $0.rawValue, label: $0.rawValue) }

    var html: HTML {
        """
        <div class="page-head"><h1>Users</h1></div>
        <form method="get" action="\(path)" class="filters" role="search" aria-label="Users">
        \(Field("query", "Name, e-mail or subject", filter, kind: .search).html)
        \(Field("status", "Status", filter, kind: .select(Self.statuses)).html)
        \(Field("group", "Group", filter, kind: .search).html)
        <button class="plain">Show</button>
        </form>
        \(list)
        \(pager.html)
        """
    }

    private var isFiltered: Bool {
        ["query", "status", "group"].contains { !filter.values[$0].isEmpty }
    }

    private var list: HTML {
        guard !users.isEmpty else {
            return isFiltered
                ? EmptyState(
                    title: "Nobody fits", text: "No user of this app fits what you asked for.",
                    action: "<a class=\"button plain\" href=\"\(path)\">Show everybody</a>"
                ).html
                : EmptyState(
                    title: "No user yet",
                    text:
                        "Users appear by themselves: at their first sign-in, or when your app sends their JWT along with a call.",
                    action:
                        "<a class=\"button\" href=\"\(SitePath.portalApp(appID.text, "identity").path)\">Set up the identity provider</a>"
                ).html
        }
        return DataTable(
            label: "Users",
            columns: [
                .init("Name"), .init("E-mail"), .init("Subject"), .init("Status"), .init("Groups"), .init("Last seen"),
                .init("Grants", isNumber: true),
            ],
            rows: users.map(row)
        ).html
    }

    private func row(_ details: UserDetails) -> [HTML] {
        let user = details.record.user
        let lastSeen: HTML = user.lastSeenAt.map { TimeText(instant: $0, now: now).html } ?? "never"
        return [
            "<a href=\"\(path)/\(user.id.text)\">\(user.shownName)</a>",
            "\(user.email ?? "–")", Code(user.externalSubjectID).html, user.status.badge.html,
            "\(Self.shortened(user.groups))", lastSeen, "\(CappedCount.grouped(details.grantCount))",
        ]
    }

    private static func shortened(_ names: [String]) -> String {
        let rest = names.count - 3
        return names.prefix(3).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }
}

struct UserPage: Sendable {
    /// The rest is a list of its own.
    static let grantsShown = 20

    let caller: PortalCaller
    let appID: AppID
    let details: UserDetails
    let grants: [GrantDetails]
    let action: FormState
    let isReadOnly: Bool
    let now: Instant

    private var user: User { details.record.user }
    private var path: String { SitePath.portalApp(appID.text, "users/" + user.id.text).path }
    var name: String { user.shownName }

    var html: HTML {
        """
        <div class="page-head"><h1>\(name)</h1>\(user.status.badge.html)</div>
        <section class="panel" aria-labelledby="facts">
        <h2 id="facts">Facts</h2>
        \(facts)
        </section>
        <section aria-labelledby="grants">
        <h2 id="grants">Grants</h2>
        \(grantList)
        </section>
        \(receiptPanel)
        \(isReadOnly ? nil : actions)
        """
    }

    private var facts: HTML {
        let claim: HTML? = user.externalSubjectID == user.subject ? nil : Code(user.externalSubjectID).html
        let email: HTML? = user.email.map { "\($0)" }
        let lastSeen: HTML = user.lastSeenAt.map { TimeText(instant: $0, now: now).html } ?? "never"
        return Facts([
            (name: "E-mail", value: email), (name: "Subject", value: Code(user.subject).html),
            (name: "User-ID claim", value: claim), (name: "Issuer", value: Code(user.issuer).html),
            (name: "First seen", value: TimeText(instant: user.firstSeenAt, now: now).html),
            (name: "Last seen", value: lastSeen), (name: "Groups", value: Self.listed(user.groups)),
            (name: "Roles", value: Self.listed(user.roles)), (name: "Suspended by", value: suspendedBy),
            (name: "User ID", value: Code(user.id.text).html),
        ]).html
    }

    private static func listed(_ names: [String]) -> HTML {
        names.isEmpty ? "none" : "\(names.joined(separator: ", "))"
    }

    private var suspendedBy: HTML? {
        guard user.status == .suspended else { return nil }
        return details.record.suspendedBy == "operator"
            ? "an operator: only an operator lifts it" : "the identity provider: its event lifts it as well"
    }

    private var grantList: HTML {
        guard !grants.isEmpty else { return "<p class=\"quiet\">This user has connected nothing yet.</p>" }
        let all = SitePath.portalApp(appID.text, "grants").path
        let more: HTML? =
            details.grantCount > grants.count
            ? "<p><a href=\"\(all)?user=\(user.id.text)\">All \(CappedCount.grouped(details.grantCount)) grants</a></p>"
            : nil
        return "\(GrantTable(appID: appID, grants: grants, users: nil, now: now).html)\(more)"
    }

    private var receiptPanel: HTML? {
        guard user.status == .deprovisioned else { return nil }
        return """
            <section class="panel" aria-labelledby="receipt">
            <h2 id="receipt">Receipt</h2>
            <p>A signed statement says what ended with this user, when, and what became of each token.</p>
            <p class="actions"><a class="button" href="\(path)/receipt">Show the receipt</a></p>
            </section>
            """
    }

    private var actions: HTML {
        """
        <section class="panel" aria-labelledby="actions">
        <h2 id="actions">Actions</h2>
        \(action.alert)
        \(user.status == .active ? suspendForm : nil)
        \(user.status == .active ? nil : restoreForm)
        \(user.status == .deprovisioned ? nil : deprovisionLink)
        </section>
        """
    }

    private var suspendForm: HTML {
        form(
            "suspend", "Suspend",
            "Every use is refused at once. Stored tokens are kept, and restoring needs no new consent.")
    }

    private var restoreForm: HTML {
        form(
            "restore", "Restore",
            user.status == .suspended
                ? "Uses are allowed again, with the grants that are there."
                : "Opens a fresh user under the same id: no groups, no grants. Tokens issued before the end stay refused."
        )
    }

    private func form(_ verb: String, _ label: String, _ explanation: HTML) -> HTML {
        """
        <form method="post" action="\(path)/\(verb)">
        \(caller.csrfField)
        <h3>\(label)</h3>
        <p>\(explanation)</p>
        \(Field("reason", "Reason", action, hint: "Kept in the audit trail.", idPrefix: verb + "-").html)
        <p class="actions"><button class="plain" name="action" value="\(verb)">\(label)</button></p>
        </form>
        """
    }

    private var deprovisionLink: HTML {
        """
        <h3>Deprovision</h3>
        <p>Revokes every grant of this user and destroys the stored tokens. You confirm it on the next page.</p>
        <p class="actions"><a class="button danger" href="\(path)/deprovision">Deprovision…</a></p>
        """
    }
}

struct DeprovisioningPage: Sendable {
    let caller: PortalCaller
    let appID: AppID
    let details: UserDetails
    let state: FormState

    private var user: User { details.record.user }
    private var path: String { SitePath.portalApp(appID.text, "users/" + user.id.text).path }

    var html: HTML {
        """
        <div class="page-head"><h1>Deprovision \(user.shownName)</h1></div>
        <section class="panel" aria-labelledby="ends">
        <h2 id="ends">What ends</h2>
        <ul class="steps">
        <li>Every grant of this user is revoked (they have \(CappedCount.grouped(details.grantCount))).</li>
        <li>The stored tokens are deleted, and the key that opens them is destroyed. Nobody can bring them back, not even from a backup of the database.</li>
        <li>Each provider is asked to revoke the tokens on its side as well.</li>
        <li>Their sign-ins, Wallet sessions and open Connect pages end.</li>
        <li>Every later request for this user is refused, also with a JWT that is still valid.</li>
        </ul>
        \(Notice("This cannot be undone. Restoring the user later opens an empty one, who has to connect everything again.", .warn).html)
        <form method="post" action="\(path)/deprovision">
        \(caller.csrfField)
        \(state.alert)
        \(Field("reason", "Reason", state, hint: "Kept in the audit trail and in the receipt.").html)
        \(Field(
            "confirm", "Type \(user.email ?? user.externalSubjectID) to confirm", state,
            hint: "The user’s e-mail address, or their subject.", isRequired: true).html)
        <p class="actions"><button class="danger" name="action" value="deprovision">Deprovision for good</button>
        <a class="button plain" href="\(path)">Cancel</a></p>
        </form>
        </section>
        """
    }
}
