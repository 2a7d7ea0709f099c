// An OAuth provider with an API on this machine, for the demo and the tests: consent, codes with PKCE, rotating refresh
// tokens whose re-use ends the whole family, revocation, and an API that answers what it received. It keeps what the
// tests ask about (tokens seen, calls, revocations) and never answers a credential. It does not know the vault;
// `sallyport demo` and the server tests start it.

import Foundation
import VaultAPI
import VaultCrypto

/// An account at the development OAuth provider.
package struct DevelopmentAccount: Sendable {
    package let subject: String
    package let email: String
    package let name: String

    package init(subject: String, email: String, name: String) {
        self.subject = subject
        self.email = email
        self.name = name
    }
}

package actor DevelopmentOAuthProvider: LoopbackPeer {
    package struct Configuration: Sendable {
        package var accounts: [DevelopmentAccount] = [
            DevelopmentAccount(subject: "acct-1001", email: "ada@mail.example.test", name: "Ada’s mailbox"),
            DevelopmentAccount(subject: "acct-1002", email: "grace@mail.example.test", name: "Grace’s mailbox"),
        ]
        package var client = DevelopmentClient()
        /// `nil`: the answer names no lifetime and the access token does not end by itself.
        package var expiresInSeconds: Int64? = 3600
        package var rotatesRefreshTokens = true
        package var requiresPKCE = true
        package var now: @Sendable () -> Instant = DevelopmentIdentityProvider.currentInstant

        package init() {}
    }

    /// A request to the API or to `/userinfo`, with what the answer leaves out.
    package struct Call: Sendable {
        package let method: String
        package let path: String
        package let query: String
        package let headers: [(name: String, value: String)]
        package let body: [UInt8]
        /// The bearer token as it arrived.
        package let token: String?
        /// Whose token it was; `nil` when it was refused.
        package let account: String?
        package let status: Int
    }

    /// `http://127.0.0.1:<port>`.
    package nonisolated let baseURL: String
    package nonisolated let client: DevelopmentClient
    package nonisolated var authorizationURL: String { baseURL + "/authorize" }
    package nonisolated var tokenURL: String { baseURL + "/token" }
    package nonisolated var revocationURL: String { baseURL + "/revoke" }
    package nonisolated var userinfoURL: String { baseURL + "/userinfo" }
    /// `127.0.0.1:<port>`, as `api_hosts` wants it.
    package nonisolated var apiHost: String { String(baseURL.dropFirst("http://".count)) }

    /// Bearer tokens and API keys that reached the API or `/userinfo`, refused ones too, in order of their first use.
    package private(set) var tokensSeen: [String] = []
    /// Tokens that an authenticated client named at `/revoke` and that were this provider's.
    package private(set) var revokedTokens: [String] = []
    package private(set) var calls: [Call] = []
    /// Successful refreshes.
    package private(set) var refreshCount = 0

    private static let callsKept = 10_000

    let configuration: Configuration
    var expiresInSeconds: Int64?
    var codes = AuthorizationCodes()
    var tokens = TokenFamilies()
    private var apiKeys: Set<String> = []
    private var failures = PlannedFailures()
    private var requestCounts: [String: Int] = [:]
    private var delays: [String: Int] = [:]

    init(baseURL: String, _ configuration: Configuration) {
        self.baseURL = baseURL
        self.configuration = configuration
        client = configuration.client
        expiresInSeconds = configuration.expiresInSeconds
    }

    /// Runs a provider for as long as `body` does; it accepts connections before `body` begins.
    package static func run<Outcome>(
        _ configuration: Configuration = Configuration(), port: Int = 0,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (DevelopmentOAuthProvider) async throws -> Outcome
    ) async throws -> Outcome {
        try await LoopbackServer.run(
            port: port, isolation: isolation, makePeer: { DevelopmentOAuthProvider(baseURL: $0, configuration) }, body)
    }

    var now: Instant { configuration.now() }

    // MARK: - For the caller

    package func isLive(_ accessToken: String) -> Bool { tokens.account(ofAccessToken: accessToken, at: now) != nil }

    /// Every access and refresh token there ever was.
    package var issuedTokens: Set<String> { tokens.issued }

    package func isLive(refreshToken: String) -> Bool { tokens.isLive(refreshToken: refreshToken) }

    /// Counts for tokens issued from now on.
    package func setExpiresIn(seconds: Int64?) { expiresInSeconds = seconds }

    /// The API takes this value from now on, as bearer or in any header: a credential that no OAuth flow made.
    package func accept(apiKey: String) { apiKeys.insert(apiKey) }

    /// Ends every connection of the account, as a person does in the account's settings.
    package func disconnect(account subject: String) { tokens.endAll(of: subject) }

    package func fail(next count: Int, on path: String, with failure: PlannedFailure = PlannedFailure()) {
        failures.plan(next: count, on: path, failure)
    }

    /// Every answer of this path waits so long; 0 ends it.
    package func delay(_ path: String, milliseconds: Int) { delays[path] = milliseconds > 0 ? milliseconds : nil }

    package func requestCount(on path: String) -> Int { requestCounts[path] ?? 0 }

    // MARK: - Over HTTP

    func answer(_ request: PeerRequest) async -> PeerResponse {
        requestCounts[request.path, default: 0] += 1
        if let delay = delays[request.path] { try? await Task.sleep(for: .milliseconds(delay)) }
        guard let failure = failures.take(request.path) else { return route(request) }
        if failure.happensAfterProcessing { _ = route(request) }
        return failure.response
    }

    private func route(_ request: PeerRequest) -> PeerResponse {
        switch (request.method, request.path) {
        case ("GET", "/authorize"): return authorize(request.queryFields, choice: nil)
        case ("POST", "/authorize"): return authorize(request.bodyFields, choice: request.bodyFields?["choice"])
        case ("POST", "/token"): return token(request)
        case ("POST", "/revoke"): return revoke(request)
        case ("GET", "/userinfo"): return protected(request) { userinfo(of: $0) }
        case (_, "/authorize"), (_, "/token"), (_, "/revoke"), (_, "/userinfo"): return .methodNotAllowed
        case (_, let path) where path.hasPrefix("/api/"): return protected(request) { api(request, account: $0) }
        default: return .notFound
        }
    }

    private func authorize(_ fields: FormFields?, choice: String?) -> PeerResponse {
        let request: AuthorizationRequest
        switch AuthorizationRequest.read(fields, client: client, requiresPKCE: configuration.requiresPKCE, issuer: nil)
        {
        case .refused(let response): return response
        case .valid(let valid): request = valid
        }
        if fields?["decision"] == "deny" { return request.failure("access_denied", issuer: nil) }
        if let hint = choice ?? fields?["account"] ?? fields?["login_hint"] {
            guard let account = configuration.accounts.first(where: { $0.subject == hint || $0.email == hint }) else {
                return request.failure("access_denied", issuer: nil)
            }
            return request.success(code: codes.issue(for: account.subject, request, at: now), issuer: nil)
        }
        let wanted = request.scope.isEmpty ? "" : " It asks for: \(request.scope)."
        return .page(
            200,
            .chooser(
                title: "Share an account", lead: "An app wants to use one of your accounts.\(wanted)",
                choices: configuration.accounts.map { ($0.subject, $0.name, $0.email) }, hidden: request.fields))
    }

    private func protected(_ request: PeerRequest, _ action: (String) -> PeerResponse) -> PeerResponse {
        let bearer = request.bearerToken
        let key = request.headers.first { apiKeys.contains($0.value) }?.value
        if let seen = key ?? bearer, !tokensSeen.contains(seen) { tokensSeen.append(seen) }
        let account: String? =
            if let bearer, let owner = tokens.account(ofAccessToken: bearer, at: now) {
                owner
            } else if key != nil || bearer.map(apiKeys.contains) == true {
                "api-key"
            } else {
                nil
            }
        let response = account.map(action) ?? .invalidToken
        if calls.count == Self.callsKept { calls.removeFirst() }
        calls.append(
            Call(
                method: request.method, path: request.path, query: request.query, headers: request.headers,
                body: request.body, token: key ?? bearer, account: account, status: response.status))
        return response
    }

    private func userinfo(of subject: String) -> PeerResponse {
        guard let account = configuration.accounts.first(where: { $0.subject == subject }) else { return .invalidToken }
        return .json(
            200, ["sub": .string(account.subject), "email": .string(account.email), "name": .string(account.name)])
    }

    private func api(_ request: PeerRequest, account: String) -> PeerResponse {
        let prefix = "/api/status/"
        guard request.path.hasPrefix(prefix) else { return .json(200, echo(request, account: account)) }
        guard let code = Int(request.path.dropFirst(prefix.count)), (200...599).contains(code) else { return .notFound }
        // Without a body, as RFC 9110 §15.3.5 and §15.4.5 have it.
        if code == 204 || code == 304 { return PeerResponse(status: code) }
        var response = PeerResponse.json(code, ["status": .integer(code)])
        if code == 429 || code == 503 { response.headers.append((name: "retry-after", value: "1")) }
        return response
    }

    /// What arrived, except credentials: a caller must not learn from the API what the vault injected.
    private func echo(_ request: PeerRequest, account: String) -> JSON {
        let credentials = apiKeys.union([request.bearerToken].compactMap { $0 })
        func masked(_ text: String) -> String {
            credentials.reduce(text) { $0.replacingOccurrences(of: $1, with: "received") }
        }
        var headers = JSONObject()
        for header in request.headers {
            let value = header.name == "authorization" ? "received" : masked(header.value)
            headers[header.name] = .string(headers[header.name]?.string.map { $0 + ", " + value } ?? value)
        }
        let text = String(validating: request.body, as: UTF8.self)
        return [
            "method": .string(request.method), "path": .string(masked(request.path)),
            "query": .string(masked(request.query)), "headers": .object(headers),
            "body": .optional(text.map(masked)),
            "body_base64url": .optional(text == nil ? Base64URL.encode(request.body) : nil),
            "account": .string(account),
        ]
    }

    func recordRevocation(of token: String) { revokedTokens.append(token) }
    func recordRefresh() { refreshCount += 1 }
}
