import Foundation
import VaultAPI

/// A form that sends a file: `multipart/form-data` (RFC 7578), as browsers write it.
struct MultipartForm: Sendable {
    struct Part: Sendable {
        let name: String
        /// `nil` for a field that is no file.
        let fileName: String?
        let bytes: [UInt8]
    }

    let parts: [Part]

    private static let partsMax = 50
    private static let headBytesMax = 4096

    /// - Parameter contentType: the header field, with its boundary. Throws `invalid_request` for what no browser sends.
    init(body: [UInt8], contentType: String) throws {
        guard let boundary = Self.parameter("boundary", of: contentType), (1...70).contains(boundary.utf8.count) else {
            throw Self.malformed
        }
        let delimiter = Array(("\r\n--" + boundary).utf8)
        // The first delimiter has no line before it.
        let pieces = Self.split(Array("\r\n".utf8) + body, by: delimiter)
        guard pieces.count >= 2, pieces.count - 2 <= Self.partsMax,
            pieces[pieces.count - 1].starts(with: Array("--".utf8))
        else { throw Self.malformed }
        parts = try pieces.dropFirst().dropLast().map(Self.part)
    }

    /// The fields that are no files, as of any form.
    var values: FormValues {
        FormValues(
            parts.filter { $0.fileName == nil }.map {
                (name: $0.name, value: String(decoding: $0.bytes, as: UTF8.self))
            })
    }

    /// The file of a field; `nil` where none was chosen.
    func file(_ name: String) -> [UInt8]? {
        parts.first { $0.name == name && $0.fileName != nil && !$0.bytes.isEmpty }.map(\.bytes)
    }

    private static var malformed: VaultError { VaultError(.invalidRequest, "The form did not arrive whole.") }

    private static func part(_ piece: ArraySlice<UInt8>) throws -> Part {
        let blank = Array("\r\n\r\n".utf8)
        guard piece.starts(with: Array("\r\n".utf8)), let end = firstIndex(of: blank, in: piece.prefix(headBytesMax))
        else { throw malformed }
        let header = String(decoding: piece[piece.startIndex..<end], as: UTF8.self)
        let line = header.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-disposition:") }
        guard let line, let name = parameter("name", of: String(line)) else { throw malformed }
        return Part(
            name: name, fileName: parameter("filename", of: String(line)), bytes: Array(piece[(end + blank.count)...]))
    }

    /// The value of `; name="value"` or `; name=value`.
    private static func parameter(_ name: String, of field: String) -> String? {
        for piece in field.split(separator: ";").dropFirst() {
            let pair = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, pair[0].filter({ $0 != " " }).lowercased() == name else { continue }
            return pair[1].trimmingCharacters(in: CharacterSet(charactersIn: " \""))
        }
        return nil
    }

    private static func split(_ bytes: [UInt8], by delimiter: [UInt8]) -> [ArraySlice<UInt8>] {
        var pieces: [ArraySlice<UInt8>] = []
        var rest = bytes[...]
        while pieces.count <= partsMax + 2, let index = firstIndex(of: delimiter, in: rest) {
            pieces.append(rest[rest.startIndex..<index])
            rest = rest[(index + delimiter.count)...]
        }
        return pieces + [rest]
    }

    private static func firstIndex(of pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
        guard let first = pattern.first else { return nil }
        var start = bytes.startIndex
        while let index = bytes[start...].firstIndex(of: first) {
            if bytes[index...].starts(with: pattern) { return index }
            start = index + 1
        }
        return nil
    }
}

extension Exchange {
    func multipartForm() throws -> MultipartForm {
        try MultipartForm(body: body, contentType: header("content-type") ?? "")
    }
}
