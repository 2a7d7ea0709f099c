import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Who a user token names, told to the app (`/sdk/identity/resolve`), or to somebody else in a signed statement that can be
// checked without us (`/sdk/identity/assert`, wire contract §4.14). And the keys that sign it.

/// The person, and the app and run they act through.
package struct IdentityContext: Sendable {
    package let appID: AppID
    package var userID: UserID?
    package var externalSubjectID: String?
    package var identityProviderID: IdentityProviderID?
    package var status: UserStatus?
    package var groups: [String]?
    package var email: String?
    package var displayName: String?
    package let actorID: ActorID?
    /// `run_id` and `thread_id` of the caller's context.
    package let trace: JSONObject
}

package struct IdentityAssertion: Sendable {
    /// Compact JWS, `typ` `alter-identity+jwt`.
    package let token: String
    package let expiresAt: Instant
    package let identity: IdentityContext
}

extension Vault {
    /// A suspended user is told as such; a deprovisioned one is refused.
    package func resolveIdentity(_ caller: AppCaller, userToken: String?, withProfile: Bool) async throws
        -> IdentityContext
    {
        var trace = JSONObject()
        for name in ["run_id", "thread_id"] { trace[name] = caller.context?[name] }
        var identity = IdentityContext(appID: caller.appID, actorID: caller.actorID, trace: trace)
        guard let userToken else { return identity }
        guard userToken.utf8.count <= Limits.identityTokenBytesMax else { throw Self.jwtRefused("it is too long") }
        let record = try await user(caller, token: userToken)
        guard record.user.status != .deprovisioned else { throw VaultError.userDeprovisioned }
        identity.userID = record.user.id
        identity.externalSubjectID = record.user.externalSubjectID
        identity.identityProviderID = try read { try $0.identityProvider(appID: caller.appID)?.id }
        identity.status = record.user.status
        identity.groups = record.user.groups
        if withProfile {
            identity.email = record.user.email
            identity.displayName = record.user.displayName
        }
        return identity
    }

    /// - Parameter audience: a URI with a scheme: who is to believe it.
    package func assertIdentity(
        _ caller: AppCaller, userToken: String?, audience: String, ttlSeconds: Int64?, withProfile: Bool
    ) async throws -> IdentityAssertion {
        guard Self.isAudience(audience) else {
            throw VaultError(.invalidAudience, "The audience must be a URI with a scheme, of at most 512 characters.")
        }
        let identity = try await resolveIdentity(caller, userToken: userToken, withProfile: withProfile)
        guard identity.status != .suspended else { throw VaultError.userSuspended }
        // RFC 7519 §2: whole seconds.
        let issuedAt = Instant(seconds: now().seconds)
        let expiresAt = issuedAt.adding(seconds: ttlSeconds ?? Limits.assertionSecondsDefault)
        var claims: JSONObject = [
            "iss": .string(configuration.publicURL), "aud": .string(audience),
            "sub": .string(identity.userID.map { "alter:user:\($0)" } ?? "alter:app:\(caller.appID)"),
            "azp": caller.appID.json, "iat": .integer(issuedAt.seconds), "exp": .integer(expiresAt.seconds),
            "jti": .string(RandomBytes.token()),
        ]
        claims["alter"] = .object(identity.json)
        let token = try signed(claims, type: "alter-identity+jwt")
        var entry = caller.entry("identity.asserted", .allow, at: now())
        entry.userID = identity.userID
        entry.details = ["audience": .string(audience), "jti": claims["jti"] ?? .null]
        let asserted = entry
        let auditKey = auditKey
        try await write { try $0.appendAudit(asserted, key: auditKey) }
        return IdentityAssertion(token: token, expiresAt: expiresAt, identity: identity)
    }

    /// RFC 3986 §3.1: a letter, then letters, digits, `+`, `-` and `.`, and a colon before anything else.
    private static func isAudience(_ text: String) -> Bool {
        let scheme = text.utf8.prefix { $0 != UInt8(ascii: ":") }
        guard (1...512).contains(text.utf8.count), scheme.count + 1 < text.utf8.count,
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }), let first = scheme.first
        else { return false }
        func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) }
        return isLetter(first)
            && scheme.allSatisfy { isLetter($0) || (0x30...0x39).contains($0) || "+-.".utf8.contains($0) }
    }

    // MARK: Signing keys

    /// The public keys of this installation, those included that do not sign any more (RFC 7517 §5).
    package func publishedKeySet() throws -> JSON {
        ["keys": .array(try keys.signingKeys().map { .object($0.publicKey) })]
    }

    /// A compact JWS over the claims, by the key that signs now.
    func signed(_ claims: JSONObject, type: String) throws -> String {
        do { return try signer().sign(claims: .object(claims), type: type) } catch {
            throw VaultError(
                .serviceUnavailable, "Nothing can be signed right now.", retryAfterSeconds: 5, cause: "signing key")
        }
    }

    private func signer() throws -> SigningKey {
        guard let record = SigningKeySchedule.signer(try keys.signingKeys(), now: now()),
            let key = try keys.signingKey(record.id)
        else { throw KeyStoreError.unavailable("no signing key") }
        return key
    }

    /// Makes a successor when one is due, and destroys keys that were followed. Idempotent.
    func maintainSigningKeys() async throws {
        let time = now()
        try keys.addSigningKey { SigningKeySchedule.successor($0, now: time) }
        for key in SigningKeySchedule.followed(try keys.signingKeys(), now: time) {
            try await keys.retireSigningKey(key.id)
        }
    }

    /// A successor out of turn, published at once and signing a day later; at once when the present key cannot be trusted.
    package func rotateSigningKey(isUrgent: Bool) async throws {
        let start = isUrgent ? now() : now().adding(seconds: SigningKeySchedule.publishedAheadSeconds)
        try keys.addSigningKey { _ in start }
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "signing_key.rotated", principal: .system, occurredAt: now(), details: ["urgent": .bool(isUrgent)])
        try await write { try $0.appendAudit(entry, key: auditKey) }
    }
}

extension IdentityContext {
    /// As the SDK reads it (wire contract §4.14): what is not known is left out.
    package var json: JSONObject {
        var object: JSONObject = ["app_id": appID.json]
        object["app_user_id"] = userID?.json
        object["external_subject_id"] = externalSubjectID.map(JSON.string)
        object["idp_id"] = identityProviderID?.json
        object["user_status"] = status.map { .string($0.rawValue) }
        object["group_ids"] = groups.map(JSON.strings)
        object["email"] = email.map(JSON.string)
        object["display_name"] = displayName.map(JSON.string)
        object["actor_id"] = actorID?.json
        if !trace.isEmpty { object["trace"] = .object(trace) }
        return object
    }
}
