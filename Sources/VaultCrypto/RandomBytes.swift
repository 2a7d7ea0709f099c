import Foundation

/// Bytes from the operating system's generator.
package enum RandomBytes {
    package static func make(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) }
        }
        return Array(bytes.prefix(count))
    }

    /// 256 bits as base64url text: for session tokens, states, verifiers and addresses that must not be guessed.
    package static func token() -> String { Base64URL.encode(make(32)) }
}
