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
        let issuer: TokenIssuer
        do {
            issuer = try await operatorIssuer.issuer(now: now()) { [discovery] in
                let found = try await discovery.discover(issuerURL: settings.issuerURL)
                return TokenIssuer(
                    issuer: found.document.issuer, document: found.document.json, claims: ClaimMapping(userID: "sub"))
            }
        } catch {
            throw VaultError(
                .serviceUnavailable, "The identity provider could not be asked right now.", retryAfterSeconds: 5,
                cause: "operator sign-in: \((error as? DiscoveryFailure)?.code ?? "\(type(of: error))")")
        }
        let party = RelyingParty(
            issuer: issuer, clientID: settings.clientID,
            redirectURI: configuration.address(SitePath.portalSignInCallback.path),
            scopes: SignInSettings.defaultScopes)
        return (party, settings)
    }

    /// To the provider. `invitation`: the token of the one that lets somebody new in. `linking`: whose account the identity is
    /// to belong to, for an operator who is signed in and asks for it.
    package func startOperatorSignIn(invitation: String?, linking caller: OperatorCaller? = nil, browserKey: String)
        async throws -> String
    {
        let (party, _) = try await operatorParty()
        if let invitation { _ = try self.invitation(token: invitation) }
        let state = RandomBytes.token()
        let address = try authorizationAddress(party, state: state, parameters: [])
        let (stateDigest, browserDigest) = (digestKey.digest("state:" + state), browserDigest(browserKey))
        let invited = invitation.map(invitationDigest)
        let visit = PortalSignInRecord(
            browserDigest: browserDigest, invitation: invited, operatorID: caller?.operatorID,
            expiresAt: now().adding(seconds: Limits.signInSessionSeconds))
        try await write { try $0.insertPortalSignIn(visit, stateDigest: stateDigest) }
        return address
    }

    /// Back from the provider: the value of the session's cookie. Throws `unauthenticated` with what to do for whoever has no
    /// account here. `signedIn`: whose session the browser comes with. An identity is added only to that account: who began
    /// may have left the browser to somebody else.
    package func finishOperatorSignIn(
        _ callback: SignInCallback, signedIn: OperatorID?, browser: BrowserMark
    ) async throws -> Secret {
        guard let state = callback.state, let browserKey = callback.browserKey else { throw Self.invalidCallback }
        let (stateDigest, browserDigest) = (digestKey.digest("state:" + state), browserDigest(browserKey))
        let time = now()
        let taken = try await write {
            try $0.takePortalSignIn(stateDigest: stateDigest, browserDigest: browserDigest, now: time)
        }
        guard let visit = taken, visit.operatorID == nil || visit.operatorID == signedIn else {
            throw Self.invalidCallback
        }
        do {
            let (party, settings) = try await operatorParty()
            let code = try Self.code(of: callback, from: party.issuer)
            let idToken = try await redeem(code, at: party, secret: settings.clientSecret, state: state)
            let (payload, claims) = try await verifiedIDToken(idToken, for: party, state: state)
            return try await admit(
                OperatorIdentity(
                    issuer: party.issuer.issuer, subject: claims.subject,
                    verifiedEmail: payload["email_verified"]?.bool == true ? payload["email"]?.string : nil),
                visit: visit, browser: browser)
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

    private func admit(_ identity: OperatorIdentity, visit: PortalSignInRecord, browser: BrowserMark) async throws
        -> Secret
    {
        // An address that is not one of ours to compare is none.
        let email = identity.verifiedEmail.flatMap { try? Self.assertedEmailAddress($0) }
        return try await write { transaction in
            var id = try transaction.operatorAccount(issuer: identity.issuer, subject: identity.subject)?.id
            if let linked = visit.operatorID {
                guard id == nil || id == linked else { throw Self.takenIdentity }
                if id == nil { try self.bind(identity, to: linked, origin: browser.origin, in: transaction) }
                id = linked
            } else if id == nil, let email {
                id = try self.bindOperator(identity, email: email, visit: visit, browser: browser, in: transaction)
            }
            guard let id else {
                throw SignInFailure(
                    code: "no_account",
                    message: "There is no operator account for you here. Ask an admin for an invitation.")
            }
            return try self.openPortalSession(id, browser: browser, way: "identity_provider", in: transaction)
        }
    }

    private static var takenIdentity: SignInFailure {
        SignInFailure(code: "identity_taken", message: "This identity belongs to another operator account.")
    }

    /// The account of the address, unless another identity of this issuer has it already; or a new one, for who was invited.
    /// An account with a password may have been made by somebody who only knew the address: who is signed in to it adds the
    /// identity, and it is never bound from here.
    private func bindOperator(
        _ identity: OperatorIdentity, email: String, visit: PortalSignInRecord, browser: BrowserMark,
        in transaction: Transaction
    ) throws -> OperatorID? {
        if let known = try transaction.operatorAccount(email: email)?.id {
            guard try !transaction.hasIdentity(known, issuer: identity.issuer) else { return nil }
            guard try transaction.operatorPassword(known) == nil else {
                throw SignInFailure(
                    code: "account_has_password",
                    message:
                        "There is an account with your address. Sign in to it with its password, and add this way on "
                        + "its Account page.")
            }
            try bind(identity, to: known, origin: browser.origin, in: transaction)
            return known
        }
        guard let invitation = visit.invitation, let record = try transaction.invitation(digest: invitation),
            record.email.utf8.elementsEqual(email.utf8)
        else { return nil }
        let new = OperatorID()
        try transaction.insertOperator(id: new, email: email, now: now())
        try recordNewOperator(new, way: "identity_provider", origin: browser.origin, in: transaction)
        try join(new, invitation: invitation, email: email, origin: browser.origin, in: transaction)
        try bind(identity, to: new, origin: browser.origin, in: transaction)
        return new
    }

    private func bind(
        _ identity: OperatorIdentity, to id: OperatorID, origin: RequestOrigin, in transaction: Transaction
    ) throws {
        guard try !transaction.hasIdentity(id, issuer: identity.issuer) else { throw Self.takenIdentity }
        try transaction.insertOperatorIdentity(
            issuer: identity.issuer, subject: identity.subject, operatorID: id, now: now())
        try transaction.appendAudit(
            operatorEntry(
                "operator.identity_bound", id, origin,
                details: ["issuer": .string(identity.issuer), "subject": .string(identity.subject)]), key: auditKey)
    }
}

/// What was last discovered of the installation's identity provider, for some minutes; one look at a time.
actor OperatorIssuer {
    private static let freshSeconds: Int64 = 300
    private var found: (issuer: TokenIssuer, at: Instant)?
    private var look: Task<TokenIssuer, any Error>?

    func issuer(now: Instant, _ discover: @escaping @Sendable () async throws -> TokenIssuer) async throws
        -> TokenIssuer
    {
        if let found, found.at.adding(seconds: Self.freshSeconds) > now { return found.issuer }
        if let look { return try await look.value }
        let look = Task { try await discover() }
        self.look = look
        defer { self.look = nil }
        let issuer = try await look.value
        found = (issuer, now)
        return issuer
    }
}
