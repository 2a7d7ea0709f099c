import ArgumentParser
import VaultServer
import VaultService

struct SigningKeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "signing-key", abstract: "The key that signs this installation's own statements.",
        subcommands: [Rotate.self])

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate",
            abstract: "Publish a successor at once, which signs a day later. Works while the server runs.")

        @OptionGroup var installation: InstallationOptions

        @Flag(help: "The successor signs at once: for a key that cannot be trusted any more.")
        var now = false

        func run() async throws {
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                try await vault.rotateSigningKey(isUrgent: now)
                Terminal.print(
                    "The successor is published" + (now ? " and signs from now on." : " and signs in a day."))
            }
        }
    }
}
