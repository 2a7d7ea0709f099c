import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The pages of grants: the list, one of them, and the confirmation of its end.

extension GrantStatus {
    var title: String { self == .needsReauth ? "needs reconnecting" : rawValue }

    var badge: Badge {
        switch self {
        case .active: Badge(title, .good)
        case .expired, .needsReauth: Badge(title, .warn)
        case .revoked: Badge(title, .bad)
        }
    }
}

extension GrantDetails {
    var title: String { "\(grant.providerID): \(managedSecret?.name ?? grant.shownAccount)" }
}

extension Grant {
    /// The account at the provider, or what else tells the grant from others.
    var shownAccount: String { accountDisplayName ?? accountIdentifier ?? label ?? "–" }
}

/// Grants in rows. A list of one user's leaves the principal out.
struct GrantTable: Sendable {
    let appID: AppID
    let grants: [GrantDetails]
    /// `nil` leaves the principal out.
    let users: [UserID: User]?
    let now: Instant

    var html: HTML {
        var columns: [DataTable.Column] = [.init("Provider"), .init("Account")]
        if users != nil { columns.append(.init("Principal")) }
        columns += [.init("Status"), .init("Created"), .init("Last used"), .init("Ends")]
        return DataTable(label: "Grants", columns: columns, rows: grants.map(row)).html
    }

    private func row(_ details: GrantDetails) -> [HTML] {
        let grant = details.grant
        let path = SitePath.portalApp(appID.text, "grants/" + grant.id.text).path
        let lastUsed: HTML = grant.lastUsedAt.map { TimeText(instant: $0, now: now).html } ?? "never"
        let end: HTML = grant.expiresAt.map { TimeText(instant: $0, now: now).html } ?? "never"
        var cells: [HTML] = ["<a href=\"\(path)\">\(grant.providerID)</a>", "\(grant.shownAccount)"]
        if let users { cells.append(Principal(appID: appID, grant: grant, users: users).html) }
        cells += [details.status.badge.html, TimeText(instant: grant.createdAt, now: now).html, lastUsed, end]
        return cells
    }
}

/// Whose a grant is.
struct Principal: Sendable {
    let appID: AppID
    let grant: Grant
    let users: [UserID: User]

    var html: HTML {
        guard let userID = grant.userID else {
            return grant.principalType == .system ? "the app" : "\(grant.principalType.rawValue)"
        }
        return Self.link(appID, userID, users[userID]?.shownName ?? userID.text)
    }

    static func link(_ appID: AppID, _ userID: UserID, _ name: String) -> HTML {
        "<a href=\"\(SitePath.portalApp(appID.text, "users/" + userID.text).path)\">\(name)</a>"
    }
}

struct GrantListPage: Sendable {
    let appID: AppID
    let filter: FormState
    let grants: [GrantDetails]
    let users: [UserID: User]
    let pager: Pager
    let now: Instant

    private var path: String { SitePath.portalApp(appID.text, "grants").path }
    private static let statuses =
        [(value: "", label: "any")] + GrantStatus.allCases.map { (value: $0.rawValue, label: $0.title) }

    var html: HTML {
        """
        <div class="page-head"><h1>Grants</h1></div>
        <form method="get" action="\(path)" class="filters" role="search" aria-label="Grants">
        \(Field("status", "Status", filter, kind: .select(Self.statuses)).html)
        \(Field("provider_id", "Provider", filter, kind: .search).html)
        \(Field("user", "User: e-mail, subject or id", filter, kind: .search).html)
        <button class="plain">Show</button>
        </form>
        \(list)
        \(pager.html)
        """
    }

    private var list: HTML {
        guard grants.isEmpty else { return GrantTable(appID: appID, grants: grants, users: users, now: now).html }
        let isFiltered = ["status", "provider_id", "user"].contains { !filter.values[$0].isEmpty }
        return isFiltered
            ? EmptyState(
                title: "No grant fits", text: "No grant of this app fits what you asked for.",
                action: "<a class=\"button plain\" href=\"\(path)\">Show all</a>"
            ).html
            : EmptyState(
                title: "No grant yet",
                text: "A grant is made when a user connects an account, or when you add a managed secret.",
                action:
                    "<a class=\"button\" href=\"\(SitePath.portalApp(appID.text, "providers").path)\">Set up an OAuth provider</a>"
            ).html
    }
}

struct GrantDetailPage: Sendable {
    let caller: PortalCaller
    let appID: AppID
    let details: GrantDetails
    let user: User?
    let policy: PolicyRecord?
    let extending: FormState
    let extended: Instant?
    let isReadOnly: Bool
    let now: Instant

    private var grant: Grant { details.grant }
    private var path: String { SitePath.portalApp(appID.text, "grants/" + grant.id.text).path }

    var html: HTML {
        """
        <div class="page-head"><h1>\(details.title)</h1>\(details.status.badge.html)</div>
        \(outcome)
        <section class="panel" aria-labelledby="facts">
        <h2 id="facts">Facts</h2>
        \(facts)
        </section>
        <section class="panel" aria-labelledby="policy">
        <h2 id="policy">Policy of this grant</h2>
        \(policyWords)
        <p class="actions"><a class="button plain" href="\(path)/policy">\(isReadOnly ? "Show the policy" : "Edit the policy")</a></p>
        </section>
        \(revocations)
        \(isReadOnly || grant.revokedAt != nil ? nil : actions)
        """
    }

    private var outcome: HTML? {
        guard let extended else { return nil }
        guard let end = grant.expiresAt else { return nil }
        return end < extended
            ? Notice(
                "The grant ends \(end.dayAndTime). You asked for \(extended.dayAndTime): its own terms or a policy allow no more.",
                .warn, isAlert: true
            ).html : Notice("The grant ends \(end.dayAndTime).", .good, isAlert: true).html
    }

    private var facts: HTML {
        let owners: [UserID: User] = user.map { [$0.id: $0] } ?? [:]
        let end: HTML = time(grant.expiresAt) ?? "never"
        let lastUsed: HTML = time(grant.lastUsedAt) ?? "never"
        let scopes: HTML = grant.scopes.isEmpty ? "none" : CodeList(grant.scopes).html
        let label: HTML? = grant.label.map { "\($0)" }
        let account: HTML? = grant.accountIdentifier.map { "\($0)" }
        let reason: HTML? = grant.revokeReason.map { "\($0)" }
        let secret: HTML? = details.managedSecret.map { "\($0.name)" }
        let mismatch: HTML? = grant.hasScopeMismatch ? "the provider reported missing scopes" : nil
        return Facts([
            (name: "Provider", value: "\(grant.providerID)"), (name: "Managed secret", value: secret),
            (name: "Account", value: account), (name: "Label", value: label),
            (name: "Principal", value: Principal(appID: appID, grant: grant, users: owners).html),
            (name: "Scopes", value: scopes), (name: "Scope problem", value: mismatch),
            (name: "Created", value: time(grant.createdAt)), (name: "Term began", value: time(grant.termStartedAt)),
            (name: "Last used", value: lastUsed), (name: "Ends", value: end), (name: "Own terms", value: terms),
            (name: "Revoked", value: time(grant.revokedAt)), (name: "Reason", value: reason),
            (name: "Access token valid until", value: time(details.credential?.accessExpiresAt)),
            (name: "Grant ID", value: Code(grant.id.text).html),
        ]).html
    }

    private func time(_ instant: Instant?) -> HTML? { instant.map { TimeText(instant: $0, now: now).html } }

    /// What consent gave the grant.
    private var terms: HTML? {
        let terms = GrantPolicyTerms(Fields(grant.grantPolicy, unknownMembers: .ignored))
        var parts: [String] = []
        if let end = terms.expiresAt { parts.append("ends \(end.dayAndTime)") }
        if let seconds = terms.maxTTLSeconds { parts.append("\(PolicyWords.duration(seconds)) at most") }
        if let seconds = terms.defaultTTLSeconds { parts.append("\(PolicyWords.duration(seconds)) by default") }
        return parts.isEmpty ? nil : "\(parts.joined(separator: ", "))"
    }

    private var policyWords: HTML {
        guard let policy else {
            return "<p class=\"quiet\">None of its own: what the app and the provider say applies.</p>"
        }
        return PolicySentences(document: policy.document).html
    }

    private var revocations: HTML? {
        guard !details.revocations.isEmpty else { return nil }
        return """
            <section aria-labelledby="revocations">
            <h2 id="revocations">At the provider</h2>
            \(revocationTable)
            </section>
            """
    }

    private var revocationTable: HTML {
        DataTable(
            label: "Revocations at the provider",
            columns: [
                .init("Token"), .init("State"), .init("Attempts", isNumber: true), .init("Finished"),
                .init("Last problem"),
            ],
            rows: details.revocations.map { revocation in
                let finished: HTML = time(revocation.finishedAt) ?? "–"
                return [
                    "\(RevocationWords.token(revocation.tokenTypeHint))",
                    RevocationWords.badge(revocation.status).html, "\(String(revocation.attempts))", finished,
                    "\(revocation.lastError ?? "–")",
                ]
            }
        ).html
    }

    private var actions: HTML {
        """
        <section class="panel" aria-labelledby="actions">
        <h2 id="actions">Actions</h2>
        \(grant.expiresAt == nil ? nil : extendForm)
        <h3>Revoke</h3>
        <p>Ends this grant for good. The account can be connected again, which makes a new one.</p>
        <p class="actions"><a class="button danger" href="\(path)/revoke">Revoke…</a></p>
        </section>
        """
    }

    private var extendForm: HTML {
        """
        <form method="post" action="\(path)/extend">
        \(caller.csrfField)
        <h3>Extend</h3>
        \(extending.alert)
        \(Field(
            "expires_at", "New end", extending, kind: .dateTime,
            hint: "In UTC. What the grant’s terms and policies allow at most cuts it.", isRequired: true).html)
        <p class="actions"><button class="plain" name="action" value="extend">Extend</button></p>
        </form>
        """
    }
}

struct GrantRevocationPage: Sendable {
    let caller: PortalCaller
    let appID: AppID
    let details: GrantDetails
    let user: User?
    let state: FormState

    private var grant: Grant { details.grant }
    private var path: String { SitePath.portalApp(appID.text, "grants/" + grant.id.text).path }
    private var loser: String { user?.shownName ?? "The app" }

    var html: HTML {
        """
        <div class="page-head"><h1>Revoke \(details.title)</h1></div>
        <section class="panel" aria-labelledby="ends">
        <h2 id="ends">What ends</h2>
        <p>\(loser) loses the use of this account at once. When no other grant uses its tokens, they are deleted here and revoked at the provider. This cannot be undone.</p>
        <form method="post" action="\(path)/revoke">
        \(caller.csrfField)
        \(state.alert)
        \(Field("reason", "Reason", state, hint: "Kept with the grant and in the audit trail.").html)
        <p class="actions"><button class="danger" name="action" value="revoke">Revoke this grant</button>
        <a class="button plain" href="\(path)">Cancel</a></p>
        </form>
        </section>
        """
    }
}
