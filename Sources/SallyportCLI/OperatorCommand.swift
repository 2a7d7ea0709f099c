import ArgumentParser
import Foundation
import Logging
import VaultAPI
import VaultCrypto
import VaultServer
import VaultService

struct OperatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operator", abstract: "Operators of this installation.",
        subcommands: [Create.self, SetPassword.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create",
            abstract: "Create an operator with an organization of its own. Works while the server runs.")

        @OptionGroup var installation: InstallationOptions

        @Option(help: "The operator's e-mail address.")
        var email: String

        @Flag(help: "Read a password for the Portal from standard input: its first line.")
        var passwordStdin = false

        @Flag(help: "Also create a personal access token; it is printed this once.")
        var pat = false

        func run() async throws {
            let settings = InstallationOptions.settings(installation.input())
            // The first operator may come before the first start of the server.
            let password = passwordStdin ? Secret(readLine(strippingNewline: true) ?? "") : nil
            try await LocalVault.use(settings, creating: true) { vault in
                let created = try await vault.createOperator(email: email, password: password, withToken: pat)
                var object: JSONObject = [
                    "operator_id": created.operatorID.json, "organization_id": created.organizationID.json,
                ]
                object["pat"] = created.token.map { .string($0.revealed()) }  // plaintext leaves here
                Terminal.print(JSON.object(object).text)
            }
        }
    }

    struct SetPassword: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set-password",
            abstract: "Set an operator's password for the Portal, read from the first line of standard input.",
            discussion: "Ends every session of the operator. Works while the server runs.")

        @OptionGroup var installation: InstallationOptions

        @Option(help: "The operator's e-mail address.")
        var email: String

        func run() async throws {
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                try await vault.setPassword(email: email, Secret(readLine(strippingNewline: true) ?? ""))
            }
        }
    }
}
