import ArgumentParser
import Foundation
import VaultAPI
import VaultDomain
import VaultServer
import VaultService
import VaultStore

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "The audit trail of this installation.",
        subcommands: [Verify.self, Explain.self])

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify",
            abstract: "Hold every record against its chain; exits 1 at the first that does not fit.",
            discussion: """
                Without a file, the trail of this installation. With one, an NDJSON export: needs neither server nor data \
                folder, unless a checkpoint is to be held against the keys of this installation.
                """)

        @Argument(help: "An NDJSON export. - reads standard input.")
        var file: String?

        @Option(help: "A saved checkpoint: the JWS itself, or the JSON that carried it as \"statement\".")
        var checkpoint: String?

        @Option(help: "A saved copy of /.well-known/jwks.json, for whoever does not have the data folder.")
        var keys: String?

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            if let file, checkpoint == nil || keys != nil {
                return show(verify(file, against: savedCheckpoint(keySet: keys.map(LocalFile.readJSON))))
            }
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                let saved = savedCheckpoint(keySet: try keys.map(LocalFile.readJSON) ?? vault.publishedKeySet())
                if let file {
                    show(verify(file, against: saved))
                } else {
                    show(try await vault.verifyAudit(against: saved))
                }
            }
        }

        private func savedCheckpoint(keySet: JSON?) -> SavedCheckpoint? {
            guard let checkpoint, let keySet else { return nil }
            let bytes = LocalFile.read(checkpoint)
            let statement =
                (try? JSON(parsing: bytes))?["statement"]?.string
                ?? String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            do { return try SavedCheckpoint(statement, keySet: keySet) } catch {
                Terminal.exit(error: error.description, code: 1)
            }
        }

        private func verify(_ file: String, against checkpoint: SavedCheckpoint?) -> AuditVerification {
            var verification = AuditFileVerification(checkpoint: checkpoint)
            for line in LocalFile.lines(of: file) where !line.isEmpty {
                if let broken = verification.read(line) { return broken }
            }
            return verification.finish()
        }

        private func show(_ verification: AuditVerification) {
            switch verification {
            case .intact(let records): Terminal.print("The audit chain is intact: \(records) records.")
            case .broken(let chain, let sequence, let reason):
                Terminal.exit(
                    error: "The audit chain does not hold at record \(sequence) of \(Terminal.printable(chain.name)): "
                        + "\(reason).", code: 1)
            }
        }
    }

    struct Explain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "explain",
            abstract: "Why a request was decided as it was, and what would have to change.",
            discussion: "Exits 4 when no record names the request: it was refused before it was known what it is about."
        )

        @Argument(help: "The request id, as X-Request-ID and the server's log name it.")
        var requestID: String

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                let records = try vault.auditRecords(requestID: requestID)
                guard !records.isEmpty else {
                    Terminal.exit(error: "No record names this request.", code: 4)
                }
                for record in records { Self.show(AuditExplanation(record.record)) }
            }
        }

        private static func show(_ explanation: AuditExplanation) {
            let changes =
                explanation.changes.isEmpty ? [] : ["What would have to change:"] + indented(explanation.changes)
            let rules = explanation.rules.isEmpty ? [] : ["Rules:"] + indented(explanation.rules)
            for line in explanation.summary + rules + changes { Terminal.print(Terminal.printable(line)) }
        }

        private static func indented(_ lines: [String]) -> [String] { lines.map { "  " + $0 } }
    }
}
