import Testing
import VaultAPI

@testable import VaultServer

@Suite("Forms are read as browsers write them")
struct FormTests {
    @Test("Encoding is undone by decoding, whatever the text", arguments: ["", "a b", "ü&=+%", "\r\n\0", "😀/?#[]@"])
    func encodesAndDecodes(text: String) {
        let decoded = VaultServer.FormText.decode("x=" + VaultServer.FormText.encode(text))
        #expect(decoded.map(\.name) == ["x"])
        #expect(decoded.map(\.value) == [text])
        #expect(
            VaultServer.FormText.encode(text).utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && !"&=+#<>\"'".utf8.contains($0)
            })
    }

    @Test("Fields become the members that the Management API takes")
    func makesFields() {
        let form = FormValues([
            (name: "name", value: "  Atlas "), (name: "scopes", value: "a"), (name: "scopes", value: "b\r\nc, d"),
            (name: "limit", value: "12"), (name: "odd", value: "x1"), (name: "empty", value: "  "),
            (name: "until", value: "2026-12-01T10:00"), (name: "secret", value: " kept as typed "),
        ])
        let object = form.object([
            .text("name"), .list("scopes"), .integer("limit"), .integer("odd"), .optional("empty"), .nullable("empty"),
            .dateTime("until"), .secret("secret"), .flag("absent"),
        ])
        #expect(
            JSON.object(object)
                == [
                    "name": "Atlas", "scopes": ["a", "b", "c", "d"], "limit": 12, "odd": "x1", "empty": nil,
                    "until": "2026-12-01T10:00:00Z", "secret": " kept as typed ", "absent": false,
                ])
    }

    @Test("A problem of an element shows at its list")
    func findsProblems() {
        let state = FormState(
            FormValues(), VaultError.validation([FieldProblem(field: "scopes[2]", problem: "is not a scope")]))
        #expect(state.problem("scopes") == "(entry 3) is not a scope")
        #expect(state.problem("scope") == nil)
        #expect(state.message == nil)
    }

    private static let boundary = "----boundary42"

    private static func body(_ parts: [(String, String)]) -> [UInt8] {
        Array(
            (parts.map { "--\(boundary)\r\nContent-Disposition: form-data; \($0.0)\r\n\r\n\($0.1)\r\n" }.joined()
                + "--\(boundary)--\r\n").utf8)
    }

    @Test("A file comes with its fields, whatever bytes it holds")
    func readsFiles() throws {
        let file = "\r\n--\(Self.boundary.dropLast())\r\n\r\n\u{0}bytes"
        let form = try MultipartForm(
            body: Self.body([
                ("name=\"csrf\"", "token"), ("name=\"logo\"; filename=\"a;b.png\"", file),
                ("name=\"other\"; filename=\"\"", ""),
            ]), contentType: "multipart/form-data; boundary=\(Self.boundary)")
        #expect(form.values["csrf"] == "token")
        #expect(form.file("logo") == Array(file.utf8))
        #expect(form.file("other") == nil)
    }

    @Test(
        "What no browser sends is refused",
        arguments: [
            ("", "multipart/form-data; boundary=x"), ("--x--", "multipart/form-data"),
            ("--x\r\n\r\n\r\nbody\r\n--x--", "multipart/form-data; boundary=x"),
            ("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nbody\r\n--x", "multipart/form-data; boundary=x"),
        ])
    func refusesOthers(body: String, contentType: String) {
        #expect(throws: VaultError.self) { try MultipartForm(body: Array(body.utf8), contentType: contentType) }
    }

    @Test("Only literals are markup")
    func escapes() {
        let hostile = "<script>alert('x')</script>\"&\u{202E}\u{0}"
        let html: HTML = "<p title=\"\(hostile)\">\(hostile)</p>"
        #expect(!html.text.contains("<script"))
        #expect(!html.text.contains("\u{202E}"))
        #expect(html.text.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"))
    }
}
