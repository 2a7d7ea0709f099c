import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore
import VaultUpstream

// The identity provider of an app in the Portal: discovered, reviewed and added; then its claims, sign-in and webhooks.

extension PortalRoutes {
    private static let identity = app + "/identity"

    var identityRoutes: [Route<PortalCaller>] { addingRoutes + mappingRoutes + webhookRoutes }

    // MARK: Adding and removing

    private var addingRoutes: [Route<PortalCaller>] {
        [
            Route("GET", Self.identity, "The identity provider of an app") { caller, exchange in
                try identityPage(caller, exchange)
            },
            Route("POST", Self.identity + "/discover", "Look at an issuer; saves nothing") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(issuer: $0))
                } _: {
                    let fields = form.fields(.text("issuer_url"))
                    let issuerURL = fields.string("issuer_url")
                    try fields.finish()
                    return try await reviewPage(caller, exchange, issuerURL: issuerURL, FormState())
                }
            },
            Route("POST", Self.identity, "Add the identity provider") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(issuer: $0))
                } _: {
                    do {
                        let fields = form.fields(
                            .text("issuer_url"), .optional("idp_type"), .optional("audience"),
                            .optional("user_id_claim"), .nullable("group_claim"), .nullable("role_claim"))
                        let settings = IdentityProviderSettings(fields)
                        try fields.finish()
                        _ = try await vault.addIdentityProvider(caller.account, appID: exchange.appID, settings)
                        return done(.providerAdded, exchange.identityPath)
                    } catch let error as VaultError
                        where error.code == .validationFailed && !form["issuer_url"].isEmpty
                    {
                        // Nothing of the review is kept between two pages: the issuer is asked again.
                        var answer = try await reviewPage(
                            caller, exchange, issuerURL: form["issuer_url"], FormState(form, error))
                        answer.status = error.code.status
                        answer.errorCode = error.code
                        return answer
                    }
                }
            },
            Route("GET", Self.identity + "/remove", "What the removal of the identity provider does") {
                caller, exchange in
                let app = try vault.app(caller.account, exchange.appID)
                let removal = IdentityRemovalPage(
                    context: context(caller, app, nil),
                    provider: try vault.identityProvider(caller.account, appID: exchange.appID))
                return page(
                    caller, exchange, "Remove the identity provider", app: app, section: .identity, removal.html)
            },
            Route("POST", Self.identity + "/remove", "Remove the identity provider") { caller, exchange in
                try await vault.removeIdentityProvider(caller.account, appID: exchange.appID)
                return done(.providerRemoved, exchange.identityPath)
            },
        ]
    }

    // MARK: Claims and sign-in

    private var mappingRoutes: [Route<PortalCaller>] {
        [
            Route("POST", Self.identity + "/claims", "Change the claim mappings") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(claims: $0))
                } _: {
                    let fields = form.fields(
                        .text("user_id_claim"), .nullable("group_claim"), .nullable("role_claim"))
                    if !fields.has("user_id_claim") { fields.report("user_id_claim", "is required") }
                    let change = ClaimChange(fields)
                    try fields.finish()
                    _ = try await vault.changeClaims(caller.account, appID: exchange.appID, change)
                    return done(.saved, exchange.identityPath)
                }
            },
            Route("POST", Self.identity + "/audience", "Change the audience") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(audience: $0))
                } _: {
                    let fields = form.fields(.nullable("audience"))
                    let change = ClaimChange(fields)
                    try fields.finish()
                    _ = try await vault.changeClaims(caller.account, appID: exchange.appID, change)
                    return done(.saved, exchange.identityPath)
                }
            },
            Route("POST", Self.identity + "/sign-in", "Save the client that signs users in") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(signIn: $0))
                } _: {
                    let scopes = form["scopes"].split { $0.isWhitespace || $0 == "," }.map(String.init)
                    let fields = form.fields(
                        .text("client_id"), .text("client_secret"),
                        .json("scopes", scopes.isEmpty ? nil : JSON.strings(scopes)))
                    let settings = SignInSettings(fields)
                    try fields.finish()
                    _ = try await vault.setSignIn(caller.account, appID: exchange.appID, settings)
                    return done(.credentialsSaved, exchange.identityPath)
                }
            },
        ]
    }

    // MARK: Webhooks

    private var webhookRoutes: [Route<PortalCaller>] {
        let webhooks = Self.identity + "/webhooks"
        return [
            Route("POST", webhooks, "Enable webhooks") { caller, exchange in
                try await setWebhookSecret(caller, exchange, isRotation: false)
            },
            Route("POST", webhooks + "/rotate", "Replace the webhook secret") { caller, exchange in
                try await setWebhookSecret(caller, exchange, isRotation: true)
            },
            Route("POST", webhooks + "/disable", "Disable webhooks") { caller, exchange in
                try await vault.disableWebhooks(caller.account, appID: exchange.appID)
                return done(.webhooksDisabled, exchange.identityPath)
            },
            Route("POST", webhooks + "/events", "Change what events do") { caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(events: $0))
                } _: {
                    let map = try vault.identityProvider(caller.account, appID: exchange.appID).eventMap
                    let fields = form.fields(
                        .json("event_map", EventMapForm.edit(form, of: map)), .optional("membership_removal"))
                    let change = EventRuleChange(fields, map: map)
                    try fields.finish()
                    _ = try await vault.setEventRules(
                        caller.account, appID: exchange.appID, edit: change.edit,
                        membershipRemoval: change.membershipRemoval)
                    return done(.saved, exchange.identityPath)
                }
            },
            Route("POST", webhooks + "/deliveries/{delivery_id}/replay", "Apply a delivery again") {
                caller, exchange in
                let form = exchange.form
                return try await exchange.submitting(form) {
                    try identityPage(caller, exchange, IdentityForms(deliveries: $0))
                } _: {
                    _ = try await vault.replayDelivery(
                        caller.account, appID: exchange.appID, exchange.parameter("delivery_id"))
                    return done(.replayed, exchange.identityPath)
                }
            },
        ]
    }

    private func setWebhookSecret(_ caller: PortalCaller, _ exchange: Exchange, isRotation: Bool) async throws -> Answer
    {
        let form = exchange.form
        return try await exchange.submitting(form) {
            try identityPage(caller, exchange, IdentityForms(webhooks: $0))
        } _: {
            let fields = form.fields(.text("signing_secret"))
            let presented = fields.readSigningSecret()
            try fields.finish()
            let result = try await vault.setWebhookSecret(
                caller.account, appID: exchange.appID, presented: presented, isRotation: isRotation)
            guard let secret = result.generated else { return done(.secretSaved, exchange.identityPath) }
            return try identityPage(caller, exchange, madeSecret: secret)
        }
    }

    // MARK: Pages

    private func context(_ caller: PortalCaller, _ app: AppRecord, _ provider: IdentityProviderRecord?)
        -> IdentityPageContext
    {
        IdentityPageContext(
            csrfToken: caller.csrfToken, path: SitePath.portalApp(app.id.text, "identity").path,
            canEdit: caller.mayChange(app),
            instructions: IdentityInstructions(
                type: provider?.type, audience: provider?.audience, addresses: SignInAddresses(vault.configuration),
                publicURL: vault.configuration.publicURL, appID: app.id.text,
                webhookURL: provider.map(vault.webhookAddress)), now: now)
    }

    private func identityPage(
        _ caller: PortalCaller, _ exchange: Exchange, _ forms: IdentityForms = IdentityForms(),
        madeSecret: Secret? = nil
    ) throws -> Answer {
        let app = try vault.app(caller.account, exchange.appID)
        let provider: IdentityProviderRecord
        do {
            provider = try vault.identityProvider(caller.account, appID: exchange.appID)
        } catch let error as VaultError where error.code == .identityProviderNotFound {
            let adding = AddIdentityProviderPage(context: context(caller, app, nil), issuer: forms.issuer)
            return page(caller, exchange, "Identity", app: app, section: .identity, adding.html)
        }
        let deliveries = try vault.deliveries(provider)
        let identity = IdentityPage(
            context: context(caller, app, provider), provider: provider, forms: forms,
            webhooks: WebhooksPanel(
                context: context(caller, app, provider), provider: provider, forms: forms, counts: deliveries.counts,
                deliveries: deliveries.latest), madeSecret: madeSecret)
        return page(caller, exchange, "Identity", app: app, section: .identity, identity.html)
    }

    private func reviewPage(_ caller: PortalCaller, _ exchange: Exchange, issuerURL: String, _ state: FormState)
        async throws -> Answer
    {
        let found = try await vault.discoverIdentityProvider(
            caller.account, appID: exchange.appID, issuerURL: issuerURL)
        let app = try vault.app(caller.account, exchange.appID)
        let review = IdentityReviewPage(context: context(caller, app, nil), found: found, state: state)
        return page(caller, exchange, "Review the identity provider", app: app, section: .identity, review.html)
    }
}

extension Exchange {
    fileprivate var identityPath: SitePath { .portalApp(appID, "identity") }
}

/// What every part of the Identity page has at hand.
struct IdentityPageContext: Sendable {
    let csrfToken: String
    /// Of the Identity page.
    let path: String
    /// Whether the operator's role lets them change the app.
    let canEdit: Bool
    let instructions: IdentityInstructions
    let now: Instant

    var csrfField: HTML { CSRFField(csrfToken).html }

    func time(_ instant: Instant) -> HTML { TimeText(instant: instant, now: now).html }
}

/// The forms of the Identity page, as they were sent.
struct IdentityForms: Sendable {
    var issuer = FormState()
    var claims = FormState()
    var audience = FormState()
    var signIn = FormState()
    var webhooks = FormState()
    var events = FormState()
    var deliveries = FormState()
}
