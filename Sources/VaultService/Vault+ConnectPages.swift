import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Connect in the browser: the page that asks, the way to the provider, and the way back. The session's state is a row;
// each step reads it anew, and a callback's row is deleted before its code is used.

extension Vault {
    /// What is stored of the cookie that knows a browser again.
    func browserDigest(_ browserKey: String) -> [UInt8] { digestKey.digest("browser:" + browserKey) }

    static var noConnectSession: VaultError {
        VaultError(.notFound, "This connection link is not valid any more. Start again from the app.")
    }

    /// The session of a page address, expired ones left out.
    func openSession(_ reference: String, in transaction: Transaction) throws -> (
        session: ConnectSessionRecord, app: AppRecord
    ) {
        guard let text = referencedID(Self.connectPagePurpose, reference), let id = ConnectSessionID(text),
            let session = try transaction.connectSession(id), session.status != .open || session.expiresAt > now(),
            let app = try transaction.app(session.appID), app.archivedAt == nil
        else { throw Self.noConnectSession }
        return (session, app)
    }

    static func state(of provider: String, in session: ConnectSessionRecord) -> ConnectView.Choice.State {
        func names(_ items: [JSON]) -> Bool { items.contains { $0["provider_id"]?.string == provider } }
        if names(session.results) { return .connected }
        if names(session.declined) { return .declined }
        return names(session.failures) ? .failed : .open
    }

    static func scopes(for session: ConnectSessionRecord, provider: ConfiguredProvider) -> [String] {
        var scopes = provider.scopes
        for scope in session.requiredScopes[provider.record.providerID]?.array?.compactMap(\.string) ?? []
        where !scopes.contains(scope) {
            scopes.append(scope)
        }
        return scopes
    }

    // MARK: To the provider

    /// One confirming click: notes the attempt, bound to this browser, and names the provider's address.
    package func startConnecting(
        reference: String, providerID: String, browserKey: String, browser: ConnectBrowser
    ) async throws -> ConnectStep {
        let state = RandomBytes.token()
        let time = now()
        let found = try read {
            transaction -> (session: ConnectSessionRecord, app: AppRecord, provider: ConfiguredProvider) in
            let (session, app) = try openSession(reference, in: transaction)
            guard session.allowedProviders.contains(providerID),
                let provider = try configuredProvider(providerID, appID: session.appID, in: transaction)
            else { throw Self.noConnectSession }
            return (session, app, provider)
        }
        guard found.session.status == .open, Self.state(of: providerID, in: found.session) != .connected,
            try read({ try self.identity(of: browser, for: found.session, in: $0) }).isSettled
        else { return .page }
        if try read({ try self.connectRefusal(found.session, providerID: providerID, in: $0) }) != nil {
            try await fail(found.session.id, app: found.app, provider: found.provider, code: "policy_violation")
            return .page
        }
        let attempt = ConnectAttemptRecord(
            sessionID: found.session.id, providerID: providerID,
            browserDigest: browserDigest(browserKey),
            expiresAt: min(found.session.expiresAt, time.adding(seconds: Limits.connectSessionSeconds)))
        let stateDigest = digestKey.digest("state:" + state)
        try await write(in: .app(found.app.id)) {
            try $0.insertConnectAttempt(stateDigest: stateDigest, attempt: attempt, now: time)
        }
        return .redirect(try authorizationAddress(found.provider, session: found.session, state: state))
    }

    /// RFC 7636 §4.1. Derived from the state, so that nothing about it needs to be stored.
    func codeVerifier(state: String) -> String { Base64URL.encode(digestKey.digest("code-verifier:" + state)) }

    private func authorizationAddress(_ provider: ConfiguredProvider, session: ConnectSessionRecord, state: String)
        throws -> String
    {
        let template = provider.template
        var items: [(String, String)] = [
            ("response_type", "code"), ("client_id", provider.record.clientID), ("redirect_uri", oauthRedirectURI),
            ("state", state),
        ]
        let scopes = Self.scopes(for: session, provider: provider)
        if !scopes.isEmpty { items.append(("scope", scopes.joined(separator: template.scopeSeparator))) }
        if template.pkce.sendsChallenge {
            items.append(("code_challenge", Base64URL.encode(Digest.sha256(codeVerifier(state: state)))))
            items.append(("code_challenge_method", "S256"))
        }
        items += template.extraAuthorizationParameters.map { ($0.name, $0.value) }
        do {
            return try WebAddress(template.authorizationURL).appendingQuery(items).text
        } catch {
            throw VaultError(.internalError, "The provider's address is unusable.", cause: "authorization address")
        }
    }

    /// The person declines a provider, or everything. Whoever has the link may: nothing is attached by it.
    package func decline(reference: String, providerID: String?) async throws {
        let time = now()
        try await write { transaction in
            var (session, app) = try self.openSession(reference, in: transaction)
            guard session.status == .open else { return }
            for name in session.allowedProviders
            where (providerID == nil || name == providerID) && Self.state(of: name, in: session) == .open {
                session.declined.append(Self.declined(name, at: time))
            }
            try self.settle(&session, app: app, in: transaction)
        }
    }

    /// The person is done although providers are left.
    package func finishConnecting(reference: String) async throws {
        try await write { transaction in
            var (session, app) = try self.openSession(reference, in: transaction)
            guard session.status == .open, !session.results.isEmpty else { return }
            session.status = .completed
            try self.save(session, app: app, in: transaction)
        }
    }

    private static func declined(_ provider: String, at time: Instant) -> JSON {
        ["provider_id": .string(provider), "error_code": "connect_denied", "declined_at": .string(time.rfc3339)]
    }

    /// Ends the session when no provider is left to decide.
    func settle(_ session: inout ConnectSessionRecord, app: AppRecord, in transaction: Transaction) throws {
        if session.allowedProviders.allSatisfy({ Self.state(of: $0, in: session) != .open }) {
            if !session.results.isEmpty {
                session.status = .completed
            } else if let failure = session.failures.first {
                session.status = .error
                session.errorCode = failure["reason"]?.string
                session.errorMessage = failure["message"]?.string
            } else {
                session.status = .error
                session.errorCode = "connect_denied"
                session.errorMessage = "The person declined to connect."
            }
        }
        try save(session, app: app, in: transaction)
    }

    private func save(_ session: ConnectSessionRecord, app: AppRecord, in transaction: Transaction) throws {
        guard try transaction.updateConnectSession(session) else { throw Self.noConnectSession }
        guard session.status != .open else { return }
        var details: JSONObject = ["status": .string(session.status.rawValue)]
        details["error"] = session.errorCode.map(JSON.string)
        try transaction.appendAudit(
            AuditEntry(
                event: "connect.ended", principal: .browser, occurredAt: now(), appID: app.id, userID: session.userID,
                details: details),
            key: auditKey)
    }

    /// Why the session's person may not connect the provider, judged by what is known of them now.
    func connectRefusal(_ session: ConnectSessionRecord, providerID: String, in transaction: Transaction) throws
        -> VaultError?
    {
        let user = try session.userID.flatMap { try transaction.user($0, appID: session.appID)?.user }
        return try connectRefusal(user, appID: session.appID, providerID: providerID, in: transaction)
    }

    // MARK: Back from the provider

    package struct ConnectCallback: Sendable {
        package var state: String?
        package var code: String?
        package var error: String?
        package var browser: ConnectBrowser

        package init(state: String?, code: String?, error: String?, browser: ConnectBrowser) {
            self.state = state
            self.code = code
            self.error = error
            self.browser = browser
        }
    }

    static var invalidCallback: VaultError {
        VaultError(
            .invalidRequest,
            "This sign-in step is unknown, was used before, or belongs to another browser. Start again from the app.")
    }

    /// Answers the reference of the page that shows what came of it.
    package func finishCallback(_ callback: ConnectCallback) async throws -> String {
        guard let state = callback.state, let browserKey = callback.browser.key else { throw Self.invalidCallback }
        let stateDigest = digestKey.digest("state:" + state)
        let browserDigest = browserDigest(browserKey)
        let time = now()
        let found = try await write { transaction -> (ConnectSessionRecord, AppRecord, ConfiguredProvider)? in
            guard let attempt = try transaction.connectAttempt(stateDigest: stateDigest), attempt.expiresAt > time,
                ConstantTime.areEqual(attempt.browserDigest, browserDigest),
                try transaction.deleteConnectAttempt(stateDigest: stateDigest),
                let session = try transaction.connectSession(attempt.sessionID), session.status == .open,
                session.expiresAt > time,
                let app = try transaction.app(session.appID), app.archivedAt == nil,
                let provider = try self.configuredProvider(attempt.providerID, appID: session.appID, in: transaction)
            else { return nil }
            try transaction.setConnectBrowser(browserDigest, session: session.id)
            return (session, app, provider)
        }
        // A code that comes too late is not redeemed: it stays worthless without its verifier.
        guard let (session, app, provider) = found else { throw Self.invalidCallback }
        // Somebody else has signed in meanwhile: the code is left alone, and the page says who is who.
        if try read({ try self.identity(of: callback.browser, for: session, in: $0) }).isSettled {
            try await redeem(callback, state: state, session: session, app: app, provider: provider)
        }
        return reference(Self.connectPagePurpose, session.id.text)
    }

    private func redeem(
        _ callback: ConnectCallback, state: String, session: ConnectSessionRecord, app: AppRecord,
        provider: ConfiguredProvider
    ) async throws {
        if let error = callback.error {
            let code = Self.callbackErrors.contains(error) ? error : TokenCallFailure.unnamedError
            return try await fail(session.id, app: app, provider: provider, code: code)
        }
        if try read({ try self.connectRefusal(session, providerID: provider.record.providerID, in: $0) }) != nil {
            return try await fail(session.id, app: app, provider: provider, code: "policy_violation")
        }
        guard let code = callback.code, (1...4096).contains(code.utf8.count) else {
            return try await fail(session.id, app: app, provider: provider, code: "invalid_response")
        }
        let answer: TokenAnswer
        do {
            answer = try await oauthClient(provider, app: app).exchangeCode(
                code, redirectURI: oauthRedirectURI,
                codeVerifier: provider.template.pkce.sendsChallenge ? codeVerifier(state: state) : nil)
        } catch let failure as TokenCallFailure {
            return try await fail(session.id, app: app, provider: provider, code: failure.connectCode)
        }
        do {
            let account = try await identifyAccount(answer, provider: provider)
            try await store(answer, account: account, session: session.id, app: app, provider: provider)
        } catch is AccountUnidentified {
            try await fail(
                session.id, app: app, provider: provider, code: "account_identification_failed", unused: answer)
        }
    }

    /// What a provider may say in a browser (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6). Other words could be taken
    /// for the vault's own.
    static let callbackErrors: Set<String> = [
        "access_denied", "invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope",
        "server_error", "temporarily_unavailable", "interaction_required", "login_required", "consent_required",
        "account_selection_required",
    ]

    /// Reaches the poll: a denial as one, everything else as a failure of this provider. Tokens that were issued all the
    /// same are revoked.
    private func fail(
        _ id: ConnectSessionID, app: AppRecord, provider: ConfiguredProvider, code: String, unused: TokenAnswer? = nil
    ) async throws {
        let name = provider.record.providerID
        let time = now()
        defer { if unused != nil { revocationSignal.notify() } }
        try await write(in: .app(app.id)) { transaction in
            if let unused {
                let userID = try transaction.connectSession(id)?.userID
                try self.queueRevocations(
                    self.owed(for: unused, providerID: name, userID: userID), app: app, in: transaction)
            }
            guard var session = try transaction.connectSession(id), session.status == .open else {
                throw Self.noConnectSession
            }
            if code == "access_denied" {
                session.declined.append(Self.declined(name, at: time))
            } else {
                let reason = TokenCallFailure.sanitized(code)
                session.failures.append([
                    "provider_id": .string(name), "reason": .string(reason),
                    "message": .string("\(provider.template.displayName) did not complete the connection (\(reason))."),
                ])
            }
            try self.settle(&session, app: app, in: transaction)
        }
    }
}

// MARK: - Forms

extension Vault {
    /// Ties a form to the browser and the page it was shown in.
    package func formToken(browserKey: String, page: String) -> String {
        Base64URL.encode(digestKey.digest("form:\(browserKey):\(page)"))
    }

    package func isFormToken(_ token: String, browserKey: String, page: String) -> Bool {
        ConstantTime.areEqual(Array(token.utf8), Array(formToken(browserKey: browserKey, page: page).utf8))
    }
}
