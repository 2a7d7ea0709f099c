// Requests and answers as the peers see them: plain values, so that one file alone (`LoopbackServer`) knows the HTTP
// library and the peers can be read as what they are, protocol rules.

import Foundation
import VaultAPI

struct PeerRequest: Sendable {
    let method: String
    /// As it came, not decoded.
    let path: String
    /// Without the question mark.
    let query: String
    /// Lower-case names, in their order.
    let headers: [(name: String, value: String)]
    let body: [UInt8]

    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    var queryFields: FormFields? { FormFields(query) }

    /// The fields of a form body; `nil` when the body is something else.
    var bodyFields: FormFields? {
        let type = header("content-type")?.split(separator: ";").first.map { $0.lowercased() }
        guard type == "application/x-www-form-urlencoded", let text = String(validating: body, as: UTF8.self) else {
            return nil
        }
        return FormFields(text)
    }

    /// RFC 6750 §2.1, the only way these peers take a token.
    var bearerToken: String? { credentials(scheme: "bearer") }

    /// RFC 6749 §2.3.1: both parts were form-encoded before they were joined.
    var basicCredentials: (id: String, secret: String)? {
        guard let encoded = credentials(scheme: "basic"), let decoded = Data(base64Encoded: encoded),
            let text = String(validating: decoded, as: UTF8.self), let colon = text.firstIndex(of: ":"),
            let id = FormFields.decode(text[..<colon]),
            let secret = FormFields.decode(text[text.index(after: colon)...])
        else { return nil }
        return (id, secret)
    }

    private func credentials(scheme: String) -> String? {
        guard let value = header("authorization"), let space = value.firstIndex(of: " "),
            value[..<space].lowercased() == scheme
        else { return nil }
        return value[space...].trimmingCharacters(in: .whitespaces)
    }
}

struct PeerResponse: Sendable {
    var status: Int
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []

    static func json(_ status: Int, _ value: JSON) -> PeerResponse {
        PeerResponse(
            status: status,
            headers: [
                (name: "content-type", value: "application/json"), (name: "cache-control", value: "no-store"),
            ],
            body: value.bytes)
    }

    /// No `form-action` directive: Chromium would hold the redirect that follows a form to it as well.
    static func page(_ status: Int, _ page: DevelopmentPage) -> PeerResponse {
        PeerResponse(
            status: status,
            headers: [
                (name: "content-type", value: "text/html; charset=utf-8"),
                (name: "cache-control", value: "no-store"),
                (
                    name: "content-security-policy",
                    value: "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
                ),
                (name: "referrer-policy", value: "no-referrer"),
                (name: "x-content-type-options", value: "nosniff"),
            ],
            body: Array(page.html.utf8))
    }

    /// To an address that was checked before, with parameters added to those it has (RFC 6749 §3.1.2).
    static func redirect(to address: String, adding parameters: [(name: String, value: String)] = []) -> PeerResponse {
        let separator = parameters.isEmpty ? "" : address.contains("?") ? "&" : "?"
        return PeerResponse(
            status: 302,
            headers: [
                (name: "location", value: address + separator + FormFields.encode(parameters)),
                (name: "cache-control", value: "no-store"),
            ])
    }

    /// RFC 6749 §5.2.
    static func oauthError(_ status: Int, _ code: String, _ description: String) -> PeerResponse {
        var response = json(status, ["error": .string(code), "error_description": .string(description)])
        if status == 401 { response.headers.append((name: "www-authenticate", value: "Basic realm=\"development\"")) }
        return response
    }

    /// RFC 6750 §3.1.
    static var invalidToken: PeerResponse {
        var response = json(401, ["error": "invalid_token"])
        response.headers.append((name: "www-authenticate", value: "Bearer error=\"invalid_token\""))
        return response
    }

    static var notFound: PeerResponse { json(404, ["error": "not_found"]) }
    static var methodNotAllowed: PeerResponse { json(405, ["error": "method_not_allowed"]) }
}

/// `application/x-www-form-urlencoded` fields, in their order.
struct FormFields: Sendable {
    let fields: [(name: String, value: String)]

    /// `nil` when a percent escape is malformed or the bytes are not UTF-8.
    init?(_ text: String) {
        var fields: [(name: String, value: String)] = []
        for part in text.split(separator: "&") {
            let equals = part.firstIndex(of: "=") ?? part.endIndex
            let value = equals == part.endIndex ? "" : part[part.index(after: equals)...]
            guard let name = Self.decode(part[..<equals]), let value = Self.decode(value) else { return nil }
            fields.append((name: name, value: value))
        }
        self.fields = fields
    }

    subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// RFC 6749 §3.1: a parameter must not come twice.
    var hasRepeatedName: Bool { Set(fields.map(\.name)).count != fields.count }

    static func decode(_ text: Substring) -> String? {
        text.replacingOccurrences(of: "+", with: " ").removingPercentEncoding
    }

    static func encode(_ fields: [(name: String, value: String)]) -> String {
        fields.map { encode($0.name) + "=" + encode($0.value) }.joined(separator: "&")
    }

    private static func encode(_ text: String) -> String {
        text.utf8.map { byte -> String in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                String(UnicodeScalar(byte))
            default: (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
