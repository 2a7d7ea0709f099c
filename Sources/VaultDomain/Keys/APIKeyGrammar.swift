/// The shape of API keys (wire contract §1.3): `alter_<type>_<22 characters>_<6 characters of CRC-32>`.
///
/// The checksum lets clients refuse a mistyped key offline; it proves nothing. Keys are minted from 110 random bits.
package enum APIKeyGrammar {
    package enum KeyType: String, Sendable, CaseIterable {
        /// An app's own key.
        case runtime = "rk"
        /// A key of type agent that is bound to no managed agent.
        case agent = "ak"
    }

    package static let randomByteCount = 22
    /// Characters of a key that may be shown and logged: type and four random characters.
    package static let prefixLength = 13

    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    /// The key text of the given random bytes; the low five bits of each are used.
    package static func key(type: KeyType, random: [UInt8]) -> String {
        let part = String(decoding: random.prefix(randomByteCount).map { alphabet[Int($0 & 31)] }, as: UTF8.self)
        return "alter_\(type.rawValue)_\(part)_\(checksum(type: type.rawValue, random: part))"
    }

    /// Whether the text could be a key at all: the scoped shape with its checksum, or the legacy 40 characters.
    package static func isWellFormed(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        if bytes.starts(with: legacyStart) {
            let random = bytes.dropFirst(legacyStart.count)
            return random.count == 40 && random.allSatisfy(isLegacyByte)
        }
        let parts = bytes.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0].elementsEqual("alter".utf8),
            scopedTypes.contains(where: parts[1].elementsEqual)
        else { return false }
        return parts[2].count == randomByteCount && parts[2].allSatisfy(isOfAlphabet)
            && parts[3].elementsEqual(checksum(parts[1] + [UInt8(ascii: ":")] + parts[2]))
    }

    private static let legacyStart = Array("alter_key_".utf8)
    private static let scopedTypes = ["rk", "ak", "dk", "pk"].map { Array($0.utf8) }

    private static func isOfAlphabet(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "2")...UInt8(ascii: "7")).contains(byte)
    }

    private static func isLegacyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    /// Low 30 bits of the CRC-32 of `<type>:<random>`, five bits a character, least significant group first.
    package static func checksum(type: String, random: String) -> String {
        String(decoding: checksum(Array("\(type):\(random)".utf8)), as: UTF8.self)
    }

    private static func checksum(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        let crc = crc32(bytes)
        return (0..<6).map { alphabet[Int(crc >> (5 * UInt32($0)) & 31)] }
    }

    /// The CRC-32 of zlib and IEEE 802.3 (reflected polynomial 0xEDB88320).
    package static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(UInt32.max) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
        }
    }
}
