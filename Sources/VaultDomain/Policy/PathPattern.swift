// Patterns for the paths of proxied calls.

/// The path of a call, cut up once for every pattern that asks.
package struct RequestPath: Sendable {
    /// Without percent-encoding: `%72` is an `r` to every server, and `%C3%A9` an `é`.
    fileprivate private(set) var segments: [[UInt8]] = []
    /// A path with dot segments, doubled slashes, parameters or encoded separators is read differently by different servers.
    fileprivate private(set) var isAmbiguous: Bool

    package init(_ path: String) {
        let bytes = Array(path.utf8)
        isAmbiguous = bytes.first != UInt8(ascii: "/")
        var segment: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "/"):
                if index > 1, segment.isEmpty { isAmbiguous = true }
                finish(&segment)
            case UInt8(ascii: "%"):
                guard let decoded = PercentEncoding.byte(in: bytes, at: index) else {
                    segment.append(byte)
                    continue
                }
                if "/\\.;".utf8.contains(decoded) { isAmbiguous = true }
                segment.append(decoded)
                index += 2
            default:
                if byte == UInt8(ascii: ";") { isAmbiguous = true }
                segment.append(byte)
            }
        }
        finish(&segment)
    }

    private mutating func finish(_ segment: inout [UInt8]) {
        guard let first = segment.first else { return }
        if first == UInt8(ascii: "."), segment.count == 1 || segment == Array("..".utf8) { isAmbiguous = true }
        segments.append(segment)
        segment.removeAll(keepingCapacity: true)
    }
}

/// RFC 3986 §2.1.
private enum PercentEncoding {
    /// What the two digits at `index` stand for.
    static func byte(in bytes: [UInt8], at index: Int) -> UInt8? {
        guard index + 1 < bytes.count, let high = digit(bytes[index]), let low = digit(bytes[index + 1]) else {
            return nil
        }
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
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
            part == "**"
                ? .anySegments : part.contains("*") ? .pattern(Self.decoded(part)) : .literal(Self.decoded(part))
        }
    }

    /// What may stand encoded in a pattern; an encoded `*` or separator could not be told from a real one, and is refused when
    /// the pattern is written.
    private static func decoded(_ part: Substring) -> [UInt8] {
        let bytes = Array(part.utf8)
        var decoded: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), let byte = PercentEncoding.byte(in: bytes, at: index + 1) {
                decoded.append(byte)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        return decoded
    }

    /// Whether one of the patterns matches; `nil` where it cannot be decided: the path is ambiguous, or path and patterns are
    /// made so that comparing them would keep everybody else waiting.
    package static func anyMatches(_ patterns: [PathPattern], _ path: RequestPath) -> Bool? {
        guard !path.isAmbiguous else { return nil }
        var steps = stepsMax
        for pattern in patterns where pattern.covers(path, &steps) { return true }
        return steps > 0 ? false : nil
    }

    /// About a millisecond.
    private static let stepsMax = 100_000

    private func covers(_ path: RequestPath, _ steps: inout Int) -> Bool {
        Self.matches(
            segments, path.segments, &steps, isWildcard: { if case .anySegments = $0 { true } else { false } }
        ) { segment, part, steps in
            switch segment {
            case .anySegments: true
            case .literal(let bytes): bytes == part
            case .pattern(let bytes):
                Self.matches(bytes, part, &steps, isWildcard: { $0 == UInt8(ascii: "*") }) { left, right, _ in
                    left == right
                }
            }
        }
    }

    /// A wildcard stands for any run. Greedy with one point of return, so that no pattern costs more than the product of
    /// the lengths, however many wildcards it has. Nothing matches when the steps are used up.
    private static func matches<Piece, Element>(
        _ pattern: [Piece], _ text: [Element], _ steps: inout Int, isWildcard: (Piece) -> Bool,
        matchesOne: (Piece, Element, inout Int) -> Bool
    ) -> Bool {
        var patternIndex = 0
        var textIndex = 0
        var wildcardIndex: Int?
        var wildcardTextIndex = 0
        while textIndex < text.count {
            steps -= 1
            guard steps > 0 else { return false }
            if patternIndex < pattern.count, isWildcard(pattern[patternIndex]) {
                wildcardIndex = patternIndex
                wildcardTextIndex = textIndex
                patternIndex += 1
            } else if patternIndex < pattern.count, matchesOne(pattern[patternIndex], text[textIndex], &steps) {
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
