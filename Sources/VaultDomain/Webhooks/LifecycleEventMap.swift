import VaultAPI

/// What an operator can have an event do.
package enum LifecycleAction: String, Sendable, CaseIterable {
    case deprovision, suspend, restore, ignore
    /// Refreshes the profile, suspends who is blocked and restores who is not any more.
    case sync
    case removeMembership = "remove_membership"
    /// What the administrator's call did, told by its method and body.
    case byOperation = "by_operation"
}

/// What the end of a membership of an organization does to the user.
package enum MembershipRemovalRule: String, Sendable, CaseIterable {
    case alwaysDeprovision = "always_deprovision"
    /// Ends the user when no other membership is known.
    case lastMembership = "last_membership"
    case membershipOnly = "membership_only"
}

/// Which events do what: the defaults of the provider's type, and an operator's changes over them. Whatever is in neither is
/// ignored.
package struct LifecycleEventMap: Sendable, Equatable {
    private let defaults: [(event: String, action: LifecycleAction)]
    /// Event types and names of actions.
    package private(set) var changes: JSONObject

    package static let changesMax = 100

    package init(_ type: IdentityProviderType, changes: JSONObject = [:]) {
        defaults = Self.defaults(type)
        self.changes = changes
    }

    /// For maps of the same type of provider.
    package static func == (one: LifecycleEventMap, other: LifecycleEventMap) -> Bool { one.changes == other.changes }

    package func action(_ eventType: String) -> LifecycleAction {
        changes[eventType]?.string.flatMap(LifecycleAction.init) ?? defaultAction(eventType) ?? .ignore
    }

    private func defaultAction(_ eventType: String) -> LifecycleAction? {
        defaults.first { $0.event == eventType }?.action
    }

    /// Every event that is named, with its action.
    package var json: JSONObject {
        var object = JSONObject()
        for entry in defaults { object[entry.event] = .string(action(entry.event).rawValue) }
        for name in changes.members.map(\.name) { object[name] = .string(action(name).rawValue) }
        return object
    }

    /// The map with an operator's edit: an action's name, or null for what it was by default. Problems are reported to
    /// `report` with the member they are about.
    package func edited(by edit: JSONObject, report: (_ event: String, _ problem: String) -> Void) -> LifecycleEventMap
    {
        var edited = self
        for (name, value) in edit.members {
            guard Self.eventType(.string(name)) != nil else {
                report(String(name.prefix(64)), "must be an event type of up to 64 printable characters")
                continue
            }
            if value.isNull {
                edited.changes[name] = nil
            } else if let action = value.string.flatMap(LifecycleAction.init), allows(action, for: name) {
                edited.changes[name] = .string(action.rawValue)
            } else {
                let allowed = choices(name).map(\.rawValue)
                report(name, "must be one of \(allowed.joined(separator: ", ")), or null for the default")
            }
        }
        if edited.changes.members.count > Self.changesMax {
            report("", "must not change more than \(Self.changesMax) events")
        }
        return edited
    }

    /// What an operator can have an event of this type do.
    package func choices(_ eventType: String) -> [LifecycleAction] {
        LifecycleAction.allCases.filter { allows($0, for: eventType) }
    }

    /// The text, if it can be the type of an event: up to 64 printable ASCII characters.
    static func eventType(_ value: JSON?) -> String? {
        guard let text = value?.string, (1...64).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        return text
    }

    /// The plain actions fit every event that names its user; the others read members that only their event has. A call of
    /// the Management API names who made it, so that no plain action may fall on that name.
    private func allows(_ action: LifecycleAction, for eventType: String) -> Bool {
        switch action {
        case .ignore: true
        case .deprovision, .suspend, .restore: defaultAction(eventType) != .byOperation
        case .sync, .removeMembership, .byOperation: defaultAction(eventType) == action
        }
    }

    private static func defaults(_ type: IdentityProviderType) -> [(event: String, action: LifecycleAction)] {
        let named: [(event: String, action: LifecycleAction)] = [
            (event: "user.deleted", action: .deprovision), (event: "user.suspended", action: .suspend),
            (event: "user.unsuspended", action: .restore),
        ]
        switch type {
        case .auth0:
            return [
                (event: "sdu", action: .deprovision), (event: "ublkdu", action: .suspend),
                (event: "ubuu", action: .restore), (event: "sapi", action: .byOperation),
            ] + named
        case .clerk:
            return [
                (event: "user.updated", action: .sync),
                (event: "organizationMembership.deleted", action: .removeMembership),
            ] + named
        default: return []
        }
    }
}
