import Crypto
import Foundation

/// Plaintext that must not be seen: a token, a client secret, a key.
///
/// It prints as `redacted` through every route of the language (description, debug description, mirror), is neither
/// `Codable` nor `Hashable`, compares in constant time, and its own memory is wiped when the last copy goes. Copies
/// that JSON and sockets make cannot be wiped; the few places that make them carry the comment
/// `// plaintext leaves here`.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let key: SymmetricKey

    package init(_ bytes: some Collection<UInt8>) { key = SymmetricKey(data: Array(bytes)) }
    package init(_ text: String) { self.init(Array(text.utf8)) }

    package var utf8Count: Int { key.bitCount / 8 }
    package var isEmpty: Bool { utf8Count == 0 }

    package func withBytes<Result, Failure: Error>(
        _ body: ([UInt8]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(key.withUnsafeBytes { Array($0) })
    }

    /// The text itself. Every call of this is an exit of plaintext.
    package func revealed() -> String { withBytes { String(decoding: $0, as: UTF8.self) } }

    package static func == (left: Secret, right: Secret) -> Bool { left.key == right.key }

    package var description: String { "redacted" }
    package var debugDescription: String { "redacted" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
