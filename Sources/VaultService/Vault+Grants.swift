import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Grants: listing, revoking, minting siblings, and what apps report about them.

/// A grant with everything that lists show.
package struct GrantDetails: Sendable {
    package let grant: Grant
    package let status: GrantStatus
    package let credential: Credential?
    package let managedSecret: ManagedSecretRecord?
    package let revocations: [RevocationRecord]
}

package struct GrantPage: Sendable {
    package let grants: [GrantDetails]
    package let total: Int64
}

extension Vault {
    private func details(_ record: GrantRecord, in transaction: Transaction, withRevocations: Bool) throws
        -> GrantDetails
    {
        GrantDetails(
            grant: record.grant, status: record.grant.status(credential: record.credential?.credential, now: now()),
            credential: record.credential?.credential,
            managedSecret: try record.grant.managedSecretID.flatMap {
                try transaction.managedSecret($0, appID: record.grant.appID)
            },
            revocations: withRevocations ? try transaction.revocations(grantID: record.grant.id) : [])
    }

    // MARK: For apps

    package func grants(_ caller: AppCaller, filter: GrantFilter, userToken: String?, offset: Int64, limit: Int64)
        async throws -> GrantPage
    {
        guard !caller.isAgentKey else { return GrantPage(grants: [], total: 0) }
        var filter = filter
        if let userToken { filter.userID = try await activeUser(caller, token: userToken).user.id }
        return try read { transaction in
            let time = now()
            let page = try transaction.grants(
                appID: caller.appID, filter: filter, now: time, after: .start, offset: offset, limit: limit)
            return GrantPage(
                grants: try page.map { try details($0, in: transaction, withRevocations: false) },
                total: try transaction.grantCount(appID: caller.appID, filter: filter, now: time))
        }
    }

    /// Ends a grant. Works for suspended users, too; a deprovisioned user's token gets the answer of all others.
    package func revokeGrant(_ caller: AppCaller, _ id: String, userToken: String?, reason: String?) async throws -> (
        id: GrantID, at: Instant
    ) {
        var user: UserRecord?
        if let userToken {
            let record = try await self.user(caller, token: userToken)
            if record.user.status == .deprovisioned { throw VaultError.userDeprovisioned }
            user = record
        }
        let grant = try read { transaction -> Grant in
            guard !caller.isAgentKey, let grantID = GrantID(id),
                let record = try transaction.grant(grantID, appID: caller.appID),
                user == nil || record.grant.userID == user?.user.id
            else { throw VaultError(.grantNotFound, "No such grant.") }
            return record.grant
        }
        var entry = caller.entry("grant.revoked", .none, at: now())
        entry.reason = reason
        let revokedAt = try await revoke(grant, entry: entry, reason: reason)
        return (grant.id, revokedAt)
    }

    /// The shared end of every single grant. Idempotent: a second call answers the first one's time.
    func revoke(_ grant: Grant, entry: AuditEntry, reason: String?) async throws -> Instant {
        let time = now()
        let revokedAt = try await write(in: .app(grant.appID)) { transaction -> Instant in
            guard let record = try transaction.grant(grant.id, appID: grant.appID),
                let app = try transaction.app(grant.appID)
            else { throw VaultError(.grantNotFound, "No such grant.") }
            if let already = record.grant.revokedAt { return already }
            _ = try transaction.revokeGrant(grant.id, reason: reason, now: time)
            if let credential = record.credential, credential.managedSecretID == nil,
                try transaction.activeGrants(credentialID: credential.credential.id).isEmpty
            {
                try self.queueRevocations(
                    try self.owed(for: [credential], grants: [record.grant]), app: app, in: transaction)
                try transaction.deleteCredential(credential.credential.id)
            }
            var entry = entry
            entry.grantID = grant.id
            entry.userID = record.grant.userID
            entry.providerID = record.grant.providerID
            try transaction.appendAudit(entry, key: self.auditKey)
            return time
        }
        await emptyDatabaseLog()
        revocationSignal.notify()
        return revokedAt
    }

    /// A sibling: another grant on the same credential, under its own label and term.
    package func mintGrant(_ caller: AppCaller, _ id: String, label: String, terms: GrantPolicyTerms) async throws
        -> GrantDetails
    {
        guard !caller.isAgentKey else {
            throw VaultError(.agentsCannotMint, "Only the app's own keys mint grants.")
        }
        let time = now()
        let auditKey = auditKey
        let entry = caller.entry("grant.minted", .none, at: time)
        let outcome = try await write(in: .app(caller.appID)) { transaction -> Result<GrantDetails, VaultError> in
            guard let grantID = GrantID(id), let record = try transaction.grant(grantID, appID: caller.appID),
                let credential = record.credential,
                record.grant.status(credential: credential.credential, now: time) == .active
            else { return .failure(VaultError(.grantNotFound, "No such grant.")) }
            let siblings = try transaction.activeGrants(credentialID: credential.credential.id)
            guard !siblings.contains(where: { $0.label == label }) else {
                return .failure(
                    VaultError(
                        .siblingLabelConflict, "A grant on this credential has the label.",
                        members: ["label": .string(label)]))
            }
            var minted = record.grant
            minted.id = GrantID()
            minted.label = label
            minted.createdAt = time
            minted.lastUsedAt = nil
            minted.grantPolicy = terms.json
            let ends = [terms.expiry(now: time, policy: .none), record.grant.expiresAt].compactMap(\.self)
            minted.expiresAt = ends.min()
            try transaction.insertGrant(minted, accountID: record.accountID)
            // What restricts a grant now restricts its siblings: the caller could choose among them.
            try transaction.copyPolicy(
                appID: caller.appID, layer: .grant, from: grantID.text, to: minted.id.text,
                revision: PolicyRevisionID().text)
            var entry = entry
            entry.grantID = minted.id
            entry.userID = minted.userID
            entry.providerID = minted.providerID
            entry.details["source_grant_id"] = grantID.json
            try transaction.appendAudit(entry, key: auditKey)
            guard let stored = try transaction.grant(minted.id, appID: caller.appID) else { throw Self.notFound }
            return .success(try self.details(stored, in: transaction, withRevocations: false))
        }
        return try outcome.get()
    }

    /// The provider answered 403 insufficient_scope: the grant is flagged until the account is connected again.
    package func reportScopeMismatch(_ caller: AppCaller, _ id: String, details report: JSONObject) async throws {
        var entry = caller.entry("grant.scope_mismatch_reported", .none, at: now())
        entry.details = report
        let auditKey = auditKey
        let reported = entry
        let isFound = try await write(in: .app(caller.appID)) { transaction in
            guard !caller.isAgentKey, let grantID = GrantID(id),
                let record = try transaction.grant(grantID, appID: caller.appID)
            else { return false }
            try caller.require("tokens:retrieve", instance: [grantID.text, record.grant.providerID])
            // Only consent can heal the flag, and nobody consents to a secret of the app.
            if record.grant.kind == .oauth { try transaction.setScopeMismatch(grantID, true) }
            var entry = reported
            entry.grantID = grantID
            entry.userID = record.grant.userID
            entry.providerID = record.grant.providerID
            try transaction.appendAudit(entry, key: auditKey)
            return true
        }
        guard isFound else {
            try caller.require("tokens:retrieve", instance: [String(id.prefix(255))])
            throw VaultError(.grantNotFound, "No such grant.")
        }
    }

    // MARK: For operators

    package func grants(_ caller: OperatorCaller, appID: String, filter: GrantFilter, after: PagePosition, limit: Int)
        throws -> [GrantDetails]
    {
        let app = try app(caller, appID)
        return try read { transaction in
            try transaction.grants(appID: app.id, filter: filter, now: now(), after: after, limit: Int64(limit))
                .map { try details($0, in: transaction, withRevocations: true) }
        }
    }

    package func grant(_ caller: OperatorCaller, appID: String, _ id: String) throws -> GrantDetails {
        let app = try app(caller, appID)
        return try read { transaction in
            guard let grantID = GrantID(id), let record = try transaction.grant(grantID, appID: app.id) else {
                throw Self.notFound
            }
            return try details(record, in: transaction, withRevocations: true)
        }
    }

    package func revokeGrant(_ caller: OperatorCaller, appID: String, _ id: String, reason: String?) async throws
        -> GrantDetails
    {
        let app = try app(caller, appID, toWrite: true)
        let grant = try grant(caller, appID: appID, id).grant
        var entry = operatorEntry(caller, "grant.revoked", app: app)
        entry.reason = reason
        _ = try await revoke(grant, entry: entry, reason: reason)
        return try self.grant(caller, appID: appID, id)
    }

    /// A new term that begins now. What policies and the grant's own terms allow at most cuts it; it is not refused for that.
    package func extendGrant(_ caller: OperatorCaller, appID: String, _ id: String, until wanted: Instant) async throws
        -> GrantDetails
    {
        let app = try app(caller, appID, toWrite: true)
        let grantID = try grant(caller, appID: appID, id).grant.id
        let time = now()
        guard wanted > time else { throw VaultError.validation("expires_at", "must be in the future") }
        try await record(
            caller, "grant.extended", app: app, grantID: grantID, details: ["asked": .string(wanted.rfc3339)]
        ) { transaction in
            guard let grant = try transaction.grant(grantID, appID: app.id)?.grant else { throw Self.notFound }
            guard grant.revokedAt == nil else { throw VaultError(.conflict, "The grant was revoked.") }
            guard let end = grant.expiresAt else { throw VaultError(.conflict, "The grant has no end.") }
            guard wanted >= end else { throw VaultError.validation("expires_at", "must not be before the grant's end") }
            try self.beginTerm(of: grant, until: wanted, at: time, in: transaction)
        }
        return try self.grant(caller, appID: appID, id)
    }

    // MARK: Terms

    /// A new term from `time` on, cut by what policies and the grant's own terms allow at most.
    func beginTerm(of grant: Grant, until wanted: Instant, at time: Instant, in transaction: Transaction) throws {
        var terms = GrantPolicyTerms(Fields(grant.grantPolicy, unknownMembers: .ignored))
        terms.expiresAt = wanted
        let end = terms.expiry(now: time, policy: try policyTTL(of: grant, in: transaction))
        try transaction.renewTerm(grant.id, policy: grant.grantPolicy, expiresAt: end, startedAt: time)
    }

    /// Until when a term that begins at `time` may last; `nil` where nobody has set a maximum.
    func longestTermEnd(of grant: Grant, at time: Instant, in transaction: Transaction) throws -> Instant? {
        let terms = GrantPolicyTerms(Fields(grant.grantPolicy, unknownMembers: .ignored))
        let maxima = [terms.maxTTLSeconds, try policyTTL(of: grant, in: transaction).maxSeconds]
        return maxima.compactMap(\.self).min().map { time.adding(seconds: $0) }
    }

    private func policyTTL(of grant: Grant, in transaction: Transaction) throws -> GrantTTL {
        guard grant.principalType != .system else { return .none }
        return try grantTTL(
            appID: grant.appID, providerID: grant.providerID, grantID: grant.id, in: transaction)
    }
}
