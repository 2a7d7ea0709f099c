// Internet addresses as numbers. Read strictly, so that no text means one address here and another to the system's own
// parser (which takes `127.1`, `0x7f.1` and `0177.0.0.1` for loopback). Owns the judgement of which addresses belong to
// the public internet; makes no connection and asks no resolver. Called by the guarded client for every address a name
// resolves to, by key and policy allowlists, and by the parser of forwarded addresses.

/// An IPv4 or IPv6 address without a zone.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    package let isV4: Bool
    private let high: UInt64
    private let low: UInt64

    private init(isV4: Bool, high: UInt64, low: UInt64) {
        self.isV4 = isV4
        self.high = high
        self.low = low
    }

    /// Four bytes for IPv4 and sixteen for IPv6, in network order.
    package init?(bytes: [UInt8]) {
        switch bytes.count {
        case 4: self.init(isV4: true, high: 0, low: Self.number(bytes[...]))
        case 16: self.init(isV4: false, high: Self.number(bytes[..<8]), low: Self.number(bytes[8...]))
        default: return nil
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    package var bytes: [UInt8] {
        if isV4 { return (0..<4).map { UInt8(truncatingIfNeeded: low >> (24 - 8 * $0)) } }
        return [high, low].flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }
    }

    /// The IPv4 address inside `::ffff:0:0/96` (RFC 4291 §2.5.5.2); every other address is returned unchanged.
    package var unmapped: IPAddress {
        guard !isV4, high == 0, low >> 32 == 0xFFFF else { return self }
        return IPAddress(isV4: true, high: 0, low: low & 0xFFFF_FFFF)
    }

    fileprivate var bitCount: Int { isV4 ? 32 : 128 }

    /// The address with every bit after the first `count` cleared.
    fileprivate func prefix(_ count: Int) -> IPAddress {
        let start = isV4 ? count + 96 : count
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~(.max >> UInt64(bits)) }
        return IPAddress(isV4: isV4, high: high & mask(start), low: low & mask(start - 64))
    }

    fileprivate var isMapped: Bool { unmapped != self }
}

// MARK: - Text

extension IPAddress {
    /// Dotted quad with four decimal parts and no leading zeros, or RFC 4291 §2.2 text. Zone ids are refused: they name
    /// an interface of this machine.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count <= 45 else { return nil }
        if bytes.contains(UInt8(ascii: ":")) {
            guard let groups = Self.groups(of: bytes) else { return nil }
            self.init(bytes: groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] })
        } else {
            guard let quad = Self.quad(bytes[...]) else { return nil }
            self.init(bytes: quad)
        }
    }

    private static func quad(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        let values = parts.compactMap { part -> UInt8? in
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }),
                part.count == 1 || part.first != UInt8(ascii: "0")
            else { return nil }
            let value = part.reduce(0) { $0 * 10 + Int($1 - 0x30) }
            return UInt8(exactly: value)
        }
        return values.count == 4 ? values : nil
    }

    /// The eight groups of an IPv6 address.
    private static func groups(of text: [UInt8]) -> [UInt16]? {
        guard let gap = doubleColon(in: text) else {
            guard let groups = run(text[...], mayEndInQuad: true), groups.count == 8 else { return nil }
            return groups
        }
        let tail = text[(gap + 2)...]
        guard doubleColon(in: Array(text[(gap + 1)...])) == nil, let before = run(text[..<gap], mayEndInQuad: false),
            let after = run(tail, mayEndInQuad: true), before.count + after.count <= 7
        else { return nil }
        return before + Array(repeating: 0, count: 8 - before.count - after.count) + after
    }

    private static func doubleColon(in text: [UInt8]) -> Int? {
        guard text.count >= 2 else { return nil }
        return (0..<(text.count - 1)).first { text[$0] == UInt8(ascii: ":") && text[$0 + 1] == UInt8(ascii: ":") }
    }

    /// Groups between single colons; the last may be a dotted quad, which counts twice.
    private static func run(_ text: ArraySlice<UInt8>, mayEndInQuad: Bool) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if mayEndInQuad, index == parts.count - 1, part.contains(UInt8(ascii: ".")) {
                guard let quad = quad(part) else { return nil }
                groups.append(UInt16(quad[0]) << 8 | UInt16(quad[1]))
                groups.append(UInt16(quad[2]) << 8 | UInt16(quad[3]))
                continue
            }
            guard let group = group(part) else { return nil }
            groups.append(group)
        }
        return groups
    }

    private static func group(_ part: ArraySlice<UInt8>) -> UInt16? {
        guard (1...4).contains(part.count) else { return nil }
        var value: UInt16 = 0
        for byte in part {
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt16(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt16(byte - 0x41 + 10)
            case 0x61...0x66: value = value << 4 | UInt16(byte - 0x61 + 10)
            default: return nil
            }
        }
        return value
    }

    /// RFC 5952: lower case, no leading zeros, the longest run of zero groups shortened, mapped addresses as `::ffff:1.2.3.4`.
    package var description: String {
        if isV4 { return bytes.map(String.init).joined(separator: ".") }
        if isMapped { return "::ffff:" + unmapped.description }
        let bytes = bytes
        let groups = (0..<8).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
        guard let gap = Self.longestZeroRun(in: groups) else {
            return groups.map { String($0, radix: 16) }.joined(separator: ":")
        }
        let before = groups[..<gap.lowerBound].map { String($0, radix: 16) }.joined(separator: ":")
        let after = groups[gap.upperBound...].map { String($0, radix: 16) }.joined(separator: ":")
        return before + "::" + after
    }

    private static func longestZeroRun(in groups: [UInt16]) -> Range<Int>? {
        var longest: Range<Int>?
        var start = 0
        while start < groups.count {
            let end = groups[start...].firstIndex { $0 != 0 } ?? groups.count
            if end - start >= 2, end - start > (longest?.count ?? 0) { longest = start..<end }
            start = max(end, start) + 1
        }
        return longest
    }
}

// MARK: - Ranges

/// A CIDR block. A bare address stands for itself alone.
package struct IPRange: Hashable, Sendable, CustomStringConvertible {
    private let network: IPAddress
    private let prefixLength: Int

    /// Refuses host bits (`10.0.0.1/8`): whoever wrote them meant something else than what would be allowed.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPAddress(String(first)) else { return nil }
        var length = address.bitCount
        if parts.count == 2 {
            let digits = parts[1].utf8
            guard (1...3).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }),
                digits.count == 1 || digits.first != UInt8(ascii: "0"), let given = Int(parts[1]),
                given <= address.bitCount
            else { return nil }
            length = given
        }
        guard address.prefix(length) == address else { return nil }
        // A block of mapped addresses is a block of IPv4 addresses.
        if address.isMapped, length >= 96 {
            network = address.unmapped
            prefixLength = length - 96
        } else {
            network = address
            prefixLength = length
        }
    }

    /// Mapped addresses are judged as the IPv4 address that they are.
    package func contains(_ address: IPAddress) -> Bool {
        let address = address.unmapped
        return address.isV4 == network.isV4 && address.prefix(prefixLength) == network
    }

    package var description: String { "\(network)/\(prefixLength)" }
}

// MARK: - Where an address lies

extension IPAddress {
    /// `0.0.0.0` or `::`: every address of the machine (RFC 4291 §2.5.2).
    package var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }
    package var isLoopback: Bool { Self.isListed(self, in: Self.loopback) }

    /// Private use (RFC 1918, RFC 4193) and the shared space of carriers (RFC 6598).
    package var isPrivate: Bool { Self.isListed(self, in: Self.privateUse) }

    /// Whether the address is one of the public internet (IANA special-purpose registries, judged against the caller
    /// where a registry is unclear). Of IPv6 only 2000::/3 is global unicast; tunnel and translation prefixes carry an IPv4
    /// address of the sender's choice (64:ff9b::/96, 64:ff9b:1::/48, 2002::/16, 2001::/32) and are refused whole.
    package var isPubliclyRoutable: Bool {
        let address = unmapped
        if !address.isV4 {
            guard Self.isListed(address, in: Self.globalUnicast) else { return false }
        }
        return !Self.isListed(address, in: Self.notPublic)
    }

    /// Whether a development server may connect to it: the public internet, loopback and private networks, but never the
    /// addresses where clouds hand credentials to whoever asks.
    package var isReachableInDevelopment: Bool {
        if Self.isListed(self, in: Self.cloudMetadata) { return false }
        return isPubliclyRoutable || isLoopback || isPrivate
    }

    private static func isListed(_ address: IPAddress, in ranges: [IPRange]) -> Bool {
        ranges.contains { $0.contains(address) }
    }

    private static let loopback = ["127.0.0.0/8", "::1"].compactMap { IPRange($0) }
    private static let privateUse = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
        .compactMap { IPRange($0) }
    private static let globalUnicast = ["2000::/3"].compactMap { IPRange($0) }

    /// Link-local 169.254.169.254 is in no list that permits; these lie in ranges that development allows.
    private static let cloudMetadata = ["100.100.100.200", "168.63.129.16", "fd00:ec2::/32", "fd20:ce::254"]
        .compactMap { IPRange($0) }

    private static let notPublic = [
        "0.0.0.0/8",  // this network
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8",
        "168.63.129.16",  // the platform address inside one cloud's machines
        "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24",  // protocol assignments
        "192.0.2.0/24",  // documentation
        "192.88.99.0/24",  // relays to 2002::/16
        "192.168.0.0/16",
        "198.18.0.0/15",  // benchmarks
        "198.51.100.0/24", "203.0.113.0/24",  // documentation
        "224.0.0.0/4",  // multicast
        "240.0.0.0/4",  // reserved, and the broadcast address
        "2001::/23",  // protocol assignments, Teredo among them
        "2001:db8::/32",  // documentation
        "2002::/16",  // an IPv4 address inside an IPv6 one
        "3fff::/20",  // documentation
    ].compactMap { IPRange($0) }
}
