import Testing
import VaultAPI

struct JSONTests {
    @Test(
        "what is valid is read and written back as it was",
        arguments: [
            #"{"a":[1,-2.50,1e10,true,false,null,"x"],"b":{}}"#, #"[]"#, #""é\n\"\\""#, "18446744073709551616", "-0",
        ])
    func roundTrip(text: String) throws {
        #expect(try JSON(parsing: text).text == text)
    }

    @Test("escapes are understood, surrogate pairs included")
    func escapes() throws {
        #expect(try JSON(parsing: #""\u00e9\ud83d\ude00\/\b\f\r\t""#).string == "é😀/\u{8}\u{C}\r\t")
    }

    @Test(
        "attack 14: what two readers could understand differently is refused",
        arguments: [
            (#"{"sub":"a","sub":"b"}"#, JSONSyntaxError.duplicateMember),
            (#"{"sub":"a","\u0073ub":"b"}"#, .duplicateMember), (#""\ud800""#, .loneSurrogate),
            (#""\ud800\u0041""#, .loneSurrogate), (#""\udc00""#, .loneSurrogate),
            ("\u{FEFF}{}", .unexpectedByte(offset: 0)),
            ("{} x", .trailingContent), ("", .unexpectedEnd), ("[1,]", .unexpectedByte(offset: 3)),
            ("01", .trailingContent), ("+1", .unexpectedByte(offset: 0)), ("1.", .unexpectedEnd),
            ("NaN", .unexpectedByte(offset: 0)),
            ("'a'", .unexpectedByte(offset: 0)), (#"{"a":1,}"#, .unexpectedByte(offset: 7)),
            ("\"a\nb\"", .unexpectedByte(offset: 2)),
            (#""\x""#, .unexpectedByte(offset: 2)), ("{a:1}", .unexpectedByte(offset: 1)),
        ])
    func refused(text: String, problem: JSONSyntaxError) {
        #expect(throws: problem) { try JSON(parsing: text) }
    }

    @Test("attack 14: bytes that are not UTF-8 are refused")
    func invalidUTF8() {
        #expect(throws: JSONSyntaxError.invalidUTF8) { try JSON(parsing: [0x22, 0xC3, 0x28, 0x22]) }
        #expect(throws: JSONSyntaxError.invalidUTF8) { try JSON(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test("attack 72: nesting ends at the limit and not at the stack's end", arguments: ["[", "{\"a\":"])
    func nesting(opening: String) {
        let deep = String(repeating: opening, count: 1_000_000)
        #expect(throws: JSONSyntaxError.tooDeep) { try JSON(parsing: deep) }
        let allowed = String(repeating: "[", count: 63) + String(repeating: "]", count: 63)
        #expect(throws: Never.self) { try JSON(parsing: allowed) }
    }

    @Test("numbers keep their text; only what is written as an integer is one")
    func numbers() throws {
        #expect(try JSON(parsing: "60").number?.integer == 60)
        #expect(try JSON(parsing: "60.0").number?.integer == nil)
        #expect(try JSON(parsing: "1e400").number?.double == nil)
        #expect(try JSON(parsing: String(repeating: "9", count: 10_000)).number?.integer == nil)
    }

    @Test("control characters are written escaped, so that no line of a log or header can be broken")
    func controlCharacters() {
        #expect(JSON.string("a\u{0}\u{1F}\u{7F}\n").text == #""a\u0000\u001f\u007f\n""#)
    }
}

struct FieldsTests {
    @Test("every problem is reported at once, nested ones with their path")
    func allProblems() throws {
        let body = Array(#"{"name":"","limit":"x","extra":1,"nested":{"list":[1]}}"#.utf8)
        let fields = try Fields(body: body, unknownMembers: .refused)
        _ = fields.string("name", length: 1...10)
        _ = fields.optionalInteger("limit", in: 1...10)
        _ = fields.optionalFields("nested")?.optionalStrings("list")
        _ = fields.string("needed")
        let error = #expect(throws: VaultError.self) { try fields.finish() }
        let reported = error?.details["fields"]?.array?.compactMap { $0["field"]?.string } ?? []
        #expect(Set(reported) == ["name", "limit", "extra", "nested.list[0]", "needed"])
        #expect(error?.code == .validationFailed)
    }

    @Test("attack 71: members that are not asked for are refused, and ignored where clients may send more")
    func unknownMembers() throws {
        let body = Array(#"{"status":"active"}"#.utf8)
        #expect(throws: VaultError.self) { try Fields(body: body, unknownMembers: .refused).finish() }
        #expect(throws: Never.self) { try Fields(body: body, unknownMembers: .ignored).finish() }
    }

    @Test("a body that is no JSON and one that is no object have their own answers")
    func unusableBodies() {
        let broken = #expect(throws: VaultError.self) { try Fields(body: Array("{".utf8), unknownMembers: .ignored) }
        #expect(broken?.code == .invalidJSON)
        let list = #expect(throws: VaultError.self) { try Fields(body: Array("[]".utf8), unknownMembers: .ignored) }
        #expect(list?.code == .validationFailed)
    }

    @Test("NUL has no place in a text that a database keeps")
    func nul() throws {
        let fields = try Fields(body: Array(#"{"name":"a\u0000b"}"#.utf8), unknownMembers: .refused)
        _ = fields.string("name")
        #expect(throws: VaultError.self) { try fields.finish() }
    }
}

struct InstantTests {
    @Test("every number makes a time that can be written and calculated with")
    func extremes() {
        for number in [Int64.min, Int64.max, -(1 << 60), 1 << 60, -62_167_219_200_001, 253_402_300_800_000] {
            let isEarly = number < 0
            for time in [
                Instant(milliseconds: number), Instant(seconds: number), Instant(seconds: 0).adding(seconds: number),
            ] {
                #expect(time.rfc3339 == (isEarly ? "0000-01-01T00:00:00Z" : "9999-12-31T23:59:59.999Z"))
                #expect(Instant(rfc3339: time.rfc3339) == time)
                #expect(time.adding(milliseconds: isEarly ? .min : .max) == time)
                #expect(time.seconds <= time.milliseconds || isEarly)
            }
        }
    }

    @Test(
        "RFC 3339 is read and written",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-23T14:00:00Z", 1_795_442_400_000),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199_999), ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("1969-12-31T23:59:59.500Z", -500),
        ] as [(String, Int64)])
    func roundTrip(text: String, milliseconds: Int64) {
        #expect(Instant(rfc3339: text)?.milliseconds == milliseconds)
        #expect(Instant(milliseconds: milliseconds).rfc3339 == text)
    }

    @Test(
        "dates of HTTP are as RFC 9110 writes them",
        arguments: [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1), ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
        ] as [(String, Int64)])
    func httpDate(text: String, seconds: Int64) {
        #expect(Instant(seconds: seconds).httpDate == text)
    }

    @Test("zones and fractions are read")
    func zones() {
        #expect(Instant(rfc3339: "2026-11-23T15:00:00.123456+01:00")?.milliseconds == 1_795_442_400_123)
        #expect(Instant(rfc3339: "2026-11-23t14:00:00z") == Instant(rfc3339: "2026-11-23T14:00:00Z"))
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "2026-11-23", "2026-11-23 14:00:00Z", "2026-11-23T14:00:00", "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T24:00:00Z", "2026-11-23T14:00:00.Z", "2026-11-23T14:00:00Zx", "+026-11-23T14:00:00Z",
            "2025-02-29T00:00:00Z",
        ])
    func refused(text: String) {
        #expect(Instant(rfc3339: text) == nil)
    }
}

struct IdentifierTests {
    @Test("attack 66: only the canonical form of an id names anything")
    func canonical() {
        let id = GrantID()
        #expect(GrantID(id.text) == id)
        for text in [
            id.text.uppercased(), "{\(id.text)}", id.text.replacing("-", with: ""), "", id.text + " ",
            "x" + id.text.dropFirst(),
        ] {
            #expect(GrantID(text) == nil)
        }
    }
}
