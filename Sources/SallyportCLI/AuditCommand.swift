import ArgumentParser
import Foundation
import VaultServer
import VaultService
import VaultStore

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "The audit trail of this installation.", subcommands: [Verify.self])

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Hold every record against the chain; exits 1 at the first that does not fit.")

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                switch try await vault.verifyAudit() {
                case .intact(let records): Terminal.print("The audit chain is intact: \(records) records.")
                case .broken(let sequence, let reason):
                    Terminal.exit(error: "The audit chain does not hold at record \(sequence): \(reason).", code: 1)
                }
            }
        }
    }
}
