import VaultAPI
import VaultDomain

// Organizations: who belongs to them, in which role, and who was invited.

package struct OrganizationRecord: Sendable {
    package let id: OrganizationID
    package let name: String
    package let createdAt: Instant

    package init(id: OrganizationID, name: String, createdAt: Instant) {
        self.id = id
        self.name = name
        self.createdAt = createdAt
    }
}

package struct MemberRecord: Sendable {
    package let operatorID: OperatorID
    package let email: String
    package let role: MembershipRole
}

package struct InvitationRecord: Sendable {
    package let id: InvitationID
    package let organizationID: OrganizationID
    package let email: String
    package let role: MembershipRole
    /// Who has to be an admin still when it is accepted.
    package let invitedBy: OperatorID
    package let createdAt: Instant
    package let expiresAt: Instant
    package let acceptedAt: Instant?
    package let revokedAt: Instant?

    package init(
        id: InvitationID, organizationID: OrganizationID, email: String, role: MembershipRole, invitedBy: OperatorID,
        createdAt: Instant, expiresAt: Instant, acceptedAt: Instant? = nil, revokedAt: Instant? = nil
    ) {
        self.id = id
        self.organizationID = organizationID
        self.email = email
        self.role = role
        self.invitedBy = invitedBy
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.acceptedAt = acceptedAt
        self.revokedAt = revokedAt
    }

    init(_ row: Row) throws {
        self.init(
            id: try row.id("id"), organizationID: try row.id("organization_id"), email: try row.text("email"),
            role: try row.choice("role"), invitedBy: try row.id("invited_by"), createdAt: try row.instant("created_at"),
            expiresAt: try row.instant("expires_at"), acceptedAt: try row.optionalInstant("accepted_at"),
            revokedAt: try row.optionalInstant("revoked_at"))
    }

    package func isOpen(at now: Instant) -> Bool { acceptedAt == nil && revokedAt == nil && expiresAt > now }
}

extension Transaction {
    package func organization(_ id: OrganizationID) throws -> OrganizationRecord? {
        try row("SELECT * FROM organizations WHERE id = ?1", id).map(Self.organization)
    }

    private static func organization(_ row: Row) throws -> OrganizationRecord {
        OrganizationRecord(
            id: try row.id("id"), name: try row.text("name"), createdAt: try row.instant("created_at"))
    }

    package func organizations(of operatorID: OperatorID, after: PagePosition, limit: Int) throws
        -> [OrganizationRecord]
    {
        try rows(
            """
            SELECT organizations.* FROM organizations
            JOIN memberships ON memberships.organization_id = organizations.id
            WHERE memberships.operator_id = ?1 AND (organizations.created_at, organizations.id) > (?2, ?3)
            ORDER BY organizations.created_at, organizations.id LIMIT ?4
            """, operatorID, after.at, after.id, limit
        ).map(Self.organization)
    }

    package func renameOrganization(_ id: OrganizationID, _ name: String) throws {
        try execute("UPDATE organizations SET name = ?2 WHERE id = ?1", id, name)
    }

    // MARK: Members

    /// In the order of their ids.
    package func members(of id: OrganizationID, after: PagePosition, limit: Int) throws -> [MemberRecord] {
        try rows(
            """
            SELECT memberships.operator_id AS operator_id, operators.email AS email, memberships.role AS role
            FROM memberships JOIN operators ON operators.id = memberships.operator_id
            WHERE memberships.organization_id = ?1 AND memberships.operator_id > ?2
            ORDER BY memberships.operator_id LIMIT ?3
            """, id, after.id, limit
        ).map {
            MemberRecord(
                operatorID: try $0.id("operator_id"), email: try $0.text("email"), role: try $0.choice("role"))
        }
    }

    package func role(of operatorID: OperatorID, in id: OrganizationID) throws -> MembershipRole? {
        try row("SELECT role FROM memberships WHERE operator_id = ?1 AND organization_id = ?2", operatorID, id)?
            .choice("role")
    }

    package func adminCount(of id: OrganizationID) throws -> Int64 {
        try row("SELECT COUNT(*) AS total FROM memberships WHERE organization_id = ?1 AND role = 'admin'", id)?
            .integer("total") ?? 0
    }

    package func setRole(_ role: MembershipRole, of operatorID: OperatorID, in id: OrganizationID) throws {
        try execute(
            "UPDATE memberships SET role = ?3 WHERE operator_id = ?1 AND organization_id = ?2", operatorID, id,
            role.rawValue)
    }

    package func deleteMembership(of operatorID: OperatorID, in id: OrganizationID) throws {
        try execute("DELETE FROM memberships WHERE operator_id = ?1 AND organization_id = ?2", operatorID, id)
    }

    // MARK: Invitations

    package func insertInvitation(_ invitation: InvitationRecord, digest: [UInt8]) throws {
        try execute(
            """
            INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            """, invitation.id, invitation.organizationID, invitation.email, invitation.role.rawValue, digest,
            invitation.invitedBy, invitation.createdAt, invitation.expiresAt)
    }

    package func invitation(digest: [UInt8]) throws -> InvitationRecord? {
        try row("SELECT * FROM invitations WHERE digest = ?1", digest).map(InvitationRecord.init)
    }

    /// Those that can still be accepted.
    package func openInvitations(of id: OrganizationID, now: Instant, after: PagePosition, limit: Int) throws
        -> [InvitationRecord]
    {
        try rows(
            """
            SELECT * FROM invitations WHERE organization_id = ?1 AND accepted_at IS NULL AND revoked_at IS NULL
                AND expires_at > ?2 AND (created_at, id) > (?3, ?4)
            ORDER BY created_at, id LIMIT ?5
            """, id, now, after.at, after.id, limit
        ).map(InvitationRecord.init)
    }

    /// Whether it was open: an invitation is accepted once.
    package func acceptInvitation(_ id: InvitationID, now: Instant) throws -> Bool {
        try execute(
            """
            UPDATE invitations SET accepted_at = ?2
            WHERE id = ?1 AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > ?2
            """, id, now) > 0
    }

    package func revokeInvitation(_ id: InvitationID, of organizationID: OrganizationID, now: Instant) throws -> Bool {
        try execute(
            """
            UPDATE invitations SET revoked_at = ?3
            WHERE id = ?1 AND organization_id = ?2 AND accepted_at IS NULL AND revoked_at IS NULL
            """, id, organizationID, now) > 0
    }
}
