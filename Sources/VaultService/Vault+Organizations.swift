import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Organizations: what operators share. Admins say who belongs to one; an invitation is a link that works once, for one
// e-mail address, for a week.

package struct OrganizationView: Sendable {
    package let record: OrganizationRecord
    package let role: MembershipRole
}

package struct OpenedInvitation: Sendable {
    package let record: InvitationRecord
    /// The link, shown this once.
    package let address: Secret
}

/// What the person who follows an invitation sees.
package struct InvitationView: Sendable {
    package let organizationName: String
    package let email: String
    package let role: MembershipRole
    /// Whether there is an account already, which has to sign in to accept.
    package let isAccountKnown: Bool
}

extension Vault {
    package func createOrganization(_ caller: OperatorCaller, name: String) async throws -> OrganizationView {
        try caller.requireWrite()
        let record = OrganizationRecord(id: OrganizationID(), name: name, createdAt: now())
        try await recordOrganization(caller, "organization.created", record.id, details: ["name": .string(name)]) {
            try $0.insertOrganization(id: record.id, name: name, now: record.createdAt)
            try $0.insertMembership(organizationID: record.id, operatorID: caller.operatorID, role: .admin)
        }
        return OrganizationView(record: record, role: .admin)
    }

    package func organizations(_ caller: OperatorCaller, after: PagePosition, limit: Int) throws -> [OrganizationView] {
        try read { try $0.organizations(of: caller.operatorID, after: after, limit: limit) }.compactMap { record in
            caller.roles[record.id].map { OrganizationView(record: record, role: $0) }
        }
    }

    package func organization(_ caller: OperatorCaller, _ id: String) throws -> OrganizationView {
        guard let id = OrganizationID(id), let role = caller.roles[id],
            let record = try read({ try $0.organization(id) })
        else { throw Self.notFound }
        return OrganizationView(record: record, role: role)
    }

    private func organizationToManage(_ caller: OperatorCaller, _ id: String) throws -> OrganizationRecord {
        let organization = try organization(caller, id)
        guard organization.role == .admin, !caller.isReadOnly else {
            throw VaultError(.forbidden, "Only an admin of the organization does that.")
        }
        return organization.record
    }

    package func renameOrganization(_ caller: OperatorCaller, _ id: String, name: String) async throws
        -> OrganizationView
    {
        let organization = try organizationToManage(caller, id)
        try await recordOrganization(
            caller, "organization.renamed", organization.id, details: ["name": .string(name)]
        ) { try $0.renameOrganization(organization.id, name) }
        return try self.organization(caller, id)
    }

    // MARK: Members

    package func members(_ caller: OperatorCaller, organizationID: String, after: PagePosition, limit: Int) throws
        -> [MemberRecord]
    {
        let organization = try organization(caller, organizationID)
        return try read { try $0.members(of: organization.record.id, after: after, limit: limit) }
    }

    /// - Parameter role: `nil` takes the member out. The last admin stays one.
    package func changeMember(
        _ caller: OperatorCaller, organizationID: String, _ memberID: String, role: MembershipRole?
    )
        async throws
    {
        let isLeaving = role == nil && memberID == caller.operatorID.text
        let organization =
            isLeaving
            ? try self.organization(caller, organizationID).record : try organizationToManage(caller, organizationID)
        if isLeaving { try caller.requireWrite() }
        guard let memberID = OperatorID(memberID) else { throw Self.notFound }
        try await recordOrganization(
            caller, role == nil ? "member.removed" : "member.changed", organization.id,
            details: ["member_id": memberID.json, "role": .optional(role?.rawValue)]
        ) { transaction in
            guard let current = try transaction.role(of: memberID, in: organization.id) else { throw Self.notFound }
            if current == .admin, role != .admin, try transaction.adminCount(of: organization.id) < 2 {
                throw VaultError(.conflict, "An organization keeps one admin at least.")
            }
            if let role {
                try transaction.setRole(role, of: memberID, in: organization.id)
            } else {
                try transaction.deleteMembership(of: memberID, in: organization.id)
            }
        }
    }

    // MARK: Invitations

    func invitationDigest(_ token: String) -> [UInt8] { digestKey.digest("invitation:" + token) }

    package func invite(_ caller: OperatorCaller, organizationID: String, email: String, role: MembershipRole)
        async throws
        -> OpenedInvitation
    {
        let organization = try organizationToManage(caller, organizationID)
        let address = try Self.emailAddress(email)
        let time = now()
        let record = InvitationRecord(
            id: InvitationID(), organizationID: organization.id, email: address, role: role,
            invitedBy: caller.operatorID, createdAt: time, expiresAt: time.adding(seconds: Limits.invitationSeconds))
        let token = RandomBytes.token()
        let digest = invitationDigest(token)
        try await recordOrganization(
            caller, "invitation.created", organization.id,
            details: ["invitation_id": record.id.json, "email": .string(address), "role": .string(role.rawValue)]
        ) { transaction in
            if let account = try transaction.operatorAccount(email: address),
                try transaction.role(of: account.id, in: organization.id) != nil
            {
                throw VaultError(.conflict, "This person belongs to the organization already.")
            }
            let open = try transaction.openInvitations(
                of: organization.id, now: time, after: .start, limit: Limits.invitationsOpenMax)
            guard open.count < Limits.invitationsOpenMax else {
                throw VaultError(.conflict, "Too many invitations are open. Revoke some first.")
            }
            try transaction.insertInvitation(record, digest: digest)
        }
        return OpenedInvitation(
            record: record, address: Secret(configuration.address(SitePath.portalInvitation(token).path)))
    }

    package func invitations(_ caller: OperatorCaller, organizationID: String, after: PagePosition, limit: Int) throws
        -> [InvitationRecord]
    {
        let organization = try organization(caller, organizationID)
        return try read {
            try $0.openInvitations(of: organization.record.id, now: now(), after: after, limit: limit)
        }
    }

    package func revokeInvitation(_ caller: OperatorCaller, organizationID: String, _ id: String) async throws {
        let organization = try organizationToManage(caller, organizationID)
        guard let id = InvitationID(id) else { throw Self.notFound }
        let time = now()
        try await recordOrganization(
            caller, "invitation.revoked", organization.id, details: ["invitation_id": id.json]
        ) {
            guard try $0.revokeInvitation(id, of: organization.id, now: time) else { throw Self.notFound }
        }
    }

    package func invitation(token: String) throws -> InvitationView {
        let digest = invitationDigest(token)
        return try read { transaction in
            guard let record = try transaction.invitation(digest: digest), record.isOpen(at: now()),
                try transaction.role(of: record.invitedBy, in: record.organizationID) == .admin,
                let organization = try transaction.organization(record.organizationID)
            else { throw Self.noInvitation }
            return InvitationView(
                organizationName: organization.name, email: record.email, role: record.role,
                isAccountKnown: try transaction.operatorAccount(email: record.email) != nil)
        }
    }

    static var noInvitation: VaultError {
        VaultError(.notFound, "This invitation does not work any more. Ask for a new one.")
    }

    /// Makes the account of somebody new, in the organization that invited them, and signs them in.
    package func acceptInvitation(token: String, password: Secret, browser: BrowserMark) async throws -> Secret {
        let invited = try invitation(token: token)
        let hash = try await hashed(
            password, email: invited.email, network: Self.network(browser.origin.peer))
        let digest = invitationDigest(token)
        return try await write { transaction in
            guard try transaction.operatorAccount(email: invited.email) == nil else { throw Self.noInvitation }
            let id = OperatorID()
            try transaction.insertOperator(id: id, email: invited.email, now: self.now())
            try transaction.setOperatorPassword(id, hash.text)
            try self.recordNewOperator(id, way: "invitation", origin: browser.origin, in: transaction)
            try self.join(id, invitation: digest, email: invited.email, origin: browser.origin, in: transaction)
            return try self.openPortalSession(id, browser: browser, way: "password", in: transaction)
        }
    }

    /// Accepts for an account that is signed in: that of the address which was invited, and no other.
    package func acceptInvitation(_ caller: OperatorCaller, token: String) async throws {
        let digest = invitationDigest(token)
        try await write { transaction in
            try self.join(
                caller.operatorID, invitation: digest, email: caller.email, origin: caller.origin, in: transaction)
        }
    }

    func join(
        _ id: OperatorID, invitation digest: [UInt8], email: String, origin: RequestOrigin, in transaction: Transaction
    ) throws {
        let time = now()
        guard let record = try transaction.invitation(digest: digest), record.email.utf8.elementsEqual(email.utf8),
            try transaction.role(of: record.invitedBy, in: record.organizationID) == .admin,
            try transaction.acceptInvitation(record.id, now: time)
        else { throw Self.noInvitation }
        if try transaction.role(of: id, in: record.organizationID) == nil {
            try transaction.insertMembership(organizationID: record.organizationID, operatorID: id, role: record.role)
        }
        try transaction.appendAudit(
            operatorEntry(
                "invitation.accepted", id, origin,
                details: ["invitation_id": record.id.json, "organization_id": record.organizationID.json]),
            key: auditKey)
    }

    private func recordOrganization(
        _ caller: OperatorCaller, _ event: String, _ id: OrganizationID, details: JSONObject,
        _ body: @escaping @Sendable (Transaction) throws -> Void
    ) async throws {
        var details = details
        details["organization_id"] = id.json
        let entry = operatorEntry(event, caller.operatorID, caller.origin, details: details)
        let auditKey = auditKey
        try await write { transaction in
            try body(transaction)
            try transaction.appendAudit(entry, key: auditKey)
        }
    }
}
