import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Using a credential on the caller's behalf (`POST /sdk/proxy`): the provider's answer comes back, the credential does
// not. The call is noted before it is made, and its one record is durable before the answer leaves.

package struct ProxyRequest: Sendable {
    package var release: ReleaseRequest
    package var headers: [(name: String, value: String)]
    package var query: [(name: String, value: String)]
    package var body: JSON?

    package init(
        release: ReleaseRequest, headers: [(name: String, value: String)], query: [(name: String, value: String)],
        body: JSON?
    ) {
        self.release = release
        self.headers = headers
        self.query = query
        self.body = body
    }
}

package struct ProxyAnswer: Sendable {
    package let status: Int
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]
    package let isTruncated: Bool
    package let durationMilliseconds: Int64
    package let credentialHint: String?
    /// To be held until the answer is handed out.
    package let underWay: UsesUnderWay.Mark
}

extension Vault {
    /// Headers that a caller may not set: they carry credentials, name hosts or smuggle methods (wire contract §4.4).
    private static let refusedHeaders: Set<String> = [
        "host", "authorization", "proxy-authorization", "authentication", "cookie", "set-cookie", "x-api-key",
        "x-auth-token",
        "x-amz-security-token", "x-amz-date", "x-amz-content-sha256", "x-goog-authorization",
        "x-goog-iam-authorization-token",
        "x-stripe-account", "x-shopify-access-token", "x-http-method", "x-http-method-override", "x-method-override",
        "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive",
        "proxy-connection", "expect",
    ]

    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

    /// Headers of an answer that concern one connection or the provider's own session.
    private static let droppedAnswerHeaders: Set<String> = [
        "set-cookie", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authenticate",
        "content-length",
    ]

    package func proxy(_ caller: AppCaller, _ request: ProxyRequest) async throws -> ProxyAnswer {
        let entry = useEntry(caller, Self.proxiedEvent, request.release)
        return try await recordingRefusal(caller, entry) { entry in
            try Self.check(request)
            var release = request.release
            release.query = request.query
            let started = self.now()
            let (use, released) = try await self.release(caller, release, mode: .proxy, entry: &entry) {
                transaction, entry in
                try transaction.insertOpenUse(entry.id, entry: entry.json, now: started)
            }
            var finished = entry
            finished.decision = .allow
            finished.details["token_generation"] = .string(released.tokenGeneration)
            return try await self.call(request, use: use, released: released, entry: finished, started: started)
        }
    }

    private static func check(_ request: ProxyRequest) throws {
        var problems: [FieldProblem] = []
        if !methods.contains(request.release.method) {
            problems.append(
                FieldProblem(field: "method", problem: "must be one of " + methods.sorted().joined(separator: ", ")))
        }
        for (name, value) in request.headers {
            let folded = folded(name)
            if !HeaderField.isToken(name) || name.utf8.count > 256 || refusedHeaders.contains(folded)
                || folded.hasPrefix("x-alter-")
                || folded.hasPrefix("x-forwarded-")
            {
                problems.append(
                    FieldProblem(field: "headers.\(name.prefix(64))", problem: "may not be set by the caller"))
            } else if !HeaderField.isValue(value) {
                problems.append(
                    FieldProblem(field: "headers.\(name.prefix(64))", problem: "must not contain control characters"))
            }
        }
        if !problems.isEmpty { throw VaultError.validation(problems) }
    }

    /// Makes the call that is on note. Whatever happens from here on, its one record comes from the note and from nowhere
    /// else: at the end of the call, or when it turns out to have been cut off.
    private func call(
        _ request: ProxyRequest, use: Use, released: ReleasedCredential, entry: AuditEntry, started: Instant
    ) async throws -> ProxyAnswer {
        var entry = entry
        do {
            let response: OutgoingResponse
            do {
                response = try await send(try outgoing(request, use: use, released: released))
            } catch let failure as OutgoingFailure {
                entry.latencyMilliseconds = now().milliseconds - started.milliseconds
                entry.details["failure"] = .string(failure.reason)
                let error = Self.error(for: failure)
                if !failure.mayHaveBeenReceived, error.code != .providerUnreachable { Self.deny(&entry, error) }
                _ = try await finish(use, entry: entry, isUnauthorized: false).get()
                throw error
            } catch let error as VaultError {
                Self.deny(&entry, error)
                _ = try await finish(use, entry: entry, isUnauthorized: false).get()
                throw error
            }
            entry.status = response.status
            entry.latencyMilliseconds = now().milliseconds - started.milliseconds
            let underWay = try await finish(use, entry: entry, isUnauthorized: response.status == 401).get()
            return answer(
                response, released: released, durationMilliseconds: entry.latencyMilliseconds ?? 0, underWay: underWay)
        } catch {
            throw RecordedRefusal(error: error)
        }
    }

    private static func deny(_ entry: inout AuditEntry, _ error: VaultError) {
        entry.decision = .deny
        entry.details["error"] = .string(error.code.rawValue)
    }

    private static func error(for failure: OutgoingFailure) -> VaultError {
        switch failure {
        case .addressRefused:
            VaultError(.blockedDestination, "The address may not be called from here: \(failure.reason).")
        case .malformed: .validation("headers", failure.reason)
        default: VaultError(.providerUnreachable, "The provider could not be called: \(failure.reason).")
        }
    }

    /// Replaces the note of the call under way by its audit record. A failure is why the caller may not have the provider's
    /// answer: key, user or grant ended meanwhile, and that was acknowledged to somebody.
    private func finish(_ use: Use, entry: AuditEntry, isUnauthorized: Bool) async throws
        -> Result<UsesUnderWay.Mark, VaultError>
    {
        let auditKey = auditKey
        let time = now()
        return try await write(in: .app(use.appID), recalls: true) { transaction in
            guard try transaction.deleteOpenUse(entry.id) else {
                return .failure(VaultError(.serviceUnavailable, "The call took too long to be accounted for."))
            }
            // The record stays, whatever the answer is.
            try transaction.appendAudit(entry, key: auditKey)
            if let ended = try self.keyRefusal(use.caller, isUnchanged: false, in: transaction, now: time) {
                return .failure(ended)
            }
            let facts: ReleaseFacts
            do { facts = try self.releaseFacts(use, in: transaction) } catch let error as VaultError {
                return .failure(error)
            }
            if let ended = ReleaseDecision.standingRefusal(facts) { return .failure(ended) }
            if isUnauthorized, let credential = facts.credential {
                try self.noteUnauthorized(
                    credential, grant: facts.grant, tokenGeneration: entry.details["token_generation"]?.string,
                    at: time,
                    in: transaction)
            }
            return .success(usesUnderWay.begin())
        }
    }

    /// One name to every server behind a gateway: case does not count, and an underscore is a hyphen to many (row 75).
    private static func folded(_ name: String) -> String { name.lowercased().replacing("_", with: "-") }

    private func outgoing(_ request: ProxyRequest, use: Use, released: ReleasedCredential) throws -> OutgoingRequest {
        let token = released.token.revealed()  // plaintext leaves here
        let injection = released.injection
        var query: [(String, String)] = []
        var injected = [(name: injection.header, value: injection.headerValue(token: token))]
        for item in injection.additional {
            switch item.target {
            case .header: injected.append((name: item.key, value: token))
            case .queryParameter: query.append((item.key, token))
            }
        }
        let names = Set(injected.map { Self.folded($0.name) })
        var headers = request.headers.filter { !names.contains(Self.folded($0.name)) } + injected
        let address: WebAddress
        do {
            address = try use.address.removingQuery(Set(query.map(\.0))).appendingQuery(query)
        } catch {
            throw Self.queryTooLong
        }
        var body: [UInt8]?
        if let json = request.body {
            let hasType = headers.contains { $0.name.lowercased() == "content-type" }
            if hasType, let text = json.string { body = Array(text.utf8) } else { body = json.bytes }
            if !hasType { headers.append((name: "Content-Type", value: "application/json")) }
        }
        return OutgoingRequest(
            method: use.request.method, address: address, headers: headers, body: body,
            timeoutSeconds: Limits.proxySecondsMax,
            responseBytesMax: Limits.proxyResponseBytesMax, whenTooLarge: .truncate)
    }

    private func answer(
        _ response: OutgoingResponse, released: ReleasedCredential, durationMilliseconds: Int64,
        underWay: UsesUnderWay.Mark
    ) -> ProxyAnswer {
        let redaction = Redaction(of: released.token, injection: released.injection)
        var merged: [(name: String, value: String)] = []
        for (name, value) in response.headers.prefix(Limits.proxyAnswerHeadersMax) {
            let lower = name.lowercased()
            guard !Self.droppedAnswerHeaders.contains(lower) else { continue }
            let shown = String(decoding: redaction.applied(to: Array(value.utf8)), as: UTF8.self)
            if let index = merged.firstIndex(where: { $0.name == lower }) {
                merged[index].value += ", " + shown
            } else {
                merged.append((name: lower, value: shown))
            }
        }
        let hint: String? =
            switch response.status {
            case 401: "The provider refused the credential; it is renewed or the user is asked to connect again."
            case 403: "The provider accepted the credential but not this call; its scopes may not suffice."
            default: nil
            }
        return ProxyAnswer(
            status: response.status, headers: merged,
            body: redaction.applied(to: response.body, isCut: response.isTruncated),
            isTruncated: response.isTruncated, durationMilliseconds: durationMilliseconds, credentialHint: hint,
            underWay: underWay)
    }

    /// Calls that a crash or a stop cut off: their outcome is unknown, and the record says so.
    func closeInterruptedUses(startedBefore limit: Instant) async throws {
        let auditKey = auditKey
        let time = now()
        try await write { transaction in
            for (id, stored) in try transaction.openUses(startedBefore: limit) {
                var details = stored["details"]?.object ?? [:]
                details["interrupted"] = true
                details["principal"] = stored["principal"]
                var entry = AuditEntry(
                    event: stored["event"]?.string ?? Self.proxiedEvent, decision: .allow, principal: .system,
                    occurredAt: time, requestID: stored["request_id"]?.string, trace: TraceContext(recorded: stored),
                    appID: stored["app_id"]?.string.flatMap(AppID.init),
                    userID: stored["user_id"]?.string.flatMap(UserID.init),
                    grantID: stored["grant_id"]?.string.flatMap(GrantID.init),
                    providerID: stored["provider_id"]?.string, method: stored["method"]?.string,
                    url: stored["url"]?.string, reason: stored["reason"]?.string, details: details)
                entry.id = id
                guard try transaction.deleteOpenUse(id) else { continue }
                try transaction.appendAudit(entry, key: auditKey)
            }
        }
    }
}

/// Takes a credential out of an answer: a provider that echoes it must not hand it to the caller that may not have it.
struct Redaction {
    private let needles: [[UInt8]]

    /// In every form in which the credential went out: as it is, encoded for a query, and the pair inside a Basic one.
    init(of token: Secret, injection: CredentialInjection) {
        var forms = [token.withBytes { $0 }]
        forms.append(FormEncoding.component(forms[0]))
        if injection.format.hasPrefix("Basic "), let pair = Data(base64Encoded: Data(forms[0])) {
            forms.append(Array(pair))
        }
        // Shorter ones would also hit innocent text. The longest goes first: another may be a part of it.
        needles = Set(forms).filter { $0.count >= 8 }.sorted { $0.count > $1.count }
    }

    /// - Parameter isCut: the bytes end where the limit was, perhaps inside the credential.
    func applied(to bytes: [UInt8], isCut: Bool = false) -> [UInt8] {
        needles.reduce(bytes) { Self.removing($1, from: $0, isCut: isCut) }
    }

    /// Knuth, Morris and Pratt's search: linear in the bytes whatever they are, because the provider chooses both. What is
    /// matched where the bytes end is the beginning of a needle that was cut.
    private static func removing(_ needle: [UInt8], from bytes: [UInt8], isCut: Bool) -> [UInt8] {
        var fallback = [0]
        for index in 1..<needle.count {
            var length = fallback[index - 1]
            while length > 0, needle[index] != needle[length] { length = fallback[length - 1] }
            fallback.append(needle[index] == needle[length] ? length + 1 : 0)
        }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var matched = 0
        for byte in bytes {
            while matched > 0, byte != needle[matched] { matched = fallback[matched - 1] }
            if byte == needle[matched] { matched += 1 }
            output.append(byte)
            guard matched == needle.count else { continue }
            output.removeLast(needle.count)
            output += "[redacted]".utf8
            matched = 0
        }
        if isCut { output.removeLast(matched) }
        return output
    }
}
