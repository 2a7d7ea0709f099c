import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Operators who sign in at the identity provider of the installation itself (SALLYPORT_OPERATOR_ISSUER). An identity there
// is bound to an account at its first visit, by an e-mail address that the provider has verified; from then on by issuer
// and subject alone, so that an address which changes hands takes no account along. Nobody gets an account this way without
// an invitation.

extension Vault {
    /// Where operators can sign in beside their passwords: the host that is shown.
    package var operatorProviderHost: String? {
        configuration.operatorSignIn.map { (try? WebAddress($0.issuerURL))?.host ?? $0.issuerURL }
    }

    private func operatorParty() async throws -> (RelyingParty, OperatorSignInSettings) {
        guard let settings = configuration.operatorSignIn else { throw Self.notFound }
        do {
            let found = try await discovery.discover(issuerURL: settings.issuerURL)
            let issuer = TokenIssuer(
                issuer: found.document.issuer, document: found.document.json, claims: ClaimMapping(userID: "sub"))
            let party = RelyingParty(
                issuer: issuer, clientID: settings.clientID,
                redirectURI: configuration.address(SitePath.portalSignInCallback.path),
                scopes: SignInSettings.defaultScopes)
            return (party, settings)
        } catch {
            throw VaultError(
                .serviceUnavailable, "The identity provider could not be asked right now.", retryAfterSeconds: 5,
                cause: "operator sign-in: \(error.code)")
        }
    }

    /// To the provider. `invitation`: the token of the one to accept there.
    package func startOperatorSignIn(invitation: String?, browserKey: String) async throws -> String {
        let (party, _) = try await operatorParty()
        if let invitation { _ = try self.invitation(token: invitation) }
        let state = RandomBytes.token()
        let address = try authorizationAddress(party, state: state, parameters: [])
        let (stateDigest, browserDigest) = (digestKey.digest("state:" + state), browserDigest(browserKey))
        let invited = invitation.map(invitationDigest)
        let expiry = now().adding(seconds: Limits.signInSessionSeconds)
        try await write {
            try $0.insertPortalSignIn(
                stateDigest: stateDigest, browserDigest: browserDigest, invitation: invited, expiresAt: expiry)
        }
        return address
    }

    /// Back from the provider: the value of the session's cookie. Throws `unauthenticated` with what to do for whoever has no
    /// account here.
    package func finishOperatorSignIn(_ callback: SignInCallback, browser: BrowserMark) async throws -> Secret {
        guard let state = callback.state, let browserKey = callback.browserKey else { throw Self.invalidCallback }
        let (stateDigest, browserDigest) = (digestKey.digest("state:" + state), browserDigest(browserKey))
        let time = now()
        let taken = try await write {
            try $0.takePortalSignIn(stateDigest: stateDigest, browserDigest: browserDigest, now: time)
        }
        guard let invitation = taken else { throw Self.invalidCallback }
        do {
            let (party, settings) = try await operatorParty()
            let code = try Self.code(of: callback, from: party.issuer)
            let idToken = try await redeem(code, at: party, secret: settings.clientSecret, state: state)
            let (payload, claims) = try await verifiedIDToken(idToken, for: party, state: state)
            return try await admit(
                OperatorIdentity(
                    issuer: party.issuer.issuer, subject: claims.subject,
                    verifiedEmail: payload["email_verified"]?.bool == true ? payload["email"]?.string : nil),
                invitation: invitation, browser: browser)
        } catch let failure as SignInFailure {
            try await recordOperator(
                "operator.sign_in_failed", nil, browser.origin, decision: .deny,
                details: ["way": "identity_provider", "error": .string(failure.code)])
            throw VaultError(.unauthenticated, failure.message)
        }
    }

    private struct OperatorIdentity: Sendable {
        let issuer: String
        let subject: String
        let verifiedEmail: String?
    }

    private func admit(_ identity: OperatorIdentity, invitation: [UInt8]?, browser: BrowserMark) async throws -> Secret
    {
        let email = try identity.verifiedEmail.map(Self.emailAddress)
        return try await write { transaction in
            var id = try transaction.operatorAccount(issuer: identity.issuer, subject: identity.subject)?.id
            if id == nil, let email {
                id = try self.bindOperator(identity, email: email, invitation: invitation, in: transaction)
            }
            guard let id, let account = try transaction.operatorAccount(id) else {
                throw SignInFailure(
                    code: "no_account",
                    message: "There is no operator account for you here. Ask an admin for an invitation.")
            }
            if let invitation, try transaction.invitation(digest: invitation)?.isOpen(at: self.now()) == true {
                try self.join(
                    id, invitation: invitation, email: account.email, origin: browser.origin, in: transaction)
            }
            return try self.openPortalSession(id, browser: browser, in: transaction)
        }
    }

    /// The account of the address, unless another identity of this issuer has it already; or a new one, for who was invited.
    private func bindOperator(
        _ identity: OperatorIdentity, email: String, invitation: [UInt8]?, in transaction: Transaction
    ) throws -> OperatorID? {
        let time = now()
        var id = try transaction.operatorAccount(email: email)?.id
        if let known = id, try transaction.hasIdentity(known, issuer: identity.issuer) { return nil }
        if id == nil, let invitation, let record = try transaction.invitation(digest: invitation),
            record.isOpen(at: time), record.email == email
        {
            let new = OperatorID()
            try transaction.insertOperator(id: new, email: email, now: time)
            id = new
        }
        guard let id else { return nil }
        try transaction.insertOperatorIdentity(
            issuer: identity.issuer, subject: identity.subject, operatorID: id, now: time)
        return id
    }
}
