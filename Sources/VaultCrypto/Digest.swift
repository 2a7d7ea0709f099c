import Crypto
import Foundation

package enum Digest {
    /// SHA-256 (FIPS 180-4), 32 bytes.
    package static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return hash.finalize().withUnsafeBytes { Array($0) }
    }

    package static func sha256(_ text: String) -> [UInt8] { sha256(Array(text.utf8)) }
}

package enum Hex {
    package static func encode(_ bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 2) { text in
            for (index, byte) in bytes.enumerated() {
                text[index * 2] = digit(byte >> 4)
                text[index * 2 + 1] = digit(byte & 15)
            }
            return bytes.count * 2
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }

    /// Lower-case hex only.
    package static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let characters = Array(text.utf8)
        guard characters.count.isMultiple(of: 2) else { return nil }
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x61...0x66: byte - 0x61 + 10
            default: nil
            }
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(characters.count / 2)
        for index in stride(from: 0, to: characters.count, by: 2) {
            guard let high = digit(characters[index]), let low = digit(characters[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }
}

/// Comparison whose time depends on the lengths only.
package enum ConstantTime {
    package static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in left.indices { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}

/// HMAC-SHA256 (RFC 2104) under a key that is kept in the key store.
///
/// Bearer values that we issue (API keys, session tokens, access tokens of operators) are stored as such a digest: a
/// copy of the database alone can neither be searched for a known value nor tried offline.
package struct DigestKey: Sendable {
    /// Has read the key; each digest goes on from a copy.
    private let keyed: HMAC<SHA256>

    package init(_ secret: Secret) { keyed = secret.withBytes { HMAC(key: SymmetricKey(data: $0)) } }

    package func digest(_ text: String) -> [UInt8] { digest(Array(text.utf8)) }

    package func digest(_ bytes: [UInt8]) -> [UInt8] {
        var mac = keyed
        mac.update(data: bytes)
        return mac.finalize().withUnsafeBytes { Array($0) }
    }

    package func matches(_ expected: [UInt8], _ bytes: [UInt8]) -> Bool {
        ConstantTime.areEqual(expected, digest(bytes))
    }
}
