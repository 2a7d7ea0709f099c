import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Signed SDK requests (wire contract §2.6), in the order of behaviour contract “Order of checks”: signature, key,
// agent, CIDR, key rate. Nothing of the body is read before its hash is verified.

/// A request as it came off the wire.
package struct SignedRequest: Sendable {
    package let method: String
    /// Path and query exactly as received.
    package let target: String
    /// Every header field, names in lower case, values trimmed, repeated fields as repeated elements.
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package init(method: String, target: String, headers: [(name: String, value: String)], body: [UInt8]) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
    }
}

private struct SignatureHeaders {
    let timestamp: String
    let nonce: String
    let contentHash: String
    let signature: [UInt8]
    let signatureV2: String?
    let caller: String?
    let callerType: String?
    let actorID: String?
    let context: String?
    let scopeConstraints: String?
    let requestRule: String?

    var hasIdentity: Bool { caller != nil || callerType != nil || actorID != nil || context != nil }

    private static let invalid = VaultError(.invalidSignature, "The request's signature is missing or does not hold.")

    /// The key alone: it is looked up before anything else is judged.
    static func apiKey(_ request: SignedRequest) throws -> Secret {
        let keys = request.headers.filter { $0.name == "x-api-key" }
        guard keys.count == 1, APIKeyGrammar.isWellFormed(keys[0].value) else {
            throw VaultError(.invalidKey, "The API key is missing or unknown.")
        }
        return Secret(keys[0].value)
    }

    init(_ request: SignedRequest) throws {
        let fields = request.headers.filter { $0.name.hasPrefix("x-alter-") }
        func single(_ name: String) throws -> String? {
            guard let index = fields.firstIndex(where: { $0.name == name }) else { return nil }
            guard !fields[(index + 1)...].contains(where: { $0.name == name }) else { throw Self.invalid }
            return fields[index].value
        }
        guard let timestamp = try single("x-alter-timestamp"), (1...12).contains(timestamp.utf8.count),
            timestamp.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let nonce = try single("x-alter-nonce"),
            Hex.decode(nonce)?.count == 16, let contentHash = try single("x-alter-content-sha256"),
            Hex.decode(contentHash)?.count == 32,
            let signature = try single("x-alter-signature").flatMap({ Hex.decode($0) }), signature.count == 32
        else { throw Self.invalid }
        self.timestamp = timestamp
        self.nonce = nonce
        self.contentHash = contentHash
        self.signature = signature
        signatureV2 = try single("x-alter-signature-v2")
        caller = try single("x-alter-caller")
        callerType = try single("x-alter-caller-type")
        actorID = try single("x-alter-actor-id")
        context = try single("x-alter-context")
        scopeConstraints = try single("x-alter-scope-constraints")
        requestRule = try single("x-alter-request-rule")
    }

    func verify(_ request: SignedRequest, apiKey: Secret) throws {
        guard ConstantTime.areEqual(Array(contentHash.utf8), Array(Hex.encode(Digest.sha256(request.body)).utf8)) else {
            throw Self.invalid
        }
        // Identity headers and the second signature come together or not at all: stripping or adding one breaks the MAC.
        guard hasIdentity == (signatureV2 != nil) else { throw Self.invalid }
        var text = RequestSignatureText(
            method: request.method, target: request.target, timestamp: timestamp, nonce: nonce, contentHash: contentHash
        )
        text.scopeConstraints = scopeConstraints ?? ""
        text.requestRule = requestRule ?? ""
        text.caller = caller ?? ""
        text.callerType = callerType ?? ""
        text.actorID = actorID ?? ""
        text.context = context ?? ""
        let expected = RequestMAC.signature(of: text.text, apiKey: apiKey)
        let isSignedV2 =
            signatureV2.map { ConstantTime.areEqual(Array($0.utf8), Array(Hex.encode(expected).utf8)) } ?? true
        guard ConstantTime.areEqual(signature, expected), isSignedV2 else { throw Self.invalid }
    }
}

extension Vault {
    /// Verifies the request and names its caller.
    ///
    /// - Parameter defersNonce: whether a request that gets past here may burn its nonce with its own commit; whoever answers
    ///   it calls `settle` before.
    package func authenticate(_ request: SignedRequest, origin: RequestOrigin, defersNonce: Bool) async throws
        -> AppCaller
    {
        let time = now()
        let records = store.recordView
        let apiKey = try SignatureHeaders.apiKey(request)
        let digest = digestKey.digest(apiKey.revealed())
        // Whatever the verb commits decides once more whether the key is good; a request that commits only its nonce does not.
        // Scopes, addresses and limit of a key are never changed.
        let look = { (transaction: Transaction) -> (APIKeyRecord, AppRecord)? in
            guard let key = try transaction.key(digest: digest), let app = try transaction.app(key.appID) else {
                return nil
            }
            return (key, app)
        }
        var found = defersNonce ? try recall(look) : try read(look)
        // What is remembered refuses nobody.
        if defersNonce, let (key, app) = found, Self.stateRefusal(key, app: app, at: time) != nil {
            found = try read(look)
        }
        guard let (key, app) = found else { throw VaultError(.invalidKey, "The API key is missing or unknown.") }
        let headers = try SignatureHeaders(request)
        try headers.verify(request, apiKey: apiKey)
        guard let seconds = Int64(headers.timestamp), abs(seconds - time.seconds) <= Limits.signatureWindowSeconds
        else {
            throw VaultError(.timestampOutOfRange, "The request's timestamp is too far from the server's clock.")
        }
        let nonce = RequestNonce(
            headers.nonce, keyID: key.id, expiresAt: time.adding(seconds: Limits.nonceLifeSeconds))
        let counted = defersNonce && key.rateLimitPerMinute == nil ? nil : try await admit(key, nonce: nonce, at: time)
        do {
            if let refusal = Self.stateRefusal(key, app: app, at: time) { throw refusal }
            try Self.checkAddress(key, origin: origin)
            if let counted, !counted.isCounted { throw Self.rateLimited(counted.state, at: time) }
            return try await caller(
                key, app: app, records: records, headers: headers, rateLimit: counted?.state, origin: origin,
                nonce: nonce)
        } catch {
            try await settle(nonce, appID: key.appID)
            throw error
        }
    }

    /// Burns the nonce, durably, and counts the request against the key's limit.
    private func admit(_ key: APIKeyRecord, nonce: RequestNonce, at time: Instant) async throws -> CountedUse? {
        let counted = try await burning(nonce, in: .app(key.appID)) { transaction in
            try key.rateLimitPerMinute.map { limit in
                try transaction.countUse(
                    RateCounter(source: key.id.text, subject: "requests", limit: limit, seconds: 60), now: time)
            }
        }
        return counted
    }

    /// Burns the caller's nonce unless its verb did. Throws for a request that was seen before: then nothing may be answered
    /// that it led to.
    package func settle(_ caller: AppCaller) async throws { try await settle(caller.nonce, appID: caller.appID) }

    private func settle(_ nonce: RequestNonce, appID: AppID) async throws {
        guard !nonce.isBurned else { return }
        try await burning(nonce, in: .app(appID)) { _ in }
    }

    /// A write that carries the nonce.
    func burning<Result: Sendable>(
        _ nonce: RequestNonce, in scope: WriteScope, recalls: Bool = false,
        _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        let result = try await write(in: scope, recalls: recalls) { transaction in
            try nonce.burn(in: transaction)
            return try body(transaction)
        }
        nonce.noteBurned()
        return result
    }

    /// Why the key is not good, if it is not.
    static func stateRefusal(_ key: APIKeyRecord, app: AppRecord, at time: Instant) -> VaultError? {
        if app.archivedAt != nil {
            return VaultError(.keyNotActive, "The key's app is archived.", hint: "Unarchive the app.")
        }
        if key.revokedAt != nil {
            return VaultError(.keyRevoked, "The key was revoked.", hint: "Use another key of the app.")
        }
        if let graceEndsAt = key.graceEndsAt, graceEndsAt <= time {
            return VaultError(
                .keyRotatedGraceExpired, "The key was rotated and its overlap is over.", hint: "Use its successor.")
        }
        if let expiresAt = key.expiresAt, expiresAt <= time {
            return VaultError(.keyExpired, "The key has expired.", hint: "Create or rotate a key.")
        }
        return nil
    }

    private static func checkAddress(_ key: APIKeyRecord, origin: RequestOrigin) throws {
        guard let allowlist = key.cidrAllowlist else { return }
        guard let peer = origin.peer, allowlist.contains(where: { IPRange($0)?.contains(peer) == true }) else {
            throw VaultError(.ipNotAllowed, "The key may not be used from this address.")
        }
    }

    private static func rateLimited(_ state: RateLimitState, at time: Instant) -> VaultError {
        let wait = max(1, Int((state.resetsAt.milliseconds - time.milliseconds + 999) / 1000))
        var error = VaultError(
            .rateLimitExceeded, "The key's limit of \(state.limit) requests a minute is used up.",
            members: [
                "retry_after": .integer(wait), "scope": "api_key", "limit": .integer(state.limit),
                "window_seconds": 60,
            ], retryAfterSeconds: wait)
        error.rateLimit = state
        return error
    }

    private func caller(
        _ key: APIKeyRecord, app: AppRecord, records: RecordMemory.View?, headers: SignatureHeaders,
        rateLimit: RateLimitState?, origin: RequestOrigin, nonce: RequestNonce
    ) async throws -> AppCaller {
        var scopes = key.grantedScopes
        if let constraints = headers.scopeConstraints, !constraints.isEmpty {
            let wanted = constraints.split(separator: ",").map { String($0).trimmingWhitespace() }
            guard let narrowed = scopes.narrowed(to: wanted) else {
                throw VaultError(.constraintNotNarrowing, "The scope constraints ask for more than the key has.")
            }
            scopes = narrowed
        }
        return AppCaller(
            key: key, app: app, records: records, scopes: scopes, actorID: try await actor(headers, key: key),
            callerLabel: headers.caller, context: try Self.context(headers.context),
            requestRule: try Self.requestRule(headers.requestRule), rateLimit: rateLimit, origin: origin, nonce: nonce)
    }

    /// A label gets an actor of the app; a UUID claims to be a managed agent, and this app has none.
    private func actor(_ headers: SignatureHeaders, key: APIKeyRecord) async throws -> ActorID? {
        let appID = key.appID
        guard let caller = headers.caller else {
            // Only an id that was given out here; any other names nobody.
            return try headers.actorID.flatMap(ActorID.init).flatMap { id in try read { try $0.actor(id, appID: appID) }
            }
        }
        guard let callerType = headers.callerType, ["agent", "service"].contains(callerType),
            (1...255).contains(caller.utf8.count)
        else { throw VaultError(.invalidRequest, "X-Alter-Caller and X-Alter-Caller-Type belong together.") }
        guard Identifier<ActorNoun>(caller.lowercased()) == nil else {
            guard key.keyType != .agent else {
                throw VaultError(.callerAgentMismatch, "The key belongs to another agent than the caller names.")
            }
            throw VaultError(.callerAgentUnresolved, "The calling agent is not an active agent of this app.")
        }
        // An actor stays what it is.
        if let known = try recall({ try $0.actor(appID: appID, caller: caller, callerType: callerType) }) {
            return known
        }
        let registered = now()
        return try await write(in: .app(appID)) {
            try $0.insertActor(appID: appID, caller: caller, callerType: callerType, now: registered)
        }
    }

    private static func context(_ header: String?) throws -> JSONObject? {
        guard let header, !header.isEmpty else { return nil }
        guard header.utf8.count <= 4096, let object = (try? JSON(parsing: header))?.object, object.members.count <= 20,
            object.members.allSatisfy({ $0.name.utf8.count <= 64 && ($0.value.string?.utf8.count ?? .max) <= 512 })
        else { throw VaultError(.invalidRequest, "X-Alter-Context must be a small JSON object of strings.") }
        return object
    }

    private static func requestRule(_ header: String?) throws -> RequestRule? {
        guard let header, !header.isEmpty else { return nil }
        guard header.utf8.count <= 4096, let bytes = Base64URL.decode(header), let json = try? JSON(parsing: bytes)
        else { throw VaultError(.invalidRequestRule, "X-Alter-Request-Rule is malformed.") }
        return try RequestRule(json)
    }
}
