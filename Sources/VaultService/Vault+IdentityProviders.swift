import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// The identity provider of an app, as operators set it up. One is active at a time; claims lock with the first sign-in.

package struct IdentityProviderSettings: Sendable {
    package var issuerURL: String
    package var type: IdentityProviderType?
    package var audience: String?
    package var userIDClaim: String?
    /// Absent: what the type suggests. `.some(nil)`: none.
    package var groupClaim: String??
    package var roleClaim: String??

    package init(
        issuerURL: String, type: IdentityProviderType?, audience: String?, userIDClaim: String?, groupClaim: String??,
        roleClaim: String??
    ) {
        self.issuerURL = issuerURL
        self.type = type
        self.audience = audience
        self.userIDClaim = userIDClaim
        self.groupClaim = groupClaim
        self.roleClaim = roleClaim
    }
}

/// A change of the mapping; absent means unchanged, `.some(nil)` means none.
package struct ClaimChange: Sendable {
    package var userIDClaim: String?
    package var groupClaim: String??
    package var roleClaim: String??
    package var audience: String??

    package init(userIDClaim: String?, groupClaim: String??, roleClaim: String??, audience: String??) {
        self.userIDClaim = userIDClaim
        self.groupClaim = groupClaim
        self.roleClaim = roleClaim
        self.audience = audience
    }

    var namesClaims: Bool { userIDClaim != nil || groupClaim != nil || roleClaim != nil }
}

extension Vault {
    /// Looks at an issuer and saves nothing.
    package func discoverIdentityProvider(_ caller: OperatorCaller, appID: String, issuerURL: String) async throws
        -> DiscoveredProvider
    {
        // It sends requests to where the caller says, which is more than looking.
        _ = try app(caller, appID, toWrite: true)
        return try await discover(issuerURL)
    }

    private func discover(_ issuerURL: String) async throws -> DiscoveredProvider {
        do {
            return try await discovery.discover(issuerURL: issuerURL)
        } catch {
            throw VaultError(
                .discoveryFailed, "Discovery failed: \(error.reason)",
                details: ["failed": .string(error.code), "reason": .string(error.reason)])
        }
    }

    package func addIdentityProvider(_ caller: OperatorCaller, appID: String, _ settings: IdentityProviderSettings)
        async throws -> IdentityProviderRecord
    {
        let app = try app(caller, appID, toWrite: true)
        guard try read({ try $0.identityProvider(appID: app.id) }) == nil else { throw Self.identityProviderExists }
        let discovered = try await discover(settings.issuerURL)
        let type = settings.type ?? discovered.type
        let suggested = type == discovered.type ? discovered.suggestedClaims : type.suggestedClaims
        let provider = IdentityProviderRecord(
            id: IdentityProviderID(), appID: app.id, type: type, issuer: discovered.document.issuer,
            document: discovered.document.json, audience: settings.audience,
            claims: ClaimMapping(
                userID: settings.userIDClaim ?? suggested.userID, group: settings.groupClaim ?? suggested.group,
                role: settings.roleClaim ?? suggested.role),
            webhookEndpointID: RandomBytes.token(), createdAt: now())
        try await record(
            caller, "identity_provider.added", app: app,
            details: ["issuer": .string(provider.issuer), "idp_type": .string(type.rawValue)]
        ) { transaction in
            guard try transaction.identityProvider(appID: app.id) == nil else { throw Self.identityProviderExists }
            try transaction.insertIdentityProvider(provider)
        }
        // Whoever adds an issuer anew means its keys of now, not those of the last five minutes.
        if let keySet = try? WebAddress(discovered.document.jwksURI) { await keySets.forget(keySet) }
        return provider
    }

    private static var identityProviderExists: VaultError {
        VaultError(
            .identityProviderExists, "The app has an identity provider.",
            hint: "Remove the existing identity provider, then add the replacement.")
    }

    package func identityProvider(_ caller: OperatorCaller, appID: String) throws -> IdentityProviderRecord {
        let app = try app(caller, appID)
        return try activeIdentityProvider(app)
    }

    func activeIdentityProvider(_ app: AppRecord) throws -> IdentityProviderRecord {
        guard let provider = try read({ try $0.identityProvider(appID: app.id) }) else {
            throw Self.noIdentityProvider
        }
        return provider
    }

    package func changeClaims(_ caller: OperatorCaller, appID: String, _ change: ClaimChange) async throws
        -> IdentityProviderRecord
    {
        let app = try app(caller, appID, toWrite: true)
        try await record(caller, "identity_provider.changed", app: app) { transaction in
            guard let provider = try transaction.identityProvider(appID: app.id) else {
                throw Self.noIdentityProvider
            }
            guard provider.claimsLockedAt == nil || !change.namesClaims else { throw Self.claimsLocked }
            let claims = ClaimMapping(
                userID: change.userIDClaim ?? provider.claims.userID, group: change.groupClaim ?? provider.claims.group,
                role: change.roleClaim ?? provider.claims.role)
            try transaction.updateClaims(provider.id, claims: claims, audience: change.audience ?? provider.audience)
        }
        return try activeIdentityProvider(app)
    }

    private static var noIdentityProvider: VaultError {
        VaultError(.identityProviderNotFound, "The app has no identity provider.")
    }

    private static var claimsLocked: VaultError {
        VaultError(
            .claimMappingsLocked, "Claim mappings are locked since the first user signed in.",
            hint: "Remove the identity provider and add it again to start with a new mapping.")
    }

    package func removeIdentityProvider(_ caller: OperatorCaller, appID: String) async throws {
        let app = try app(caller, appID, toWrite: true)
        let provider = try activeIdentityProvider(app)
        let removed = now()
        try await record(caller, "identity_provider.removed", app: app, details: ["issuer": .string(provider.issuer)]) {
            try $0.removeIdentityProvider(provider.id, now: removed)
            try $0.endConnectSessions(
                appID: app.id, issuer: provider.issuer, code: ErrorCode.identityProviderInactive.rawValue,
                message: "The app's identity provider was removed.")
            try $0.deleteWalletSessions(identityProviderID: provider.id)
            try $0.endSignInSessions(
                identityProviderID: provider.id, code: ErrorCode.identityProviderInactive.rawValue,
                message: "The app's identity provider was removed.")
        }
    }

    // MARK: Webhooks, as operators set them up

    package func webhookAddress(_ provider: IdentityProviderRecord) -> String {
        configuration.address(SitePath.identityProviderWebhook(provider.webhookEndpointID).path)
    }

    /// Turns webhooks on, or replaces their secret. For Auth0 the secret is made here and returned this once; where the
    /// provider makes it (Clerk), it comes in.
    package func setWebhookSecret(_ caller: OperatorCaller, appID: String, presented: String?, isRotation: Bool)
        async throws -> (provider: IdentityProviderRecord, generated: Secret?)
    {
        let app = try app(caller, appID, toWrite: true)
        let provider = try activeIdentityProvider(app)
        if isRotation, provider.webhooksEnabledAt == nil {
            throw VaultError(.conflict, "Webhooks are not enabled.", hint: "Enable them first.")
        }
        let (secret, isGenerated) = try Self.webhookSecret(provider.type, presented: presented)
        let version = provider.webhookVersion + 1
        let sealed = try sealForApp(
            app, secret, purpose: Self.webhookPurpose, record: provider.id.text, version: version)
        let enabled = provider.webhooksEnabledAt ?? now()
        try await record(caller, isRotation ? "webhooks.secret_rotated" : "webhooks.enabled", app: app) {
            guard try $0.setWebhookSecret(provider.id, sealed: sealed, version: version, enabledAt: enabled) else {
                throw VaultError(.conflict, "The webhook secret was changed at the same time.", hint: "Try again.")
            }
        }
        return (try activeIdentityProvider(app), isGenerated ? secret : nil)
    }

    static let webhookPurpose = "identity_provider.webhook_secret"

    private static func webhookSecret(_ type: IdentityProviderType, presented: String?) throws -> (
        Secret, isGenerated: Bool
    ) {
        switch type {
        case .auth0:
            if presented != nil { throw VaultError.validation("signing_secret", "is generated here for Auth0") }
            return (Secret(RandomBytes.token()), true)
        case .clerk:
            guard let presented else {
                throw VaultError.validation("signing_secret", "is required: paste the Signing Secret that Clerk shows")
            }
            guard WebhookSignature.isWellFormed(svixSecret: presented) else {
                throw VaultError.validation("signing_secret", "must begin with whsec_ and hold base64")
            }
            return (Secret(presented), false)
        default:
            throw VaultError(
                .webhooksNotSupported, "This identity provider has no webhooks that the vault understands.")
        }
    }

    /// Changes what events do. `edit` is one that the event map takes; whatever is `nil` stays.
    package func setEventRules(
        _ caller: OperatorCaller, appID: String, edit: JSONObject?, membershipRemoval: MembershipRemovalRule?
    ) async throws -> IdentityProviderRecord {
        let app = try app(caller, appID, toWrite: true)
        var details = JSONObject()
        details["event_map"] = edit.map(JSON.object)
        details["membership_removal"] = membershipRemoval.map { .string($0.rawValue) }
        return try await record(caller, "webhooks.event_rules_changed", app: app, details: details) { transaction in
            guard var provider = try transaction.identityProvider(appID: app.id) else { throw Self.noIdentityProvider }
            provider.eventMap = provider.eventMap.edited(by: edit ?? [:]) { _, _ in }
            provider.membershipRemoval = membershipRemoval ?? provider.membershipRemoval
            try transaction.setEventRules(
                provider.id, map: provider.eventMap, membershipRemoval: provider.membershipRemoval)
            return provider
        }
    }

    package func disableWebhooks(_ caller: OperatorCaller, appID: String) async throws {
        let app = try app(caller, appID, toWrite: true)
        let provider = try activeIdentityProvider(app)
        try await record(caller, "webhooks.disabled", app: app) {
            _ = try $0.setWebhookSecret(provider.id, sealed: nil, version: nil, enabledAt: nil)
        }
    }

    package func deliveries(_ provider: IdentityProviderRecord) throws -> (
        counts: [(outcome: String, count: Int64)], latest: [DeliveryRecord]
    ) {
        try read {
            (
                counts: try $0.deliveryCounts(identityProviderID: provider.id),
                latest: try $0.latestDeliveries(identityProviderID: provider.id, limit: Limits.webhookDeliveriesShown)
            )
        }
    }
}
