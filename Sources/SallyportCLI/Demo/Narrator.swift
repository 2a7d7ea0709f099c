import Foundation
import Synchronization

/// Tells the story on the terminal: numbered steps, what was proved, how long it took, and a spinner while it waits.
final class Narrator: Sendable {
    private let isTerminal = isatty(STDOUT_FILENO) == 1
    private let hasColor = isatty(STDOUT_FILENO) == 1 && ProcessInfo.processInfo.environment["NO_COLOR"] == nil
    private let number = Mutex(0)
    private let current = Mutex<String?>(nil)
    private let hasFinished = Mutex(false)

    private static let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

    /// Whether the story was told to its end.
    var isFinished: Bool { hasFinished.withLock { $0 } }

    func finish() { hasFinished.withLock { $0 = true } }

    func say(_ line: String) { Terminal.print(line) }

    func title(_ title: String, _ subtitle: String) {
        say("")
        say("  " + styled(title, "1"))
        say("  " + styled(subtitle, "2"))
        say("")
    }

    /// Runs one step. It answers what it proved; a throw ends the story.
    func step(_ title: String, _ body: @escaping @Sendable () async throws -> [String]) async throws {
        let number = number.withLock { number in
            number += 1
            return number
        }
        let label = String(repeating: " ", count: number < 10 ? 1 : 0) + "\(number)"
        current.withLock { $0 = "\(label)  \(title)" }
        let started = ContinuousClock.now
        let proofs = try await withThrowingTaskGroup(of: [String]?.self) { group in
            group.addTask { try await body() }
            if isTerminal {
                group.addTask {
                    await self.spin("  \(label)  \(title)")
                    return nil
                }
            }
            defer { group.cancelAll() }
            while let outcome = try await group.next() {
                if let proofs = outcome { return proofs }
            }
            return []
        }
        let milliseconds = (ContinuousClock.now - started) / .milliseconds(1)
        if isTerminal { write("\r\u{1B}[K") }
        let took = "\(Int(milliseconds.rounded())) ms"
        say("  \(label)  " + styled(title, "1") + "  " + styled(took, "2"))
        for proof in proofs { say("      " + styled("✓", "32") + " " + proof) }
        say("")
    }

    func fail(_ reason: String) {
        if isTerminal { write("\r\u{1B}[K") }
        if let step = current.withLock({ $0 }) { say("  " + styled(step, "1")) }
        say("      " + styled("✗ did not hold: ", "31") + reason)
    }

    private func spin(_ label: String) async {
        var frame = 0
        while !Task.isCancelled {
            write("\r\(label) \(Self.frames[frame % Self.frames.count])")
            frame += 1
            // A cancelled sleep ends the loop.
            _ = try? await Task.sleep(for: .milliseconds(80))
        }
    }

    private func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }

    private func styled(_ text: String, _ code: String) -> String {
        hasColor ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }
}
