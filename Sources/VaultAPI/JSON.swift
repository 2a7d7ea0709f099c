// JSON as this server reads and writes it (RFC 8259, with the stricter choices of RFC 7493): ordered members,
// duplicate members refused, numbers kept as their text, nesting bounded. One reader serves request bodies, tokens
// and provider answers, so that no two layers can understand the same bytes differently.

/// A JSON value.
package enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSON])
    case object(JSONObject)

    package static func integer(_ value: some BinaryInteger) -> JSON { .number(JSONNumber(value)) }
    /// The string, or `null`.
    package static func optional(_ value: String?) -> JSON { value.map(JSON.string) ?? .null }
    /// The instant in RFC 3339 form, or `null`.
    package static func optional(_ value: Instant?) -> JSON { value.map { .string($0.rfc3339) } ?? .null }
    package static func strings(_ values: some Sequence<String>) -> JSON { .array(values.map(JSON.string)) }

    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    package var number: JSONNumber? { if case .number(let value) = self { value } else { nil } }
    package var isNull: Bool { self == .null }

    /// The member of an object; `nil` for every other value.
    package subscript(_ name: String) -> JSON? { object?[name] }
}

/// A number as it was written. Arithmetic is the reader's business: `1e400` and `18446744073709551616` are valid JSON.
package struct JSONNumber: Sendable, Equatable {
    package let text: String

    package init(_ value: some BinaryInteger) { text = String(value) }
    init(verified text: String) { self.text = text }

    /// The value when it is written as an integer (no fraction, no exponent) and fits.
    package var integer: Int64? { Int64(text) }
    /// The nearest finite double.
    package var double: Double? { Double(text).flatMap { $0.isFinite ? $0 : nil } }
}

/// The members of a JSON object in their order; names are unique.
package struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    package private(set) var members: [(name: String, value: JSON)]
    /// Where each name stands, kept once a walk along the members would cost more: a body may have 100,000 of them.
    private var positions: [String: Int]?

    private static let walkedMax = 32

    package init() { members = [] }
    package init(dictionaryLiteral elements: (String, JSON)...) {
        self.init(unique: elements.map { (name: $0.0, value: $0.1) })
    }

    /// Members of different names, those left out that are absent.
    package init(present members: (String, JSON?)...) {
        self.init(unique: members.compactMap { name, value in value.map { (name: name, value: $0) } })
    }

    init(unique members: [(name: String, value: JSON)]) {
        self.members = members
        indexIfLong()
    }

    package var isEmpty: Bool { members.isEmpty }
    package var names: [String] { members.map(\.name) }

    package subscript(_ name: String) -> JSON? {
        get { position(of: name).map { members[$0].value } }
        set {
            switch (position(of: name), newValue) {
            case (let index?, let value?): members[index].value = value
            case (let index?, nil):
                members.remove(at: index)
                positions = nil
                indexIfLong()
            case (nil, let value?):
                members.append((name: name, value: value))
                positions?[name] = members.count - 1
                if positions == nil { indexIfLong() }
            case (nil, nil): break
            }
        }
    }

    private func position(of name: String) -> Int? {
        guard let positions else { return members.firstIndex { $0.name == name } }
        return positions[name]
    }

    private mutating func indexIfLong() {
        guard members.count > Self.walkedMax else { return }
        positions = Dictionary(members.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.count == right.members.count && left.members.allSatisfy { right[$0.name] == $0.value }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int) { self = .integer(value) }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(JSONObject(unique: elements.map { (name: $0.0, value: $0.1) }))
    }
    package init(nilLiteral: ()) { self = .null }
}

// MARK: - Writing

extension JSON {
    /// Compact UTF-8 text.
    package var bytes: [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(1024)
        write(to: &output)
        return output
    }

    package var text: String { String(decoding: bytes, as: UTF8.self) }

    private func write(to output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let value): output.append(contentsOf: value.text.utf8)
        case .string(let value): JSON.write(value, to: &output)
        case .array(let values):
            output.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                value.write(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let object):
            output.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSON.write(member.name, to: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(to: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    private static let hexDigits = Array("0123456789abcdef".utf8)

    private static func write(_ string: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        // Most texts hold nothing that has to be escaped.
        let isPlain = string.utf8.withContiguousStorageIfAvailable { bytes in
            guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C && $0 != 0x7F }) else { return false }
            output.append(contentsOf: bytes)
            return true
        }
        if isPlain == true { return output.append(UInt8(ascii: "\"")) }
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): output.append(contentsOf: #"\""#.utf8)
            case UInt8(ascii: "\\"): output.append(contentsOf: #"\\"#.utf8)
            case 0x0A: output.append(contentsOf: #"\n"#.utf8)
            case 0x0D: output.append(contentsOf: #"\r"#.utf8)
            case 0x09: output.append(contentsOf: #"\t"#.utf8)
            case 0..<0x20, 0x7F:
                output.append(contentsOf: #"\u00"#.utf8)
                output.append(hexDigits[Int(byte >> 4)])
                output.append(hexDigits[Int(byte & 15)])
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
