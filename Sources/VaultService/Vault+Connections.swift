import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// What a finished consent becomes: a credential and a grant. The same account keeps its credential and its grant id.

/// A consent with everything that storing it needs.
struct NewConnection: Sendable {
    let answer: TokenAnswer
    let account: Vault.ConnectedAccount
    let provider: ConfiguredProvider
    let session: ConnectSessionRecord
    let dataKeyID: DataKeyID
    let key: DataKey
    let time: Instant

    /// What the provider granted; what was asked for when it does not say (RFC 6749 §5.1).
    var scopes: [String] {
        answer.scopes ?? provider.scopes
            + (session.requiredScopes[provider.record.providerID]?.array?.compactMap(\.string).filter {
                !provider.scopes.contains($0)
            } ?? [])
    }
}

extension Vault {
    func credentialRecord(_ connection: NewConnection, id: CredentialID, version: Int64) throws -> CredentialRecord {
        let credential = Credential(
            id: id, appID: connection.session.appID, userID: connection.session.userID, dataKeyID: connection.dataKeyID,
            version: version, tokenGeneration: Identifier<CredentialNoun>().text,
            hasRefreshToken: connection.answer.refreshToken != nil, scopes: connection.scopes,
            accessExpiresAt: connection.answer.expiresInSeconds.map { connection.time.adding(seconds: $0) }, diedAt: nil
        )
        return CredentialRecord(
            credential: credential, providerID: connection.provider.record.providerID, accountID: connection.account.id,
            accessToken: try seal(
                connection.answer.accessToken, for: credential, purpose: Self.accessPurpose, with: connection.key),
            refreshToken: try connection.answer.refreshToken.map {
                try seal($0, for: credential, purpose: Self.refreshPurpose, with: connection.key)
            })
    }

    /// Stores the connection and answers its entry in the poll's `grants` (wire contract §4.6).
    func storeConnection(_ connection: NewConnection, app: AppRecord, in transaction: Transaction) throws -> JSON {
        let existing = try existingCredential(connection, in: transaction)
        let record = try credentialRecord(
            connection, id: existing?.credential.id ?? CredentialID(), version: (existing?.credential.version ?? 0) + 1)
        if let existing {
            // A provider may leave the refresh token out when consent is renewed; the old one then lives on.
            var renewed = record
            if renewed.refreshToken == nil, let old = try openRefreshToken(existing) {
                renewed.refreshToken = try seal(
                    old, for: renewed.credential, purpose: Self.refreshPurpose, with: connection.key)
            }
            guard
                try transaction.updateCredential(
                    renewed, expectedVersion: existing.credential.version, now: connection.time)
            else {
                throw Self.noConnectSession
            }
        } else {
            try transaction.insertCredential(record, now: connection.time)
        }
        let grants = try transaction.activeGrants(credentialID: record.credential.id)
        let renewable =
            grants.first { $0.id == connection.session.repairGrantID }
            ?? grants.first { $0.label == connection.session.label }
            ?? (connection.session.label == nil ? grants.first : nil)
        let asked = connection.session.grantPolicy
        // A grant that was limited once stays so, with a fresh term, until other terms are asked for.
        let policy = asked.isEmpty ? renewable?.grantPolicy ?? asked : asked
        let terms = GrantPolicyTerms(Fields(policy, unknownMembers: .ignored))
        let ttl =
            connection.session.userID == nil
            ? .none
            : try grantTTL(
                appID: app.id, providerID: connection.provider.record.providerID, grantID: renewable?.id,
                in: transaction)
        let expiresAt = terms.expiry(now: connection.time, policy: ttl)
        // New consent heals every grant on the credential; only the one asked for gets the new term.
        for grant in grants where grant.id != renewable?.id {
            try transaction.renewConsent(
                grant.id, scopes: connection.scopes, accountIdentifier: connection.account.identifier,
                accountDisplayName: connection.account.displayName)
        }
        let grant =
            renewable ?? newGrant(connection, credentialID: record.credential.id, terms: terms, expiresAt: expiresAt)
        if renewable == nil {
            try transaction.insertGrant(grant, accountID: connection.account.id)
            // Another label is no way around what restricts the account's other grants.
            for sibling in grants
            where try transaction.copyPolicy(
                appID: app.id, layer: .grant, from: sibling.id.text, to: grant.id.text,
                revision: PolicyRevisionID().text)
            {
                break
            }
        } else {
            try transaction.renewConsent(
                grant.id, scopes: connection.scopes, accountIdentifier: connection.account.identifier,
                accountDisplayName: connection.account.displayName)
            try transaction.renewTerm(
                grant.id, policy: terms.json, expiresAt: expiresAt, startedAt: connection.time)
        }
        let operation = renewable == nil ? "creation" : "reauth"
        try transaction.appendAudit(
            AuditEntry(
                event: "grant.connected", principal: .browser, occurredAt: connection.time, appID: app.id,
                userID: connection.session.userID, grantID: grant.id, providerID: grant.providerID,
                details: ["operation": .string(operation), "scopes": .strings(connection.scopes)]), key: auditKey)
        return result(grant.id, connection, operation: operation)
    }

    /// The account's credential, or the one that a repair replaces when the same account came back.
    private func existingCredential(_ connection: NewConnection, in transaction: Transaction) throws
        -> CredentialRecord?
    {
        try transaction.credential(
            appID: connection.session.appID, providerID: connection.provider.record.providerID,
            userID: connection.session.userID, accountID: connection.account.id)
    }

    private func newGrant(
        _ connection: NewConnection, credentialID: CredentialID, terms: GrantPolicyTerms, expiresAt: Instant?
    ) -> Grant {
        Grant(
            id: GrantID(), appID: connection.session.appID, kind: .oauth,
            providerID: connection.provider.record.providerID,
            credentialID: credentialID, principalType: connection.session.userID == nil ? .system : .user,
            userID: connection.session.userID, label: connection.session.label,
            accountIdentifier: connection.account.identifier,
            accountDisplayName: connection.account.displayName, scopes: connection.scopes, grantPolicy: terms.json,
            expiresAt: expiresAt, createdAt: connection.time)
    }

    private func result(_ id: GrantID, _ connection: NewConnection, operation: String) -> JSON {
        var object: JSONObject = [
            "grant_id": id.json, "provider_id": .string(connection.provider.record.providerID),
            "operation": .string(operation),
            "scopes": .strings(connection.scopes), Self.connectedAt: .string(connection.time.rfc3339),
        ]
        object["account_identifier"] = connection.account.identifier.map(JSON.string)
        return .object(object)
    }
}

// MARK: - From the provider's answer

extension Vault {
    /// Who the person is at the provider.
    struct ConnectedAccount: Sendable {
        /// Empty when the provider has no address to ask: then the user has one account there.
        let id: String
        let identifier: String?
        let displayName: String?
    }

    struct AccountUnidentified: Error {}

    func identifyAccount(_ answer: TokenAnswer, provider: ConfiguredProvider) async throws -> ConnectedAccount {
        guard let userinfoURL = provider.template.userinfoURL else {
            return ConnectedAccount(id: "", identifier: nil, displayName: nil)
        }
        do {
            let token = answer.accessToken.revealed()  // plaintext leaves here
            var headers = [
                (name: "Authorization", value: "Bearer " + token), (name: "Accept", value: "application/json"),
            ]
            headers += provider.template.apiHeaders.compactMap { header in
                header.value.map { (name: header.name, value: $0) }
            }
            let request = OutgoingRequest(method: "GET", address: try WebAddress(userinfoURL), headers: headers)
            // Only a question: a person who has consented is not sent away for one answer that failed.
            var response = try await send(request)
            for pause in Limits.identificationPauses where response.status >= 500 {
                try await Task.sleep(for: pause)
                response = try await send(request)
            }
            guard response.status == 200,
                let account = ConnectedAccount(try JSON(parsing: response.body), provider.template)
            else {
                throw AccountUnidentified()
            }
            return account
        } catch is OutgoingFailure {
            throw AccountUnidentified()
        } catch is JSONSyntaxError {
            throw AccountUnidentified()
        } catch is WebAddressError {
            throw AccountUnidentified()
        }
    }

    func store(
        _ answer: TokenAnswer, account: ConnectedAccount, session id: ConnectSessionID, app: AppRecord,
        provider: ConfiguredProvider
    ) async throws {
        let time = now()
        let dataKey = try await dataKey(forSession: id, app: app)
        let isKept = try await write(in: .app(app.id)) { transaction -> Bool in
            guard var session = try transaction.connectSession(id) else { throw Self.noConnectSession }
            guard let dataKey, session.status == .open,
                try self.mayStore(session, dataKeyID: dataKey.id, in: transaction),
                try self.connectRefusal(session, providerID: provider.record.providerID, in: transaction) == nil
            else {
                try self.dropLate(
                    answer, account: account, session: session, app: app, provider: provider, in: transaction)
                return false
            }
            let connection = NewConnection(
                answer: answer, account: account, provider: provider, session: session, dataKeyID: dataKey.id,
                key: dataKey.key, time: time)
            let result = try self.storeConnection(connection, app: app, in: transaction)
            session.results.append(result)
            try self.settle(&session, app: app, in: transaction)
            return true
        }
        if !isKept { revocationSignal.notify() }
    }

    /// Consent that came when the session was over: nothing is kept, and the provider is told. Except where the same account
    /// was just connected in another tab: many providers end the whole consent with any of its tokens.
    private func dropLate(
        _ answer: TokenAnswer, account: ConnectedAccount, session: ConnectSessionRecord, app: AppRecord,
        provider: ConfiguredProvider, in transaction: Transaction
    ) throws {
        let name = provider.record.providerID
        let stored = try transaction.credential(
            appID: app.id, providerID: name, userID: session.userID, accountID: account.id)
        if session.status == .completed, stored != nil { return }
        try queueRevocations(owed(for: answer, providerID: name, userID: session.userID), app: app, in: transaction)
    }

    /// The key of the session's user, made at the first connection; the app's own key when there is no user. `nil` when the
    /// user is not active any more.
    private func dataKey(forSession id: ConnectSessionID, app: AppRecord) async throws -> (id: DataKeyID, key: DataKey)?
    {
        guard let keyID = try await dataKeyID(forSession: id, app: app) else { return nil }
        do { return (keyID, try dataKey(keyID)) } catch KeyStoreError.keyDestroyed { return nil }
    }

    private func dataKeyID(forSession id: ConnectSessionID, app: AppRecord) async throws -> DataKeyID? {
        let session = try read { try $0.connectSession(id) }
        guard let userID = session?.userID else { return app.dataKeyID }
        guard let record = try read({ try $0.user(userID, appID: app.id) }), record.user.status == .active else {
            return nil
        }
        if let dataKeyID = record.dataKeyID { return dataKeyID }
        let fresh = try createDataKey(purpose: "user", now: now())
        let kept = try await write(in: .app(app.id)) { transaction -> DataKeyID? in
            guard var current = try transaction.user(userID, appID: app.id), current.user.status == .active,
                current.dataKeyID == nil
            else { return try transaction.user(userID, appID: app.id)?.dataKeyID }
            current.dataKeyID = fresh.id
            try transaction.updateUser(current)
            return fresh.id
        }
        if kept != fresh.id { try await destroyKeys([fresh.id]) }
        return kept
    }

    private func mayStore(_ session: ConnectSessionRecord, dataKeyID: DataKeyID, in transaction: Transaction) throws
        -> Bool
    {
        guard let userID = session.userID else { return true }
        guard let record = try transaction.user(userID, appID: session.appID) else { return false }
        return record.user.status == .active && record.user.epoch == session.userEpoch && record.dataKeyID == dataKeyID
    }
}

extension Vault.ConnectedAccount {
    /// Reads the provider's answer along the template's paths, or along the usual names.
    init?(_ answer: JSON, _ template: OAuthProviderTemplate) {
        func text(_ path: String?) -> String? {
            guard let value = path.flatMap({ answer.value(atPath: $0) }), let text = value.string ?? value.number?.text
            else { return nil }
            return Self.isShowable(text) ? text : nil
        }
        func first(_ paths: [String]) -> String? { paths.lazy.compactMap { text($0) }.first }
        guard
            let id = text(template.accountIDPath)
                ?? (template.accountIDPath == nil ? first(["sub", "id", "user_id", "login"]) : nil)
        else { return nil }
        let name = text(template.displayNamePath) ?? first(["name", "display_name"])
        self.id = id
        identifier = text(template.emailPath) ?? first(["email", "preferred_username", "login"]) ?? id
        displayName = name
    }

    private static func isShowable(_ text: String) -> Bool {
        (1...320).contains(text.unicodeScalars.count)
            && !text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
    }
}

extension JSON {
    /// The value at a dotted path; `[n]` selects an element of an array.
    func value(atPath path: String) -> JSON? {
        path.split(separator: ".").reduce(self as JSON?) { current, step in
            let parts = step.split(separator: "[", omittingEmptySubsequences: true)
            var value = current
            for (position, part) in parts.enumerated() {
                if part.hasSuffix("]"), let index = Int(part.dropLast()) {
                    value = value?.array.flatMap { $0.indices.contains(index) ? $0[index] : nil }
                } else if position == 0 {
                    value = value?[String(part)]
                } else {
                    return nil
                }
            }
            return value
        }
    }
}
