// Patterns for the paths of proxied calls.

/// The path of a call, cut up once for every pattern that asks.
package struct RequestPath: Sendable {
    fileprivate let segments: [[UInt8]]
    /// A path with dot segments, doubled slashes or encoded separators is read differently by different servers.
    fileprivate let isAmbiguous: Bool

    package init(_ path: String) {
        let lower = path.lowercased()
        segments = path.split(separator: "/", omittingEmptySubsequences: true).map { Array($0.utf8) }
        isAmbiguous =
            !path.hasPrefix("/") || path.contains("//") || path.contains(";")
            || ["%2f", "%5c", "%2e"].contains { lower.contains($0) }
            || segments.contains { $0 == Array(".".utf8) || $0 == Array("..".utf8) }
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
