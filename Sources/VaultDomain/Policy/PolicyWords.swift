import VaultAPI

// What a policy says, in sentences for people. Pure: the same document, the same words.

/// One rule of a document and what it says.
package struct PolicySentence: Sendable, Equatable {
    /// The member of the document.
    package let rule: String
    package let text: String

    package init(rule: String, text: String) {
        self.rule = rule
        self.text = text
    }
}

package enum PolicyWords {
    /// A sentence for each rule, in the order in which they are evaluated. A document without rules has none.
    package static func sentences(_ document: JSONObject) -> [PolicySentence] {
        let writers: [(rule: String, write: (JSON) -> String)] = [
            ("allowed_groups", groups), ("allowed_roles", roles), ("time", time), ("ip_allowlist", addresses),
            ("methods", methods), ("paths", paths), ("grant_ttl", term), ("require_approval", approval),
            ("rate_limit", rate),
        ]
        return writers.compactMap { writer in
            document[writer.rule].map { PolicySentence(rule: writer.rule, text: writer.write($0)) }
        }
    }

    // MARK: Who

    private static func groups(_ value: JSON) -> String {
        let names = strings(value)
        switch names.count {
        case 0: return "Nobody is allowed: the list of groups is empty."
        case 1: return "Only members of the group \(names[0])."
        default: return "Only members of one of the groups \(list(names, "or"))."
        }
    }

    private static func roles(_ value: JSON) -> String {
        let names = strings(value)
        switch names.count {
        case 0: return "Nobody is allowed: the list of roles is empty."
        case 1: return "Only users with the role \(names[0])."
        default: return "Only users with one of the roles \(list(names, "or"))."
        }
    }

    // MARK: When

    private static func time(_ value: JSON) -> String {
        var parts: [String] = []
        if value["business_hours_only"]?.bool == true { parts.append("from 09:00 to 17:00") }
        if value["weekdays_only"]?.bool == true { parts.append("on Monday to Friday") }
        if let windows = value["windows"]?.array { parts.append(windows.map(window).joined(separator: " or ")) }
        let zone = value["timezone"]?.string ?? "UTC"
        guard !parts.isEmpty else { return "At any time (\(zone))." }
        return "Only \(parts.joined(separator: ", and ")), by the clocks of \(zone)."
    }

    private static let dayNames: [String: String] = [
        "mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday", "sat": "Saturday",
        "sun": "Sunday",
    ]

    private static func window(_ value: JSON) -> String {
        let start = value["start"]?.string ?? ""
        let end = value["end"]?.string ?? ""
        let days = value["days"].map(strings) ?? []
        let when =
            days.isEmpty || Set(days).count == dayNames.count
            ? "every day" : "on " + list(days.map { dayNames[$0] ?? $0 }, "and")
        if start == "00:00", end == "24:00" { return when }
        // Times of one form: their order is that of their texts.
        return "\(when) from \(start) to \(end)" + (end < start ? " of the next day" : "")
    }

    // MARK: From where, and for what

    private static func addresses(_ value: JSON) -> String {
        let ranges = strings(value)
        return ranges.isEmpty
            ? "From nowhere: the list of addresses is empty." : "Only from \(list(ranges, "or"))."
    }

    private static func methods(_ value: JSON) -> String {
        let names = strings(value)
        return names.isEmpty
            ? "No call at all: the list of methods is empty." : "Only \(list(names, "and")) calls, through the proxy."
    }

    private static func paths(_ value: JSON) -> String {
        let patterns = strings(value)
        return patterns.isEmpty
            ? "No call at all: the list of paths is empty."
            : "Only calls to \(list(patterns, "or")), through the proxy."
    }

    private static func term(_ value: JSON) -> String {
        let byDefault = value["default_seconds"]?.number?.integer.map(duration)
        let longest = value["max_seconds"]?.number?.integer.map(duration)
        switch (byDefault, longest) {
        case (let byDefault?, let longest?):
            return "A grant lasts \(byDefault) unless another term is asked for, and \(longest) at most."
        case (let byDefault?, nil): return "A grant lasts \(byDefault) unless another term is asked for."
        case (nil, let longest?): return "A grant lasts \(longest) at most."
        case (nil, nil): return "A grant lasts as long as nobody ends it."
        }
    }

    private static func approval(_ value: JSON) -> String {
        let who = value["approvers"]?.string == "operator" ? "An operator" : "The user"
        var calls = "every call"
        if let names = value["methods"].map(strings) {
            calls = names.isEmpty ? "no call" : "every \(list(names, "and")) call"
        }
        if let patterns = value["paths"].map(strings) {
            calls += patterns.isEmpty ? " to no path" : " to \(list(patterns, "or"))"
        }
        return "\(who) approves \(calls) first."
    }

    private static func rate(_ value: JSON) -> String {
        let requests = value["requests"]?.number?.integer ?? 0
        let seconds = value["per_seconds"]?.number?.integer ?? 0
        let subject =
            switch value["per"]?.string {
            case "user": "each user"
            case "provider": "each provider"
            case "key": "each API key"
            case "app": "the whole app"
            default: "each grant"
            }
        return "At most \(count(requests, "use")) in any \(duration(seconds)), for \(subject)."
    }

    // MARK: Parts

    /// `90 seconds`, `5 minutes`, `36 hours`, `1 day`: the largest unit that is exact.
    package static func duration(_ seconds: Int64) -> String {
        let units: [(seconds: Int64, noun: String)] = [(86_400, "day"), (3600, "hour"), (60, "minute")]
        for unit in units where seconds > 0 && seconds % unit.seconds == 0 {
            return count(seconds / unit.seconds, unit.noun)
        }
        return count(seconds, "second")
    }

    private static func count(_ number: Int64, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }

    private static func strings(_ value: JSON) -> [String] { (value.array ?? []).compactMap(\.string) }

    /// `a`, `a or b`, `a, b or c`.
    private static func list(_ texts: [String], _ word: String) -> String {
        guard let last = texts.last, texts.count > 1 else { return texts.first ?? "" }
        return texts.dropLast().joined(separator: ", ") + " \(word) \(last)"
    }
}
