import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Releasing a credential for one use: resolve → decide → refresh → decide again and record in one transaction → open.
// Retrieve is here; the proxy shares everything but the last step.

/// What a caller asks to use, and for what.
package struct ReleaseRequest: Sendable {
    package var grantID: String?
    package var providerID: String?
    package var userToken: String?
    package var appUserID: String?
    package var account: String?
    package var label: String?
    package var reason: String?
    package var method: String
    package var url: String

    package init(
        grantID: String?, providerID: String?, userToken: String?, appUserID: String?, account: String?, label: String?,
        reason: String?, method: String, url: String
    ) {
        self.grantID = grantID
        self.providerID = providerID
        self.userToken = userToken
        self.appUserID = appUserID
        self.account = account
        self.label = label
        self.reason = reason
        self.method = method
        self.url = url
    }
}

/// A credential that a caller may use now.
package struct ReleasedCredential: Sendable {
    package let grantID: GrantID
    package let providerID: String
    package let token: Secret
    package let tokenGeneration: String
    /// The earlier end of token and grant.
    package let expiresAt: Instant?
    package let scopes: [String]
    package let injection: CredentialInjection
}

/// A refusal whose audit record is already durable.
struct RecordedRefusal: Error {
    let error: VaultError
}

extension Vault {
    /// Hands the credential to the caller (`POST /sdk/token`).
    package func retrieve(_ caller: AppCaller, _ request: ReleaseRequest) async throws -> ReleasedCredential {
        let entry = useEntry(caller, "credential.retrieved", request)
        return try await recordingRefusal(entry) { entry in
            let use = try await self.prepareUse(caller, request, mode: .retrieve, entry: &entry)
            return try await self.commitUse(use, entry: entry) { _, _ in }
        }
    }

    func useEntry(_ caller: AppCaller, _ event: String, _ request: ReleaseRequest) -> AuditEntry {
        var entry = caller.entry(event, .deny, at: now())
        entry.method = request.method
        entry.url = request.url
        entry.reason = request.reason
        entry.providerID = request.providerID
        entry.grantID = request.grantID.flatMap(GrantID.init)
        return entry
    }

    /// Writes the one record of a refused use, whatever step refused it, before the refusal is answered.
    func recordingRefusal<Result: Sendable>(
        _ initial: AuditEntry, _ body: (inout AuditEntry) async throws -> Result
    ) async throws -> Result {
        var entry = initial
        do {
            return try await body(&entry)
        } catch let recorded as RecordedRefusal {
            throw recorded.error
        } catch let error as VaultError where error.code != .serviceUnavailable {
            entry.decision = .deny
            entry.details["error"] = .string(error.code.rawValue)
            if !error.details.isEmpty { entry.details["refusal"] = .object(error.details) }
            let refused = entry
            let auditKey = auditKey
            try await write { try $0.appendAudit(refused, key: auditKey) }
            throw error
        }
    }

    // MARK: Steps

    /// A use that passed the first decision, with its credential opened.
    struct PreparedUse: Sendable {
        let mode: ReleaseMode
        let appID: AppID
        let grantID: GrantID
        let method: String
        let address: WebAddress
        let peer: IPAddress?
        let hasRequestRule: Bool
        let credentialVersion: Int64
        let token: Secret
    }

    /// Everything before the transaction that decides: who, which grant, may it, is the token fresh.
    func prepareUse(
        _ caller: AppCaller, _ request: ReleaseRequest, mode: ReleaseMode, entry: inout AuditEntry
    ) async throws -> PreparedUse {
        let address = try Self.destination(request.url)
        guard request.appUserID == nil else {
            throw VaultError(.invalidRequest, "app_user_id is for agents; an app names its user by user_token.")
        }
        var user: UserRecord?
        if let token = request.userToken { user = try await activeUser(caller, token: token) }
        entry.userID = user?.user.id
        let target = try read { try resolveGrant(caller, request, user: user, in: $0) }
        entry.grantID = target.grant.id
        entry.providerID = target.grant.providerID
        entry.userID = target.grant.userID
        let method = request.method
        func facts(_ transaction: Transaction) throws -> ReleaseFacts {
            try releaseFacts(
                target.grant.id, appID: caller.appID, mode: mode, method: method, address: address,
                peer: caller.origin.peer,
                hasRequestRule: caller.hasRequestRule, in: transaction)
        }
        let decision = ReleaseDecision.decide(try read(facts))
        entry.details["rules"] = decision.rules.isEmpty ? nil : .array(decision.rules.map(\.json))
        if let refusal = decision.refusal { throw refusal }
        guard let credentialID = target.grant.credentialID else { throw Self.grantNotFound(request) }
        let record: CredentialRecord
        do {
            record = try await freshCredential(credentialID, appID: caller.appID)
        } catch var error as VaultError {
            // A credential may serve several grants: whoever refreshed it, each caller hears of its own.
            error.members["grant_id"] = target.grant.id.json
            throw error
        }
        return PreparedUse(
            mode: mode, appID: caller.appID, grantID: target.grant.id, method: method, address: address,
            peer: caller.origin.peer, hasRequestRule: caller.hasRequestRule,
            credentialVersion: record.credential.version,
            token: try openAccessToken(record))
    }

    /// Decides again on what the database says now and records the outcome; `alongside` joins the same transaction.
    func commitUse(
        _ use: PreparedUse, entry: AuditEntry,
        alongside: @escaping @Sendable (Transaction, AuditEntry) throws -> Void
    ) async throws -> ReleasedCredential {
        enum Outcome: Sendable {
            case released(ReleasedCredential)
            case refused(VaultError)
            case credentialChanged
        }
        let time = now()
        let outcome = try await write { transaction -> Outcome in
            var entry = entry
            let facts = try releaseFacts(
                use.grantID, appID: use.appID, mode: use.mode, method: use.method, address: use.address, peer: use.peer,
                hasRequestRule: use.hasRequestRule, in: transaction)
            let decision = ReleaseDecision.decide(facts)
            if let refusal = decision.refusal {
                entry.decision = .deny
                entry.details["error"] = .string(refusal.code.rawValue)
                try transaction.appendAudit(entry, key: auditKey)
                return .refused(refusal)
            }
            guard let credential = facts.credential, credential.version == use.credentialVersion else {
                return .credentialChanged
            }
            entry.decision = .allow
            entry.details["token_generation"] = .string(credential.tokenGeneration)
            if use.mode == .retrieve { try transaction.appendAudit(entry, key: auditKey) }
            try alongside(transaction, entry)
            try transaction.touchGrant(use.grantID, now: time)
            let ends = [credential.accessExpiresAt, facts.grant.expiresAt].compactMap(\.self)
            return .released(
                ReleasedCredential(
                    grantID: use.grantID, providerID: facts.grant.providerID, token: use.token,
                    tokenGeneration: credential.tokenGeneration, expiresAt: ends.min(), scopes: facts.grant.scopes,
                    injection: try injection(of: facts.grant, in: transaction)))
        }
        switch outcome {
        case .released(let credential): return credential
        case .refused(let error): throw RecordedRefusal(error: error)
        case .credentialChanged:
            throw VaultError(
                .tokenRefreshInProgress, "The credential was just renewed.", hint: "Send the request again.",
                members: ["grant_id": use.grantID.json])
        }
    }

    /// The address of the call, held against the rules for addresses from outside.
    static func destination(_ url: String) throws -> WebAddress {
        do {
            return try WebAddress(url)
        } catch {
            throw VaultError(.blockedDestination, "The address of the call is not usable: \(error.reason).")
        }
    }

    static func grantNotFound(_ request: ReleaseRequest) -> VaultError {
        var members = JSONObject()
        if request.grantID == nil { members["provider_id"] = request.providerID.map(JSON.string) }
        return VaultError(.grantNotFound, "No such grant.", members: members)
    }

    private func resolveGrant(
        _ caller: AppCaller, _ request: ReleaseRequest, user: UserRecord?, in transaction: Transaction
    ) throws -> GrantRecord {
        if let text = request.grantID {
            guard let id = GrantID(text), let record = try transaction.grant(id, appID: caller.appID) else {
                throw Self.grantNotFound(request)
            }
            guard let user else { return record }
            if record.grant.principalType == .system {
                throw VaultError(
                    .systemGrantUserTokenMismatch, "The grant belongs to the app itself, so no user token fits it.")
            }
            guard record.grant.userID == user.user.id else { throw Self.grantNotFound(request) }
            return record
        }
        guard let providerID = request.providerID else { throw Self.grantNotFound(request) }
        let candidates = try transaction.candidateGrants(
            appID: caller.appID, providerID: providerID, principalType: user == nil ? .system : .user,
            userID: user?.user.id, account: request.account, label: request.label,
            limit: Limits.ambiguousCandidatesMax + 1)
        guard let first = candidates.first else { throw Self.grantNotFound(request) }
        guard candidates.count == 1 else { throw Self.ambiguous(candidates, request) }
        return first
    }

    private static func ambiguous(_ candidates: [GrantRecord], _ request: ReleaseRequest) -> VaultError {
        let shown = candidates.prefix(Limits.ambiguousCandidatesMax).map(\.grant)
        let described = shown.map { grant -> JSON in
            var object: JSONObject = ["grant_id": grant.id.json]
            object["label"] = grant.label.map(JSON.string)
            object["account_identifier"] = grant.accountIdentifier.map(JSON.string)
            object["account_display_name"] = grant.accountDisplayName.map(JSON.string)
            return .object(object)
        }
        return VaultError(
            .ambiguousGrant, "Several grants fit.", hint: "Name the account, the label, or the grant_id.",
            members: [
                "provider_id": .optional(request.providerID),
                "account_identifiers": .strings(shown.compactMap(\.accountIdentifier)),
                "account_was_provided": .bool(request.account != nil), "app_user_ids": [],
                "grant_ids": .strings(shown.map(\.id.text)), "candidates": .array(described),
                "candidates_truncated": .bool(candidates.count > shown.count),
            ])
    }

    /// All that the decision looks at, of one moment. Throws when the grant's identity provider is gone.
    func releaseFacts(
        _ grantID: GrantID, appID: AppID, mode: ReleaseMode, method: String, address: WebAddress, peer: IPAddress?,
        hasRequestRule: Bool, in transaction: Transaction
    ) throws -> ReleaseFacts {
        guard let record = try transaction.grant(grantID, appID: appID) else {
            throw VaultError(.grantNotFound, "No such grant.")
        }
        let grant = record.grant
        var user: User?
        if let userID = grant.userID {
            user = try transaction.user(userID, appID: appID)?.user
            if let user, user.status != .deprovisioned {
                try requireActiveIssuer(user.issuer, appID: appID, in: transaction)
            }
        }
        var policies: [(layer: String, policy: AccessPolicy)] = []
        for (layer, name) in [("app", "*"), ("provider", grant.providerID)] {
            guard let document = try transaction.policy(appID: appID, providerID: name) else { continue }
            policies.append((layer: layer, policy: AccessPolicy(Fields(document, unknownMembers: .ignored))))
        }
        return ReleaseFacts(
            mode: mode, grant: grant, credential: record.credential?.credential, user: user,
            allowedHosts: try allowedHosts(of: grant, in: transaction), method: method, address: address, peer: peer,
            policies: policies, hasRequestRule: hasRequestRule, now: now())
    }

    private func allowedHosts(of grant: Grant, in transaction: Transaction) throws -> [HostRule] {
        switch grant.kind {
        case .managedSecret:
            guard let id = grant.managedSecretID else { return [] }
            return (try transaction.managedSecret(id, appID: grant.appID)?.allowedHosts ?? []).compactMap(HostRule.init)
        case .oauth:
            return (try template(grant.providerID, appID: grant.appID, in: transaction)?.apiHosts ?? []).compactMap(
                HostRule.init)
        }
    }

    private func injection(of grant: Grant, in transaction: Transaction) throws -> CredentialInjection {
        guard let id = grant.managedSecretID, let secret = try transaction.managedSecret(id, appID: grant.appID) else {
            return .bearer
        }
        return CredentialInjection(stored: secret.injection)
    }

    // MARK: Opening

    private static func context(_ credential: Credential, purpose: String) -> SealContext {
        SealContext(
            purpose: purpose, app: credential.appID.text, record: credential.id.text, version: credential.version)
    }

    static let accessPurpose = "credential.access_token"
    static let refreshPurpose = "credential.refresh_token"

    func openAccessToken(_ record: CredentialRecord) throws -> Secret {
        try open(record.accessToken, of: record.credential, purpose: Self.accessPurpose)
    }

    func openRefreshToken(_ record: CredentialRecord) throws -> Secret? {
        try record.refreshToken.map { try open($0, of: record.credential, purpose: Self.refreshPurpose) }
    }

    private func open(_ sealed: [UInt8], of credential: Credential, purpose: String) throws -> Secret {
        do {
            return try keys.dataKey(credential.dataKeyID).open(sealed, Self.context(credential, purpose: purpose))
        } catch KeyStoreError.keyDestroyed {
            throw VaultError(.grantDeleted, "The stored credential was destroyed.")
        } catch is SealError {
            throw VaultError(
                .internalError, "The stored credential cannot be opened.",
                cause: "credential \(credential.id) does not open")
        }
    }

    /// Seals tokens for the credential's version.
    func seal(_ token: Secret, for credential: Credential, purpose: String, with key: DataKey) throws -> [UInt8] {
        try key.seal(token, Self.context(credential, purpose: purpose))
    }
}
