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
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) { line[key] = .string("\(value)") }
        FileHandle.standardError.write(Data(JSON.object(line).bytes + [0x0A]))
    }
}
