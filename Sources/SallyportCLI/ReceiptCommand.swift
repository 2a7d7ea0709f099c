import ArgumentParser
import Foundation
import VaultAPI
import VaultServer
import VaultService

struct ReceiptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receipt", abstract: "Signed receipts of deprovisioned users.", subcommands: [Verify.self])

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Hold a receipt against the keys that sign here, or against a saved key set. Needs no server.",
            discussion: "Exits 1 when the receipt does not hold.")

        @Argument(help: "The receipt: the JWS itself, or the JSON answer that carried it. - reads standard input.")
        var file: String

        @Option(help: "A saved copy of /.well-known/jwks.json, for whoever does not have the data folder.")
        var keys: String?

        @Option(help: "table or json")
        var output = OutputFormat.table

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            let receipt = Self.receipt(in: LocalFile.read(file))
            if let keys {
                return show(receipt, keySet: LocalFile.readJSON(keys))
            }
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { show(receipt, keySet: try $0.publishedKeySet()) }
        }

        private static func receipt(in bytes: [UInt8]) -> String {
            let text = (try? JSON(parsing: bytes))?["receipt"]?.string ?? String(decoding: bytes, as: UTF8.self)
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }

        private func show(_ receipt: String, keySet: JSON) {
            do {
                let claims = try DeprovisioningReceipt.claims(of: receipt, keySet: keySet)
                switch output {
                case .json: Terminal.print(Terminal.escaped(JSON.object(claims).text))
                case .table: Self.lines(claims).forEach(Terminal.print)
                }
            } catch {
                Terminal.exit(error: error.description, code: 1)
            }
        }

        private static func lines(_ claims: JSONObject) -> [String] {
            func text(_ value: JSON?) -> String {
                value?.string.map(Terminal.printable) ?? value.map { Terminal.printable($0.text) } ?? "-"
            }
            let tokens = claims["tokens_destroyed"]?.array ?? []
            let outcomes = Dictionary(
                grouping: tokens, by: { text($0["provider_revocation"]?["outcome"]) }
            ).map { "\($0.value.count) \($0.key)" }.sorted().joined(separator: ", ")
            let rows = [
                ("Issued by", text(claims["iss"])), ("Version", text(claims["version"])),
                ("User", "\(text(claims["user"]?["id"])), subject \(text(claims["user"]?["subject"]))"),
                ("App", text(claims["app_id"])),
                (
                    "Trigger",
                    claims["trigger"]?.object?.members.map { "\(Terminal.printable($0.name)) \(text($0.value))" }
                        .joined(
                            separator: ", ")
                        ?? "-"
                ),
                ("Deprovisioned at", text(claims["deprovisioned_at"])),
                ("Key destroyed at", text(claims["data_key"]?["destroyed_at"])),
                ("Grants revoked", "\(claims["grants_revoked"]?.array?.count ?? 0)"),
                ("Tokens destroyed", "\(tokens.count)" + (tokens.isEmpty ? "" : " (at the providers: \(outcomes))")),
            ]
            return ["The receipt holds."] + rows.map { $0.padding(toLength: 18, withPad: " ", startingAt: 0) + $1 }
        }
    }
}
