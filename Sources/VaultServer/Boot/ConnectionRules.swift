import NIOCore
import NIOHTTP1
import VaultService

// What HTTP/1 asks of a server before there is a request to route (RFC 9112): exactly one Host, no absolute targets, and
// connections that end when they must. It stands between the decoder and the typed layer, where the version is known.

/// Puts `ConnectionRules` right behind the HTTP/1 decoder of the channel it is added to.
final class ConnectionRulesInstaller: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    func handlerAdded(context: ChannelHandlerContext) {
        do {
            let pipeline = context.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(ConnectionRules(), position: .after(decoder))
        } catch {
            // Without the rules the connection must not be served.
            context.close(promise: nil)
        }
    }
}

/// The body took longer than `Limits.bodySecondsMax` to arrive.
struct BodyTooSlow: Error {}

final class ConnectionRules: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private var isLastExchange = false
    private var isRefused = false
    /// Since when a body is awaited; `nil` between requests.
    private var bodyBegan: NIODeadline?
    /// One look at the body for many requests, as a timer for each would cost more than most of them.
    private var look: Scheduled<Void>?

    private static let lookInterval = TimeAmount.seconds(1)

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            if Self.mustClose(head) { isLastExchange = true }
            guard Self.isAcceptable(head) else { return refuse(context, head.version) }
            bodyBegan = .now()
            watchBody(context)
        case .body: break
        case .end: bodyBegan = nil
        }
        context.fireChannelRead(data)
    }

    private func watchBody(_ context: ChannelHandlerContext) {
        guard look == nil else { return }
        look = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lookInterval) {
            self.look = nil
            guard let began = self.bodyBegan else { return }
            guard began + .seconds(Int64(Limits.bodySecondsMax)) > .now() else {
                // Whoever collects the body hears of it, and answers.
                return context.fireErrorCaught(BodyTooSlow())
            }
            self.watchBody(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { look?.cancel() }

    /// HTTP/1.0 closes unless asked not to; `Connection` is a list, in any case (RFC 9112 §9.3).
    private static func mustClose(_ head: HTTPRequestHead) -> Bool {
        Self.isOld(head.version) || head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "close" }
    }

    private static func isOld(_ version: HTTPVersion) -> Bool {
        version.major < 1 || (version.major == 1 && version.minor < 1)
    }

    private static func isAcceptable(_ head: HTTPRequestHead) -> Bool {
        let hosts = head.headers["host"]
        let isHostGood = hosts.count == 1 ? !hosts[0].isEmpty : hosts.isEmpty && Self.isOld(head.version)
        return isHostGood && head.uri.hasPrefix("/")
    }

    private func refuse(_ context: ChannelHandlerContext, _ version: HTTPVersion) {
        isRefused = true
        let body =
            #"{"error":"invalid_request","message":"The request needs exactly one Host and a path as its target."}"#
        let headers: HTTPHeaders = [
            "content-type": "application/json", "content-length": String(body.utf8.count), "connection": "close",
        ]
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .badRequest, headers: headers))),
            promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            if head.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "close" }) {
                isLastExchange = true
            }
            if isLastExchange { head.headers.replaceOrAdd(name: "connection", value: "close") }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end where isLastExchange:
            let done = context.eventLoop.makePromise(of: Void.self)
            done.futureResult.assumeIsolated().whenComplete { result in
                promise?.completeWith(result)
                context.close(promise: nil)
            }
            context.write(data, promise: done)
        default: context.write(data, promise: promise)
        }
    }
}
