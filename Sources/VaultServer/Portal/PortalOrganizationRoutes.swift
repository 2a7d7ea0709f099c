import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// Organizations in the Portal: who belongs to them, and who is invited.

extension PortalRoutes {
    var organizationRoutes: [Route<PortalCaller>] {
        let organization = SitePath.portalOrganization("{organization_id}").path
        return [
            Route("GET", SitePath.portalOrganizations.path, "The operator's organizations") { caller, exchange in
                try organizationsPage(caller, exchange, FormState())
            },
            Route("POST", SitePath.portalOrganizations.path, "Create an organization") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try organizationsPage(caller, exchange, $0)
                } _: {
                    let fields = form.fields(.text("name"))
                    let name = fields.string("name", length: 1...200)
                    try fields.finish()
                    let created = try await vault.createOrganization(caller.account, name: name)
                    return done(.created, .portalOrganization(created.record.id.text))
                }
            },
            Route("GET", organization, "An organization") { caller, exchange in
                try organizationPage(caller, exchange)
            },
            Route("POST", organization, "Rename an organization") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try organizationPage(caller, exchange, name: $0)
                } _: {
                    let fields = form.fields(.text("name"))
                    let name = fields.string("name", length: 1...200)
                    try fields.finish()
                    _ = try await vault.renameOrganization(caller.account, exchange.organizationID, name: name)
                    return done(.saved, .portalOrganization(exchange.organizationID))
                }
            },
        ] + membershipRoutes
    }

    private var membershipRoutes: [Route<PortalCaller>] {
        let organization = SitePath.portalOrganization("{organization_id}").path
        return [
            Route("POST", organization + "/members/{member_id}", "Change or remove a member") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try organizationPage(caller, exchange, members: $0)
                } _: {
                    let member = exchange.parameter("member_id")
                    let role = MembershipRole(rawValue: form["role"])
                    guard role != nil || form["role"] == "none" else {
                        throw VaultError.validation("role", "is not one of the roles")
                    }
                    try await vault.changeMember(
                        caller.account, organizationID: exchange.organizationID, member, role: role)
                    let hasLeft = role == nil && member == caller.account.operatorID.text
                    return done(
                        role == nil ? .left : .saved,
                        hasLeft ? .portalOrganizations : .portalOrganization(exchange.organizationID))
                }
            },
            Route("POST", organization + "/invitations", "Invite somebody") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try organizationPage(caller, exchange, invitation: $0)
                } _: {
                    let fields = form.fields(.text("email"), .text("role"))
                    let invitation = InvitationSettings(fields)
                    try fields.finish()
                    let opened = try await vault.invite(
                        caller.account, organizationID: exchange.organizationID, email: invitation.email,
                        role: invitation.role)
                    return try organizationPage(caller, exchange, opened: opened)
                }
            },
            Route("POST", organization + "/invitations/{invitation_id}/revoke", "Revoke an invitation") {
                caller, exchange in
                try await vault.revokeInvitation(
                    caller.account, organizationID: exchange.organizationID, exchange.parameter("invitation_id"))
                return done(.revoked, .portalOrganization(exchange.organizationID))
            },
        ]
    }

    private func organizationsPage(_ caller: PortalCaller, _ exchange: Exchange, _ state: FormState) throws -> Answer {
        let paging = try Paging(exchange)
        let organizations = try vault.organizations(caller.account, after: paging.position, limit: paging.limit + 1)
        let pager = Pager(
            paging, organizations, path: exchange.path,
            position: { PagePosition(at: $0.record.createdAt.milliseconds, id: $0.record.id.text) })
        return page(
            caller, exchange, "Organizations",
            """
            <div class="page-head"><h1>Organizations</h1></div>
            <ul class="cards">
            \(organizations.prefix(paging.limit).map { organization in
                """
                <li>
                <h2><a href="\(SitePath.portalOrganization(organization.record.id.text).path)">\(organization.record.name)</a></h2>
                <p class="quiet">You are \(organization.role.words).</p>
                </li>
                """ as HTML
            })
            </ul>
            \(pager.html)
            <section class="panel" aria-labelledby="new">
            <h2 id="new">New organization</h2>
            <p>An organization holds apps, and the operators who run them together.</p>
            <form method="post" action="\(SitePath.portalOrganizations.path)">
            \(caller.csrfField)
            \(state.alert)
            \(Field("name", "Name", state, isRequired: true).html)
            <p class="actions"><button>Create organization</button></p>
            </form>
            </section>
            """)
    }

    private func organizationPage(
        _ caller: PortalCaller, _ exchange: Exchange, name: FormState = FormState(), members: FormState = FormState(),
        invitation: FormState = FormState(), opened: OpenedInvitation? = nil
    ) throws -> Answer {
        let id = exchange.organizationID
        let paging = try Paging(exchange)
        let found = try vault.members(
            caller.account, organizationID: id, after: paging.position, limit: paging.limit + 1)
        let organization = OrganizationPage(
            caller: caller, organization: try vault.organization(caller.account, id),
            members: Array(found.prefix(paging.limit)),
            pager: Pager(
                paging, found, path: SitePath.portalOrganization(id).path,
                position: { PagePosition(at: 0, id: $0.operatorID.text) }),
            invitations: try vault.invitations(
                caller.account, organizationID: id, after: .start, limit: Limits.invitationsOpenMax),
            name: name, memberState: members, invitation: invitation, opened: opened, now: now)
        return page(caller, exchange, organization.organization.record.name, organization.html)
    }
}

extension Exchange {
    var organizationID: String { parameter("organization_id") }
}

struct OrganizationPage: Sendable {
    let caller: PortalCaller
    let organization: OrganizationView
    let members: [MemberRecord]
    let pager: Pager
    let invitations: [InvitationRecord]
    let name: FormState
    let memberState: FormState
    let invitation: FormState
    let opened: OpenedInvitation?
    let now: Instant

    private var path: String { SitePath.portalOrganization(organization.record.id.text).path }
    private var isAdmin: Bool { organization.role == .admin }
    private static let roles = [MembershipRole.member, .admin, .readOnly].map { (value: $0.rawValue, label: $0.title) }

    var html: HTML {
        """
        <div class="page-head"><h1>\(organization.record.name)</h1><span class="quiet">You are \(organization.role.words).</span></div>
        \(openedInvitation)
        <section class="panel" aria-labelledby="members">
        <h2 id="members">Members</h2>
        \(memberState.alert)
        \(memberTable)
        \(pager.html)
        </section>
        \(isAdmin ? invitationPanel : nil)
        \(isAdmin ? renamePanel : nil)
        """
    }

    private var openedInvitation: HTML? {
        guard let opened else { return nil }
        return """
            <section class="panel" aria-labelledby="opened">
            <h2 id="opened">The invitation for \(opened.record.email)</h2>
            \(ShownOnce(
                id: "invitation", label: "Invitation link", value: opened.address,
                warning: "Send this link to them. It is shown this once, works once, and for a week.").html)
            </section>
            """
    }

    private var memberTable: HTML {
        DataTable(
            label: "Members", columns: [.init("E-mail address"), .init("Role"), .init("Action")],
            rows: members.map { member in
                let isSelf = member.operatorID == caller.account.operatorID
                return [
                    "\(member.email) \(isSelf ? Badge("you").html : nil)", "\(member.role.title)",
                    isAdmin || isSelf ? actions(member, isSelf: isSelf) : "",
                ]
            }
        ).html
    }

    private func actions(_ member: MemberRecord, isSelf: Bool) -> HTML {
        let others = isAdmin ? Self.roles.filter { $0.value != member.role.rawValue } : []
        let changes = others.map { role in
            ButtonForm(
                path: path + "/members/" + member.operatorID.text, csrfToken: caller.csrfToken,
                label: "Make \(role.label.lowercased())", fields: [(name: "role", value: role.value)],
                accessibleLabel: "Make \(member.email) \(role.label.lowercased())"
            ).html
        }
        let leave = ButtonForm(
            path: path + "/members/" + member.operatorID.text, csrfToken: caller.csrfToken,
            label: isSelf ? "Leave" : "Remove", style: "danger compact", fields: [(name: "role", value: "none")],
            accessibleLabel: isSelf ? "Leave the organization" : "Remove \(member.email)")
        return "\(changes) \(leave.html)"
    }

    private var invitationPanel: HTML {
        let list: HTML? =
            invitations.isEmpty
            ? nil
            : DataTable(
                label: "Open invitations",
                columns: [.init("E-mail address"), .init("Role"), .init("Expires"), .init("Action")],
                rows: invitations.map { invitation in
                    [
                        "\(invitation.email)", "\(invitation.role.title)",
                        TimeText(instant: invitation.expiresAt, now: now).html,
                        ButtonForm(
                            path: path + "/invitations/" + invitation.id.text + "/revoke", csrfToken: caller.csrfToken,
                            label: "Revoke", style: "danger compact",
                            accessibleLabel: "Revoke the invitation of \(invitation.email)"
                        ).html,
                    ]
                }
            ).html
        return """
            <section class="panel" aria-labelledby="invite">
            <h2 id="invite">Invite somebody</h2>
            \(list)
            <form method="post" action="\(path)/invitations">
            \(caller.csrfField)
            \(invitation.alert)
            \(Field("email", "E-mail address", invitation, kind: .email, isRequired: true).html)
            \(Field(
                "role", "Role", invitation, kind: .select(Self.roles),
                hint: "Admins manage members and delete apps; members run apps; read-only members look.").html)
            <p class="actions"><button>Create the invitation</button></p>
            </form>
            </section>
            """
    }

    private var renamePanel: HTML {
        """
        <section class="panel" aria-labelledby="rename">
        <h2 id="rename">Name</h2>
        <form method="post" action="\(path)">
        \(caller.csrfField)
        \(Field("name", "Name", name, isRequired: true, initial: organization.record.name, idPrefix: "org-").html)
        <p class="actions"><button class="plain">Rename</button></p>
        </form>
        </section>
        """
    }
}
