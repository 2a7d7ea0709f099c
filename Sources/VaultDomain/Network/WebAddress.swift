// The one reader of addresses that come from outside: issuers, provider endpoints, proxied calls. It takes less than
// RFC 3986 allows and repairs nothing, because every repair is a place where two readers disagree. What it accepts is
// what goes on the wire. It resolves no name and decides no policy; the guarded client and HostRule do.

/// Why a text is not an address this server will call. Holds no part of the text.
package enum WebAddressError: Error, Equatable, Sendable, CaseIterable {
    case tooLong, characters, notHTTP, userInfo, host, port, percentEncoding, fragment

    /// Safe to show to whoever typed the address.
    package var reason: String {
        switch self {
        case .tooLong: "is longer than 65,536 characters"
        case .characters: "holds blanks, control characters or others that an address may not have unencoded"
        case .notHTTP: "must begin with https:// (or http:// where that is allowed)"
        case .userInfo: "must not carry a user name or password"
        case .host:
            "has a host that is neither a plain domain name (international names in their xn-- form) nor an IP address"
        case .port: "has a port that is not a number from 1 to 65535"
        case .percentEncoding: "holds a broken % sequence, or one for NUL or a line break"
        case .fragment: "must not have a fragment (#…)"
        }
    }
}

/// An absolute http or https address.
package struct WebAddress: Hashable, Sendable, CustomStringConvertible {
    package static let lengthMax = 65_536

    /// `http` or `https`.
    package let scheme: String
    /// Lower case. An IPv6 host keeps its brackets, in canonical form.
    package let host: String
    /// The host when it is an address and not a name.
    package let ipAddress: IPAddress?
    /// The port in effect, written or implied.
    package let port: Int
    /// At least `/`; percent-encoding as it was written.
    package let path: String
    /// Without the `?`, as it was written; `nil` when there is none.
    package let query: String?

    package init(_ text: String) throws(WebAddressError) { try self.init(text, refusedInQuery: [0x00, 0x0A, 0x0D]) }

    private init(_ text: String, refusedInQuery: [UInt8]) throws(WebAddressError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.lengthMax else { throw .tooLong }
        guard bytes.allSatisfy(Self.isAllowed) else { throw .characters }
        guard !bytes.contains(UInt8(ascii: "#")) else { throw .fragment }

        let (scheme, rest) = try Self.split(scheme: bytes)
        let authorityEnd = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
        let authority = rest[..<authorityEnd]
        guard !authority.contains(UInt8(ascii: "@")) else { throw .userInfo }
        let parts = try HostAndPort(parsing: String(decoding: authority, as: UTF8.self).lowercased())

        let target = rest[authorityEnd...]
        let queryMark = target.firstIndex(of: UInt8(ascii: "?"))
        try Self.checkPercentEncoding(target[..<(queryMark ?? target.endIndex)], refused: [0x00, 0x0A, 0x0D])
        try Self.checkPercentEncoding(target[(queryMark ?? target.endIndex)...], refused: refusedInQuery)
        let path = Self.bracketsEncoded(target[..<(queryMark ?? target.endIndex)])

        self.scheme = scheme
        host = parts.host
        ipAddress = parts.ipAddress
        port = parts.port ?? (scheme == "https" ? 443 : 80)
        self.path = path.isEmpty ? "/" : path
        query = queryMark.map { Self.bracketsEncoded(target[($0 + 1)...]) }
    }

    package var isDefaultPort: Bool { port == (scheme == "https" ? 443 : 80) }
    package var isSecure: Bool { scheme == "https" }
    /// Path and query: what stands in the request line.
    package var target: String { query.map { path + "?" + $0 } ?? path }
    /// `https://host`, with the port when it is not the scheme's own.
    package var origin: String { "\(scheme)://\(host)" + (isDefaultPort ? "" : ":\(port)") }
    /// The whole address as it is called. Issuers and redirect addresses are compared as the texts they came in, not by this.
    package var text: String { origin + target }
    package var description: String { text }

    /// An address as HTTP clients take it: what follows the host may hold blanks, letters of any script and the like,
    /// which are percent-encoded, and a fragment, which is not sent (RFC 3986 §3.5). Scheme and host are as strict as ever.
    package init(encoding text: String) throws(WebAddressError) {
        let whole = Array(text.utf8.prefix(while: { $0 != UInt8(ascii: "#") }))
        let authority = whole.indices.first { whole[$0...].starts(with: Self.authorityMark) }.map { $0 + 3 }
        let target =
            whole[(authority ?? whole.endIndex)...].firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") }
            ?? whole.endIndex
        var encoded = whole[...]
        if whole[target...].contains(where: Self.isEncodedByClients) {
            encoded.replaceSubrange(
                target...,
                with: whole[target...].flatMap { Self.isEncodedByClients($0) ? FormEncoding.component([$0]) : [$0] })
        }
        try self.init(String(decoding: encoded, as: UTF8.self))
    }

    private static let authorityMark = Array("://".utf8)

    /// Not the backslash, which some clients take for a slash, and no control characters.
    private static func isEncodedByClients(_ byte: UInt8) -> Bool {
        byte >= 0x80 || byte == 0x20 || (forbidden.contains(byte) && byte != UInt8(ascii: "\\"))
    }

    /// The address without the query items of these names.
    package func removingQuery(_ names: Set<String>) throws(WebAddressError) -> WebAddress {
        guard let query, !names.isEmpty else { return self }
        let kept = query.split(separator: "&").filter { item in
            // What cannot be decoded is none of the names.
            guard let name = FormEncoding.decode(item.utf8)?.first?.name else { return true }
            return !names.contains(name)
        }
        return try withQuery(kept.isEmpty ? nil : kept.joined(separator: "&"))
    }

    /// The address with form-encoded items after its query. Throws when the result is too long or a value holds NUL.
    package func appendingQuery(_ items: [(String, String)]) throws(WebAddressError) -> WebAddress {
        guard !items.isEmpty else { return self }
        let added = FormEncoding.encode(items)
        let whole = query.map { $0.isEmpty ? added : $0 + "&" + added } ?? added
        return try withQuery(whole)
    }

    /// Items that are encoded here may hold texts of several lines: no line of the request ends by them.
    private func withQuery(_ query: String?) throws(WebAddressError) -> WebAddress {
        try WebAddress(origin + path + (query.map { "?" + $0 } ?? ""), refusedInQuery: [0x00])
    }
}

// MARK: - Grammar

extension WebAddress {
    /// Visible ASCII without the characters that RFC 3986 knows nowhere. Square brackets are tolerated, as many APIs
    /// have them in queries.
    private static func isAllowed(_ byte: UInt8) -> Bool {
        (0x21...0x7E).contains(byte) && !forbidden.contains(byte)
    }

    private static let forbidden = Array("\\\"<>^`{|}".utf8)

    private static func split(scheme bytes: [UInt8]) throws(WebAddressError) -> (String, ArraySlice<UInt8>) {
        for scheme in ["https", "http"] {
            let lead = Array((scheme + "://").utf8)
            let start = bytes.prefix(lead.count).map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
            guard start == lead else { continue }
            return (scheme, bytes[lead.count...])
        }
        throw .notHTTP
    }

    private static func checkPercentEncoding(
        _ bytes: ArraySlice<UInt8>, refused: [UInt8]
    ) throws(WebAddressError) {
        var index = bytes.startIndex
        while index < bytes.endIndex {
            guard bytes[index] == UInt8(ascii: "%") else {
                index += 1
                continue
            }
            guard index + 2 < bytes.endIndex, let value = FormEncoding.byte(bytes[index + 1], bytes[index + 2]),
                !refused.contains(value)
            else { throw .percentEncoding }
            index += 3
        }
    }

    /// RFC 3986 §3.2.2 keeps brackets for IPv6 hosts; elsewhere they are sent encoded.
    private static func bracketsEncoded(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        guard bytes.contains(where: { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "]") }) else { return text }
        return text.replacing("[", with: "%5B").replacing("]", with: "%5D")
    }

    /// `host`, `host:port`, `[v6]` or `[v6]:port`, in lower case.
    struct HostAndPort {
        let host: String
        let ipAddress: IPAddress?
        let port: Int?

        init?(_ text: String) {
            do { try self.init(parsing: text) } catch { return nil }
        }

        init(parsing text: String) throws(WebAddressError) {
            var rest = text[...]
            if text.hasPrefix("[") {
                guard let close = text.firstIndex(of: "]"),
                    let address = IPAddress(String(text[text.index(after: text.startIndex)..<close])), !address.isV4
                else { throw .host }
                host = "[\(address)]"
                ipAddress = address
                rest = text[text.index(after: close)...]
                guard rest.isEmpty || rest.hasPrefix(":") else { throw .host }
            } else {
                let name = String(decoding: text.utf8.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self)
                ipAddress = IPAddress(name)
                guard ipAddress != nil || Self.isDomainName(name) else { throw .host }
                host = name
                rest = text[text.utf8.index(text.startIndex, offsetBy: name.utf8.count)...]
            }
            guard !rest.isEmpty else {
                port = nil
                return
            }
            let digits = rest.dropFirst().utf8
            guard (1...5).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
                digits.first != UInt8(ascii: "0"), let number = Int(rest.dropFirst()), number <= 65_535
            else { throw .port }
            port = number
        }

        /// Letters, digits and inner hyphens (RFC 1123 §2.1). A name that ends like a number is what the system's parser
        /// may take for an IPv4 address in octal, hex or short form.
        private static func isDomainName(_ name: String) -> Bool {
            guard (1...253).contains(name.utf8.count) else { return false }
            let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            guard labels.allSatisfy(isLabel), let last = labels.last else { return false }
            let isNumber = last.allSatisfy { (0x30...0x39).contains($0) }
            let isHexNumber = last.starts(with: "0x".utf8) && last.dropFirst(2).allSatisfy(FormEncoding.isHexDigit)
            return !isNumber && !isHexNumber
        }

        private static func isLabel(_ label: Substring.UTF8View) -> Bool {
            guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-")
            else {
                return false
            }
            return label.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
            }
        }
    }
}

// MARK: - Form encoding

/// `application/x-www-form-urlencoded`, written so that every decoder agrees: all but RFC 3986's unreserved characters are
/// encoded, and a blank is `%20`.
package enum FormEncoding {
    package static func encode(_ items: [(String, String)]) -> String {
        items.map { component($0.0) + "=" + component($0.1) }.joined(separator: "&")
    }

    package static func component(_ text: String) -> String {
        String(decoding: component(Array(text.utf8)), as: UTF8.self)
    }

    package static func component(_ bytes: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        for byte in bytes {
            if isUnreserved(byte) {
                output.append(byte)
            } else {
                output += [UInt8(ascii: "%"), hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
            }
        }
        return output
    }

    /// The pairs in their order; `nil` when a `%` sequence is broken or the text is not UTF-8 once decoded.
    package static func decode(_ bytes: some Collection<UInt8>) -> [(name: String, value: String)]? {
        var pairs: [(name: String, value: String)] = []
        for part in bytes.split(separator: UInt8(ascii: "&")) {
            let mark = part.firstIndex(of: UInt8(ascii: "=")) ?? part.endIndex
            guard let name = decode(component: part[..<mark]), let value = decode(component: part[mark...].dropFirst())
            else {
                return nil
            }
            pairs.append((name: name, value: value))
        }
        return pairs
    }

    private static func decode(component: some Collection<UInt8>) -> String? {
        var output: [UInt8] = []
        var iterator = component.makeIterator()
        while let next = iterator.next() {
            switch next {
            case UInt8(ascii: "+"): output.append(0x20)
            case UInt8(ascii: "%"):
                guard let first = iterator.next(), let second = iterator.next(), let value = byte(first, second) else {
                    return nil
                }
                output.append(value)
            default: output.append(next)
            }
        }
        return String(validating: output, as: UTF8.self)
    }

    private static let hexDigits = Array("0123456789ABCDEF".utf8)

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
        default: false
        }
    }

    static func isHexDigit(_ byte: UInt8) -> Bool { nibble(byte) != nil }

    static func byte(_ first: UInt8, _ second: UInt8) -> UInt8? {
        guard let high = nibble(first), let low = nibble(second) else { return nil }
        return high << 4 | low
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
