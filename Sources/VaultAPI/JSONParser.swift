/// Why bytes are not the JSON this server accepts. Holds no input, so that it can be logged.
package enum JSONSyntaxError: Error, Equatable, Sendable {
    case invalidUTF8
    case unexpectedEnd
    case unexpectedByte(offset: Int)
    case duplicateMember
    case tooDeep
    case loneSurrogate
    case trailingContent
}

extension JSON {
    /// Deepest nesting accepted: real bodies need under ten, and recursion must not reach the stack's end.
    package static let depthMax = 64

    /// Reads one JSON text.
    ///
    /// Refuses what readers disagree about: duplicate members (RFC 8259 §4 leaves them open), a byte order mark,
    /// lone surrogates, invalid UTF-8, and content after the value.
    package init(parsing bytes: some Sequence<UInt8>) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: Array(bytes))
        self = try parser.parseDocument()
    }

    package init(parsing text: String) throws(JSONSyntaxError) { try self.init(parsing: text.utf8) }
}

private struct JSONParser {
    let bytes: [UInt8]
    var offset = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func parseDocument() throws(JSONSyntaxError) -> JSON {
        let value = try parseValue(depth: 0)
        skipWhitespace()
        guard offset == bytes.count else { throw .trailingContent }
        return value
    }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipWhitespace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private func unexpected() -> JSONSyntaxError { current == nil ? .unexpectedEnd : .unexpectedByte(offset: offset) }

    private mutating func expect(_ literal: StaticString) throws(JSONSyntaxError) {
        for index in 0..<literal.utf8CodeUnitCount {
            guard current == literal.utf8Start[index] else { throw unexpected() }
            offset += 1
        }
    }

    private mutating func parseValue(depth: Int) throws(JSONSyntaxError) -> JSON {
        guard depth < JSON.depthMax else { throw .tooDeep }
        skipWhitespace()
        switch current {
        case UInt8(ascii: "{"): return try parseObject(depth: depth)
        case UInt8(ascii: "["): return try parseArray(depth: depth)
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"):
            try expect("true")
            return true
        case UInt8(ascii: "f"):
            try expect("false")
            return false
        case UInt8(ascii: "n"):
            try expect("null")
            return .null
        default: return .number(try parseNumber())
        }
    }

    private mutating func parseObject(depth: Int) throws(JSONSyntaxError) -> JSON {
        offset += 1
        var members: [(name: String, value: JSON)] = []
        var names: Set<String> = []
        skipWhitespace()
        if current == UInt8(ascii: "}") {
            offset += 1
            return .object(JSONObject())
        }
        while true {
            skipWhitespace()
            guard current == UInt8(ascii: "\"") else { throw unexpected() }
            let name = try parseString()
            guard names.insert(name).inserted else { throw .duplicateMember }
            skipWhitespace()
            try expect(":")
            members.append((name: name, value: try parseValue(depth: depth + 1)))
            skipWhitespace()
            if current == UInt8(ascii: ",") {
                offset += 1
                continue
            }
            try expect("}")
            return .object(JSONObject(unique: members))
        }
    }

    private mutating func parseArray(depth: Int) throws(JSONSyntaxError) -> JSON {
        offset += 1
        var values: [JSON] = []
        skipWhitespace()
        if current == UInt8(ascii: "]") {
            offset += 1
            return .array([])
        }
        while true {
            values.append(try parseValue(depth: depth + 1))
            skipWhitespace()
            if current == UInt8(ascii: ",") {
                offset += 1
                continue
            }
            try expect("]")
            return .array(values)
        }
    }

    private mutating func parseNumber() throws(JSONSyntaxError) -> JSONNumber {
        let start = offset
        if current == UInt8(ascii: "-") { offset += 1 }
        if current == UInt8(ascii: "0") { offset += 1 } else { try skipDigits() }
        if current == UInt8(ascii: ".") {
            offset += 1
            try skipDigits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            offset += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            try skipDigits()
        }
        return JSONNumber(verified: String(decoding: bytes[start..<offset], as: UTF8.self))
    }

    private mutating func skipDigits() throws(JSONSyntaxError) {
        let start = offset
        while let byte = current, byte >= 0x30, byte <= 0x39 { offset += 1 }
        guard offset > start else { throw unexpected() }
    }

    private mutating func parseString() throws(JSONSyntaxError) -> String {
        offset += 1
        var content: [UInt8] = []
        while true {
            let runStart = offset
            while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
                offset += 1
            }
            content.append(contentsOf: bytes[runStart..<offset])
            switch current {
            case UInt8(ascii: "\""):
                offset += 1
                guard let string = String(validating: content, as: UTF8.self) else { throw .invalidUTF8 }
                return string
            case UInt8(ascii: "\\"):
                offset += 1
                try parseEscape(into: &content)
            default: throw unexpected()
            }
        }
    }

    private mutating func parseEscape(into content: inout [UInt8]) throws(JSONSyntaxError) {
        guard let escape = current else { throw .unexpectedEnd }
        offset += 1
        switch escape {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(escape)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            var code = UInt32(try parseHexQuad())
            if code >= 0xD800, code <= 0xDBFF {
                guard current == UInt8(ascii: "\\") else { throw .loneSurrogate }
                offset += 1
                guard current == UInt8(ascii: "u") else { throw .loneSurrogate }
                offset += 1
                let low = UInt32(try parseHexQuad())
                guard low >= 0xDC00, low <= 0xDFFF else { throw .loneSurrogate }
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw .loneSurrogate }
            content.append(contentsOf: String(Character(scalar)).utf8)
        default: throw .unexpectedByte(offset: offset - 1)
        }
    }

    private mutating func parseHexQuad() throws(JSONSyntaxError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = current else { throw .unexpectedEnd }
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x41 + 10
            case 0x61...0x66: digit = byte - 0x61 + 10
            default: throw .unexpectedByte(offset: offset)
            }
            value = value << 4 | UInt16(digit)
            offset += 1
        }
        return value
    }
}
