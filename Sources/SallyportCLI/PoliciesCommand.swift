import ArgumentParser
import Foundation
import VaultAPI
import VaultDomain
import VaultServer
import VaultService

struct PoliciesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policies", abstract: "Policies of this installation's apps.", subcommands: [Replay.self])

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay",
            abstract: "Which past calls a draft policy would have decided otherwise. Changes nothing.",
            discussion: """
                Calls, times and addresses are those on record. Users are judged by the groups and roles that they have \
                now, and a limit is counted from the first of the calls on.
                """)

        @Argument(help: "The draft, as JSON. - reads standard input.")
        var draft: String

        @Option(help: "The app. May be left out where there is only one.")
        var app: String?

        @Option(help: "The provider whose policy the draft would be; * is that of all providers.")
        var provider = "*"

        @Option(help: "How far to look back: 30m, 24h, 7d.")
        var last = "7d"

        @Option(help: "table or json")
        var output = OutputFormat.table

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            guard let seconds = Self.seconds(last) else {
                Terminal.exit(error: "--last must be a number with s, m, h or d, such as 7d.", code: 2)
            }
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                let fields = try Fields(body: LocalFile.read(draft), unknownMembers: .refused)
                let policy = AccessPolicy(fields)
                try fields.finish()
                let appID = try app.map { try vault.appID(named: $0) } ?? vault.onlyAppID()
                let now = vault.currentTime
                let outcome = try await vault.replay(
                    appID: appID,
                    PolicyReplay(
                        providerID: provider, draft: policy, from: now.adding(seconds: -seconds), to: now))
                switch output {
                case .json: Terminal.print(Terminal.escaped(JSON.object(outcome.json).text))
                case .table: Self.lines(outcome).forEach { Terminal.print(Terminal.printable($0)) }
                }
            }
        }

        private static func seconds(_ text: String) -> Int64? {
            let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
            guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
                (1...100_000).contains(count)
            else { return nil }
            return count * unit
        }

        private static func lines(_ outcome: ReplayOutcome) -> [String] {
            let counts =
                "\(outcome.calls) calls on record: \(outcome.newlyDenied) would be denied, "
                + "\(outcome.newlyAllowed) would be allowed."
            return [counts]
                + outcome.changes.map { change in
                    func text(_ name: String) -> String { change.record[name]?.string ?? "-" }
                    return
                        "\(change.wouldBeAllowed ? "allow" : "deny ")  \(text("occurred_at"))  \(text("request_id"))  "
                        + "\(text("method")) \(text("url"))  \(change.rule): \(change.reason)"
                }
        }
    }
}
