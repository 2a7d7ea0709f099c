import VaultAPI

/// Clerk webhooks: one event in each message. Shapes are those of Clerk's published OpenAPI description of its webhooks.
enum ClerkWebhook {
    static func event(_ item: JSONObject, messageID: String?, map: LifecycleEventMap) -> LifecycleEvent? {
        guard let type = LifecycleEventMap.eventType(item["type"]) else { return nil }
        let data = item["data"]?.object ?? [:]
        var source = item.picking("type", "timestamp")
        source["data"] = .object(known(data))
        return LifecycleEvent(
            deliveryID: messageID, type: type, subject: subject(type, data), occurredAt: time(type, item, data),
            effect: effect(map.action(type), data), source: source)
    }

    /// A user's own events carry the user; the others say whom they are about.
    private static func subject(_ type: String, _ data: JSONObject) -> String? {
        type.hasPrefix("user.")
            ? data["id"]?.string : (data["public_user_data"]?["user_id"] ?? data["user_id"])?.string
    }

    private static func effect(_ action: LifecycleAction, _ data: JSONObject) -> LifecycleEffect {
        switch action {
        case .deprovision: return .deprovision
        case .suspend: return .suspend
        case .restore: return .restore
        case .sync:
            let flags = [data["banned"]?.bool, data["locked"]?.bool].compactMap(\.self)
            return .sync(profile(data), isBlocked: flags.isEmpty ? nil : flags.contains(true))
        case .removeMembership:
            let organization = data["organization"]
            return .removeMembership(
                names: [organization?["id"]?.string, organization?["slug"]?.string].compactMap(\.self))
        case .ignore, .byOperation: return .ignore
        }
    }

    private static func profile(_ data: JSONObject) -> UserProfile {
        let primary = data["primary_email_address_id"]?.string
        let addresses = data["email_addresses"]?.array ?? []
        let email = primary.flatMap { id in addresses.first { $0["id"]?.string == id }?["email_address"]?.string }
        let name = [data["first_name"]?.string, data["last_name"]?.string].compactMap(\.self).filter { !$0.isEmpty }
        return UserProfile(
            email: email, displayName: name.isEmpty ? data["username"]?.string : name.joined(separator: " "))
    }

    /// A membership's own time is when it was last changed, which may be long before it ended.
    private static func time(_ type: String, _ item: JSONObject, _ data: JSONObject) -> Instant? {
        let updated = data["updated_at"]?.number?.integer.flatMap(instant)
        let sent = item["timestamp"]?.number?.integer.flatMap(instant)
        guard let updated, let sent, !type.hasPrefix("user.") else { return updated ?? sent }
        return max(updated, sent)
    }

    /// Clerk's examples use seconds, its deliveries milliseconds.
    private static func instant(_ value: Int64) -> Instant? {
        LifecycleEvent.plausible(
            (0..<100_000_000_000).contains(value) ? Instant(seconds: value) : Instant(milliseconds: value))
    }

    private static func known(_ data: JSONObject) -> JSONObject {
        var known = data.picking("id", "user_id", "updated_at", "banned", "locked")
        known["organization"] = data["organization"]?.object.map { .object($0.picking("id", "slug")) }
        known["public_user_data"] = data["public_user_data"]?.object.map { .object($0.picking("user_id")) }
        return known
    }
}
