import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Sessions of operators in the Portal: signing in with a password, throttled; what a session lets one do is read anew at
// every request.

/// The browser a session is opened in.
package struct BrowserMark: Sendable {
    package let userAgent: String?
    /// The value of a session's cookie that it comes with: the new session takes its place.
    package let session: String?
    package let origin: RequestOrigin

    package init(userAgent: String?, session: String?, origin: RequestOrigin) {
        self.userAgent = userAgent
        self.session = session
        self.origin = origin
    }

    /// `Firefox on Linux`, for the list of sessions.
    var name: String {
        let text = userAgent ?? ""
        let browsers = [
            ("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
        ]
        let systems = [
            ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
            ("Mac OS X", "macOS"),
            ("Linux", "Linux"),
        ]
        let browser = browsers.first { text.contains($0.0) }?.1 ?? "A browser"
        return browser + (systems.first { text.contains($0.0) }.map { " on " + $0.1 } ?? "")
    }
}

extension Vault {
    // MARK: Signing in

    /// What failures are counted by, how many are free, and the longest wait after them. An account alone waits short: a
    /// stranger with many networks slows its sign-ins down, and no more.
    private struct Throttle: Sendable {
        let subject: [UInt8]
        let free: Int64
        let waitSecondsMax: Int64
    }

    private func throttles(email: String, peer: IPAddress?) -> [Throttle] {
        let network = Self.network(peer)
        return [
            Throttle(subject: digestKey.digest("throttle:pair:\(email)|\(network)"), free: 5, waitSecondsMax: 900),
            Throttle(subject: digestKey.digest("throttle:peer:\(network)"), free: 25, waitSecondsMax: 900),
            Throttle(subject: digestKey.digest("throttle:account:\(email)"), free: 50, waitSecondsMax: 60),
        ]
    }

    /// One customer of a network: an IPv4 address, or the /64 that IPv6 gives to each.
    static func network(_ peer: IPAddress?) -> String {
        guard let address = peer?.unmapped else { return "unknown" }
        return address.bytes.count == 16 ? Hex.encode(Array(address.bytes.prefix(8))) + "::/64" : address.description
    }

    /// Whether the password fits, asked for no more often than guessing would need. Throws `rate_limit_exceeded`.
    private func isPassword(_ password: Secret, _ hash: PasswordHash, email: String, peer: IPAddress?) async throws
        -> Bool
    {
        let throttles = throttles(email: email, peer: peer)
        let time = now()
        // Counted before the password is looked at, so that many at once are not many free ones.
        let wait = try await write { transaction -> Int64 in
            for throttle in throttles {
                guard let failures = try transaction.signInFailures(throttle.subject), failures.count >= throttle.free
                else { continue }
                let pause = min(5 << min(failures.count - throttle.free, 20), throttle.waitSecondsMax)
                let left = failures.lastAt.adding(seconds: pause).seconds - time.seconds
                if left > 0 { return left }
            }
            for throttle in throttles { try transaction.countSignInFailure(throttle.subject, now: time) }
            return 0
        }
        guard wait == 0 else {
            throw VaultError(
                .rateLimitExceeded, "Too many sign-ins failed. Try again in \(wait) seconds.",
                retryAfterSeconds: Int(wait))
        }
        guard try await passwordDesk.run(for: Self.network(peer), { try hash.matches(password) }) else { return false }
        try await write { transaction in
            try transaction.forgetSignInFailures(throttles[0].subject)
            for throttle in throttles.dropFirst() { try transaction.forgiveSignInFailure(throttle.subject) }
        }
        return true
    }

    /// Throws `rate_limit_exceeded`, or `unauthenticated` with the same words for an unknown account and a wrong password.
    package func signIn(email: String, password: Secret, browser: BrowserMark) async throws -> Secret {
        // What is no address is nobody's, and takes as long.
        let address = (try? Self.emailAddress(email)) ?? ""
        let account = try read { try $0.operatorAccount(email: address) }
        let stored = try account.flatMap { account in try read { try $0.operatorPassword(account.id) } }
        let isRight = try await isPassword(
            password, stored.map(PasswordHash.init(stored:)) ?? .ofNobody, email: address, peer: browser.origin.peer)
        guard let account, stored != nil, isRight else {
            try await recordOperator(
                "operator.sign_in_failed", account?.id, browser.origin, decision: .deny, details: ["way": "password"])
            throw VaultError(.unauthenticated, "The e-mail address or the password is not right.")
        }
        return try await write { transaction in
            guard try transaction.operatorPassword(account.id) == stored else { throw Self.signedOut }
            return try self.openPortalSession(account.id, browser: browser, way: "password", in: transaction)
        }
    }

    static var signedOut: VaultError { VaultError(.unauthenticated, "Sign in again.") }

    private func portalDigest(_ cookie: String) -> [UInt8] { digestKey.digest("portal-session:" + cookie) }

    /// A session with a new value for the cookie, and its record.
    func openPortalSession(_ id: OperatorID, browser: BrowserMark, way: String, in transaction: Transaction) throws
        -> Secret
    {
        let cookie = RandomBytes.token()
        let time = now()
        if let old = browser.session { try transaction.deletePortalSession(digest: portalDigest(old), of: id) }
        try transaction.insertPortalSession(
            PortalSessionRecord(
                id: PortalSessionID(), operatorID: id, browser: browser.name,
                peer: browser.origin.peer?.description, createdAt: time, lastSeenAt: time,
                expiresAt: time.adding(seconds: Limits.portalSessionSeconds)), digest: portalDigest(cookie))
        try transaction.appendAudit(
            operatorEntry(
                "operator.signed_in", id, browser.origin, decision: .allow, details: ["way": .string(way)]),
            key: auditKey)
        return Secret(cookie)
    }

    // MARK: Being signed in

    /// The operator of a session that stands, with the roles of this moment.
    package func portalCaller(cookie: String, origin: RequestOrigin) async throws -> OperatorCaller? {
        let digest = portalDigest(cookie)
        let time = now()
        let found = try read { transaction -> (PortalSessionRecord, OperatorCaller)? in
            guard let session = try transaction.portalSession(digest: digest), session.expiresAt > time,
                session.lastSeenAt.adding(seconds: Limits.portalIdleSeconds) > time,
                let account = try transaction.operatorAccount(session.operatorID)
            else { return nil }
            let caller = OperatorCaller(
                operatorID: account.id, email: account.email, roles: try transaction.memberships(of: account.id),
                isReadOnly: false, sessionID: session.id, tokenExpiresAt: nil, origin: origin)
            return (session, caller)
        }
        guard let (session, caller) = found else { return nil }
        if session.lastSeenAt.adding(seconds: Limits.portalSeenSeconds) < time {
            try await write { try $0.setPortalSessionSeen(session.id, at: time) }
        }
        return caller
    }

    package func portalSessions(_ caller: OperatorCaller) throws -> [PortalSessionRecord] {
        try read { try $0.portalSessions(of: caller.operatorID) }.filter {
            $0.expiresAt > now() && $0.lastSeenAt.adding(seconds: Limits.portalIdleSeconds) > now()
        }
    }

    /// Ends one of the caller's own sessions.
    package func endPortalSession(_ caller: OperatorCaller, _ id: String) async throws {
        guard let sessionID = PortalSessionID(id) else { throw Self.notFound }
        let entry = operatorEntry(
            "operator.signed_out", caller.operatorID, caller.origin, details: ["session_id": sessionID.json])
        let auditKey = auditKey
        let isEnded = try await write { transaction in
            guard try transaction.deletePortalSession(sessionID, of: caller.operatorID) else { return false }
            try transaction.appendAudit(entry, key: auditKey)
            return true
        }
        guard isEnded else { throw Self.notFound }
    }

    /// Sets a new password and ends every other session; `revokesTokens`: personal access tokens as well.
    package func changePassword(
        _ caller: OperatorCaller, current: Secret, new: Secret, revokesTokens: Bool
    ) async throws {
        let stored = try read { try $0.operatorPassword(caller.operatorID) }
        if let stored {
            let isRight = try await isPassword(
                current, PasswordHash(stored: stored), email: caller.email, peer: caller.origin.peer)
            guard isRight else {
                try await recordOperator(
                    "operator.password_change_refused", caller.operatorID, caller.origin, decision: .deny)
                throw VaultError.validation("current_password", "is not right")
            }
        }
        let hash = try await hashed(new, email: caller.email, network: Self.network(caller.origin.peer))
        let time = now()
        let entry = operatorEntry("operator.password_changed", caller.operatorID, caller.origin)
        let auditKey = auditKey
        try await write { transaction in
            guard try transaction.operatorPassword(caller.operatorID) == stored else { throw Self.signedOut }
            try transaction.setOperatorPassword(caller.operatorID, hash.text)
            try transaction.deletePortalSessions(of: caller.operatorID, except: caller.sessionID)
            if revokesTokens { try transaction.revokePersonalAccessTokens(of: caller.operatorID, now: time) }
            try transaction.appendAudit(entry, key: auditKey)
        }
    }

    /// For the command line, which stands above accounts: a forgotten password. Every session and token ends.
    package func setPassword(email: String, _ password: Secret) async throws {
        let address = try Self.emailAddress(email)
        guard let account = try read({ try $0.operatorAccount(email: address) }) else { throw Self.notFound }
        let hash = try await hashed(password, email: address)
        let time = now()
        let entry = AuditEntry(
            event: "operator.password_changed", principal: .system, occurredAt: time,
            details: ["operator_id": account.id.json])
        let auditKey = auditKey
        try await write { transaction in
            try transaction.setOperatorPassword(account.id, hash.text)
            try transaction.deletePortalSessions(of: account.id, except: nil)
            try transaction.revokePersonalAccessTokens(of: account.id, now: time)
            try transaction.appendAudit(entry, key: auditKey)
        }
    }

    package func hasPassword(_ caller: OperatorCaller) throws -> Bool {
        try read { try $0.operatorPassword(caller.operatorID) != nil }
    }

    // MARK: Records of the installation

    /// An entry about an operator that belongs to no app.
    func operatorEntry(
        _ event: String, _ id: OperatorID?, _ origin: RequestOrigin, decision: AuditDecision = .none,
        details: JSONObject = [:]
    ) -> AuditEntry {
        AuditEntry(
            event: event, decision: decision, principal: id.map { .operatorAccount($0) } ?? .browser,
            occurredAt: now(), requestID: origin.requestID, trace: origin.trace, peer: origin.peer?.description,
            details: details)
    }

    func recordOperator(
        _ event: String, _ id: OperatorID?, _ origin: RequestOrigin, decision: AuditDecision = .none,
        details: JSONObject = [:]
    ) async throws {
        let entry = operatorEntry(event, id, origin, decision: decision, details: details)
        let auditKey = auditKey
        try await write { try $0.appendAudit(entry, key: auditKey) }
    }
}
