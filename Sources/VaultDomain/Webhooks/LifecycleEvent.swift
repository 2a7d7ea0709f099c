import VaultAPI

// What identity providers push, read into what it does. Pure: authentication happened before, effects happen after.

/// One event of a delivery.
package struct LifecycleEvent: Sendable, Equatable {
    /// Makes repeats harmless: Auth0 `log_id`, or the Svix message id. `nil` when the sender named none.
    package var deliveryID: String?
    package let type: String
    /// The `sub` of the user.
    package let subject: String?
    package var occurredAt: Instant?
    package let effect: LifecycleEffect
    /// Why this effect, when the type alone does not say it.
    package let note: String?
    /// The members that decide, and no others: an event that is read from it again does the same, except that it says
    /// nothing of the profile.
    package let source: JSONObject

    package init(
        deliveryID: String?, type: String, subject: String?, occurredAt: Instant?, effect: LifecycleEffect,
        note: String? = nil, source: JSONObject = [:]
    ) {
        self.deliveryID = deliveryID
        self.type = type
        self.subject = subject
        self.occurredAt = occurredAt
        self.effect = effect
        self.note = note
        self.source = source
    }
}

extension LifecycleEvent {
    /// Up to 255 bytes without control characters.
    package static func isDeliveryID(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }

    /// The time, if an event can be from it: what lies before 1970 says nothing.
    static func plausible(_ time: Instant) -> Instant? { time.milliseconds >= 0 ? time : nil }

    /// The subject, if it can be one of a user of ours.
    package var usableSubject: String? {
        subject.flatMap { (1...255).contains($0.unicodeScalars.count) && !$0.utf8.contains(0) ? $0 : nil }
    }
}

package enum LifecycleEffect: Sendable, Equatable {
    case deprovision, suspend, restore, ignore
    /// The profile as the provider has it now, and whether the user is blocked, where it says so.
    case sync(UserProfile, isBlocked: Bool?)
    /// The user left an organization, which tokens name as a group by its id or its slug.
    case removeMembership(names: [String])
}

/// What a delivery held.
package struct LifecycleBatch: Sendable, Equatable {
    package var events: [LifecycleEvent] = []
    /// Items that are no event, as they came.
    package var invalid: [String] = []
}

/// Reads the deliveries of one type of identity provider.
package struct LifecycleReader: Sendable {
    private let type: IdentityProviderType
    private let map: LifecycleEventMap

    package init(_ type: IdentityProviderType, map: LifecycleEventMap) {
        self.type = type
        self.map = map
    }

    /// - Parameter messageID: the id of the whole message, where the provider sends one event in each.
    package func batch(body: [UInt8], messageID: String?) -> LifecycleBatch {
        var batch = LifecycleBatch()
        for item in type == .clerk ? [JSON(lenientlyParsing: body)] : Auth0LogStream.items(body) {
            if let event = item.object.flatMap({ event($0, messageID: messageID) }) {
                batch.events.append(event)
            } else {
                batch.invalid.append(item.text)
            }
        }
        return batch
    }

    /// `nil` when the item is no event.
    package func event(_ item: JSONObject, messageID: String?) -> LifecycleEvent? {
        type == .clerk
            ? ClerkWebhook.event(item, messageID: messageID, map: map) : Auth0LogStream.event(item, map: map)
    }
}

extension JSON {
    /// The value, or what is none as one text.
    init(lenientlyParsing bytes: some Collection<UInt8>) {
        do { self = try JSON(parsing: Array(bytes)) } catch { self = .string(String(decoding: bytes, as: UTF8.self)) }
    }
}

extension JSONObject {
    private static let textBytesMax = 512

    /// These members alone, of those that are there and are short texts, numbers or flags.
    func picking(_ names: String...) -> JSONObject {
        var picked = JSONObject()
        for name in names {
            switch self[name] {
            case .string(let text)? where text.utf8.count <= Self.textBytesMax: picked[name] = .string(text)
            case .number(let number)? where number.text.utf8.count <= Self.textBytesMax: picked[name] = .number(number)
            case .bool(let flag)?: picked[name] = .bool(flag)
            default: break
            }
        }
        return picked
    }
}
