import Foundation

/// The id of one kind of thing: a UUID in its lowercase, hyphenated form, and nothing else (wire contract §3.1).
package struct Identifier<Noun>: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// A fresh random id.
    package init() { text = UUID().uuidString.lowercased() }

    /// Accepts exactly the canonical form: an upper-case or bare UUID names nothing.
    package init?(_ text: String) {
        guard Self.isCanonical(text) else { return nil }
        self.text = text
    }

    package var description: String { text }
    package var json: JSON { .string(text) }

    private static func isCanonical(_ text: String) -> Bool {
        guard text.utf8.count == 36 else { return false }
        var index = 0
        for byte in text.utf8 {
            switch index {
            case 8, 13, 18, 23: guard byte == UInt8(ascii: "-") else { return false }
            default: guard (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66) else { return false }
            }
            index += 1
        }
        return true
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
