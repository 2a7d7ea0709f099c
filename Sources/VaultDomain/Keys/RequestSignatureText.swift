import Foundation

/// The text that an SDK request's signature covers (wire contract §2.4–2.5). Pure: the MAC is VaultCrypto's.
package struct RequestSignatureText: Sendable {
    package var method: String
    /// The request target as received: path and query, without a deployment prefix.
    package var target: String
    package var timestamp: String
    package var nonce: String
    package var contentHash: String
    package var scopeConstraints = ""
    package var requestRule = ""
    package var caller = ""
    package var callerType = ""
    package var actorID = ""
    package var context = ""

    package init(method: String, target: String, timestamp: String, nonce: String, contentHash: String) {
        self.method = method
        self.target = target
        self.timestamp = timestamp
        self.nonce = nonce
        self.contentHash = contentHash
    }

    package var text: String {
        var text = method
        for line in [Self.canonicalTarget(target), timestamp, nonce, contentHash, scopeConstraints] {
            text += "\n"
            text += line
        }
        let labelled = [
            ("request-rule", requestRule), ("caller", caller), ("caller-type", callerType), ("actor-id", actorID),
            ("actor-context", context),
        ]
        for (label, value) in labelled where !value.isEmpty { text += "\n\(label):\(value)" }
        return text
    }

    /// Decoded path, and the query decoded, sorted by code point and encoded again in one fixed way.
    package static func canonicalTarget(_ target: String) -> String {
        guard target.utf8.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "%") }) else { return target }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = percentDecoded(parts[0].utf8, plusIsSpace: false)
        guard parts.count == 2, !parts[1].isEmpty else { return path }
        var items: [(name: String, value: String)] = []
        for piece in parts[1].split(separator: "&", omittingEmptySubsequences: true) {
            let pair = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            items.append(
                (
                    name: percentDecoded(pair[0].utf8, plusIsSpace: true),
                    value: pair.count == 2 ? percentDecoded(pair[1].utf8, plusIsSpace: true) : ""
                ))
        }
        items.sort { isOrdered($0.name, before: $1.name, then: $0.value, before: $1.value) }
        return path + "?" + items.map { formEncoded($0.name) + "=" + formEncoded($0.value) }.joined(separator: "&")
    }

    /// UTF-8 byte order is code-point order; Swift's own `<` would compare canonical equivalents as equal.
    private static func isOrdered(_ name: String, before other: String, then value: String, before otherValue: String)
        -> Bool
    {
        if name.utf8.elementsEqual(other.utf8) { return value.utf8.lexicographicallyPrecedes(otherValue.utf8) }
        return name.utf8.lexicographicallyPrecedes(other.utf8)
    }

    private static func percentDecoded(_ text: some Collection<UInt8>, plusIsSpace: Bool) -> String {
        let input = Array(text)
        var output: [UInt8] = []
        var index = 0
        while index < input.count {
            let byte = input[index]
            if byte == UInt8(ascii: "%"), index + 2 < input.count, let high = hexValue(input[index + 1]),
                let low = hexValue(input[index + 2])
            {
                output.append(high << 4 | low)
                index += 3
            } else {
                output.append(plusIsSpace && byte == UInt8(ascii: "+") ? 0x20 : byte)
                index += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private static let hexDigits = Array("0123456789ABCDEF".utf8)

    private static func formEncoded(_ text: String) -> String {
        var output: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "~"):
                output.append(byte)
            case 0x20: output.append(UInt8(ascii: "+"))
            default:
                output.append(contentsOf: [UInt8(ascii: "%"), hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]])
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
