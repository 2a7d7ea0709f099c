import Foundation
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import UnixSignals
import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// The server process put together: limits, listener, edge, background work. `serve`, `demo` and the tests start it here.

package struct SallyportServer: Sendable {
    private let settings: ServerSettings
    private let installation: Installation
    private let logger: Logger

    /// Connections that send nothing, and headers that drip, are closed after this.
    private static let idleSeconds: Int64 = 30
    /// In-flight requests get this long at a graceful stop; a stuck one is then cut.
    private static let shutdownSeconds = 20

    package init(settings: ServerSettings, installation: Installation, logger: Logger) {
        self.settings = settings
        self.installation = installation
        self.logger = logger
    }

    /// Serves until the task is cancelled or a signal asks to stop. `onListening` gets the address once requests are
    /// accepted.
    package func run(
        stoppingOn signals: [UnixSignal], onListening: @escaping @Sendable (String) async -> Void
    ) async throws {
        let vault = installation.vault
        try await vault.recover()
        let settings = settings
        let edge = Edge(vault: vault, settings: settings, logger: logger)
        // Who is told where we listen may look at the metrics at once.
        let (metrics, metricsListen) = AsyncStream<Never>.makeStream()
        let server = try serverBuilder().buildServer(
            configuration: ServerConfiguration(
                address: .hostname(settings.listenHost, port: settings.listenPort), serverName: nil,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    ProcessLimits.connectionsMax(), logger: logger)),
            eventLoopGroup: Edge.loops, logger: Self.quiet(logger),
            responder: { request, writer, channel in
                try await edge.serve(request, writer: writer, channel: channel)
            },
            onServerRunning: { channel in
                for await _ in metrics {}
                await onListening(settings.address(boundPort: channel.localAddress?.port ?? settings.listenPort))
            })
        var listeners: [any Service] = [server]
        if let listen = settings.metricsListen {
            listeners.append(
                Application(
                    responder: MetricsResponder(vault: vault),
                    configuration: ApplicationConfiguration(
                        address: .hostname(listen.host, port: listen.port), serverName: nil),
                    onServerRunning: { _ in metricsListen.finish() }, logger: Self.quiet(logger)))
        } else {
            metricsListen.finish()
        }
        let work: [any Service] = [
            RevocationWorker(vault: vault), AuditStreamWorker(vault: vault), AuditAnchors(vault: vault),
            UsageCounter(vault: vault), Housekeeping(vault: vault),
        ]
        var configuration = ServiceGroupConfiguration(
            services: work.map { DatabaseService(service: $0, executor: vault.executor) } + listeners,
            gracefulShutdownSignals: signals, logger: Self.quiet(logger))
        configuration.maximumGracefulShutdownDuration = .seconds(Self.shutdownSeconds)
        try await ServiceGroup(configuration: configuration).run()
    }

    /// The framework's own lines may quote requests; ours do not.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = .critical
        return quiet
    }

    private func serverBuilder() throws -> HTTPServerBuilder {
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderFieldSize = 32 * 1024
        decoder.maxHeaderListSize = 64 * 1024
        decoder.maxHeaderFieldCount = 100
        let plain = HTTPServerBuilder.http1(
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [ConnectionRulesInstaller()], idleTimeout: .seconds(Self.idleSeconds),
                httpDecoderConfiguration: decoder))
        guard let certificate = settings.tlsCertificate, let key = settings.tlsKey else { return plain }
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
        tls.minimumTLSVersion = .tlsv12
        return try .tls(plain, tlsConfiguration: tls)
    }
}

/// Background work where it may wait for the database.
private struct DatabaseService: Service {
    let service: any Service
    let executor: BlockingExecutor?

    func run() async throws {
        try await withTaskExecutorPreference(executor) { try await service.run() }
    }
}

extension ServerSettings {
    /// Where this process answers: the public address where one is set, else the listener's own.
    package func address(boundPort: Int) -> String {
        let host = listenHost.contains(":") ? "[\(listenHost)]" : listenHost
        return "\(tlsCertificate == nil ? "http" : "https")://\(host):\(boundPort)"
    }
}
