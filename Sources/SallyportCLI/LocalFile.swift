import Foundation
import VaultAPI

/// Files that commands are given. What cannot be read is wrong usage.
enum LocalFile {
    /// The whole file; `-` is standard input.
    static func read(_ path: String) -> [UInt8] {
        let data =
            path == "-" ? try? FileHandle.standardInput.readToEnd() : FileManager.default.contents(atPath: path)
        guard let data else { Terminal.exit(error: "\(path) cannot be read.", code: 2) }
        return Array(data)
    }

    static func readJSON(_ path: String) -> JSON {
        guard let json = try? JSON(parsing: read(path)) else {
            Terminal.exit(error: "\(path) holds no JSON.", code: 2)
        }
        return json
    }

    /// Line by line: exports may be larger than memory.
    static func lines(of path: String) -> some Sequence<String> {
        let stream = path == "-" ? fdopen(STDIN_FILENO, "r") : fopen(path, "r")
        guard let stream else { Terminal.exit(error: "\(path) cannot be read.", code: 2) }
        return sequence(state: LineReader(stream: stream)) { $0.next() }
    }

    private struct LineReader {
        let stream: UnsafeMutablePointer<FILE>

        func next() -> String? {
            var line: UnsafeMutablePointer<CChar>?
            var capacity = 0
            defer { free(line) }
            let count = getline(&line, &capacity, stream)
            guard count > 0, let line else {
                if ferror(stream) != 0 { Terminal.exit(error: "The file cannot be read to its end.", code: 1) }
                fclose(stream)
                return nil
            }
            let bytes = UnsafeRawBufferPointer(start: line, count: count)
            return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
        }
    }
}
