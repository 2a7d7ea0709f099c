import Foundation
import VaultAPI

// Reading what identity providers push. Pure: authentication happened before, effects happen after.

package enum LifecycleAction: String, Sendable, CaseIterable {
    case deprovision, suspend, restore, ignore
}

/// One event of a delivery, mapped to what it does.
package struct LifecycleEvent: Sendable, Equatable {
    /// Makes repeats harmless: Auth0 `log_id`, or the Svix message id.
    package let deliveryID: String
    package let type: String
    package let subject: String?
    package let action: LifecycleAction
    package let occurredAt: Instant?
    /// Why this action, when the type alone does not say it.
    package let note: String?

    package init(
        deliveryID: String, type: String, subject: String?, action: LifecycleAction, occurredAt: Instant?,
        note: String? = nil
    ) {
        self.deliveryID = deliveryID
        self.type = type
        self.subject = subject
        self.action = action
        self.occurredAt = occurredAt
        self.note = note
    }
}

extension LifecycleEvent {
    package func occurring(at time: Instant?) -> LifecycleEvent {
        LifecycleEvent(
            deliveryID: deliveryID, type: type, subject: subject, action: action, occurredAt: time, note: note)
    }
}

package enum LifecycleParsingError: Error, Sendable { case noValidEvent }

/// Auth0 custom log streams: a JSON array, one object, or JSON lines; an item is `{log_id, data:{…}}` or the inner object.
package enum Auth0LogStream {
    package static func events(body: [UInt8]) throws(LifecycleParsingError) -> [LifecycleEvent] {
        let events = items(body).compactMap(event)
        guard !events.isEmpty else { throw .noValidEvent }
        return events
    }

    private static func items(_ body: [UInt8]) -> [JSONObject] {
        if let whole = try? JSON(parsing: body) {
            return whole.array?.compactMap(\.object) ?? [whole.object].compactMap(\.self)
        }
        return body.split(separator: UInt8(ascii: "\n")).compactMap { try? JSON(parsing: $0) }.compactMap(\.object)
    }

    private static func event(_ item: JSONObject) -> LifecycleEvent? {
        let data = item["data"]?.object ?? item
        guard let type = data["type"]?.string, type.utf8.count <= 64,
            let logID = item["log_id"]?.string ?? data["log_id"]?.string, !logID.isEmpty, logID.utf8.count <= 255
        else { return nil }
        let occurredAt = data["date"]?.string.flatMap(Instant.init(rfc3339:))
        let (subject, action, note) = effect(type: type, data: data)
        return LifecycleEvent(
            deliveryID: logID, type: type, subject: subject, action: action, occurredAt: occurredAt, note: note)
    }

    private static func effect(type: String, data: JSONObject) -> (String?, LifecycleAction, String?) {
        let subject = data["user_id"]?.string
        switch type {
        case "sdu", "user.deleted": return (subject, .deprovision, nil)
        case "ubuu", "user.unsuspended": return (subject, .restore, nil)
        case "user.suspended": return (subject, .suspend, nil)
        case "ublkdu":
            // Auth0's own schema calls this code a login block that was released; its documentation here, a block.
            let words = [data["description"]?.string, data["details"]?["title"]?.string].compactMap { $0?.lowercased() }
            let isRelease = words.contains { $0.contains("released") || $0.contains("unblocked") }
            return (
                subject, isRelease ? .restore : .suspend,
                isRelease ? "the record says that the block was released" : nil
            )
        case "sapi": return managementAPI(data)
        default: return (subject, .ignore, nil)
        }
    }

    /// An administrator's call of Auth0's Management API: what a tenant sends when somebody blocks or deletes a user.
    private static func managementAPI(_ data: JSONObject) -> (String?, LifecycleAction, String?) {
        guard let request = data["details"]?["request"], let method = request["method"]?.string?.uppercased(),
            let path = request["path"]?.string,
            let status = data["details"]?["response"]?["statusCode"]?.number?.integer,
            (200...299).contains(status)
        else { return (nil, .ignore, nil) }
        let prefix = "/api/v2/users/"
        guard path.hasPrefix(prefix), let subject = String(path.dropFirst(prefix.count)).removingPercentEncoding,
            !subject.isEmpty, !path.dropFirst(prefix.count).contains("/")
        else { return (nil, .ignore, nil) }
        switch (method, request["body"]?["blocked"]?.bool) {
        case ("DELETE", _): return (subject, .deprovision, "an administrator deleted the user")
        case ("PATCH", true?): return (subject, .suspend, "an administrator blocked the user")
        case ("PATCH", false?): return (subject, .restore, "an administrator unblocked the user")
        default: return (nil, .ignore, nil)
        }
    }
}

/// Clerk webhooks: one event per message.
package enum ClerkWebhook {
    package static func event(body: [UInt8], messageID: String) throws(LifecycleParsingError) -> LifecycleEvent {
        guard let object = (try? JSON(parsing: body))?.object, let type = object["type"]?.string, type.utf8.count <= 64
        else { throw .noValidEvent }
        let data = object["data"]?.object ?? [:]
        let occurredAt = (data["updated_at"] ?? object["timestamp"])?.number?.integer.map(instant)
        let subject = data["id"]?.string
        let action: LifecycleAction
        switch type {
        case "user.deleted": action = .deprovision
        case "user.suspended": action = .suspend
        case "user.unsuspended": action = .restore
        case "user.updated":
            let isBlocked = data["banned"]?.bool == true || data["locked"]?.bool == true
            let isKnown = data["banned"]?.bool != nil || data["locked"]?.bool != nil
            action = isBlocked ? .suspend : isKnown ? .restore : .ignore
        default: action = .ignore
        }
        return LifecycleEvent(
            deliveryID: messageID, type: type, subject: subject, action: action, occurredAt: occurredAt)
    }

    /// Clerk's examples use seconds, its deliveries milliseconds.
    private static func instant(_ value: Int64) -> Instant {
        value < 100_000_000_000 ? Instant(seconds: value) : Instant(milliseconds: value)
    }
}

/// Which events do what, as the Identity page shows it. Everything else is recorded as ignored.
package enum LifecycleEventMap {
    package static func defaults(for type: IdentityProviderType) -> JSONObject {
        switch type {
        case .auth0:
            [
                "sdu": "deprovision", "ublkdu": "suspend", "ubuu": "restore", "sapi": "by_operation",
                "user.deleted": "deprovision", "user.suspended": "suspend", "user.unsuspended": "restore",
            ]
        case .clerk:
            [
                "user.deleted": "deprovision", "user.updated": "suspend_or_restore", "user.suspended": "suspend",
                "user.unsuspended": "restore",
            ]
        default: [:]
        }
    }
}
