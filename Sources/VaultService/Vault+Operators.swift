import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Operators and their personal access tokens.

package struct CreatedOperator: Sendable {
    package let operatorID: OperatorID
    package let organizationID: OrganizationID
    /// Shown this once.
    package let token: Secret?
}

extension Vault {
    static let tokenPrefix = "alter_pat_"

    /// An operator with an organization of its own (management contract, “Details”).
    package func createOperator(email: String, withToken: Bool) async throws -> CreatedOperator {
        let address = email.trimmingWhitespace().lowercased()
        guard Self.isPlausibleEmail(address) else { throw VaultError.validation("email", "must be an e-mail address") }
        let created = now()
        let operatorID = OperatorID()
        let organizationID = OrganizationID()
        let token = withToken ? Secret(Self.tokenPrefix + RandomBytes.token()) : nil
        let digest = token.map { digestKey.digest($0.revealed()) }
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "operator.created", principal: .system, occurredAt: created,
            details: ["operator_id": operatorID.json, "organization_id": organizationID.json])
        let isNew = try await write { transaction in
            guard try transaction.operatorAccount(email: address) == nil else { return false }
            try transaction.insertOrganization(id: organizationID, name: address, now: created)
            try transaction.insertOperator(id: operatorID, email: address, now: created)
            try transaction.insertMembership(organizationID: organizationID, operatorID: operatorID, role: .admin)
            if let digest {
                try transaction.insertPersonalAccessToken(
                    id: PersonalAccessTokenID(), operatorID: operatorID, name: "first token", digest: digest,
                    now: created,
                    expiresAt: nil)
            }
            try transaction.appendAudit(entry, key: auditKey)
            return true
        }
        guard isNew else { throw VaultError(.conflict, "An operator with this e-mail address exists.") }
        return CreatedOperator(operatorID: operatorID, organizationID: organizationID, token: token)
    }

    /// The operator of a personal access token.
    package func authenticateOperator(token: String, origin: RequestOrigin) throws -> OperatorCaller {
        guard token.hasPrefix(Self.tokenPrefix), token.utf8.count < 128 else { throw Self.unauthenticated }
        let digest = digestKey.digest(token)
        let found = try read { transaction -> OperatorCaller? in
            guard let account = try transaction.operatorAccount(tokenDigest: digest, now: now()) else { return nil }
            return OperatorCaller(
                operatorID: account.id, email: account.email, roles: try transaction.memberships(of: account.id),
                origin: origin)
        }
        guard let found else { throw Self.unauthenticated }
        return found
    }

    package static var unauthenticated: VaultError {
        VaultError(.unauthenticated, "A valid personal access token is needed: Authorization: Bearer alter_pat_….")
    }

    private static func isPlausibleEmail(_ text: String) -> Bool {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty && text.utf8.count <= 320
            && text.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F }
    }
}

extension String {
    func trimmingWhitespace() -> String {
        var view = self[...]
        while let first = view.first, first.isWhitespace { view.removeFirst() }
        while let last = view.last, last.isWhitespace { view.removeLast() }
        return String(view)
    }
}
