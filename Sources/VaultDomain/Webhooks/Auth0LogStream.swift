import Foundation
import VaultAPI

/// Auth0 custom log streams: a JSON array, one object, or JSON lines; an item is `{log_id, data:{…}}` or the inner object.
enum Auth0LogStream {
    static func items(_ body: [UInt8]) -> [JSON] {
        if let whole = try? JSON(parsing: body) { return whole.array ?? [whole] }
        return body.split(separator: UInt8(ascii: "\n")).filter { $0 != [UInt8(ascii: "\r")] }
            .map { JSON(lenientlyParsing: $0) }
    }

    static func event(_ item: JSONObject, map: LifecycleEventMap) -> LifecycleEvent? {
        let data = item["data"]?.object ?? item
        guard let type = LifecycleEventMap.eventType(data["type"]) else { return nil }
        let logID = [item["log_id"], data["log_id"]].compactMap(\.self).first { !$0.isNull }
        if let logID, !LifecycleEvent.isDeliveryID(logID.string ?? "") { return nil }
        let (subject, effect, note) = effect(map.action(type), type: type, data: data)
        var source = data.picking("type", "date", "user_id", "description")
        source["log_id"] = logID
        source["details"] = details(data).map(JSON.object)
        return LifecycleEvent(
            deliveryID: logID?.string, type: type, subject: subject,
            occurredAt: data["date"]?.string.flatMap(Instant.init(rfc3339:)).flatMap(LifecycleEvent.plausible),
            effect: effect, note: note, source: source
        )
    }

    private static func effect(
        _ action: LifecycleAction, type: String, data: JSONObject
    ) -> (subject: String?, effect: LifecycleEffect, note: String?) {
        let subject = data["user_id"]?.string
        switch action {
        case .deprovision: return (subject, .deprovision, nil)
        case .restore: return (subject, .restore, nil)
        case .suspend where type == "ublkdu" && isRelease(data):
            return (subject, .restore, "the record says that the block was released")
        case .suspend: return (subject, .suspend, nil)
        case .byOperation: return managementAPI(data)
        case .ignore, .sync, .removeMembership: return (subject, .ignore, nil)
        }
    }

    /// Auth0's own schema calls `ublkdu` a login block that was released; the setup page calls it a block.
    private static func isRelease(_ data: JSONObject) -> Bool {
        [data["description"]?.string, data["details"]?["title"]?.string].compactMap { $0?.lowercased() }
            .contains { $0.contains("released") || $0.contains("unblocked") }
    }

    /// An administrator's call of Auth0's Management API: what a tenant sends when somebody blocks or deletes a user. The
    /// record's own `user_id` is the administrator.
    private static func managementAPI(
        _ data: JSONObject
    ) -> (subject: String?, effect: LifecycleEffect, note: String?) {
        let nothing: (subject: String?, effect: LifecycleEffect, note: String?) = (nil, .ignore, nil)
        guard let request = data["details"]?["request"], let method = request["method"]?.string?.uppercased(),
            let path = request["path"]?.string,
            let status = data["details"]?["response"]?["statusCode"]?.number?.integer,
            (200...299).contains(status)
        else { return nothing }
        let prefix = "/api/v2/users/"
        let segment = path.dropFirst(prefix.count).prefix { $0 != "?" && $0 != "#" }
        guard path.hasPrefix(prefix), !segment.contains("/"), let subject = String(segment).removingPercentEncoding,
            !subject.isEmpty
        else { return nothing }
        switch (method, request["body"]?["blocked"]?.bool) {
        case ("DELETE", _): return (subject, .deprovision, "an administrator deleted the user")
        case ("PATCH", true?): return (subject, .suspend, "an administrator blocked the user")
        case ("PATCH", false?): return (subject, .restore, "an administrator unblocked the user")
        default: return nothing
        }
    }

    private static func details(_ data: JSONObject) -> JSONObject? {
        guard let details = data["details"]?.object else { return nil }
        var known = details.picking("title")
        if let request = details["request"]?.object {
            var read = request.picking("method", "path")
            read["body"] = request["body"]?.object.map { .object($0.picking("blocked")) }
            known["request"] = .object(read)
        }
        known["response"] = details["response"]?.object.map { .object($0.picking("statusCode")) }
        return known
    }
}
