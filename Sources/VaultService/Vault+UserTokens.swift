import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// End users by their identity provider's JWT: verify, map, sync. A token that reaches any call syncs its user, whatever
// the call then answers.

extension Vault {
    static func jwtRefused(_ reason: String) -> VaultError {
        VaultError(
            .jwtValidationError, "The user token was refused: \(reason).", hint: "Let the user sign in again.",
            cause: "user token: \(reason)")
    }

    /// The user whom the token names, refused unless active.
    func activeUser(_ caller: AppCaller, token: String) async throws -> UserRecord {
        let record = try await user(caller, token: token)
        try Self.requireActive(record.user)
        return record
    }

    static func requireActive(_ user: User) throws {
        switch user.status {
        case .active: break
        case .suspended: throw VaultError.userSuspended
        case .deprovisioned: throw VaultError.userDeprovisioned
        }
    }

    /// The user whom the token names, in whatever status, with the token's facts stored.
    package func user(_ caller: AppCaller, token: String) async throws -> UserRecord {
        try await namedUser(caller, token: token, recalls: false).record
    }

    /// - Parameter recalls: whether it is a first look, after which a transaction that writes confirms what was found.
    func namedUser(_ caller: AppCaller, token: String, recalls: Bool) async throws -> NamedUser {
        let provider = try activeIdentityProvider(for: caller, recalls: recalls)
        let (_, claims) = try await verifiedClaims(
            token, issuer: provider.tokenIssuer, audience: provider.audience, alternative: provider.signInClientID)
        let record = try await sync(
            claims, provider: provider, by: caller.principal, origin: caller.origin, recalls: recalls)
        return NamedUser(record: record, claims: claims, provider: provider)
    }

    /// Throws unless the token names this user as the transaction sees it: a first look may have been of before a change that
    /// another node made.
    func confirm(_ named: NamedUser, in transaction: Transaction) throws {
        guard let provider = try transaction.identityProvider(appID: named.provider.appID),
            provider.readsTokensLike(named.provider),
            let record = try Self.knownUser(named.claims, provider: provider, in: transaction),
            record.user.id == named.record.user.id
        else { throw ChangedMeanwhile() }
        try Self.checkNotBefore(record, named.claims)
    }

    func activeIdentityProvider(for caller: AppCaller, recalls: Bool = false) throws -> IdentityProviderRecord {
        let look = { (transaction: Transaction) in
            (
                provider: try transaction.identityProvider(appID: caller.appID),
                hadOne: try transaction.hasHadIdentityProvider(appID: caller.appID)
            )
        }
        let found = recalls ? try recall(look) : try read(look)
        if let provider = found.provider { return provider }
        throw found.hadOne
            ? VaultError(.identityProviderInactive, "The app's identity provider was removed.")
            : VaultError(
                .identityProviderNotConfigured, "The app has no identity provider, so no user can be known by one.")
    }

    func requireActiveIssuer(_ issuer: String, appID: AppID, in transaction: Transaction) throws {
        guard try transaction.identityProviderIssuer(appID: appID) == issuer else {
            throw VaultError(.identityProviderInactive, "The identity provider of the grant's user was removed.")
        }
    }

    /// What the token says, as it stands there and as it was read. `alternative` is an audience that also passes.
    func verifiedClaims(
        _ token: String, issuer: TokenIssuer, audience: String?, alternative: String?
    ) async throws -> (payload: JSONObject, claims: TokenClaims) {
        let time = now()
        do {
            let address = try WebAddress(issuer.document["jwks_uri"]?.string ?? "")
            let payload = try await TokenVerifier(keySets: keySets).verify(token, jwksURI: address, now: time)
            let claims = try TokenClaims(
                claims: payload, mapping: issuer.claims, expectedIssuer: issuer.issuer, audience: audience,
                signInClientID: alternative, now: time)
            return (payload, claims)
        } catch let error as TokenClaimsError {
            throw Self.jwtRefused(error.reason)
        } catch let error as TokenVerificationError {
            switch error {
            case .refused(let reason): throw Self.jwtRefused(reason)
            case .keySetUnavailable(let reason):
                throw VaultError(
                    .serviceUnavailable, "The identity provider's keys cannot be read right now.", retryAfterSeconds: 5,
                    cause: "key set: \(reason)")
            }
        } catch let error as WebAddressError {
            throw VaultError(.internalError, "The identity provider's key address is unusable.", cause: error.reason)
        }
    }

    // MARK: Sync

    /// Rewriting `last_seen_at` at every call would cost a commit that nobody needs.
    private static let lastSeenResolutionSeconds: Int64 = 60

    func sync(
        _ claims: TokenClaims, provider: IdentityProviderRecord, by principal: AuditPrincipal, origin: RequestOrigin,
        recalls: Bool = false
    ) async throws -> UserRecord {
        let time = now()
        let look = { (transaction: Transaction) -> (record: UserRecord, hasSubject: Bool)? in
            guard var record = try Self.knownUser(claims, provider: provider, in: transaction) else { return nil }
            record.user.lastSeenAt = [record.user.lastSeenAt, lastSeen[record.user.id]].compactMap(\.self).max()
            try Self.checkNotBefore(record, claims)
            return (record, try transaction.hasSubject(claims.subject, userID: record.user.id))
        }
        var known = recalls ? try recall(look) : try read(look)
        // What is remembered refuses nobody.
        if recalls, let record = known?.record, record.user.status != .active { known = try read(look) }
        if let (record, hasSubject) = known {
            let isUnchanged = hasSubject && Self.merged(record, claims, now: time) == nil
            if isUnchanged, provider.claimsLockedAt != nil { return record }
        }
        let auditKey = auditKey
        let outcome = try await write(in: .app(provider.appID)) { transaction -> Result<UserRecord, VaultError> in
            // The mapping may have been edited between verification and now: of two racing orders one must win whole.
            guard let current = try transaction.identityProvider(appID: provider.appID), current.id == provider.id,
                current.claims == provider.claims
            else {
                return .failure(
                    VaultError(.serviceUnavailable, "The identity provider was just changed.", retryAfterSeconds: 1))
            }
            try transaction.lockClaims(provider.id, now: time)
            if let known = try Self.knownUser(claims, provider: provider, in: transaction) {
                try transaction.insertSubject(claims.subject, of: known.user.id)
                guard let updated = Self.merged(known, claims, now: time) else { return .success(known) }
                if updated.isTheSame(as: known) {
                    try transaction.touchUser(updated.user.id, now: time)
                } else {
                    try transaction.updateUser(updated)
                }
                return .success(updated)
            }
            var created = Self.newUser(claims, provider: provider, now: time)
            let namesakes = try transaction.users(
                appID: provider.appID, issuer: provider.issuer, subject: claims.subject)
            created.groupsRemovedAt = namesakes.compactMap(\.groupsRemovedAt).max()
            if !Self.outlivesRemoval(claims, created.groupsRemovedAt) { created.user.groups = [] }
            try transaction.insertUser(created)
            try transaction.appendAudit(
                AuditEntry(
                    event: "user.created", principal: principal, occurredAt: time, requestID: origin.requestID,
                    trace: origin.trace, appID: provider.appID, userID: created.user.id), key: auditKey)
            return .success(created)
        }
        let record = try outcome.get()
        lastSeen.note(record.user.id, at: record.user.lastSeenAt)
        try Self.checkNotBefore(record, claims)
        return record
    }

    /// By the mapped id. What a lifecycle event said of the `sub` comes first, whatever id the token maps to: a suspended or
    /// deprovisioned subject is nobody else by another claim.
    private static func knownUser(_ claims: TokenClaims, provider: IdentityProviderRecord, in transaction: Transaction)
        throws -> UserRecord?
    {
        if let ended = try transaction.users(appID: provider.appID, issuer: provider.issuer, subject: claims.subject)
            .first(where: { $0.user.status != .active })
        {
            return ended
        }
        return try transaction.user(
            appID: provider.appID, issuer: provider.issuer, externalSubjectID: claims.userID)
    }

    /// A restored user's old tokens stay dead.
    private static func checkNotBefore(_ record: UserRecord, _ claims: TokenClaims) throws {
        guard record.user.status != .deprovisioned, let floor = record.tokensNotBefore else { return }
        guard let issuedAt = claims.issuedAt, issuedAt > floor else { throw VaultError.userDeprovisioned }
    }

    private static func newUser(_ claims: TokenClaims, provider: IdentityProviderRecord, now: Instant) -> UserRecord {
        var record = UserRecord(
            user: User(
                id: UserID(), appID: provider.appID, issuer: provider.issuer, externalSubjectID: claims.userID,
                subject: claims.subject, email: claims.email, displayName: claims.displayName, status: .active,
                groups: claims.groups ?? [], roles: claims.roles ?? [], firstSeenAt: now, lastSeenAt: now))
        record.emailAsOf = claims.email == nil ? nil : claims.issuedAt
        record.displayNameAsOf = claims.displayName == nil ? nil : claims.issuedAt
        record.groupsAsOf = claims.groups == nil ? nil : claims.issuedAt
        record.rolesAsOf = claims.roles == nil ? nil : claims.issuedAt
        return record
    }

    /// Whether the token was issued after the last removal from a group, so that its groups are those that were left.
    private static func outlivesRemoval(_ claims: TokenClaims, _ removedAt: Instant?) -> Bool {
        guard let removedAt else { return true }
        return claims.issuedAt.map { $0 > removedAt } ?? false
    }

    /// The record with the token's newer facts, or `nil` when nothing changes. Freshness is kept per fact.
    private static func merged(_ record: UserRecord, _ claims: TokenClaims, now: Instant) -> UserRecord? {
        guard record.user.status != .deprovisioned else { return nil }
        var updated = record
        let issuedAt = claims.issuedAt
        func isFresh(_ asOf: Instant?) -> Bool {
            guard let asOf else { return true }
            return issuedAt.map { $0 >= asOf } ?? false
        }
        if let email = claims.email, isFresh(record.emailAsOf) {
            updated.user.email = email
            updated.emailAsOf = issuedAt ?? record.emailAsOf
        }
        if let name = claims.displayName, isFresh(record.displayNameAsOf) {
            updated.user.displayName = name
            updated.displayNameAsOf = issuedAt ?? record.displayNameAsOf
        }
        if let groups = claims.groups, isFresh(record.groupsAsOf), outlivesRemoval(claims, record.groupsRemovedAt) {
            updated.user.groups = groups
            updated.groupsAsOf = issuedAt ?? record.groupsAsOf
        }
        if let roles = claims.roles, isFresh(record.rolesAsOf) {
            updated.user.roles = roles
            updated.rolesAsOf = issuedAt ?? record.rolesAsOf
        }
        let isStale = record.user.lastSeenAt.map { $0.adding(seconds: lastSeenResolutionSeconds) <= now } ?? true
        guard isStale || !updated.isTheSame(as: record) else { return nil }
        updated.user.lastSeenAt = now
        return updated
    }

    /// `POST /sdk/auth/verify-token`: the subject of a good token of an active user, else 401.
    package func verifyUserToken(_ caller: AppCaller, token: String) async throws -> String {
        let refused = Self.jwtRefused("it is not valid for this app")
        do {
            return try await activeUser(caller, token: token).user.subject
        } catch let error as VaultError where error.code != .serviceUnavailable {
            throw refused
        }
    }
}

/// Whom a user token names, and by what that was found out.
final class NamedUser: Sendable {
    let record: UserRecord
    let claims: TokenClaims
    let provider: IdentityProviderRecord

    init(record: UserRecord, claims: TokenClaims, provider: IdentityProviderRecord) {
        self.record = record
        self.claims = claims
        self.provider = provider
    }
}

/// What a use began with is not so any more; it can begin anew.
struct ChangedMeanwhile: Error {}

extension IdentityProviderRecord {
    /// Whether it verifies and reads tokens as `other` does.
    fileprivate func readsTokensLike(_ other: IdentityProviderRecord) -> Bool {
        func bytes(_ text: String?) -> [UInt8]? { text.map { Array($0.utf8) } }
        return id == other.id && claims == other.claims && bytes(audience) == bytes(other.audience)
            && bytes(signInClientID) == bytes(other.signInClientID)
    }
}

extension UserRecord {
    /// Whether a token changed nothing of it but when the user was last seen.
    fileprivate func isTheSame(as other: UserRecord) -> Bool {
        user.hasSameFacts(as: other.user) && emailAsOf == other.emailAsOf && displayNameAsOf == other.displayNameAsOf
            && groupsAsOf == other.groupsAsOf && rolesAsOf == other.rolesAsOf
    }
}
