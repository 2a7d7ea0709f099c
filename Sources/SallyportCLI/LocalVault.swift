import Foundation
import Logging
import VaultAPI
import VaultServer
import VaultService

/// Commands that work on the installation's files directly, beside a running server or without one.
enum LocalVault {
    static func use(_ settings: ServerSettings, creating: Bool = false, _ body: (Vault) async throws -> Void)
        async throws
    {
        let logger = Logger(label: "sallyport") { JSONLogHandler(label: $0, logLevel: .error) }
        do {
            let opened = try Installation(
                settings: settings, publicURL: settings.publicURL ?? settings.address(boundPort: settings.listenPort),
                creating: creating, logger: logger)
            try await body(opened.vault)
            try await opened.close()
        } catch let error as InstallationError {
            Terminal.exit(error: error.description, code: 1)
        } catch let error as VaultError {
            Terminal.exit(error: error.message, code: exitCode(error.code))
        }
    }

    /// Exit codes of the management contract.
    static func exitCode(_ code: ErrorCode) -> Int32 {
        switch code {
        case .validationFailed: 2
        case .unauthenticated: 3
        case .notFound, .grantNotFound, .identityProviderNotFound: 4
        case .conflict, .identityProviderExists, .claimMappingsLocked: 5
        default: 1
        }
    }
}
