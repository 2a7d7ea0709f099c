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
        let entry = useEntry(caller, "credential.proxied", request.release)
        return try await recordingRefusal(entry) { entry in
            try Self.check(request)
            let use = try await self.prepareUse(caller, request.release, mode: .proxy, entry: &entry)
            let started = self.now()
            let released = try await self.commitUse(use, entry: entry) { transaction, entry in
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
            // An underscore is a hyphen to many servers behind a gateway: `X_Api_Key` must not slip past the list.
            let folded = name.lowercased().replacing("_", with: "-")
            if !isToken(name) || refusedHeaders.contains(folded) || folded.hasPrefix("x-alter-")
                || folded.hasPrefix("x-forwarded-")
            {
                problems.append(
                    FieldProblem(field: "headers.\(name.prefix(64))", problem: "may not be set by the caller"))
            } else if value.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) {
                problems.append(
                    FieldProblem(field: "headers.\(name.prefix(64))", problem: "must not contain control characters"))
            }
        }
        if !problems.isEmpty { throw VaultError.validation(problems) }
    }

    /// RFC 9110 §5.6.2.
    private static func isToken(_ name: String) -> Bool {
        let symbols = Set("!#$%&'*+-.^_`|~".utf8)
        return !name.isEmpty && name.utf8.count <= 256
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                    || symbols.contains($0)
            }
    }

    private func call(
        _ request: ProxyRequest, use: PreparedUse, released: ReleasedCredential, entry: AuditEntry, started: Instant
    ) async throws -> ProxyAnswer {
        var entry = entry
        do {
            let outgoing = try outgoing(request, use: use, released: released)
            let response = try await send(outgoing)
            entry.status = response.status
            entry.latencyMilliseconds = now().milliseconds - started.milliseconds
            try await finishUse(entry)
            return answer(response, token: released.token, durationMilliseconds: entry.latencyMilliseconds ?? 0)
        } catch let failure as OutgoingFailure {
            entry.latencyMilliseconds = now().milliseconds - started.milliseconds
            entry.details["failure"] = .string(failure.reason)
            try await finishUse(entry)
            throw RecordedRefusal(error: Self.error(for: failure))
        } catch let error as VaultError where error.code == .queryTooLong {
            entry.decision = .deny
            entry.details["error"] = .string(error.code.rawValue)
            try await finishUse(entry)
            throw RecordedRefusal(error: error)
        }
    }

    private static func error(for failure: OutgoingFailure) -> VaultError {
        switch failure {
        case .addressRefused:
            VaultError(.blockedDestination, "The address may not be called from here: \(failure.reason).")
        case .malformed: .validation("headers", failure.reason)
        default: VaultError(.providerUnreachable, "The provider could not be called: \(failure.reason).")
        }
    }

    /// Replaces the note of the call under way by its audit record.
    private func finishUse(_ entry: AuditEntry) async throws {
        let auditKey = auditKey
        try await write { transaction in
            _ = try transaction.deleteOpenUse(entry.id)
            try transaction.appendAudit(entry, key: auditKey)
        }
    }

    private func outgoing(_ request: ProxyRequest, use: PreparedUse, released: ReleasedCredential) throws
        -> OutgoingRequest
    {
        let token = released.token.revealed()  // plaintext leaves here
        var query = request.query
        let injection = released.injection
        var headers = request.headers.filter { $0.name.lowercased() != injection.header.lowercased() }
        headers.append((name: injection.header, value: injection.headerValue(token: token)))
        for item in injection.additional {
            switch item.target {
            case .header:
                headers.removeAll { $0.name.lowercased() == item.key.lowercased() }
                headers.append((name: item.key, value: token))
            case .queryParameter: query.append((name: item.key, value: token))
            }
        }
        var address = use.address
        if !query.isEmpty {
            do { address = try address.appendingQuery(query.map { ($0.name, $0.value) }) } catch {
                throw VaultError(
                    .queryTooLong, "The final address is longer than \(Limits.proxyURLCharactersMax) characters.")
            }
        }
        var body: [UInt8]?
        if let json = request.body {
            let hasType = headers.contains { $0.name.lowercased() == "content-type" }
            if hasType, let text = json.string { body = Array(text.utf8) } else { body = json.bytes }
            if !hasType { headers.append((name: "Content-Type", value: "application/json")) }
        }
        return OutgoingRequest(
            method: use.method, address: address, headers: headers, body: body, timeoutSeconds: Limits.proxySecondsMax,
            responseBytesMax: Limits.proxyResponseBytesMax, whenTooLarge: .truncate)
    }

    private func answer(_ response: OutgoingResponse, token: Secret, durationMilliseconds: Int64) -> ProxyAnswer {
        let needle = token.withBytes { $0 }
        var merged: [(name: String, value: String)] = []
        for (name, value) in response.headers {
            let lower = name.lowercased()
            guard !Self.droppedAnswerHeaders.contains(lower) else { continue }
            let shown = String(decoding: Self.redacting(needle, in: Array(value.utf8)), as: UTF8.self)
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
            status: response.status, headers: merged, body: Self.redacting(needle, in: response.body),
            isTruncated: response.isTruncated, durationMilliseconds: durationMilliseconds, credentialHint: hint)
    }

    /// A provider that echoes the credential must not hand it to the caller that may not have it.
    static func redacting(_ needle: [UInt8], in bytes: [UInt8]) -> [UInt8] {
        // Shorter values would also hit innocent text.
        guard needle.count >= 8, bytes.count >= needle.count else { return bytes }
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == needle[0], index + needle.count <= bytes.count,
                bytes[index..<index + needle.count].elementsEqual(needle)
            {
                output.append(contentsOf: "[redacted]".utf8)
                index += needle.count
            } else {
                output.append(bytes[index])
                index += 1
            }
        }
        return output
    }

    /// Calls that a crash cut off: their outcome is unknown, and the record says so.
    func closeInterruptedUses() async throws {
        let auditKey = auditKey
        let time = now()
        try await write { transaction in
            for (id, stored) in try transaction.openUses() {
                var details = stored["details"]?.object ?? [:]
                details["interrupted"] = true
                var entry = AuditEntry(
                    event: stored["event"]?.string ?? "credential.proxied", decision: .allow, principal: .system,
                    occurredAt: time, requestID: stored["request_id"]?.string,
                    appID: stored["app_id"]?.string.flatMap(AppID.init),
                    userID: stored["user_id"]?.string.flatMap(UserID.init),
                    grantID: stored["grant_id"]?.string.flatMap(GrantID.init),
                    providerID: stored["provider_id"]?.string, method: stored["method"]?.string,
                    url: stored["url"]?.string,
                    reason: stored["reason"]?.string)
                details["principal"] = stored["principal"]
                entry.details = details
                try transaction.appendAudit(entry, key: auditKey)
                _ = try transaction.deleteOpenUse(id)
            }
        }
    }
}
