import Foundation
import Logging
import VaultAPI

/// One JSON object a line on standard error: time, level, message, and the metadata as members.
package struct JSONLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    package var logLevel: Logger.Level
    private let label: String

    package init(label: String, logLevel: Logger.Level) {
        self.label = label
        self.logLevel = logLevel
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let time = Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
        var line: JSONObject = [
            "time": .string(time.rfc3339), "level": .string(event.level.rawValue), "logger": .string(label),
            "message": .string("\(event.message)"),
        ]
        let given = event.metadata ?? [:]
        let all = metadata.isEmpty ? given : metadata.merging(given) { $1 }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { line[key] = .string(Self.text(value)) }
        Self.write(JSON.object(line).bytes + [0x0A])
    }

    private static func text(_ value: Logger.Metadata.Value) -> String {
        if case .string(let text) = value { text } else { "\(value)" }
    }

    private static func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = Foundation.write(
                    STDERR_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                // Nobody can be told that nobody listens.
                guard written > 0 || errno == EINTR else { return }
                rest = rest.dropFirst(max(written, 0))
            }
        }
    }
}
