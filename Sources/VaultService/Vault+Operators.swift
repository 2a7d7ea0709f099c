import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Operator accounts: how one is made, by the command line, at the one-time setup address, or with an invitation.

package struct CreatedOperator: Sendable {
    package let operatorID: OperatorID
    package let organizationID: OrganizationID
    /// Shown this once.
    package let token: Secret?
}

extension Vault {
    /// An operator with an organization of its own (management contract, “Details”).
    package func createOperator(email: String, password: Secret? = nil, withToken: Bool) async throws -> CreatedOperator
    {
        let address = try Self.emailAddress(email)
        var hash: PasswordHash?
        if let password { hash = try await hashed(password, email: address) }
        let stored = hash
        let created = now()
        let result = CreatedOperator(
            operatorID: OperatorID(), organizationID: OrganizationID(),
            token: withToken ? Secret(Self.tokenPrefix + RandomBytes.token()) : nil)
        let digest = result.token.map { digestKey.digest($0.revealed()) }
        let isNew = try await write { transaction in
            guard try transaction.operatorAccount(email: address) == nil else { return false }
            try self.insertOperator(result, email: address, password: stored, now: created, in: transaction)
            if let digest {
                try transaction.insertPersonalAccessToken(
                    AccessTokenRecord(
                        id: PersonalAccessTokenID(), name: "first token", scopes: Self.tokenScopes, createdAt: created,
                        expiresAt: nil), operatorID: result.operatorID, digest: digest)
            }
            return true
        }
        guard isNew else { throw VaultError(.conflict, "An operator with this e-mail address exists.") }
        return result
    }

    func recordNewOperator(_ id: OperatorID, way: String, origin: RequestOrigin, in transaction: Transaction) throws {
        try transaction.appendAudit(
            operatorEntry(
                "operator.created", id, origin, details: ["operator_id": id.json, "way": .string(way)]), key: auditKey)
    }

    /// The account, its organization and their record. No setup address works from here on.
    private func insertOperator(
        _ created: CreatedOperator, email: String, password: PasswordHash?, now: Instant, in transaction: Transaction
    ) throws {
        try transaction.insertOrganization(id: created.organizationID, name: email, now: now)
        try transaction.insertOperator(id: created.operatorID, email: email, now: now)
        if let password { try transaction.setOperatorPassword(created.operatorID, password.text) }
        try transaction.insertMembership(
            organizationID: created.organizationID, operatorID: created.operatorID, role: .admin)
        try transaction.deleteSetupAddresses()
        try transaction.appendAudit(
            AuditEntry(
                event: "operator.created", principal: .system, occurredAt: now,
                details: [
                    "operator_id": created.operatorID.json, "organization_id": created.organizationID.json,
                ]), key: auditKey)
    }

    // MARK: The first operator

    private func setupDigest(_ token: String) -> [UInt8] { digestKey.digest("setup:" + token) }

    /// The one-time address that makes the first operator; `nil` once there is one (behaviour contract, “First operator”).
    package func openSetupAddress() async throws -> Secret? {
        let token = RandomBytes.token()
        let digest = setupDigest(token)
        let expiry = now().adding(seconds: Limits.setupAddressSeconds)
        let isOpen = try await write { transaction in
            guard try !transaction.isAnyOperator() else { return false }
            try transaction.insertSetupAddress(digest: digest, expiresAt: expiry)
            return true
        }
        return isOpen ? Secret(configuration.address(SitePath.portalSetup(token).path)) : nil
    }

    /// Throws `not_found` for an address that does not work, and for every address once there is an operator.
    package func requireSetupAddress(_ token: String) throws {
        let digest = setupDigest(token)
        let works = try read { try !$0.isAnyOperator() && $0.isSetupAddress(digest: digest, now: now()) }
        guard works else { throw Self.noSetupAddress }
    }

    private static var noSetupAddress: VaultError {
        VaultError(
            .notFound, "This setup address does not work any more. If there is no operator yet, start the server again."
        )
    }

    /// Makes the first operator and signs them in.
    package func setUp(token: String, email: String, password: Secret, browser: BrowserMark) async throws -> Secret {
        try requireSetupAddress(token)
        let address = try Self.emailAddress(email)
        let hash = try await hashed(password, email: address)
        let digest = setupDigest(token)
        let created = CreatedOperator(operatorID: OperatorID(), organizationID: OrganizationID(), token: nil)
        let time = now()
        let cookie = try await write { transaction -> Secret? in
            // Whoever comes first, also from the command line, is the first.
            guard try !transaction.isAnyOperator(), try transaction.isSetupAddress(digest: digest, now: time) else {
                return nil
            }
            try self.insertOperator(created, email: address, password: hash, now: time, in: transaction)
            return try self.openPortalSession(
                created.operatorID, browser: browser, way: "setup_address", in: transaction)
        }
        guard let cookie else { throw Self.noSetupAddress }
        return cookie
    }

    // MARK: Addresses and passwords

    /// Lower-case ASCII, as accounts are looked up by it: what only looks alike, or becomes alike by folding, is no address
    /// here.
    static func emailAddress(_ text: String) throws -> String {
        let address = String(decoding: text.trimmingWhitespace().utf8.map(lowerCased), as: UTF8.self)
        let parts = address.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, address.utf8.count <= 320,
            address.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw VaultError.validation("email", "must be an e-mail address") }
        return address
    }

    private static func lowerCased(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte + 0x20 : byte }

    /// What an identity provider says, taken as it stands.
    static func assertedEmailAddress(_ text: String) throws -> String {
        guard text == text.trimmingWhitespace() else {
            throw VaultError.validation("email", "must be an e-mail address")
        }
        return try emailAddress(text)
    }

    /// Length is what counts (NIST SP 800-63B §5.1.1.2); there are no rules about kinds of characters.
    func hashed(_ password: Secret, email: String, network: String = "") async throws -> PasswordHash {
        let text = password.revealed()
        guard Limits.passwordCharacters.contains(text.count) else {
            throw VaultError.validation(
                "password", "must have \(Limits.passwordCharacters.lowerBound) characters at least")
        }
        guard text.lowercased() != email, Set(text).count > 3 else {
            throw VaultError.validation("password", "is too easy to guess")
        }
        return try await passwordDesk.run(for: network) { try PasswordHash(password) }
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
