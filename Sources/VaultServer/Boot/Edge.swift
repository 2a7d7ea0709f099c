import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Every request passes here: limits, the caller's address, the right table, the caller, the handler, the answer, the log
// line. Handlers below decode, call one verb and encode.

struct Edge: Sendable {
    let vault: Vault
    let settings: ServerSettings
    let logger: Logger
    let sdk: RouteTable<AppCaller>
    let management: RouteTable<OperatorCaller>
    let open: RouteTable<Visitor>
    let wallet: RouteTable<WalletCaller>
    let portal: RouteTable<PortalCaller>
    private let walletRoutes: WalletRoutes
    private let portalRoutes: PortalRoutes
    private let standardHeaders: [HTTPField]
    private let dateField = DateField()

    /// Serves every connection: one thread each, which also writes the answers.
    static let loops = MultiThreadedEventLoopGroup.singleton

    init(vault: Vault, settings: ServerSettings, logger: Logger) {
        self.vault = vault
        self.settings = settings
        self.logger = logger
        standardHeaders = Self.standardHeaders(isSecure: settings.isPublicURLSecure)
        sdk = RouteTable(SDKRoutes(vault: vault).routes)
        walletRoutes = WalletRoutes(vault: vault)
        wallet = RouteTable(walletRoutes.routes)
        portalRoutes = PortalRoutes(vault: vault)
        portal = RouteTable(portalRoutes.routes)
        management = RouteTable(ManagementRoutes(vault: vault).routes)
        open = RouteTable(
            HealthRoutes(vault: vault, showsMetrics: settings.metricsListen == nil).routes + walletRoutes.openRoutes
                + portalRoutes.openRoutes
                + ConnectRoutes(vault: vault).routes
                + SignInRoutes(vault: vault).routes
                + WebhookRoutes(vault: vault).routes
                + BrandingRoutes(vault: vault).routes
                + Asset.all.map(\.route)
                + [OpenAPIDocument.route(management)])
    }

    private enum Area { case sdk, management, wallet, portal, open }

    /// Returns when the answer is with the loop of the connection, which sends it before anything that it is told later.
    func serve(_ request: Request, writer: consuming ResponseWriter, channel: any Channel) async throws {
        let answer = await answer(request, channel: channel)
        let response = response(answer)
        do { try await writer.write(response: response.head, body: response.body) } catch is HTTPParserError {
            // As it is, it would be answered once more.
            throw AnswerBroken()
        }
        withExtendedLifetime(answer.use) {}
    }

    private struct AnswerBroken: Error {}

    private func answer(_ request: Request, channel: any Channel) async -> Answer {
        let started = ContinuousClock.now
        let requestID = RandomUUID.text(at: vault.currentTime)
        let origin = RequestOrigin(
            requestID: requestID, peer: peer(request, channel), trace: Self.trace(request))
        var route: String?
        var answer: Answer
        do {
            // Whether the process is up is to be told however long the database lets others wait.
            let executor = request.head.path == HealthRoutes.livePath ? nil : vault.executor
            answer = try await withTaskExecutorPreference(executor) {
                try await dispatch(request, origin: origin, route: &route)
            }
        } catch let unread as UnreadBody {
            answer = unread.error.answer
            // A connection whose body was not read to its end cannot carry another request.
            answer.headers.append((name: "Connection", value: "close"))
        } catch let error as VaultError {
            answer = error.answer
            report(error, requestID: requestID)
        } catch let error as StoreError {
            answer = storeAnswer(error, requestID: requestID)
        } catch {
            // The type only: a description may hold what the request held.
            logger.error("unexpected error", metadata: ["request_id": "\(requestID)", "error": "\(type(of: error))"])
            answer = VaultError(.internalError, "Something went wrong here. The request id is \(requestID).").answer
        }
        answer.headers.append((name: "X-Request-ID", value: requestID))
        let elapsed = (ContinuousClock.now - started) / .milliseconds(1)
        vault.metrics.countRequest(
            method: request.method.rawValue, route: route, status: answer.status, seconds: elapsed / 1000)
        // The template and not the path: paths of pages hold references that must not be guessable from a log.
        var line: Logger.Metadata = [
            "request_id": "\(requestID)", "method": "\(request.method.rawValue.prefix(16))",
            "route": "\(route ?? "none")",
            "status": "\(answer.status)", "ms": "\(Int(elapsed.rounded()))",
        ]
        if let code = answer.errorCode { line["error"] = "\(code.rawValue)" }
        if let trace = origin.trace { line["trace_id"] = "\(trace.traceID)" }
        logger.info("request", metadata: line)
        return answer
    }

    /// A store that is away; anything else that it says is a mistake of ours.
    private func storeAnswer(_ error: StoreError, requestID: String) -> Answer {
        let shown =
            Vault.unavailable(error) as? VaultError
            ?? VaultError(
                .internalError, "Something went wrong here. The request id is \(requestID).", cause: "store: \(error)")
        report(shown, requestID: requestID)
        return shown.answer
    }

    private func report(_ error: VaultError, requestID: String) {
        guard let cause = error.cause else { return }
        let level: Logger.Level = error.code.status >= 500 ? .error : .notice
        logger.log(
            level: level, "refused",
            metadata: ["request_id": "\(requestID)", "code": "\(error.code.rawValue)", "cause": "\(cause)"])
    }

    // MARK: Dispatch

    private func dispatch(_ request: Request, origin: RequestOrigin, route: inout String?) async throws -> Answer {
        let target = request.head.path ?? ""
        let mark = target.utf8.firstIndex(of: UInt8(ascii: "?"))
        let path = mark.map { String(target[..<$0]) } ?? target
        let query = mark.map { String(target[target.utf8.index(after: $0)...]) }
        guard path.hasPrefix("/") else { throw VaultError(.invalidRequest, "The request target must be a path.") }
        let method = request.method.rawValue
        let openMatch = open.match(method: method, path: path)
        var area = Self.area(of: path)
        if case .route = openMatch { area = .open }
        let limit = bodyLimit(area, path: path)
        func exchange(body: [UInt8], late: LateBody? = nil) -> Exchange {
            Exchange(
                method: method, path: path, rawQuery: query,
                headers: Self.headers(request), body: body, lateBody: late, origin: origin)
        }
        if case .route(let found, _) = openMatch, found.readsBodyLate {
            let late = LateBody { try await collectBody(request, limit: limit) }
            do {
                return try await handle(
                    openMatch, exchange(body: [], late: late), Visitor(origin: origin), route: &route)
            } catch let error as VaultError where late.isUnread {
                throw UnreadBody(error: error)
            }
        }
        let exchange = exchange(body: try await collectBody(request, limit: limit))
        switch area {
        case .open:
            return try await handle(openMatch, exchange, Visitor(origin: origin), route: &route)
        case .wallet:
            guard case .wrongMethod = openMatch else { return try await walletAnswer(exchange, route: &route) }
            return try await handle(openMatch, exchange, Visitor(origin: origin), route: &route)
        case .portal:
            guard case .wrongMethod = openMatch else { return try await portalAnswer(exchange, route: &route) }
            return try await handle(openMatch, exchange, Visitor(origin: origin), route: &route)
        case .management:
            // Until it is known who asks, where is not told apart.
            route = "/api/v1"
            let caller = try await operatorCaller(exchange)
            return try await handle(management.match(method: method, path: path), exchange, caller, route: &route)
        case .sdk:
            route = "/sdk"
            let signed = SignedRequest(method: method, target: target, headers: exchange.headers, body: exchange.body)
            let match = sdk.match(method: method, path: path)
            let caller = try await vault.authenticate(signed, origin: origin, defersNonce: match.commitsNonce)
            var answer: Answer
            do {
                answer = try await handle(match, exchange, caller, route: &route)
            } catch let error as VaultError {
                report(error, requestID: origin.requestID)
                answer = error.answer
            }
            do { try await vault.settle(caller) } catch let error as VaultError
                where error.code == .nonceReplayed && answer.errorCode == .serviceUnavailable
            {
                // Its own nonce, in a commit of which nobody knew that it went through: what the caller heard of it stands.
            }
            answer.headers += Self.callerHeaders(caller)
            return answer
        }
    }

    /// Whom an address is for, where no open route has it.
    private static func area(of path: String) -> Area {
        if path.hasPrefix("/sdk/") { return .sdk }
        if path.hasPrefix("/api/v1/") { return .management }
        if path.hasPrefix("/wallet/") { return .wallet }
        if path.hasPrefix("/portal/") { return .portal }
        return .open
    }

    private func walletAnswer(_ exchange: Exchange, route: inout String?) async throws -> Answer {
        let found: WalletCaller?
        do {
            found = try walletRoutes.session.value(of: exchange).flatMap {
                try vault.walletCaller(cookie: $0, origin: exchange.origin)
            }
        } catch let error as VaultError {
            return page(error, exchange)
        }
        guard let caller = found else { return .redirect(SitePath.walletSignIn.path) }
        do {
            if exchange.method != "GET" { try walletRoutes.requireForm(exchange) }
            return try await handle(
                wallet.match(method: exchange.method, path: exchange.path), exchange, caller, route: &route)
        } catch let error as VaultError {
            report(error, requestID: exchange.origin.requestID)
            return walletRoutes.refusal(error, caller, exchange)
        }
    }

    private func portalAnswer(_ exchange: Exchange, route: inout String?) async throws -> Answer {
        let found: PortalCaller?
        do { found = try await portalRoutes.caller(of: exchange) } catch let error as VaultError {
            return page(error, exchange)
        }
        guard let caller = found else { return portalRoutes.signInRedirect(exchange) }
        do {
            // Before a route is looked for, so that none can forget it.
            if exchange.method != "GET" { try portalRoutes.requireForm(exchange) }
            return try await handle(
                portal.match(method: exchange.method, path: exchange.path), exchange, caller, route: &route)
        } catch let error as VaultError {
            report(error, requestID: exchange.origin.requestID)
            return portalRoutes.refusal(error, caller, exchange)
        }
    }

    /// For somebody of whom nobody can say who it is.
    private func page(_ error: VaultError, _ exchange: Exchange) -> Answer {
        report(error, requestID: exchange.origin.requestID)
        return MessagePage.refusal(error)
    }

    private func handle<Caller>(
        _ match: RouteTable<Caller>.Match, _ exchange: Exchange, _ caller: Caller, route: inout String?
    ) async throws -> Answer {
        switch match {
        case .route(let found, let parameters):
            route = found.template
            var exchange = exchange
            exchange.parameters = parameters
            let answer = try await found.handle(caller, exchange)
            if found.endsUses { try await usesAreAnswered() }
            return answer
        case .wrongMethod(let allowed):
            var answer = VaultError(.methodNotAllowed, "This address does not take that method.").answer
            answer.headers.append((name: "Allow", value: allowed.joined(separator: ", ")))
            return answer
        case .none:
            throw VaultError(.notFound, "There is nothing at this address.")
        }
    }

    /// Returns once every use that was decided before is answered, and its answer sent.
    private func usesAreAnswered() async throws {
        await vault.usesUnderWay.areAnswered()
        for loop in Self.loops.makeIterator() { try await loop.submit {}.get() }
    }

    private func operatorCaller(_ exchange: Exchange) async throws -> OperatorCaller {
        if exchange.header("authorization") == nil, let caller = try await portalRoutes.caller(of: exchange) {
            if exchange.method != "GET" { try portalRoutes.requireToken(exchange) }
            return caller.account
        }
        guard let header = exchange.header("authorization"), header.lowercased().hasPrefix("bearer ") else {
            throw Vault.unauthenticated
        }
        return try await vault.authenticateOperator(
            token: String(header.dropFirst("bearer ".count)), origin: exchange.origin)
    }

    private static func callerHeaders(_ caller: AppCaller) -> [(name: String, value: String)] {
        var headers: [(name: String, value: String)] = []
        if let actorID = caller.actorID { headers.append((name: "X-Alter-Actor-ID", value: actorID.text)) }
        if caller.isKeyDeprecated { headers.append((name: "X-Alter-Key-Deprecated", value: "true")) }
        return headers + (caller.rateLimit?.headers ?? [])
    }

    // MARK: Reading

    private static func headers(_ request: Request) -> [(name: String, value: String)] {
        request.headers.map { (name: $0.name.canonicalName, value: trimmed($0.value)) }
    }

    /// Optional white space around a value is no part of it (RFC 9110 §5.5).
    private static func trimmed(_ value: String) -> String {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        guard let first = value.utf8.first, let last = value.utf8.last, isBlank(first) || isBlank(last) else {
            return value
        }
        let inner = value.utf8.drop(while: isBlank)
        let end = inner.lastIndex { !isBlank($0) }.map { inner.index(after: $0) } ?? inner.startIndex
        return String(inner[..<end]) ?? ""
    }

    private func bodyLimit(_ area: Area, path: String) -> Int {
        if path == "/sdk/proxy" || path.hasPrefix("/webhooks/") { return Limits.requestBodyBytesMax }
        return switch area {
        case .sdk, .management: Limits.documentBytesMax
        case .portal: Limits.operatorFormBytesMax
        case .open, .wallet: Limits.formBytesMax
        }
    }

    /// The whole body, bounded in size, and by `ConnectionRules` in the time that a client may take to send it.
    private func collectBody(_ request: Request, limit: Int) async throws -> [UInt8] {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw Self.tooLarge(limit)
        }
        do {
            return Array(try await request.body.collect(upTo: limit).readableBytesView)
        } catch is BodyTooSlow {
            throw UnreadBody(.requestTimeout, "The body took too long to arrive.")
        } catch is NIOTooManyBytesError {
            throw Self.tooLarge(limit)
        } catch let error as HTTPError where error.status == .contentTooLarge {
            throw Self.tooLarge(limit)
        } catch  where !(error is CancellationError) {
            // Bad chunks, or the client hung up in the middle.
            throw UnreadBody(.invalidRequest, "The body did not arrive whole.")
        }
    }

    private struct UnreadBody: Error {
        let error: VaultError

        init(error: VaultError) { self.error = error }
        init(_ code: ErrorCode, _ message: String) { error = VaultError(code, message) }
    }

    private static func tooLarge(_ limit: Int) -> UnreadBody {
        UnreadBody(.bodyTooLarge, "The body is larger than \(limit) bytes.")
    }

    /// The TCP peer; behind a trusted proxy, the right-most untrusted address of `X-Forwarded-For`.
    private func peer(_ request: Request, _ channel: any Channel) -> IPAddress? {
        guard let address = channel.remoteAddress.flatMap(Self.address) else { return nil }
        guard settings.isTrustedProxy(address), let field = HTTPField.Name("X-Forwarded-For") else { return address }
        for hop in request.headers[values: field].flatMap({ $0.split(separator: ",") }).reversed() {
            guard let forwarded = IPAddress(hop.trimmingCharacters(in: .whitespaces)) else { return nil }
            if !settings.isTrustedProxy(forwarded) { return forwarded }
        }
        return address
    }

    private static func address(_ peer: SocketAddress) -> IPAddress? {
        guard case .v4(let peer) = peer else { return peer.ipAddress.flatMap { IPAddress($0) } }
        return withUnsafeBytes(of: peer.address.sin_addr) { IPAddress(bytes: Array($0)) }
    }

    private static func trace(_ request: Request) -> TraceContext? {
        guard let field = HTTPField.Name("traceparent") else { return nil }
        let values = request.headers[values: field]
        return values.count == 1 ? TraceContext(traceparent: values[0]) : nil
    }

    // MARK: Answering

    private func response(_ answer: Answer) -> Response {
        var fields = HTTPFields()
        for (name, value) in answer.headers {
            guard let field = HTTPField.Name(name), field == .setCookie || !fields.contains(field) else { continue }
            fields.append(HTTPField(name: field, value: value))
        }
        for field in standardHeaders where !fields.contains(field.name) { fields.append(field) }
        fields.append(dateField.value(at: vault.currentTime))
        if let stream = answer.stream {
            let (logger, executor) = (logger, vault.executor)
            return Response(
                status: HTTPResponse.Status(code: answer.status), headers: fields,
                body: ResponseBody { writer in
                    do {
                        try await withTaskExecutorPreference(executor) {
                            try await stream { try await writer.write(ByteBuffer(bytes: $0)) }
                        }
                        try await writer.finish(nil)
                    } catch {
                        // The answer has begun: it ends without its end, which the client sees.
                        logger.error("an answer broke off", metadata: ["error": "\(type(of: error))"])
                        throw error
                    }
                })
        }
        return Response(
            status: HTTPResponse.Status(code: answer.status), headers: fields,
            body: answer.body.isEmpty ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
    }

    /// What every answer says unless it says otherwise.
    private static func standardHeaders(isSecure: Bool) -> [HTTPField] {
        let always = [
            ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ]
        return (always + (isSecure ? [("Strict-Transport-Security", "max-age=31536000")] : [])).compactMap {
            name, value in HTTPField.Name(name).map { HTTPField(name: $0, value: value) }
        }
    }
}

/// Somebody who has not said who they are: browsers on their way through Connect, identity providers, health checks.
struct Visitor: Sendable {
    let origin: RequestOrigin
}

/// When an answer was made; written anew every second (RFC 9110 §6.6.1).
private final class DateField: Sendable {
    private let latest = Mutex((second: Int64.min, field: HTTPField(name: .date, value: "")))

    func value(at time: Instant) -> HTTPField {
        latest.withLock { latest in
            if latest.second != time.seconds { latest = (time.seconds, HTTPField(name: .date, value: time.httpDate)) }
            return latest.field
        }
    }
}
