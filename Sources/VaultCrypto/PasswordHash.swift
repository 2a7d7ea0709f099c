import CryptoExtras
import Foundation

/// A password as it is stored: scrypt (RFC 7914) with a salt of its own, in the PHC form
/// `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`, so that the costs can rise later and old ones still verify.
package struct PasswordHash: Sendable, Equatable {
    package let text: String

    /// One of the settings of equal strength in OWASP's password storage cheat sheet: 32 MiB, about 0.2 s.
    private struct Cost: Equatable {
        var logRounds = 15
        var blockSize = 8
        var parallelism = 3

        var text: String { "ln=\(logRounds),r=\(blockSize),p=\(parallelism)" }

        init() {}

        init?(_ text: Substring) {
            let numbers = text.split(separator: ",").map { $0.split(separator: "=").last.flatMap { Int($0) } }
            guard numbers.count == 3, case let (rounds?, size?, lanes?) = (numbers[0], numbers[1], numbers[2]),
                (10...17).contains(rounds), (1...16).contains(size), (1...8).contains(lanes)
            else { return nil }
            (logRounds, blockSize, parallelism) = (rounds, size, lanes)
        }
    }

    private static let hashBytes = 32

    package init(stored text: String) { self.text = text }

    /// Takes about 0.2 s of a thread.
    package init(_ password: Secret) throws {
        let salt = RandomBytes.make(16)
        let cost = Cost()
        let hash = try Self.derive(password, salt: salt, cost: cost)
        text = "$scrypt$\(cost.text)$\(Base64URL.encode(salt))$\(Base64URL.encode(hash))"
    }

    /// What a password is held against where there is no account, so that its absence takes the same time.
    package static let ofNobody = PasswordHash(
        stored: "$scrypt$\(Cost().text)$\(Base64URL.encode([UInt8](repeating: 0, count: 16)))$"
            + Base64URL.encode([UInt8](repeating: 0, count: hashBytes)))

    package func matches(_ password: Secret) throws -> Bool {
        let parts = text.split(separator: "$", omittingEmptySubsequences: true)
        guard parts.count == 4, parts[0] == "scrypt", let cost = Cost(parts[1]), let salt = Base64URL.decode(parts[2]),
            let hash = Base64URL.decode(parts[3]), hash.count == Self.hashBytes
        else { return false }
        return ConstantTime.areEqual(hash, try Self.derive(password, salt: salt, cost: cost))
    }

    private static func derive(_ password: Secret, salt: [UInt8], cost: Cost) throws -> [UInt8] {
        try password.withBytes { bytes in
            try KDF.Scrypt.deriveKey(
                from: bytes, salt: salt, outputByteCount: hashBytes, rounds: 1 << cost.logRounds,
                blockSize: cost.blockSize, parallelism: cost.parallelism, maxMemory: 512 << 20
            ).withUnsafeBytes { Array($0) }
        }
    }
}
