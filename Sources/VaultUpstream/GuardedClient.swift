// The one network door out. Whatever address an issuer, a provider's settings or a proxied call names, it is called here
// or not at all: the name is resolved once, every address it has is judged, and the connection is pinned to one of those,
// so that no later answer of a name server can move it. It follows no redirect, repeats no request, unpacks no body and
// writes no log. Which host may see which credential is HostRule's business, decided before.

import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization
import VaultDomain

package final class GuardedClient: Sendable {
    private static let resolveSecondsMax = 5
    private static let timeoutSecondsMax = 600
    /// Addresses tried for one request as long as none of them lets us connect.
    private static let attemptsMax = 3

    typealias Resolve = @Sendable (_ host: String) async throws -> [IPAddress]

    private let allowsPrivateAddresses: Bool
    private let resolve: Resolve
    private let clients = PinnedClients()

    /// `allowsPrivateAddresses` is for development: plain http, loopback and private networks are reached then, metadata
    /// addresses still are not.
    package convenience init(allowsPrivateAddresses: Bool) {
        let resolver = AddressResolver()
        self.init(allowsPrivateAddresses: allowsPrivateAddresses) { try await resolver.addresses(of: $0) }
    }

    /// With an own resolver, which only tests have: no real name answers as a hostile one does.
    init(allowsPrivateAddresses: Bool, resolve: @escaping Resolve) {
        self.allowsPrivateAddresses = allowsPrivateAddresses
        self.resolve = resolve
    }

    /// Throws `OutgoingFailure`, or `CancellationError` when the task was cancelled.
    package func send(_ request: OutgoingRequest) async throws -> OutgoingResponse {
        let headers = try request.checkedHeaders()
        guard request.address.isSecure || allowsPrivateAddresses else {
            throw OutgoingFailure.addressRefused("only https addresses are called")
        }
        let progress = CallProgress()
        let seconds = min(max(request.timeoutSeconds, 1), Self.timeoutSecondsMax)
        do {
            return try await withTimeLimit(seconds: seconds) { [self] in
                try await call(request, headers: headers, progress: progress)
            }
        } catch is TimeIsUp {
            throw progress.stage == .notSent ? OutgoingFailure.unreachable : .timedOut
        }
    }

    /// Ends every connection, those in use too. Calls after this fail as unreachable.
    package func shutdown() async { await clients.shutdown() }

    private func call(
        _ request: OutgoingRequest, headers: [(name: String, value: String)], progress: CallProgress
    ) async throws -> OutgoingResponse {
        let keys = try await permittedAddresses(of: request.address).map { address in
            PinnedClients.Key(host: request.address.host, address: address, isFresh: request.usesFreshConnection)
        }
        var failure = OutgoingFailure.unreachable
        for key in clients.sorted(keys).prefix(Self.attemptsMax) {
            let client = try clients.acquire(key)
            defer { clients.release(key) }
            do {
                let response = try await exchange(request, headers: headers, with: client, progress: progress)
                clients.note(key, isAnswering: true)
                return response
            } catch let caught as OutgoingFailure where caught == .unreachable {
                clients.note(key, isAnswering: false)
                failure = caught
            }
        }
        throw failure
    }

    private func permittedAddresses(of address: WebAddress) async throws -> [IPAddress] {
        let addresses: [IPAddress]
        if let literal = address.ipAddress {
            addresses = [literal]
        } else {
            do {
                addresses = try await withTimeLimit(seconds: Self.resolveSecondsMax) { [resolve] in
                    try await resolve(address.host)
                }
            } catch is TimeIsUp {
                throw OutgoingFailure.unresolvable
            }
        }
        guard !addresses.isEmpty else { throw OutgoingFailure.unresolvable }
        guard addresses.count <= AddressResolver.recordsMax else {
            throw OutgoingFailure.addressRefused("the host has more than \(AddressResolver.recordsMax) addresses")
        }
        // One bad address refuses the name: who mixes them wants the good one checked and the bad one used.
        guard addresses.allSatisfy({ allowsPrivateAddresses ? $0.isReachableInDevelopment : $0.isPubliclyRoutable })
        else {
            throw OutgoingFailure.addressRefused("the host has a private, local or reserved network address")
        }
        return addresses
    }

    private func exchange(
        _ request: OutgoingRequest, headers: [(name: String, value: String)], with client: HTTPClient,
        progress: CallProgress
    ) async throws -> OutgoingResponse {
        var outgoing = HTTPClientRequest(url: request.address.text)
        outgoing.method = HTTPMethod(rawValue: request.method)
        for header in headers { outgoing.headers.add(name: header.name, value: header.value) }
        // Some APIs refuse nameless clients.
        if !outgoing.headers.contains(name: "user-agent") {
            outgoing.headers.add(name: "User-Agent", value: "Sallyport")
        }
        if let body = request.body, !body.isEmpty {
            progress.stage = .notSent
            let upload = MarkedBody(buffer: ByteBuffer(bytes: body), progress: progress)
            outgoing.body = .stream(upload, length: .known(Int64(body.count)))
        } else {
            progress.stage = .notKnown
        }
        do {
            // The time limit around this call is the one that counts.
            let response = try await client.execute(outgoing, timeout: .seconds(Int64(Self.timeoutSecondsMax) * 2))
            progress.stage = .sent
            return try await collect(response, of: request)
        } catch let failure as OutgoingFailure {
            throw failure
        } catch {
            // The transport has errors of its own for a cancelled call.
            try Task.checkCancellation()
            throw OutgoingFailure(error, at: progress.stage)
        }
    }

    private func collect(_ response: HTTPClientResponse, of request: OutgoingRequest) async throws -> OutgoingResponse {
        var body: [UInt8] = []
        var isTruncated = false
        for try await part in response.body {
            let room = max(request.responseBytesMax - body.count, 0)
            if part.readableBytes > room {
                guard request.whenTooLarge == .truncate else { throw OutgoingFailure.tooLarge }
                body.append(contentsOf: part.readableBytesView.prefix(room))
                isTruncated = true
                break
            }
            body.append(contentsOf: part.readableBytesView)
        }
        // A cancelled body may look like one that ended.
        try Task.checkCancellation()
        return OutgoingResponse(
            status: Int(response.status.code), headers: response.headers.map { (name: $0.name, value: $0.value) },
            body: body, isTruncated: isTruncated)
    }
}

// MARK: - The time limit

private struct TimeIsUp: Error {}

private func withTimeLimit<Value: Sendable>(
    seconds: Int, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(for: .seconds(seconds))
            throw TimeIsUp()
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw TimeIsUp() }
        return value
    }
}

// MARK: - Was it sent?

private final class CallProgress: Sendable {
    enum Stage {
        /// Nothing that a server could act on has gone out.
        case notSent
        /// A request without a body was handed over; when its head goes out is not told.
        case notKnown
        case sent
    }

    private let current = Mutex(Stage.notSent)

    var stage: Stage {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}

/// A body of one piece that notes when it is taken, which happens after the head went out.
private struct MarkedBody: AsyncSequence, Sendable {
    let buffer: ByteBuffer
    let progress: CallProgress

    func makeAsyncIterator() -> Iterator { Iterator(rest: buffer, progress: progress) }

    struct Iterator: AsyncIteratorProtocol {
        var rest: ByteBuffer?
        let progress: CallProgress

        mutating func next() async -> ByteBuffer? {
            progress.stage = .sent
            defer { rest = nil }
            return rest
        }
    }
}

extension OutgoingFailure {
    fileprivate init(_ error: any Error, at stage: CallProgress.Stage) {
        self =
            switch stage {
            case .sent: .answerLost
            case .notSent: Self.isOfHandshake(error) ? .tls : .unreachable
            case .notKnown: Self.isOfHandshake(error) ? .tls : Self.isOfConnecting(error) ? .unreachable : .answerLost
            }
    }

    private static func isOfHandshake(_ error: any Error) -> Bool {
        switch error {
        case let error as NIOSSLError: if case .handshakeFailed = error { true } else { false }
        case is NIOSSLExtraError: true
        case let error as HTTPClientError: error == .tlsHandshakeTimeout
        default: false
        }
    }

    /// Errors that an established connection does not have.
    private static func isOfConnecting(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPClientError:
            [.connectTimeout, .getConnectionFromPoolTimeout, .alreadyShutdown].contains(error)
        case let error as ChannelError: error == .ioOnClosedChannel
        case let error as IOError:
            [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EMFILE, ENFILE].contains(error.errnoCode)
        default: false
        }
    }
}

// MARK: - Connections

/// One HTTP client for each host and address, because that is what the transport's pinning applies to. They share the
/// process's event loops; an idle one is shut down after a minute or when its place is needed.
private final class PinnedClients: Sendable {
    struct Key: Hashable {
        let host: String
        let address: IPAddress
        let isFresh: Bool

        var isName: Bool { !host.hasPrefix("[") && IPAddress(host) == nil }
    }

    private struct Entry {
        let client: HTTPClient
        var calls: Int
        /// Whether the last call to the address got through.
        var isAnswering = false
        var lastUsed: ContinuousClock.Instant
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        var calls = 0
        var isShutDown = false
    }

    /// Short enough for a second address within the time limit of any call.
    private static let connectSecondsMax: Int64 = 3
    private static let idleSecondsMax: Int64 = 60
    private static let connectionIdleSecondsMax: Int64 = 30
    private static let connectionsPerAddressMax = 128
    private static let entriesMax = 256
    /// Sockets are shared with the server's own side: calls beyond this are refused and not left waiting.
    private static let callsMax = 512

    private let state = Mutex(State())

    deinit {
        for entry in state.withLock({ $0.entries }).values { entry.client.shutdown { _ in } }
    }

    /// Addresses that answered last come first; then both families take turns (RFC 8305 §4), so that a machine whose way to
    /// one of them is broken reaches the other.
    func sorted(_ keys: [Key]) -> [Key] {
        let answering = state.withLock { state in keys.filter { state.entries[$0]?.isAnswering == true } }
        let others = keys.filter { !answering.contains($0) }
        let families = [
            others.filter { $0.address.isV4 == others.first?.address.isV4 },
            others.filter { $0.address.isV4 != others.first?.address.isV4 },
        ]
        let turns = (0..<others.count).flatMap { index in families.compactMap { $0.dropFirst(index).first } }
        return answering + turns
    }

    func note(_ key: Key, isAnswering: Bool) {
        state.withLock { $0.entries[key]?.isAnswering = isAnswering }
    }

    /// Every acquired client is released.
    func acquire(_ key: Key) throws(OutgoingFailure) -> HTTPClient {
        let (client, idle) = state.withLock { state -> (HTTPClient?, [HTTPClient]) in
            guard !state.isShutDown, state.calls < Self.callsMax else { return (nil, []) }
            let client = state.entries[key]?.client ?? Self.makeClient(key)
            var entry = state.entries[key] ?? Entry(client: client, calls: 0, lastUsed: .now)
            entry.calls += 1
            entry.lastUsed = .now
            state.entries[key] = entry
            state.calls += 1
            return (client, Self.removeIdle(from: &state))
        }
        for client in idle { client.shutdown { _ in } }
        guard let client else { throw .unreachable }
        return client
    }

    func release(_ key: Key) {
        state.withLock { state in
            state.calls -= 1
            state.entries[key]?.calls -= 1
            state.entries[key]?.lastUsed = .now
        }
    }

    func shutdown() async {
        let entries = state.withLock { state in
            state.isShutDown = true
            defer { state.entries = [:] }
            return state.entries
        }
        // The only error is that it was shut down before.
        for entry in entries.values { try? await entry.client.shutdown() }
    }

    /// Takes out what has been idle too long, and the longest idle ones when there are too many. Clients in use stay: their
    /// number is bounded by the calls.
    private static func removeIdle(from state: inout State) -> [HTTPClient] {
        let oldest = ContinuousClock.now - .seconds(idleSecondsMax)
        var removed = state.entries.filter { $0.value.calls == 0 && $0.value.lastUsed < oldest }.map(\.key)
        let excess = state.entries.count - removed.count - entriesMax
        if excess > 0 {
            let idle = state.entries.filter { $0.value.calls == 0 && $0.value.lastUsed >= oldest }
            removed += idle.sorted { $0.value.lastUsed < $1.value.lastUsed }.prefix(excess).map(\.key)
        }
        return removed.compactMap { state.entries.removeValue(forKey: $0)?.client }
    }

    /// TLS 1.2 at least, and no SHA-1 in a handshake; the library's own defaults still take both.
    private static let tlsConfiguration = {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // The library would read them from this file (Debian's) for every client anew, a megabyte each time; where it is
        // missing, let it look for itself.
        if let roots = try? NIOSSLCertificate.fromPEMFile("/etc/ssl/certs/ca-certificates.crt"), !roots.isEmpty {
            configuration.trustRoots = .certificates(roots)
        }
        configuration.verifySignatureAlgorithms = [
            .ecdsaSecp256R1Sha256, .rsaPssRsaeSha256, .rsaPkcs1Sha256, .ecdsaSecp384R1Sha384, .rsaPssRsaeSha384,
            .rsaPkcs1Sha384, .rsaPssRsaeSha512, .rsaPkcs1Sha512,
        ]
        return configuration
    }()

    private static func makeClient(_ key: Key) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.tlsConfiguration = tlsConfiguration
        // The transport compares names by case; WebAddress has only lower case. A literal address needs no pin.
        if key.isName { configuration.dnsOverride = [key.host: key.address.description] }
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        configuration.decompression = .disabled
        configuration.timeout.connect = .seconds(connectSecondsMax)
        configuration.connectionPool.idleTimeout = .seconds(connectionIdleSecondsMax)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connectionsPerAddressMax
        configuration.connectionPool.retryConnectionEstablishment = false
        if key.isFresh { configuration.maximumUsesPerConnection = 1 }
        // A tracer would be told whole addresses, queries included.
        configuration.tracing.tracer = nil
        let pinned = key.address.unmapped
        configuration.http1_1ConnectionDebugInitializer = { channel in
            // Runs before the first request: should pinning ever fail, nothing is sent.
            guard channel.remoteAddress?.ipAddress.flatMap({ IPAddress($0) })?.unmapped == pinned else {
                channel.close(promise: nil)
                let refusal = OutgoingFailure.addressRefused("the connection went to another address than was checked")
                return channel.eventLoop.makeFailedFuture(refusal)
            }
            return channel.eventLoop.makeSucceededVoidFuture()
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }
}
