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
        subcommands: [Verify.self, Checkpoint.self, Explain.self])

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

        @Option(help: "Saved checkpoints: a JWS or its JSON in each line, or a page of them as the API answers it.")
        var checkpoint: String?

        @Option(help: "A saved copy of /.well-known/jwks.json, for whoever does not have the data folder.")
        var keys: String?

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            if let file, checkpoint == nil || keys != nil {
                return verify(file, against: savedCheckpoints(keySet: keys.map(LocalFile.readJSON)))
            }
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                let saved = savedCheckpoints(keySet: try keys.map(LocalFile.readJSON) ?? vault.publishedKeySet())
                if let file {
                    verify(file, against: saved)
                } else {
                    show(try await vault.verifyAudit(against: saved))
                }
            }
        }

        private func savedCheckpoints(keySet: JSON?) -> [SavedCheckpoint] {
            guard let checkpoint, let keySet else { return [] }
            let statements = Self.statements(in: LocalFile.read(checkpoint))
            if statements.isEmpty { Terminal.exit(error: "\(checkpoint) holds no checkpoint.", code: 2) }
            var saved: [SavedCheckpoint] = []
            for statement in statements {
                do { saved.append(try SavedCheckpoint(statement, keySet: keySet)) } catch {
                    Terminal.exit(error: error.description, code: 1)
                }
            }
            return saved
        }

        private static func statements(in bytes: [UInt8]) -> [String] {
            if let whole = try? JSON(parsing: bytes), let object = whole.object {
                let items = object["items"]?.array ?? [whole]
                return items.compactMap { $0["statement"]?.string }
            }
            return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).compactMap { line in
                let text = line.trimmingCharacters(in: .whitespaces)
                return text.isEmpty ? nil : (try? JSON(parsing: text))?["statement"]?.string ?? text
            }
        }

        private func verify(_ file: String, against checkpoints: [SavedCheckpoint]) {
            var verification = AuditFileVerification(against: checkpoints)
            for line in LocalFile.lines(of: file) where !line.isEmpty {
                if let broken = verification.read(line) { return show(broken) }
            }
            show(verification.finish())
            for (chain, span) in verification.spans.sorted(by: { $0.key.name < $1.key.name }) {
                Terminal.print("\(Terminal.printable(chain.name)): records \(span.first) to \(span.last)")
            }
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

    struct Checkpoint: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "checkpoint",
            abstract: "Sign where every chain is now, and print it, a line each.",
            discussion:
                "Save the lines where this installation cannot write: `audit verify --checkpoint` takes them back.")

        @OptionGroup var installation: InstallationOptions

        func run() async throws {
            let settings = InstallationOptions.settings(installation.input())
            try await LocalVault.use(settings) { vault in
                for checkpoint in try await vault.checkpointAll() {
                    Terminal.print(JSON.object(checkpoint.json).text)
                }
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
