import ArgumentParser
import Foundation

/// How a command prints what it found.
enum OutputFormat: String, ExpressibleByArgument { case table, json }

/// Writing to standard output and error as this tool does it: whole lines, at once.
enum Terminal {
    static func print(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    static func complain(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

    /// Texts come from outside, and a terminal obeys some of their characters.
    static func printable(_ text: String) -> String {
        String(
            text.unicodeScalars.map { scalar in
                switch scalar.properties.generalCategory {
                case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
                    "?"
                default: Character(scalar)
                }
            })
    }

    /// The same JSON in ASCII.
    static func escaped(_ json: String) -> String {
        json.utf16.map { unit in
            (0x20..<0x7F).contains(unit)
                ? String(UnicodeScalar(UInt8(unit))) : "\\u" + String(0x10000 + Int(unit), radix: 16).dropFirst()
        }.joined()
    }

    static func exit(error: String, code: Int32) -> Never {
        complain(error)
        Foundation.exit(code)
    }
}
