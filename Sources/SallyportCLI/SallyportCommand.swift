import ArgumentParser

/// The one executable: server, demonstration, and what operators do from a terminal.
@main
struct SallyportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sallyport", abstract: "A self-hosted credential vault for apps and AI agents.",
        subcommands: [
            ServeCommand.self, DemoCommand.self, OperatorCommand.self, AuditCommand.self, PoliciesCommand.self,
            ReceiptCommand.self, SigningKeyCommand.self, MigrateDatabaseCommand.self,
        ])

    /// Exit codes of the management contract: 2 is wrong usage, whoever finds it.
    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            let code = exitCode(for: error)
            if code == .validationFailure { Terminal.exit(error: fullMessage(for: error), code: 2) }
            exit(withError: error)
        }
    }
}
