import Foundation

/// The id of one kind of thing: a UUID in its lowercase, hyphenated form, and nothing else (wire contract §3.1).
package struct Identifier<Noun>: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// A fresh random id.
    package init() { text = RandomUUID.text() }

    /// A fresh id that begins with the time, so that what is written one after the other lies side by side in an index.
    package init(at time: Instant) { text = RandomUUID.text(at: time) }

    /// Accepts exactly the canonical form: an upper-case or bare UUID names nothing.
    package init?(_ text: String) {
        guard Self.isCanonical(text) else { return nil }
        self.text = text
    }

    package var description: String { text }
    package var json: JSON { .string(text) }

    private static func isCanonical(_ text: String) -> Bool {
        guard text.utf8.count == 36 else { return false }
        return text.utf8.withContiguousStorageIfAvailable(isCanonical)
            ?? Array(text.utf8).withUnsafeBufferPointer(isCanonical)
    }

    private static func isCanonical(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        for index in 0..<36 {
            let byte = bytes[index]
            switch index {
            case 8, 13, 18, 23: guard byte == UInt8(ascii: "-") else { return false }
            default: guard (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66) else { return false }
            }
        }
        return true
    }
}

/// UUIDs (RFC 9562) in the canonical form, random (§5.4) or in the order of time. Foundation's open the system's source of random bytes anew each time.
package enum RandomUUID {
    package static func text() -> String {
        var generator = SystemRandomNumberGenerator()
        return text(generator.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, generator.next())
    }

    /// In the order of time, by the millisecond (RFC 9562 §5.7).
    package static func text(at time: Instant) -> String {
        var generator = SystemRandomNumberGenerator()
        return text(UInt64(max(0, time.milliseconds)) << 16 | generator.next() & 0xFFF | 0x7000, generator.next())
    }

    private static func text(_ high: UInt64, _ random: UInt64) -> String {
        let low = random & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        return String(unsafeUninitializedCapacity: 36) { text in
            var index = 0
            for place in 0..<32 {
                if place == 8 || place == 12 || place == 16 || place == 20 {
                    text[index] = UInt8(ascii: "-")
                    index += 1
                }
                let number = place < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - place % 16 * 4)) & 15
                text[index] = digit < 10 ? 0x30 + digit : 0x61 + digit - 10
                index += 1
            }
            return index
        }
    }
}

package enum OrganizationNoun {}
package enum OperatorNoun {}
package enum PersonalAccessTokenNoun {}
package enum AppNoun {}
package enum APIKeyNoun {}
package enum ActorNoun {}
package enum IdentityProviderNoun {}
package enum UserNoun {}
package enum ManagedSecretNoun {}
package enum CredentialNoun {}
package enum GrantNoun {}
package enum ConnectSessionNoun {}
package enum SignInSessionNoun {}
package enum AuditEventNoun {}
package enum RevocationNoun {}
package enum DataKeyNoun {}
package enum DeliveryNoun {}
package enum DeprovisioningNoun {}
package enum PolicyRevisionNoun {}
package enum AuditStreamNoun {}
package enum PortalSessionNoun {}
package enum InvitationNoun {}

package typealias OrganizationID = Identifier<OrganizationNoun>
package typealias OperatorID = Identifier<OperatorNoun>
package typealias PersonalAccessTokenID = Identifier<PersonalAccessTokenNoun>
package typealias AppID = Identifier<AppNoun>
package typealias APIKeyID = Identifier<APIKeyNoun>
package typealias ActorID = Identifier<ActorNoun>
package typealias IdentityProviderID = Identifier<IdentityProviderNoun>
package typealias UserID = Identifier<UserNoun>
package typealias ManagedSecretID = Identifier<ManagedSecretNoun>
package typealias CredentialID = Identifier<CredentialNoun>
package typealias GrantID = Identifier<GrantNoun>
package typealias ConnectSessionID = Identifier<ConnectSessionNoun>
package typealias SignInSessionID = Identifier<SignInSessionNoun>
package typealias AuditEventID = Identifier<AuditEventNoun>
package typealias RevocationID = Identifier<RevocationNoun>
package typealias DataKeyID = Identifier<DataKeyNoun>
package typealias DeliveryID = Identifier<DeliveryNoun>
package typealias DeprovisioningID = Identifier<DeprovisioningNoun>
package typealias PolicyRevisionID = Identifier<PolicyRevisionNoun>
package typealias AuditStreamID = Identifier<AuditStreamNoun>
package typealias PortalSessionID = Identifier<PortalSessionNoun>
package typealias InvitationID = Identifier<InvitationNoun>
