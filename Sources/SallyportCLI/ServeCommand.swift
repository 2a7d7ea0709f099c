import ArgumentParser
import Foundation
import Logging
import NIOCore
import UnixSignals
import VaultAPI
import VaultCrypto
import VaultServer
import VaultService

/// Settings that `serve` and the commands on the database share. Flags win over the environment.
struct InstallationOptions: ParsableArguments {
    @Option(help: "The data folder: keys, and the database unless --database says otherwise. (SALLYPORT_DATA_DIR)")
    var dataDir: String?

    @Option(help: "sqlite:<path> or a postgresql:// URI (SALLYPORT_DATABASE)")
    var database: String?

    func input() -> ServerSettings.Input {
        var input = ServerSettings.Input(environment: ProcessInfo.processInfo.environment)
        input.dataDirectory = dataDir ?? input.dataDirectory
        input.database = database ?? input.database
        return input
    }

    /// The checked settings; a wrong one ends the process with every problem named.
    static func settings(_ input: ServerSettings.Input) -> ServerSettings {
        do {
            return try ServerSettings(input)
        } catch {
            Terminal.exit(
                error: (["The configuration is wrong:"] + error.problems.map { "  " + $0 }).joined(separator: "\n"),
                code: 2)
        }
    }
}

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Run the server.")

    @OptionGroup var installation: InstallationOptions

    @Option(help: "host:port to listen on, 127.0.0.1:8787 by default. (SALLYPORT_LISTEN)")
    var listen: String?

    @Option(help: "The origin that browsers and clients use. (SALLYPORT_PUBLIC_URL)")
    var publicUrl: String?

    @Option(help: "PEM file with the certificate chain. (SALLYPORT_TLS_CERTIFICATE)")
    var tlsCertificate: String?

    @Option(help: "PEM file with the private key. (SALLYPORT_TLS_KEY)")
    var tlsKey: String?

    @Option(help: "host:port for /metrics alone; it is then answered nowhere else. (SALLYPORT_METRICS_LISTEN)")
    var metricsListen: String?

    @Flag(help: "Allow http, loopback and private addresses for issuers, providers and proxied calls.")
    var development = false

    func run() async throws {
        ProcessLimits.replaceProcessWithoutBacktraces()
        ProcessLimits.forbidCoreFiles()
        var input = installation.input()
        input.listen = listen ?? input.listen
        input.publicURL = publicUrl ?? input.publicURL
        input.tlsCertificate = tlsCertificate ?? input.tlsCertificate
        input.tlsKey = tlsKey ?? input.tlsKey
        input.metricsListen = metricsListen ?? input.metricsListen
        input.isDevelopment = development
        var settings = InstallationOptions.settings(input)
        let logger = Logger(label: "sallyport") { JSONLogHandler(label: $0, logLevel: .info) }
        do {
            // Pages and redirect addresses name the port, so that it has to be known before anything is served.
            if settings.listenPort == 0 { settings.listenPort = try await FreePort.find(on: settings.listenHost) }
            let publicURL = settings.publicURL ?? settings.address(boundPort: settings.listenPort)
            let opened = try Installation(
                settings: settings, publicURL: publicURL, creating: true, logger: logger)
            try Installation.lockForServing(settings)
            let database = try opened.databaseSettings().map { ($0.key, Logger.MetadataValue.string($0.value)) }
            logger.info("starting", metadata: Logger.Metadata(uniqueKeysWithValues: database))
            try await SallyportServer(settings: settings, installation: opened, logger: logger)
                .run(stoppingOn: [.sigterm, .sigint]) { address in
                    Terminal.print("listening on \(address)")
                    await Self.printSetupAddress(opened, logger: logger)
                }
            try await opened.close()
            logger.info("stopped")
        } catch let error as InstallationError {
            Terminal.exit(error: error.description, code: 1)
        } catch let error as IOError {
            Terminal.exit(
                error: "\(settings.listenHost):\(settings.listenPort) cannot be listened on: "
                    + String(cString: strerror(error.errnoCode)), code: 1)
        } catch {
            // The type only: the description of an unexpected error may hold what it was handling.
            logger.critical("the server ended", metadata: ["error": "\(type(of: error))"])
            Foundation.exit(1)
        }
    }

    /// While there is no operator: to the terminal of whoever started it, and nowhere else.
    private static func printSetupAddress(_ installation: Installation, logger: Logger) async {
        do {
            guard let address = try await installation.vault.openSetupAddress() else { return }
            // plaintext leaves here
            Terminal.print("set up the first operator within 30 minutes: \(address.revealed())")
        } catch {
            logger.error("no setup address could be made", metadata: ["error": "\(type(of: error))"])
        }
    }
}
