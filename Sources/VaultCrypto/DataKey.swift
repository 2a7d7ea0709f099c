import Crypto
import Foundation
import VaultAPI

// Envelope encryption. The master key wraps data keys; a data key belongs to one user (or to one app, for what is not
// a user's) and seals credentials. Destroying the wrapped data key makes everything under it unreadable for good,
// whatever copies of the ciphertext exist. AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces throughout.

/// What a ciphertext is bound to: moved to another row, app or version it does not open.
package struct SealContext: Sendable {
    /// What the plaintext is, e.g. `credential.access_token`.
    package let purpose: String
    package let app: String
    package let record: String
    package let version: Int64

    package init(purpose: String, app: String, record: String, version: Int64 = 0) {
        self.purpose = purpose
        self.app = app
        self.record = record
        self.version = version
    }

    /// Every part is length-prefixed, so that no two contexts share an encoding.
    var associatedData: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(160)
        for part in ["sallyport.seal.v1", purpose, app, record, String(version)] {
            bytes.append(contentsOf: String(part.utf8.count).utf8)
            bytes.append(UInt8(ascii: ":"))
            bytes.append(contentsOf: part.utf8)
        }
        return bytes
    }
}

package enum SealError: Error, Sendable, Equatable {
    /// Changed, cut, moved from another record, or sealed under another key.
    case doesNotOpen
}

package struct DataKey: Sendable {
    private let key: SymmetricKey

    /// A fresh random 256-bit key.
    package init() { key = SymmetricKey(size: .bits256) }
    fileprivate init(_ key: SymmetricKey) { self.key = key }

    /// nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes).
    package func seal(_ secret: Secret, _ context: SealContext) throws(SealError) -> [UInt8] {
        try secret.withBytes { bytes throws(SealError) in try AuthenticatedBox.seal(bytes, key, context) }
    }

    package func open(_ sealed: [UInt8], _ context: SealContext) throws(SealError) -> Secret {
        Secret(try AuthenticatedBox.open(sealed, key, context))
    }

    fileprivate func withKeyBytes<Result>(_ body: ([UInt8]) throws(SealError) -> Result) throws(SealError) -> Result {
        try body(key.withUnsafeBytes { Array($0) })
    }
}

/// The key that wraps all others: 32 bytes from a file of mode 0600 or from a command.
package struct MasterKey: Sendable {
    private let key: SymmetricKey

    package static let byteCount = 32

    /// `nil` unless there are exactly 32 bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        key = SymmetricKey(data: bytes)
    }

    package func wrap(_ dataKey: DataKey, id: String) throws(SealError) -> [UInt8] {
        try dataKey.withKeyBytes { bytes throws(SealError) in try AuthenticatedBox.seal(bytes, key, Self.context(id)) }
    }

    package func unwrap(_ wrapped: [UInt8], id: String) throws(SealError) -> DataKey {
        DataKey(SymmetricKey(data: try AuthenticatedBox.open(wrapped, key, Self.context(id))))
    }

    /// Seals a key of the installation itself (digest key, audit key).
    package func wrap(_ secret: Secret, name: String) throws(SealError) -> [UInt8] {
        try secret.withBytes { bytes throws(SealError) in
            try AuthenticatedBox.seal(bytes, key, SealContext(purpose: "system-key", app: "", record: name))
        }
    }

    package func unwrapSecret(_ wrapped: [UInt8], name: String) throws(SealError) -> Secret {
        Secret(try AuthenticatedBox.open(wrapped, key, SealContext(purpose: "system-key", app: "", record: name)))
    }

    private static func context(_ id: String) -> SealContext { SealContext(purpose: "data-key", app: "", record: id) }
}

private enum AuthenticatedBox {
    static func seal(_ bytes: [UInt8], _ key: SymmetricKey, _ context: SealContext) throws(SealError) -> [UInt8] {
        do {
            let box = try AES.GCM.seal(bytes, using: key, authenticating: context.associatedData)
            return Array(box.nonce) + Array(box.ciphertext) + Array(box.tag)
        } catch {
            throw .doesNotOpen
        }
    }

    static func open(_ sealed: [UInt8], _ key: SymmetricKey, _ context: SealContext) throws(SealError) -> [UInt8] {
        do {
            return Array(
                try AES.GCM.open(
                    AES.GCM.SealedBox(combined: sealed), using: key, authenticating: context.associatedData))
        } catch {
            throw .doesNotOpen
        }
    }
}
