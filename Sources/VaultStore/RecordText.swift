import VaultAPI

/// A record's text, asked for its own members without being read as a whole: a trail has millions of them.
struct RecordText {
    private let text: String

    init(_ text: String) { self.text = text }

    /// Whether each of the members is the text that is named, or absent where `nil` is. Quick when they are named in the order
    /// in which they stand.
    func holds(_ members: [(name: String, value: String?)]) -> Bool {
        if let answer = quickly(members) { return answer }
        guard let object = (try? JSON(parsing: text))?.object else { return false }
        return members.allSatisfy { $0.value == object[$0.name]?.string }
    }

    /// Skips over whatever nests, and compares bytes; `nil` where that does not suffice.
    private func quickly(_ members: [(name: String, value: String?)]) -> Bool? {
        var text = text
        return text.withUTF8 { bytes in
            var scanner = Scanner(bytes: bytes)
            var found = 0
            var rest = members[...]
            guard scanner.take("{") else { return nil }
            repeat {
                guard let name = scanner.string(), scanner.take(":") else { return nil }
                guard let place = rest.firstIndex(where: { Self.areEqual($0.name, bytes, name) }) else {
                    guard scanner.skipValue() else { return nil }
                    continue
                }
                guard let value = scanner.string(), let expected = rest[place].value else { return nil }
                rest = rest[(place + 1)...]
                guard Self.areEqual(expected, bytes, value) else { return nil }
                found += 1
            } while scanner.take(",")
            guard scanner.take("}"), scanner.isAtEnd, found == members.count(where: { $0.value != nil }) else {
                return nil
            }
            return true
        }
    }

    private static func areEqual(_ text: String, _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> Bool {
        guard text.utf8.count == range.count else { return false }
        var text = text
        return text.withUTF8 { other in
            other.count == range.count && other.elementsEqual(UnsafeBufferPointer(rebasing: bytes[range]))
        }
    }

    /// Steps over canonical JSON, as records are written: no space between tokens.
    private struct Scanner {
        let bytes: UnsafeBufferPointer<UInt8>
        var index = 0

        var isAtEnd: Bool { index == bytes.count }

        mutating func take(_ token: Unicode.Scalar) -> Bool {
            guard index < bytes.count, UInt32(bytes[index]) == token.value else { return false }
            index += 1
            return true
        }

        /// The range inside the quotes of a string that has no escapes.
        mutating func string() -> Range<Int>? {
            guard take("\"") else { return nil }
            let start = index
            while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                guard bytes[index] != UInt8(ascii: "\\") else { return nil }
                index += 1
            }
            let end = index
            return take("\"") ? start..<end : nil
        }

        /// Over one value, whatever nests in it.
        mutating func skipValue() -> Bool {
            var depth = 0
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "\""):
                    guard skipString() else { return false }
                    continue
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    if depth == 0 { return true }
                    depth -= 1
                case UInt8(ascii: ",") where depth == 0: return true
                default: break
                }
                index += 1
            }
            return false
        }

        private mutating func skipString() -> Bool {
            index += 1
            while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "\""):
                    index += 1
                    return true
                case UInt8(ascii: "\\"): index += 2
                default: index += 1
                }
            }
            return false
        }
    }
}
