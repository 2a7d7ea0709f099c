// An OpenID Connect provider on this machine, for the demo and the tests: real discovery, key set, sign-in, tokens and
// sign-out over HTTP, and a directory whose people a test can change. It owns its people, keys and tokens; it does not
// know the vault and sends nothing by itself (the caller delivers the webhook bodies it makes). `sallyport demo` and the
// server tests start it.

import Foundation
import VaultAPI
import VaultCrypto

/// Somebody who can sign in at the development identity provider.
package struct DevelopmentPerson: Sendable {
    package let subject: String
    package var email: String
    package var name: String
    package var groups: [String]
    package var roles: [String]

    package init(subject: String, email: String, name: String, groups: [String] = [], roles: [String] = []) {
        self.subject = subject
        self.email = email
        self.name = name
        self.groups = groups
        self.roles = roles
    }
}

package actor DevelopmentIdentityProvider: LoopbackPeer {
    package struct Configuration: Sendable {
        package var people: [DevelopmentPerson] = [
            DevelopmentPerson(
                subject: "auth0|ada", email: "ada@example.test", name: "Ada Byron", groups: ["engineering"],
                roles: ["admin"]),
            DevelopmentPerson(
                subject: "auth0|grace", email: "grace@example.test", name: "Grace Murray", groups: ["operations"],
                roles: ["member"]),
        ]
        package var client = DevelopmentClient()
        /// The first signs the ID tokens. An RSA key takes a moment to make.
        package var algorithms: [SigningKey.Algorithm] = [.es256, .rs256]
        /// Of the access token; an `audience` parameter of the authorization request goes before it.
        package var audience = "https://api.example.test"
        package var tokenLifetimeSeconds: Int64 = 3600
        package var requiresPKCE = true
        package var now: @Sendable () -> Instant = DevelopmentIdentityProvider.currentInstant

        package init() {}
    }

    /// `http://127.0.0.1:<port>`, the issuer.
    package nonisolated let baseURL: String
    package nonisolated let client: DevelopmentClient

    private let configuration: Configuration
    private var people: [DevelopmentPerson]
    private var deletedSubjects: Set<String> = []
    private var keys: [SigningKey]
    private var publishedKeys: [JSON]
    private var codes = AuthorizationCodes()
    private var accessTokens: [String: (subject: String, expiresAt: Instant)] = [:]
    private var failures = PlannedFailures()
    private var requestCounts: [String: Int] = [:]

    init(baseURL: String, _ configuration: Configuration) throws {
        self.baseURL = baseURL
        self.configuration = configuration
        client = configuration.client
        people = configuration.people
        keys = try Self.freshKeys(configuration)
        publishedKeys = keys.map(\.publicJWK)
    }

    /// Runs a provider for as long as `body` does; it accepts connections before `body` begins.
    package static func run<Outcome>(
        _ configuration: Configuration = Configuration(), port: Int = 0,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (DevelopmentIdentityProvider) async throws -> Outcome
    ) async throws -> Outcome {
        try await LoopbackServer.run(
            port: port, isolation: isolation,
            makePeer: { try DevelopmentIdentityProvider(baseURL: $0, configuration) }, body)
    }

    package static func currentInstant() -> Instant {
        Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    private static func freshKeys(_ configuration: Configuration) throws -> [SigningKey] {
        try configuration.algorithms.map { algorithm in
            try SigningKey.generate(algorithm, keyID: "dev-" + Hex.encode(RandomBytes.make(6)))
        }
    }

    private var now: Instant { configuration.now() }

    // MARK: - For the caller

    package func issueToken(
        for subject: String, audience: String, lifetimeSeconds: Int64 = 3600, issuedAt: Instant? = nil,
        algorithm: SigningKey.Algorithm? = nil, type: String = "JWT", evenIfDeleted: Bool = false,
        adding claims: JSONObject = [:]
    ) throws -> String {
        guard let person = people.first(where: { $0.subject == subject }),
            evenIfDeleted || !deletedSubjects.contains(subject)
        else { throw DevelopmentPeerError(description: "The identity provider has no such person.") }
        let issuedAt = issuedAt ?? now
        var all = identityClaims(of: person)
        all["iss"] = .string(baseURL)
        all["aud"] = .string(audience)
        all["iat"] = .integer(issuedAt.seconds)
        all["exp"] = .integer(issuedAt.seconds + lifetimeSeconds)
        for claim in claims.members { all[claim.name] = claim.value }
        return try signedToken(claims: all, algorithm: algorithm, type: type)
    }

    /// Exactly these claims, under one of the published keys.
    package func signedToken(
        claims: JSONObject, algorithm: SigningKey.Algorithm? = nil, type: String = "JWT"
    ) throws -> String {
        let wanted = algorithm ?? configuration.algorithms.first
        guard let key = keys.last(where: { $0.algorithm == wanted }) else {
            throw DevelopmentPeerError(description: "The identity provider has no key of that algorithm.")
        }
        return try key.sign(claims: .object(claims), type: type)
    }

    /// The person is gone at the provider. Answers the body that an Auth0 log stream would deliver for it.
    package func deleteUser(_ subject: String) -> JSON {
        deletedSubjects.insert(subject)
        accessTokens = accessTokens.filter { $0.value.subject != subject }
        return logStreamBody("sdu", for: subject, description: "Successful user deletion")
    }

    /// One event in the shape of an Auth0 log stream. Changes nothing here.
    package func logStreamBody(_ type: String, for subject: String, description: String = "") -> JSON {
        let instant = now
        let logID = "900" + String(instant.milliseconds) + Hex.encode(RandomBytes.make(10))
        return [
            [
                "log_id": .string(logID),
                "data": [
                    "date": .string(instant.rfc3339), "type": .string(type), "description": .string(description),
                    "user_id": .string(subject), "log_id": .string(logID),
                ],
            ]
        ]
    }

    /// Adds the person, or changes the one with this subject; a deleted one is back.
    package func save(_ person: DevelopmentPerson) {
        people.removeAll { $0.subject == person.subject }
        people.append(person)
        deletedSubjects.remove(person.subject)
    }

    /// A new key of every algorithm signs from now on; the old ones stay published or not.
    package func rotateKeys(keepingOld: Bool = true) throws {
        keys = (keepingOld ? keys : []) + (try Self.freshKeys(configuration))
        publishedKeys = keys.map(\.publicJWK)
    }

    package func fail(next count: Int, on path: String, with failure: PlannedFailure = PlannedFailure()) {
        failures.plan(next: count, on: path, failure)
    }

    package func requestCount(on path: String) -> Int { requestCounts[path] ?? 0 }

    // MARK: - Over HTTP

    func answer(_ request: PeerRequest) async -> PeerResponse {
        requestCounts[request.path, default: 0] += 1
        guard let failure = failures.take(request.path) else { return route(request) }
        if failure.happensAfterProcessing { _ = route(request) }
        return failure.response
    }

    private func route(_ request: PeerRequest) -> PeerResponse {
        switch (request.method, request.path) {
        case ("GET", "/.well-known/openid-configuration"): return .json(200, discovery)
        case ("GET", "/jwks"): return .json(200, ["keys": .array(publishedKeys)])
        case ("GET", "/authorize"): return authorize(request.queryFields, choice: nil)
        case ("POST", "/authorize"): return authorize(request.bodyFields, choice: request.bodyFields?["choice"])
        case ("POST", "/token"): return token(request)
        case ("GET", "/userinfo"), ("POST", "/userinfo"): return userinfo(request)
        case ("GET", "/end_session"): return endSession(request.queryFields)
        case ("POST", "/end_session"): return endSession(request.bodyFields)
        case (_, "/.well-known/openid-configuration"), (_, "/jwks"), (_, "/authorize"), (_, "/token"),
            (_, "/userinfo"), (_, "/end_session"):
            return .methodNotAllowed
        default: return .notFound
        }
    }

    /// OpenID Connect Discovery 1.0 §3.
    private var discovery: JSON {
        [
            "issuer": .string(baseURL),
            "authorization_endpoint": .string(baseURL + "/authorize"),
            "token_endpoint": .string(baseURL + "/token"),
            "userinfo_endpoint": .string(baseURL + "/userinfo"),
            "jwks_uri": .string(baseURL + "/jwks"),
            "end_session_endpoint": .string(baseURL + "/end_session"),
            "scopes_supported": ["openid", "profile", "email"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": .strings(configuration.algorithms.map(\.rawValue)),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "claims_supported": ["sub", "email", "email_verified", "name", "groups", "roles"],
        ]
    }

    private func authorize(_ fields: FormFields?, choice: String?) -> PeerResponse {
        // The page sends the request's own fields along with the choice.
        let request: AuthorizationRequest
        switch AuthorizationRequest.read(
            fields, client: client, requiresPKCE: configuration.requiresPKCE, issuer: baseURL)
        {
        case .refused(let response): return response
        case .valid(let valid): request = valid
        }
        if fields?["decision"] == "deny" { return request.failure("access_denied", issuer: baseURL) }
        if let subject = choice ?? fields?["login_hint"] {
            guard let person = person(subject) else { return request.failure("access_denied", issuer: baseURL) }
            return request.success(code: codes.issue(for: person.subject, request, at: now), issuer: baseURL)
        }
        let present = people.filter { !deletedSubjects.contains($0.subject) }
        return .page(
            200,
            .chooser(
                title: "Sign in", lead: "Choose who you are.",
                choices: present.map { ($0.subject, $0.name, $0.email) }, hidden: request.fields))
    }

    private func token(_ request: PeerRequest) -> PeerResponse {
        guard let fields = request.bodyFields, !fields.hasRepeatedName else {
            return .oauthError(400, "invalid_request", "The body must be a form without repeated names.")
        }
        guard client.isAuthenticated(by: request, fields) else {
            return .oauthError(401, "invalid_client", "The client's credentials are wrong.")
        }
        guard fields["grant_type"] == "authorization_code" else {
            return .oauthError(400, "unsupported_grant_type", "Only authorization codes are traded here.")
        }
        switch codes.redeem(fields, at: now) {
        case .refused(let reason): return .oauthError(400, "invalid_grant", reason)
        case .usedBefore: return .oauthError(400, "invalid_grant", "The code was used before.")
        case .approved(let approval): return tokens(for: approval)
        }
    }

    private func tokens(for approval: AuthorizationCodes.Approval) -> PeerResponse {
        let audience = approval.request.fields["audience"] ?? configuration.audience
        var claims: JSONObject = ["auth_time": .integer(approval.approvedAt.seconds)]
        if let nonce = approval.request.nonce { claims["nonce"] = .string(nonce) }
        let lifetime = configuration.tokenLifetimeSeconds
        do {
            let idToken = try issueToken(
                for: approval.subject, audience: client.id, lifetimeSeconds: lifetime, adding: claims)
            let accessToken = try issueToken(
                for: approval.subject, audience: audience, lifetimeSeconds: lifetime, type: "at+jwt",
                adding: ["jti": .string(RandomBytes.token()), "client_id": .string(client.id)])
            accessTokens[accessToken] = (approval.subject, now.adding(seconds: lifetime))
            return .json(
                200,
                [
                    "access_token": .string(accessToken), "token_type": "Bearer", "expires_in": .integer(lifetime),
                    "scope": .string(approval.request.scope), "id_token": .string(idToken),
                ])
        } catch {
            return .oauthError(400, "invalid_grant", "The person is gone.")
        }
    }

    private func userinfo(_ request: PeerRequest) -> PeerResponse {
        guard let token = request.bearerToken, let known = accessTokens[token], now < known.expiresAt,
            let person = person(known.subject)
        else { return .invalidToken }
        return .json(200, .object(identityClaims(of: person)))
    }

    /// OpenID Connect RP-Initiated Logout 1.0. There is no session to end: every sign-in asks anew.
    private func endSession(_ fields: FormFields?) -> PeerResponse {
        guard let address = fields?["post_logout_redirect_uri"] else {
            return .page(200, .message("Signed out", "You are signed out of the development identity provider."))
        }
        guard client.allowsRedirect(to: address) else {
            return .page(400, .message("Unknown address", "The app did not register this address."))
        }
        return .redirect(to: address, adding: fields?["state"].map { [(name: "state", value: $0)] } ?? [])
    }

    private func person(_ subject: String) -> DevelopmentPerson? {
        deletedSubjects.contains(subject) ? nil : people.first { $0.subject == subject }
    }

    private func identityClaims(of person: DevelopmentPerson) -> JSONObject {
        [
            "sub": .string(person.subject), "email": .string(person.email), "email_verified": true,
            "name": .string(person.name), "groups": .strings(person.groups), "roles": .strings(person.roles),
        ]
    }
}
