import Foundation

/// Writing to standard output and error as this tool does it: whole lines, at once.
enum Terminal {
    static func print(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    static func complain(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

    static func exit(error: String, code: Int32) -> Never {
        complain(error)
        Foundation.exit(code)
    }
}
