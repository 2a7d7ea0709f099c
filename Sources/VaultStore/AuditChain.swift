import VaultAPI
import VaultCrypto
import VaultDomain

/// The name of a chain, and how its records hang together. What verifies a file that left the vault needs nothing else.
package struct AuditChain: Sendable, Hashable {
    package let name: String

    package static let installation = AuditChain(name: "installation")

    package init(name: String) { self.name = name }

    /// The chain of an app, or of the installation.
    package init(_ appID: AppID?) { self = appID.map { AuditChain(name: $0.text) } ?? .installation }

    /// What record 1 comes after.
    package var origin: AuditHead {
        AuditHead(
            sequence: 0,
            hash: self == .installation
                ? [UInt8](repeating: 0, count: 32) : Digest.sha256(Array("audit-chain:\(name)".utf8)))
    }

    package static func hash(previous: [UInt8], sequence: Int64, record: String) -> [UInt8] {
        var bytes = previous
        bytes.reserveCapacity(previous.count + record.utf8.count + 24)
        bytes.append(contentsOf: String(sequence).utf8)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(contentsOf: record.utf8)
        return Digest.sha256(bytes)
    }
}

extension AuditEntry {
    package static let chainStartedEvent = "audit_chain.started"

    /// Stands in the installation's chain for each chain of an app, so that a whole one cannot go unnoticed.
    static func chainStarted(_ chain: AuditChain, by first: AuditEntry) -> AuditEntry {
        AuditEntry(
            event: chainStartedEvent, principal: .system, occurredAt: first.occurredAt,
            details: ["chain": .string(chain.name), "first_record": first.id.json])
    }
}
