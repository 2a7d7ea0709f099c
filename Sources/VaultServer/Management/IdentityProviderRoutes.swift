import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore
import VaultUpstream

// The identity provider of an app, and its webhooks.

extension ManagementRoutes {
    private static let provider = app + "/identity-provider"

    var identityProviderRoutes: [Route<OperatorCaller>] {
        [
            Route("POST", Self.provider + "/discover", "Look at an issuer; saves nothing") { caller, exchange in
                let fields = try exchange.fields(.refused)
                let issuerURL = fields.string("issuer_url")
                try fields.finish()
                return .json(
                    try await vault.discoverIdentityProvider(caller, appID: exchange.appID, issuerURL: issuerURL).json)
            }
            .taking(body: [.required("issuer_url")]).answering("DiscoveredIdentityProvider"),
            Route("POST", Self.provider, "Add the identity provider", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = IdentityProviderSettings(fields)
                try fields.finish()
                let provider = try await vault.addIdentityProvider(caller, appID: exchange.appID, settings)
                return .json(json(provider), status: 201)
            }
            .taking(body: [
                .required("issuer_url"), .optional("idp_type"), .optional("audience"), .optional("user_id_claim"),
                .optional("group_claim"), .optional("role_claim"),
            ]).answering("IdentityProvider"),
            Route("GET", Self.provider, "Read the identity provider") { caller, exchange in
                .json(json(try vault.identityProvider(caller, appID: exchange.appID)))
            }
            .answering("IdentityProvider"),
            Route("PATCH", Self.provider, "Change claims or audience; claims lock with the first sign-in") {
                caller, exchange in
                let fields = try exchange.fields(.refused)
                let change = ClaimChange(fields)
                try fields.finish()
                return .json(json(try await vault.changeClaims(caller, appID: exchange.appID, change)))
            }
            .taking(body: [
                .optional("user_id_claim"), .optional("group_claim"), .optional("role_claim"), .optional("audience"),
            ]).answering("IdentityProvider"),
            Route("DELETE", Self.provider, "Remove the identity provider", status: 204) { caller, exchange in
                try await vault.removeIdentityProvider(caller, appID: exchange.appID)
                return .noContent
            },
            Route("PUT", Self.provider + "/sign-in", "Save the client that signs users in") { caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = SignInSettings(fields)
                try fields.finish()
                let provider = try await vault.setSignIn(caller, appID: exchange.appID, settings)
                var answer = addresses
                answer["client_id"] = .optional(provider.signInClientID)
                return .json(answer)
            }
            .taking(body: [
                .required("client_id"), .required("client_secret"), .optional("scopes", .strings),
            ]).answering("SignInClient"),
        ] + webhookRoutes
    }

    private var addresses: JSONObject {
        let addresses = SignInAddresses(vault.configuration)
        return [
            "redirect_uris": .strings(addresses.redirectURIs), "wallet_logout_url": .string(addresses.walletLogout),
        ]
    }

    private var webhookRoutes: [Route<OperatorCaller>] {
        let webhooks = Self.provider + "/webhooks"
        return [
            Route("POST", webhooks, "Enable webhooks; a secret made here is shown this once", status: 201) {
                caller, exchange in
                let (provider, secret) = try await setSecret(caller, exchange, isRotation: false)
                return .json(secret.adding(to: ["url": .string(vault.webhookAddress(provider))]), status: 201)
            }
            .taking(body: [.optional("signing_secret")]).answering("EnabledWebhooks"),
            Route("POST", webhooks + "/rotate", "Replace the webhook secret; the old one dies at once") {
                caller, exchange in
                let (_, secret) = try await setSecret(caller, exchange, isRotation: true)
                return .json(secret.adding(to: [:]))
            }
            .taking(body: [.optional("signing_secret")]).answering("RotatedWebhookSecret"),
            Route("GET", webhooks, "Read the state of webhooks and their latest deliveries") { caller, exchange in
                .json(try status(try vault.identityProvider(caller, appID: exchange.appID)))
            }
            .answering("WebhookStatus"),
            Route("PATCH", webhooks, "Change what events do: null for an event's default") { caller, exchange in
                let provider = try vault.identityProvider(caller, appID: exchange.appID)
                let fields = try exchange.fields(.refused)
                let change = EventRuleChange(fields, map: provider.eventMap)
                try fields.finish()
                return .json(
                    try status(
                        try await vault.setEventRules(
                            caller, appID: exchange.appID, edit: change.edit,
                            membershipRemoval: change.membershipRemoval)))
            }
            .taking(body: [.optional("event_map", .object), .optional("membership_removal")])
            .answering("WebhookStatus"),
            Route(
                "POST", webhooks + "/deliveries/{delivery_id}/replay",
                "Apply a delivery again, by the event map of today"
            ) { caller, exchange in
                try exchange.fields(.refused, allowsEmpty: true).finish()
                return .json(
                    try await vault.replayDelivery(
                        caller, appID: exchange.appID, exchange.parameter("delivery_id")
                    ).json)
            }
            .taking(body: []).answering("WebhookDelivery"),
            Route("DELETE", webhooks, "Disable webhooks", status: 204) { caller, exchange in
                try await vault.disableWebhooks(caller, appID: exchange.appID)
                return .noContent
            },
        ]
    }

    /// A secret that was made here and leaves once.
    private struct ShownSecret {
        let text: String?

        func adding(to object: JSONObject) -> JSONObject {
            var object = object
            object["signing_secret"] = text.map(JSON.string)
            return object
        }
    }

    private func setSecret(_ caller: OperatorCaller, _ exchange: Exchange, isRotation: Bool) async throws -> (
        IdentityProviderRecord, ShownSecret
    ) {
        let fields = try exchange.fields(.refused, allowsEmpty: true)
        let presented = fields.readSigningSecret()
        try fields.finish()
        let result = try await vault.setWebhookSecret(
            caller, appID: exchange.appID, presented: presented, isRotation: isRotation)
        return (result.provider, ShownSecret(text: result.generated?.revealed()))  // plaintext leaves here
    }

    private func status(_ provider: IdentityProviderRecord) throws -> JSONObject {
        let deliveries = try vault.deliveries(provider)
        var counts = JSONObject()
        for (outcome, count) in deliveries.counts { counts[outcome] = .integer(count) }
        return [
            "enabled": .bool(provider.webhooksEnabledAt != nil), "url": .string(vault.webhookAddress(provider)),
            "last_delivery_at": .optional(deliveries.latest.first?.receivedAt), "counts": .object(counts),
            "deliveries": .array(deliveries.latest.map { .object($0.json) }),
            "event_map": .object(provider.eventMap.json),
            "membership_removal": .string(provider.membershipRemoval.rawValue),
        ]
    }

    private func json(_ provider: IdentityProviderRecord) -> JSONObject {
        var object: JSONObject = [
            "id": provider.id.json, "idp_type": .string(provider.type.rawValue), "issuer": .string(provider.issuer),
            "audience": .optional(provider.audience), "user_id_claim": .string(provider.claims.userID),
            "group_claim": .optional(provider.claims.group), "role_claim": .optional(provider.claims.role),
            "claims_locked": .bool(provider.claimsLockedAt != nil), "locked_at": .optional(provider.claimsLockedAt),
            "first_sign_in_at": .optional(provider.claimsLockedAt),
            "webhooks": [
                "enabled": .bool(provider.webhooksEnabledAt != nil), "url": .string(vault.webhookAddress(provider)),
            ],
            "webhook_url": .string(vault.webhookAddress(provider)),
            "sign_in": provider.signInClientID.map {
                ["client_id": .string($0), "scopes": .strings(provider.signInScopes)]
            } ?? .null,
            "created_at": .string(provider.createdAt.rfc3339),
        ]
        for (name, value) in addresses.members { object[name] = value }
        return object
    }
}

// MARK: What the bodies say; the Portal's forms are read by the same

/// What the operator enters at the identity provider; known before anything is saved.
struct SignInAddresses: Sendable {
    let sdkCallback: String
    let walletCallback: String
    let walletLogout: String

    init(_ configuration: VaultConfiguration) {
        sdkCallback = configuration.address(SitePath.sdkSignInCallback.path)
        walletCallback = configuration.address(SitePath.walletSignInCallback.path)
        walletLogout = configuration.address(SitePath.walletSignIn.path)
    }

    var redirectURIs: [String] { [sdkCallback, walletCallback] }
}

extension IdentityProviderSettings {
    /// A claim that is left out is the one that the type suggests; `null` is none.
    init(_ fields: Fields) {
        self.init(
            issuerURL: fields.string("issuer_url"), type: fields.optionalChoice("idp_type", IdentityProviderType.self),
            audience: fields.optionalString("audience", length: 1...512),
            userIDClaim: fields.readClaim("user_id_claim"),
            groupClaim: fields.readNullable("group_claim", length: 1...255),
            roleClaim: fields.readNullable("role_claim", length: 1...255))
    }
}

extension ClaimChange {
    init(_ fields: Fields) {
        self.init(
            userIDClaim: fields.readClaim("user_id_claim"), groupClaim: fields.readNullable("group_claim"),
            roleClaim: fields.readNullable("role_claim"), audience: fields.readNullable("audience"))
    }
}

extension SignInSettings {
    init(_ fields: Fields) {
        let scopes = fields.optionalStrings("scopes", countMax: 50) ?? Self.defaultScopes
        for (index, scope) in scopes.enumerated() where !OAuthProviderConfiguration.isScopeToken(scope) {
            fields.report("scopes[\(index)]", "must be a scope token of printable characters without blanks")
        }
        self.init(
            clientID: fields.string("client_id", length: 1...512),
            clientSecret: Secret(fields.string("client_secret", length: 1...4096)), scopes: scopes)
    }
}

/// A change of what events do; whatever is `nil` stays.
struct EventRuleChange: Sendable {
    let edit: JSONObject?
    let membershipRemoval: MembershipRemovalRule?

    init(_ fields: Fields, map: LifecycleEventMap) {
        edit = fields.optionalObject("event_map")
        _ = map.edited(by: edit ?? [:]) { event, problem in
            fields.report(event.isEmpty ? "event_map" : "event_map.\(event)", problem)
        }
        membershipRemoval = fields.optionalChoice("membership_removal", MembershipRemovalRule.self)
    }
}

extension Fields {
    /// The webhook secret of a provider that makes it itself.
    func readSigningSecret() -> String? { optionalString("signing_secret", length: 1...512) }

    fileprivate func readClaim(_ name: String) -> String? { optionalString(name, length: 1...255) }

    /// Absent: unchanged. `null`: none.
    fileprivate func readNullable(_ name: String, length: ClosedRange<Int> = 1...512) -> String?? {
        guard isPresent(name) else { return nil }
        return .some(optionalString(name, length: length))
    }
}

extension DiscoveredProvider {
    fileprivate var json: JSONObject {
        [
            "idp_type": .string(type.rawValue), "issuer": .string(document.issuer),
            "authorization_endpoint": .string(document.authorizationEndpoint),
            "token_endpoint": .string(document.tokenEndpoint),
            "jwks_uri": .string(document.jwksURI), "end_session_endpoint": .optional(document.endSessionEndpoint),
            "suggested_claims": [
                "user_id": .string(suggestedClaims.userID), "group": .optional(suggestedClaims.group),
                "role": .optional(suggestedClaims.role),
            ],
            "capabilities": [
                "jwt_sync": .bool(capabilities.jwtSync), "oidc_sign_in": .bool(capabilities.oidcSignIn),
                "webhooks": .bool(capabilities.webhooks), "rp_initiated_logout": .bool(capabilities.rpInitiatedLogout),
            ],
        ]
    }
}

extension DeliveryRecord {
    fileprivate var json: JSONObject {
        [
            "id": id.json, "delivery_id": .string(deliveryID), "received_at": .string(receivedAt.rfc3339),
            "event_type": .string(eventType), "event_at": .optional(eventAt), "user_id": userID?.json ?? .null,
            "outcome": .string(outcome), "detail": .optional(detail), "replayed_at": .optional(replayedAt),
        ]
    }
}
