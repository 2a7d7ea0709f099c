import Foundation
import VaultAPI

/// How a credential is put into a request (wire contract §6): one header, and up to ten further headers or parameters.
package struct CredentialInjection: Sendable, Equatable {
    package struct Additional: Sendable, Equatable {
        package enum Target: String, Sendable, CaseIterable { case header, queryParameter = "query_param" }

        package let target: Target
        package let key: String
        package let valueSource: String
    }

    package var header: String
    package var format: String
    package var additional: [Additional]

    package static let bearer = CredentialInjection(header: "Authorization", format: "Bearer {token}", additional: [])
    package static let basic = CredentialInjection(header: "Authorization", format: "Basic {token}", additional: [])

    package init(header: String, format: String, additional: [Additional]) {
        self.header = header
        self.format = format
        self.additional = additional
    }

    private static let forbiddenHeaders: Set<String> = [
        "host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "upgrade",
        "proxy-authenticate", "proxy-authorization", "te", "trailer", "cookie", "set-cookie", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-http-method-override", "x-method-override",
        "www-authenticate", "strict-transport-security", "content-security-policy",
    ]

    /// Reads `{header, format, additional?}`; problems are reported to `fields`.
    package init(_ fields: Fields, defaultHeader: String, defaultFormat: String) {
        header = fields.optionalString("header", length: 1...60) ?? defaultHeader
        format = fields.optionalString("format", length: 1...200) ?? defaultFormat
        additional = []
        if !Self.isHeaderName(header, allowsUnderscore: false) {
            fields.report("header", "must be a header name of letters, digits and hyphens that the vault may set")
        }
        if !format.contains("{token}") || format.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            fields.report("format", "must contain {token} and no control characters")
        }
        if format.hasPrefix("AWS4-HMAC-SHA256") { fields.report("format", "belongs to aws_sigv4 credentials") }
        guard let items = fields.value("additional") else { return }
        guard let array = items.array, array.count <= 10 else {
            fields.report("additional", "must be a list of at most 10 objects")
            return
        }
        for (index, item) in array.enumerated() {
            guard let object = item.object, object.names.count == 3,
                let target = object["target"]?.string.flatMap(Additional.Target.init(rawValue:)),
                let key = object["key"]?.string, let source = object["value_source"]?.string, source == "token",
                key.utf8.count <= 100, Self.isHeaderName(key, allowsUnderscore: true)
            else {
                fields.report("additional[\(index)]", "must be {target: header|query_param, key, value_source: token}")
                continue
            }
            additional.append(Additional(target: target, key: key, valueSource: source))
        }
    }

    private static func isHeaderName(_ name: String, allowsUnderscore: Bool) -> Bool {
        guard let first = name.utf8.first, isLetter(first) else { return false }
        return !forbiddenHeaders.contains(name.lowercased())
            && name.utf8.allSatisfy {
                isLetter($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
                    || (allowsUnderscore && $0 == UInt8(ascii: "_"))
            }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) }

    package var json: JSONObject {
        var object: JSONObject = ["header": .string(header), "format": .string(format)]
        if !additional.isEmpty { object["additional"] = .array(additional.map(\.json)) }
        return object
    }

    /// Reads what `json` wrote.
    package init(stored: JSONObject) {
        let fields = Fields(stored, unknownMembers: .ignored)
        self.init(fields, defaultHeader: Self.bearer.header, defaultFormat: Self.bearer.format)
    }

    /// The header's value: only the first placeholder is replaced.
    package func headerValue(token: String) -> String {
        guard let range = format.firstRange(of: "{token}") else { return format }
        return format.replacingCharacters(in: range, with: token)
    }
}

extension CredentialInjection.Additional {
    package var json: JSON {
        ["target": .string(target.rawValue), "key": .string(key), "value_source": .string(valueSource)]
    }
}
