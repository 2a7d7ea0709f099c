import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Connect sessions as apps see them: opened with a user's token, polled until they end. What happens in the browser is
// in Vault+ConnectPages.swift.

package struct ConnectRequest: Sendable {
    package var allowedProviders: [String]?
    package var requiredScopes: [String: [String]]
    package var returnURL: String?
    package var allowedOrigin: String?
    package var label: String?
    package var terms: GrantPolicyTerms
    package var repairGrantID: String?
    package var agent: String?
    package var hasScopeConstraint: Bool
    package var userToken: String?

    package init(
        allowedProviders: [String]?, requiredScopes: [String: [String]], returnURL: String?, allowedOrigin: String?,
        label: String?, terms: GrantPolicyTerms, repairGrantID: String?, agent: String?, hasScopeConstraint: Bool,
        userToken: String?
    ) {
        self.allowedProviders = allowedProviders
        self.requiredScopes = requiredScopes
        self.returnURL = returnURL
        self.allowedOrigin = allowedOrigin
        self.label = label
        self.terms = terms
        self.repairGrantID = repairGrantID
        self.agent = agent
        self.hasScopeConstraint = hasScopeConstraint
        self.userToken = userToken
    }
}

package struct OpenedConnectSession: Sendable {
    /// For polling, and for the script that opens the page. Useless at the poll without a key of the app.
    package let sessionToken: String
    /// For the browser.
    package let connectURL: String
    package let expiresAt: Instant
    package let expiresInSeconds: Int64
    package let isSingleProvider: Bool
}

package enum ConnectPoll: Sendable {
    case pending(declined: [JSON])
    case completed(grants: [JSON], failures: [JSON])
    case failed(code: String, message: String)
    case expired
}

extension Vault {
    static let connectPagePurpose = "connect-page"
    static let connectTokenPurpose = "connect-token"
    /// When a connection came about: a member of what a session keeps of its results.
    static let connectedAt = "connected_at"

    package func openConnectSession(_ caller: AppCaller, _ request: ConnectRequest) async throws -> OpenedConnectSession
    {
        if request.agent != nil {
            guard request.userToken != nil else {
                throw VaultError(.agentRequiresUserToken, "A session for an agent needs the user's token.")
            }
            throw VaultError(.agentNotFound, "No such agent.")
        }
        if request.hasScopeConstraint {
            throw VaultError(.invalidScopeConstraint, "A scope constraint is for a session that names an agent.")
        }
        var user: UserRecord?
        if let token = request.userToken { user = try await activeUser(caller, token: token) }
        let time = now()
        let session = try read { try connectSession(caller, request, user: user, in: $0, now: time) }
        var entry = caller.entry("connect.opened", .none, at: time)
        entry.userID = user?.user.id
        entry.details = ["providers": .strings(session.allowedProviders)]
        let opened = entry
        let auditKey = auditKey
        try await write(in: .app(caller.appID)) { transaction in
            // Ended between the check above and now: then nothing of the user's is opened.
            if let userID = session.userID, let current = try transaction.user(userID, appID: session.appID)?.user {
                switch current.status {
                case .suspended: throw VaultError.userSuspended
                case .deprovisioned: throw VaultError.userDeprovisioned
                case .active where current.epoch != session.userEpoch: throw VaultError.userDeprovisioned
                case .active: break
                }
            }
            try transaction.insertConnectSession(session)
            try transaction.appendAudit(opened, key: auditKey)
        }
        return OpenedConnectSession(
            sessionToken: reference(Self.connectTokenPurpose, session.id.text),
            connectURL: configuration.address(
                SitePath.connectPage(reference(Self.connectPagePurpose, session.id.text)).path),
            expiresAt: session.expiresAt, expiresInSeconds: Limits.connectSessionSeconds,
            isSingleProvider: session.allowedProviders.count == 1)
    }

    private func connectSession(
        _ caller: AppCaller, _ request: ConnectRequest, user: UserRecord?, in transaction: Transaction, now: Instant
    ) throws -> ConnectSessionRecord {
        let configured = try configuredProviders(appID: caller.appID, in: transaction)
        let names = configured.map(\.record.providerID)
        var wanted: [String] = []
        for name in request.allowedProviders ?? names {
            let normal = name.trimmingWhitespace().lowercased()
            if !wanted.contains(normal) { wanted.append(normal) }
        }
        if let unknown = wanted.first(where: { !names.contains($0) }) {
            throw VaultError(
                .providerNotConfigured, "The app has no such OAuth provider.",
                details: ["provider_id": .string(String(unknown.prefix(64)))])
        }
        guard !wanted.isEmpty else {
            throw VaultError(.providerNotConfigured, "The app has no OAuth provider to connect.")
        }
        // Where the app named none, those that are left are offered; where it did, each has to be allowed to key and person.
        if request.allowedProviders == nil {
            wanted.removeAll { !caller.scopes.allows("connect:initiate", anyOf: [$0]) }
            if wanted.isEmpty { try caller.require("connect:initiate") }
        }
        for name in wanted { try caller.require("connect:initiate", instance: [name]) }
        let refusals = try wanted.map {
            try connectRefusal(user?.user, appID: caller.appID, providerID: $0, in: transaction)
        }
        if request.allowedProviders == nil {
            wanted = zip(wanted, refusals).filter { $0.1 == nil }.map(\.0)
        }
        if let refusal = refusals.compactMap(\.self).first, wanted.isEmpty || request.allowedProviders != nil {
            throw refusal
        }
        var repairGrantID: GrantID?
        if let text = request.repairGrantID {
            guard let id = GrantID(text), let grant = try transaction.grant(id, appID: caller.appID)?.grant,
                grant.revokedAt == nil, grant.kind == .oauth, grant.userID == user?.user.id,
                wanted == [grant.providerID]
            else { throw VaultError(.grantNotFound, "No such grant.") }
            repairGrantID = id
        }
        return ConnectSessionRecord(
            id: ConnectSessionID(), appID: caller.appID, userID: user?.user.id, userEpoch: user?.user.epoch,
            allowedProviders: wanted, requiredScopes: try requiredScopes(request, configured: configured),
            label: request.label, grantPolicy: request.terms.json, repairGrantID: repairGrantID,
            returnURL: try returnURL(request.returnURL),
            allowedOrigin: try allowedOrigin(
                request.allowedOrigin, website: try transaction.app(caller.appID)?.websiteURL),
            createdAt: now, expiresAt: now.adding(seconds: Limits.connectSessionSeconds))
    }

    private func requiredScopes(_ request: ConnectRequest, configured: [ConfiguredProvider]) throws -> JSONObject {
        var object = JSONObject()
        for (name, scopes) in request.requiredScopes.sorted(by: { $0.key < $1.key }) {
            guard let provider = configured.first(where: { $0.record.providerID == name.lowercased() }) else {
                throw VaultError(.providerNotConfigured, "The app has no such OAuth provider.")
            }
            for scope in scopes where !provider.allows(scope: scope) {
                throw VaultError(
                    .scopeNotAllowed, "A required scope is not among the provider's scopes.",
                    details: [
                        "provider_id": .string(provider.record.providerID), "scope": .string(String(scope.prefix(256))),
                    ])
            }
            object[provider.record.providerID] = .strings(scopes)
        }
        return object
    }

    private func returnURL(_ text: String?) throws -> String? {
        guard let text else { return nil }
        let address: WebAddress
        do { address = try WebAddress(text) } catch { throw VaultError.validation("return_url", error.reason) }
        guard isSafeForResults(address) else { throw VaultError.validation("return_url", "must be an https address") }
        return address.text
    }

    /// Exactly one origin: a path would mean nothing to a browser, and a wildcard everybody. The app's own site where the
    /// caller names none.
    private func allowedOrigin(_ text: String?, website: String?) throws -> String? {
        guard let text else {
            guard let website, let address = try? WebAddress(website), isSafeForResults(address) else { return nil }
            return address.origin
        }
        guard let address = try? WebAddress(text), address.path == "/", address.query == nil, isSafeForResults(address)
        else {
            throw VaultError(
                .invalidOrigin, "allowed_origin must be one https origin, like https://app.example.com.",
                hint: "Leave out path, query and wildcards.", details: ["field": "allowed_origin"])
        }
        return address.origin
    }

    /// Where nobody on the way can read or change what the browser brings.
    private func isSafeForResults(_ address: WebAddress) -> Bool {
        let isLocal = ["localhost", "127.0.0.1", "[::1]", "::1"].contains(address.host)
        return address.isSecure || (configuration.isDevelopment && isLocal)
    }

    /// The state of a session; an unknown, foreign or old token polls as expired.
    package func pollConnectSession(_ caller: AppCaller, token: String) throws -> ConnectPoll {
        guard let text = referencedID(Self.connectTokenPurpose, token), let id = ConnectSessionID(text),
            let session = try read({ try $0.connectSession(id) }), session.appID == caller.appID
        else { return .expired }
        switch session.status {
        case .completed: return .completed(grants: session.results.map(Self.polled), failures: session.failures)
        case .error:
            return .failed(
                code: session.errorCode ?? "connect_failed", message: session.errorMessage ?? "The connection failed.")
        case .open: return session.expiresAt <= now() ? .expired : .pending(declined: session.declined)
        }
    }

    /// The time is for the browser's message alone: the members of a poll's entry are fixed (wire contract §4.6).
    private static func polled(_ result: JSON) -> JSON {
        guard var object = result.object else { return result }
        object[connectedAt] = nil
        return .object(object)
    }
}
