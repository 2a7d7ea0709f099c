import ArgumentParser
import Foundation
import Logging
import VaultAPI
import VaultServer
import VaultService
import VaultStore

/// Moves an installation to another database. Nothing serves from it meanwhile.
struct MigrateDatabaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate-database",
        abstract: "Copy the installation into an empty database, its key store included, and verify the copy.",
        discussion: """
            Stop the server first. The original stays as it is; serve from the copy with --database afterwards. A copy that was \
            interrupted can be begun again.
            """)

    @Option(help: "sqlite:<path> or a postgresql:// URI")
    var from: String

    @Option(help: "sqlite:<path> or a postgresql:// URI; it must hold nothing yet")
    var to: String

    @Option(help: "Where the original's key store is, unless it is in its usual place.")
    var fromKeyStore: String?

    @Option(help: "Where the copy's key store is to be, unless in its usual place. (SALLYPORT_KEY_STORE)")
    var toKeyStore: String?

    @Option(help: "The data folder. (SALLYPORT_DATA_DIR)")
    var dataDir: String?

    private static let credentialsCompared = 1000

    func run() async throws {
        var input = ServerSettings.Input(environment: ProcessInfo.processInfo.environment)
        input.dataDirectory = dataDir ?? input.dataDirectory
        var copied = input
        copied.database = to
        copied.keyStore = toKeyStore ?? input.keyStore
        input.database = from
        input.keyStore = fromKeyStore
        let source = InstallationOptions.settings(input)
        let target = InstallationOptions.settings(copied)
        guard source.database != target.database, source.keyStore != target.keyStore else {
            Terminal.exit(
                error: "the copy must be somewhere else than the original, and so must its key store", code: 2)
        }
        let logger = Logger(label: "sallyport") { JSONLogHandler(label: $0, logLevel: .error) }
        do {
            try Installation.lockForServing(source)
            let original = try Installation(
                settings: source, publicURL: "http://localhost", creating: false, logger: logger)
            let rows = try original.copy(to: target) { table, rows in
                if rows > 0 { Terminal.print("\(table): \(rows)") }
            }
            let copy = try Installation(
                settings: target, publicURL: "http://localhost", creating: false, logger: logger)
            try await verify(copy.vault, against: original.vault)
            Terminal.print("Copied and verified: \(rows.values.reduce(0, +)) rows of \(rows.count) tables.")
            try await copy.close()
            try await original.close()
        } catch let error as InstallationError {
            Terminal.exit(error: error.description, code: 1)
        } catch let error as VaultError {
            Terminal.exit(error: error.message, code: 1)
        }
    }

    private func verify(_ copy: Vault, against original: Vault) async throws {
        switch try await copy.verifyAudit() {
        case .intact(let records): Terminal.print("The audit trail holds: \(records) records.")
        case .broken(let chain, let sequence, let reason):
            Terminal.exit(
                error: "the audit trail does not hold: chain \(chain.name), record \(sequence): \(reason)", code: 1)
        }
        let opened = try copy.compareCredentials(with: original, limit: Self.credentialsCompared)
        Terminal.print("Credentials opened and compared: \(opened).")
    }
}
