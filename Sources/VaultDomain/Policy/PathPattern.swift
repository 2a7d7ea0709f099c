// Patterns for the paths of proxied calls.

/// The path of a call, cut up once for every pattern that asks.
package struct RequestPath: Sendable {
    fileprivate let segments: [[UInt8]]
    /// A path with dot segments, doubled slashes or encoded separators is read differently by different servers.
    fileprivate let isAmbiguous: Bool

    package init(_ path: String) {
        let lower = path.lowercased()
        segments = path.split(separator: "/", omittingEmptySubsequences: true).map { Self.decodingUnreserved($0) }
        isAmbiguous =
            !path.hasPrefix("/") || path.contains("//") || path.contains(";")
            || ["%2f", "%5c", "%2e"].contains { lower.contains($0) }
            || segments.contains { $0 == Array(".".utf8) || $0 == Array("..".utf8) }
    }

    /// `%72` is an `r` to every server: what needs no encoding is compared without it (RFC 3986 §6.2.2.2).
    private static func decodingUnreserved(_ segment: Substring) -> [UInt8] {
        let bytes = Array(segment.utf8)
        guard bytes.contains(UInt8(ascii: "%")) else { return bytes }
        var decoded: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = digit(bytes[index + 1]),
                let low = digit(bytes[index + 2]), isUnreserved(high << 4 | low)
            {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        return decoded
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "-._~".utf8.contains(byte)
        }
    }
}

/// A path pattern: `*` is any run inside one segment, `**` any number of whole segments.
package struct PathPattern: Sendable {
    private enum Segment: Sendable {
        case anySegments
        case literal([UInt8])
        case pattern([UInt8])
    }

    package let text: String
    private let segments: [Segment]

    package init(_ text: String) {
        self.text = text
        segments = text.split(separator: "/", omittingEmptySubsequences: true).map { part in
            part == "**" ? .anySegments : part.contains("*") ? .pattern(Array(part.utf8)) : .literal(Array(part.utf8))
        }
    }

    /// Whether the pattern allows the path. None allows an ambiguous one.
    package func matches(_ path: RequestPath) -> Bool { !path.isAmbiguous && covers(path) }

    /// Whether the pattern could hold for the path, for rules that restrict what matches: an ambiguous one always may.
    package func mayMatch(_ path: RequestPath) -> Bool { path.isAmbiguous || covers(path) }

    private func covers(_ path: RequestPath) -> Bool {
        Self.matches(
            segments, path.segments, isWildcard: { if case .anySegments = $0 { true } else { false } }
        ) { segment, part in
            switch segment {
            case .anySegments: true
            case .literal(let bytes): bytes == part
            case .pattern(let bytes):
                Self.matches(bytes, part, isWildcard: { $0 == UInt8(ascii: "*") }, matchesOne: ==)
            }
        }
    }

    /// A wildcard stands for any run. Greedy with one point of return, so that no pattern costs more than the product of
    /// the lengths, however many wildcards it has.
    private static func matches<Piece, Element>(
        _ pattern: [Piece], _ text: [Element], isWildcard: (Piece) -> Bool, matchesOne: (Piece, Element) -> Bool
    ) -> Bool {
        var patternIndex = 0
        var textIndex = 0
        var wildcardIndex: Int?
        var wildcardTextIndex = 0
        while textIndex < text.count {
            if patternIndex < pattern.count, isWildcard(pattern[patternIndex]) {
                wildcardIndex = patternIndex
                wildcardTextIndex = textIndex
                patternIndex += 1
            } else if patternIndex < pattern.count, matchesOne(pattern[patternIndex], text[textIndex]) {
                patternIndex += 1
                textIndex += 1
            } else if let wildcard = wildcardIndex {
                patternIndex = wildcard + 1
                wildcardTextIndex += 1
                textIndex = wildcardTextIndex
            } else {
                return false
            }
        }
        return pattern[patternIndex...].allSatisfy(isWildcard)
    }
}
