// A peer on 127.0.0.1, alive as long as the closure that uses it: bound when the closure begins, drained and closed
// when it returns or throws. The one place here that knows the HTTP library. It logs nothing, because requests to
// these peers are made of tokens.

import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// Something that answers requests.
protocol LoopbackPeer: Sendable {
    func answer(_ request: PeerRequest) async -> PeerResponse
}

package struct DevelopmentPeerError: Error, CustomStringConvertible {
    package let description: String
}

enum LoopbackServer {
    /// Larger than anything the vault sends on behalf of an app.
    static let bodyLimitBytes = 8 << 20
    static let idleSeconds: Int64 = 60
    static let drainSeconds = 2

    static func run<Peer: LoopbackPeer, Outcome>(
        port: Int, isolation: isolated (any Actor)?, makePeer: (_ baseURL: String) throws -> Peer,
        _ body: (Peer) async throws -> Outcome
    ) async throws -> Outcome {
        let slot = PeerSlot<Peer>()
        let (ports, portSeen) = AsyncStream.makeStream(of: Int.self)
        let group = serviceGroup(port: port, slot: slot) { portSeen.yield($0) }
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { portSeen.finish() }
                try await group.run()
            }
            var bound: Int?
            for await port in ports {
                bound = port
                break
            }
            guard let bound else {
                try await tasks.waitForAll()
                throw DevelopmentPeerError(description: "The development peer did not start.")
            }
            let outcome: Result<Outcome, any Error>
            do {
                let peer = try makePeer("http://127.0.0.1:\(bound)")
                slot.peer.withLock { $0 = peer }
                outcome = .success(try await body(peer))
            } catch {
                outcome = .failure(error)
            }
            await group.triggerGracefulShutdown()
            do {
                try await tasks.waitForAll()
            } catch {
                // What the closure threw says more than how the server ended.
                if case .success = outcome { throw error }
            }
            return try outcome.get()
        }
    }

    private static func serviceGroup<Peer: LoopbackPeer>(
        port: Int, slot: PeerSlot<Peer>, onBound: @escaping @Sendable (Int) -> Void
    ) -> ServiceGroup {
        let silent = Logger(label: "development-peer") { _ in SwiftLogNoOpLogHandler() }
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in
                guard let peer = slot.peer.withLock({ $0 }) else { return Response(status: .serviceUnavailable) }
                guard let request = await PeerRequest(request) else { return Response(status: .contentTooLarge) }
                return Response(await peer.answer(request))
            },
            server: .http1(configuration: .init(idleTimeout: .seconds(idleSeconds))),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { channel in onBound(channel.localAddress?.port ?? port) },
            logger: silent)
        var configuration = ServiceGroupConfiguration(services: [application], logger: silent)
        configuration.maximumGracefulShutdownDuration = .seconds(drainSeconds)
        return ServiceGroup(configuration: configuration)
    }
}

/// The peer is made once its port is known, a moment after the server began to listen.
private final class PeerSlot<Peer: Sendable>: Sendable {
    let peer = Mutex<Peer?>(nil)
}

extension PeerRequest {
    /// `nil` when the body is too large.
    fileprivate init?(_ request: Request) async {
        guard let buffer = try? await request.body.collect(upTo: LoopbackServer.bodyLimitBytes) else { return nil }
        var headers = request.headers.map { (name: $0.name.canonicalName, value: $0.value) }
        if let host = request.head.authority { headers.insert((name: "host", value: host), at: 0) }
        self.init(
            method: request.method.rawValue, path: request.uri.path, query: request.uri.query ?? "", headers: headers,
            body: Array(buffer.readableBytesView))
    }
}

extension Response {
    fileprivate init(_ response: PeerResponse) {
        var fields = HTTPFields()
        for header in response.headers {
            if let name = HTTPField.Name(header.name) { fields.append(HTTPField(name: name, value: header.value)) }
        }
        self.init(
            status: HTTPResponse.Status(code: response.status), headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: response.body)))
    }
}
