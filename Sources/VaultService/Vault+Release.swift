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
    /// Items that join the query of `url`.
    package var query: [(name: String, value: String)] = []

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
    /// Of one that is handed out; to be held until it is.
    package let underWay: UsesUnderWay.Mark?
}

/// An error of a use whose one audit record is durable already, or owed by the note of its call.
struct RecordedRefusal: Error {
    let error: any Error
}

extension Vault {
    /// The scope of a use. It comes before the body is read, and its refusal is on record like every other one of a use. A
    /// scope for some grants or providers only is decided once it is known which one is used.
    package func requireScope(_ caller: AppCaller, for mode: ReleaseMode) async throws {
        let event = mode == .retrieve ? Self.retrievedEvent : Self.proxiedEvent
        let scope = Self.scope(of: mode)
        guard !caller.scopes.allowsSome(scope) else { return }
        try await recordingRefusal(caller, caller.entry(event, .deny, at: now())) { _ in try caller.requireSome(scope) }
    }

    private static func scope(of mode: ReleaseMode) -> String {
        switch mode {
        case .retrieve: "tokens:retrieve"
        case .proxy: "proxy:execute"
        }
    }

    static let retrievedEvent = "credential.retrieved"
    static let proxiedEvent = "credential.proxied"

    /// Hands the credential to the caller (`POST /sdk/token`).
    package func retrieve(_ caller: AppCaller, _ request: ReleaseRequest) async throws -> ReleasedCredential {
        let entry = useEntry(caller, Self.retrievedEvent, request)
        return try await recordingRefusal(caller, entry) { entry in
            try await self.release(caller, request, mode: .retrieve, entry: &entry) { _, _ in }.credential
        }
    }

    func useEntry(_ caller: AppCaller, _ event: String, _ request: ReleaseRequest) -> AuditEntry {
        var entry = caller.entry(event, .deny, at: now())
        entry.method = request.method
        entry.url = Self.recordable(request.url)
        entry.reason = request.reason
        entry.providerID = request.providerID
        entry.grantID = request.grantID.flatMap(GrantID.init)
        return entry
    }

    /// An address as records may hold it: a password in it is no part of where the call went.
    static func recordable(_ url: String) -> String {
        guard url.utf8.contains(UInt8(ascii: "@")), let start = url.firstRange(of: "://")?.upperBound else {
            return url
        }
        let authority = url[start...].prefix { !"/?#\\".contains($0) }
        guard let at = authority.lastIndex(of: "@") else { return url }
        return url[..<start] + "…" + url[at...]
    }

    /// Writes the one record of a refused use, whatever step refused it, before the refusal is answered. A request that was
    /// seen before is none.
    func recordingRefusal<Result: Sendable>(
        _ caller: AppCaller, _ initial: AuditEntry, _ body: (inout AuditEntry) async throws -> Result
    ) async throws -> Result {
        var entry = initial
        do {
            let result = try await body(&entry)
            countDecision(entry.event, nil)
            return result
        } catch let recorded as RecordedRefusal {
            countDecision(entry.event, recorded.error)
            throw recorded.error
        } catch let error as VaultError where error.code == .nonceReplayed {
            throw error
        } catch {
            countDecision(entry.event, error)
            Self.note(error as? VaultError, in: &entry)
            let refused = entry
            let auditKey = auditKey
            do {
                try await burning(caller.nonce, in: WriteScope(of: refused)) {
                    try $0.appendAudit(refused, key: auditKey)
                }
            } catch let replay as VaultError
                where replay.code == .nonceReplayed && (error as? VaultError)?.code == .serviceUnavailable
            {
                // Its own nonce, in a commit of which nobody knew that it went through.
            }
            throw error
        }
    }

    private static func note(_ refusal: VaultError?, in entry: inout AuditEntry) {
        entry.decision = .deny
        entry.details["error"] = .string((refusal?.code ?? .internalError).rawValue)
        if let refusal, !refusal.details.isEmpty { entry.details["refusal"] = .object(refusal.details) }
        entry.details["missing_scopes"] = refusal?.members["missing"]
    }

    private func countDecision(_ event: String, _ error: (any Error)?) {
        let code = error.map { ($0 as? VaultError)?.code ?? .internalError }
        let mode = event == Self.proxiedEvent ? ReleaseMode.proxy : .retrieve
        metrics.countDecision(mode: mode.rawValue, code: code?.rawValue)
    }

    // MARK: Steps

    /// What is to be used, by whom, on what; the decision is made from it as often as needed.
    struct Use: Sendable {
        let caller: AppCaller
        let request: ReleaseRequest
        let mode: ReleaseMode
        let grantID: GrantID
        let credentialID: CredentialID?
        /// When the caller named the user by a token.
        let named: NamedUser?
        let address: WebAddress

        var appID: AppID { caller.appID }
    }

    /// The whole way to a credential in use: who, which grant, may it, is the token fresh, and once more in the transaction
    /// that records it. `alongside` joins that transaction.
    func release(
        _ caller: AppCaller, _ request: ReleaseRequest, mode: ReleaseMode, entry: inout AuditEntry,
        alongside: @escaping @Sendable (Transaction, AuditEntry) throws -> Void
    ) async throws -> (use: Use, credential: ReleasedCredential) {
        for _ in 0..<Limits.releaseAttemptsMax {
            do {
                return try await releaseOnce(caller, request, mode: mode, entry: &entry, alongside: alongside)
            } catch is ChangedMeanwhile {
                // The transaction that noticed has made everything forgotten.
            }
        }
        throw VaultError(
            .serviceUnavailable, "The identity provider is being changed again and again.", retryAfterSeconds: 1)
    }

    private func releaseOnce(
        _ caller: AppCaller, _ request: ReleaseRequest, mode: ReleaseMode, entry: inout AuditEntry,
        alongside: @escaping @Sendable (Transaction, AuditEntry) throws -> Void
    ) async throws -> (use: Use, credential: ReleasedCredential) {
        let (use, target) = try await prepareUse(caller, request, mode: mode, entry: &entry)
        do {
            guard let stored = target.credential, let credentialID = use.credentialID else { throw CredentialGone() }
            var record = stored
            if record.credential.needsRefresh(now: now()) {
                // Nothing is asked of a provider for a use that is refused.
                let decision = try decision(on: use)
                entry.details["rules"] = Self.recorded(decision.rules)
                if let refusal = decision.refusal { throw refusal }
                record = try await freshCredential(credentialID, appID: use.appID)
            }
            for _ in 0..<Limits.releaseAttemptsMax {
                if let credential = try await commit(use, with: record, entry: entry, alongside: alongside) {
                    return (use, credential)
                }
                // Renewed by somebody else meanwhile: what is stored now is as fresh as it gets.
                record = try storedCredential(credentialID)
            }
        } catch is CredentialGone {
            throw try decision(on: use).refusal ?? VaultError(.grantDeleted, "The stored credential was destroyed.")
        } catch var error as VaultError where error.code == .credentialRevoked || error.code == .tokenRefreshInProgress
        {
            // A credential may serve several grants: whoever refreshed it, each caller hears of its own.
            error.members["grant_id"] = use.grantID.json
            throw error
        }
        throw VaultError(
            .tokenRefreshInProgress, "The credential is being renewed again and again.",
            hint: "Send the request again in a moment.", members: ["grant_id": use.grantID.json], retryAfterSeconds: 2)
    }

    private func decision(on use: Use) throws -> ReleaseDecision {
        try read { transaction in
            var facts = try releaseFacts(use, in: transaction)
            try readLimits(of: &facts, in: transaction)
            return ReleaseDecision.decide(facts)
        }
    }

    /// Everything before the decision: who, which grant, what for.
    private func prepareUse(
        _ caller: AppCaller, _ request: ReleaseRequest, mode: ReleaseMode, entry: inout AuditEntry
    ) async throws -> (use: Use, target: GrantRecord) {
        guard request.appUserID == nil else {
            throw VaultError(.invalidRequest, "app_user_id is for agents; an app names its user by user_token.")
        }
        var named: NamedUser?
        if let token = request.userToken {
            let found = try await namedUser(caller, token: token, recalls: true)
            // Of a refusal, too, the record says whose it is.
            entry.userID = found.record.user.id
            try Self.requireActive(found.record.user)
            named = found
        }
        let user = named?.record
        let address = try Self.destination(request)
        entry.url = address.text
        let scope = Self.scope(of: mode)
        let target = try recall { try resolveGrant(caller, request, user: user, scope: scope, in: $0) }
        entry.grantID = target.grant.id
        entry.providerID = target.grant.providerID
        entry.userID = target.grant.userID
        let use = Use(
            caller: caller, request: request, mode: mode, grantID: target.grant.id,
            credentialID: target.grant.credentialID, named: named, address: address)
        return (use, target)
    }

    private static func recorded(_ rules: [RuleOutcome]) -> JSON? {
        rules.isEmpty ? nil : .array(rules.map(\.json))
    }

    /// Which second it was is enough.
    private static let lastUsedResolutionSeconds: Int64 = 1

    /// Decides on what the database says now and records the outcome; `nil` when the credential is not the one at hand.
    private func commit(
        _ use: Use, with record: CredentialRecord, entry: AuditEntry,
        alongside: @escaping @Sendable (Transaction, AuditEntry) throws -> Void
    ) async throws -> ReleasedCredential? {
        enum Outcome: Sendable {
            case released(ReleasedCredential)
            case refused(VaultError)
            case credentialChanged
        }
        let caller = use.caller
        let token = try openAccessToken(record)
        let time = now()
        // What cannot be found is looked for in the transaction, and what goes wrong goes wrong there.
        let foreseen = try? recall { try releaseFacts(use, in: $0) }
        let isNoted = lastUsed[use.grantID].map { $0.adding(seconds: Self.lastUsedResolutionSeconds) > time } ?? false
        let outcome = try await burning(caller.nonce, in: .app(use.appID), recalls: true) { transaction -> Outcome in
            var entry = entry
            // What was found on the way here holds while nobody has changed a record since; otherwise all of it is looked up.
            let isUnchanged = try transaction.isUnchanged(since: caller.records)
            if !isUnchanged { try self.confirm(use, in: transaction) }
            if let refusal = try self.keyRefusal(caller, isUnchanged: isUnchanged, in: transaction, now: time) {
                Self.note(refusal, in: &entry)
                try transaction.appendAudit(entry, key: auditKey)
                return .refused(refusal)
            }
            var facts = try (isUnchanged ? foreseen : nil) ?? releaseFacts(use, in: transaction)
            facts.now = now()
            try readLimits(of: &facts, in: transaction)
            let decision = ReleaseDecision.decide(facts)
            entry.details["rules"] = Self.recorded(decision.rules)
            if let refusal = decision.refusal {
                Self.note(refusal, in: &entry)
                try transaction.appendAudit(entry, key: auditKey)
                return .refused(refusal)
            }
            guard let credential = facts.credential, credential.version == record.credential.version else {
                return .credentialChanged
            }
            for counter in facts.policies.compactMap(\.counter) {
                _ = try transaction.countUse(counter, now: facts.now)
            }
            entry.decision = .allow
            entry.details["token_generation"] = .string(credential.tokenGeneration)
            if use.mode == .retrieve { try transaction.appendAudit(entry, key: auditKey) }
            try alongside(transaction, entry)
            if !isNoted { try transaction.touchGrant(use.grantID, now: time) }
            let ends = [credential.accessExpiresAt, facts.grant.expiresAt].compactMap(\.self)
            return .released(
                ReleasedCredential(
                    grantID: use.grantID, providerID: facts.grant.providerID, token: token,
                    tokenGeneration: credential.tokenGeneration, expiresAt: ends.min(), scopes: facts.grant.scopes,
                    injection: try injection(of: facts.grant, in: transaction),
                    underWay: use.mode == .retrieve ? usesUnderWay.begin() : nil))
        }
        switch outcome {
        case .released(let credential):
            if !isNoted { lastUsed.note(use.grantID, at: time) }
            return credential
        case .refused(let error): throw RecordedRefusal(error: error)
        case .credentialChanged: return nil
        }
    }

    /// Throws unless the request names this user and this grant as the transaction sees them.
    private func confirm(_ use: Use, in transaction: Transaction) throws {
        if let named = use.named { try confirm(named, in: transaction) }
        guard use.request.grantID == nil else { return }
        let found = try resolveGrant(
            use.caller, use.request, user: use.named?.record, scope: Self.scope(of: use.mode), in: transaction)
        guard found.grant.id == use.grantID else { throw ChangedMeanwhile() }
    }

    /// The key or the app ended while the request was under way.
    func keyRefusal(_ caller: AppCaller, isUnchanged: Bool, in transaction: Transaction, now: Instant) throws
        -> VaultError?
    {
        if isUnchanged { return Self.stateRefusal(caller.key, app: caller.app, at: now) }
        guard let key = try transaction.key(caller.keyID, appID: caller.appID),
            let app = try transaction.app(caller.appID)
        else {
            return VaultError(.invalidKey, "The API key is missing or unknown.")
        }
        return Self.stateRefusal(key, app: app, at: now)
    }

    /// All that the decision looks at, of one moment, but for what limits have counted. Throws when the grant's identity provider is
    /// gone.
    func releaseFacts(_ use: Use, in transaction: Transaction) throws -> ReleaseFacts {
        guard let record = try transaction.grant(use.grantID, appID: use.appID) else {
            throw VaultError(.grantNotFound, "No such grant.")
        }
        let grant = record.grant
        var user: User?
        if let userID = grant.userID {
            user = try transaction.user(userID, appID: use.appID)?.user
            if let user, user.status != .deprovisioned {
                try requireActiveIssuer(user.issuer, appID: use.appID, in: transaction)
            }
        }
        let policies = try policiesInForce(grant, keyID: use.caller.keyID, in: transaction)
        return ReleaseFacts(
            mode: use.mode, grant: grant, credential: record.credential?.credential, user: user,
            hasUserToken: use.named != nil, allowedHosts: try allowedHosts(of: grant, in: transaction),
            method: use.request.method, address: use.address, peer: use.caller.origin.peer, policies: policies,
            requestRule: use.caller.requestRule, now: now())
    }

    func allowedHosts(of grant: Grant, in transaction: Transaction) throws -> [HostRule] {
        switch grant.kind {
        case .managedSecret:
            guard let id = grant.managedSecretID else { return [] }
            return (try transaction.managedSecret(id, appID: grant.appID)?.allowedHosts ?? []).compactMap(HostRule.init)
        case .oauth:
            return try apiHosts(of: grant.providerID, appID: grant.appID, in: transaction)
        }
    }

    private func injection(of grant: Grant, in transaction: Transaction) throws -> CredentialInjection {
        guard let id = grant.managedSecretID, let secret = try transaction.managedSecret(id, appID: grant.appID) else {
            return .bearer
        }
        return CredentialInjection(stored: secret.injection)
    }
}
