import VaultAPI

/// A policy's document as a form, and the form as a document. Names of fields are the paths under which the document's
/// reader reports problems, so that each stands at its field.
enum PolicyForm {
    static let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    /// As many as the document may have.
    static let windowsMax = 50

    /// Lists, one entry on each line. Names of groups and paths may hold commas; methods and addresses do not.
    private static let lists: [(name: String, splitsAtCommas: Bool)] = [
        ("allowed_groups", false), ("allowed_roles", false),
        ("ip_allowlist", true), ("methods", true), ("paths", false),
    ]
    private static let approvalLists: [(name: String, splitsAtCommas: Bool)] = [("methods", true), ("paths", false)]

    static func window(_ row: Int, _ member: String) -> String { "time.windows[\(row)].\(member)" }

    /// What the box beside a list is called that keeps it, empty as it is: it refuses everything.
    static func emptyBox(_ name: String) -> String { name + ".empty" }

    // MARK: The document as fields

    static func values(_ document: JSONObject) -> FormState {
        var items: [(name: String, value: String)] = []
        func add(_ name: String, _ value: String?) { if let value { items.append((name: name, value: value)) } }
        func addList(_ name: String, _ value: JSON?) {
            guard let value else { return }
            add(name, text(of: value))
            if value.array?.isEmpty == true { add(emptyBox(name), "on") }
        }
        for list in lists { addList(list.name, document[list.name]) }
        let time = document["time"]
        for name in ["business_hours_only", "weekdays_only"] where time?[name]?.bool == true {
            add("time." + name, "on")
        }
        add("time.timezone", time?["timezone"]?.string)
        for (row, each) in (time?["windows"]?.array ?? []).enumerated() {
            for name in ["start", "end"] { add(window(row, name), each[name]?.string) }
            for day in each["days"]?.array ?? [] { add(window(row, "days"), day.string) }
        }
        for (object, names) in [
            ("grant_ttl", ["default_seconds", "max_seconds"]), ("rate_limit", ["requests", "per_seconds"]),
        ] {
            for name in names { add(object + "." + name, document[object]?[name]?.number?.text) }
        }
        add("rate_limit.per", document["rate_limit"]?["per"]?.string)
        if let approval = document["require_approval"] {
            add("require_approval", "on")
            add("require_approval.approvers", approval["approvers"]?.string)
            for list in approvalLists { addList("require_approval." + list.name, approval[list.name]) }
        }
        return FormState(items)
    }

    private static func text(of list: JSON) -> String {
        (list.array ?? []).compactMap(\.string).joined(separator: "\n")
    }

    // MARK: The fields as a document

    /// The same form with its windows numbered from the first, without those that have no times.
    static func withoutEmptyWindows(_ form: FormValues) -> FormValues {
        let rows = (0..<windowsMax).filter { !form[window($0, "start")].isEmpty || !form[window($0, "end")].isEmpty }
        return form.renaming { name in
            guard name.hasPrefix("time.windows[") else { return name }
            for (new, old) in rows.enumerated() {
                for member in ["start", "end", "days"] where name == window(old, member) { return window(new, member) }
            }
            return nil
        }
    }

    /// The stored document with what the form says. Members that the form does not name stay as they are.
    static func document(_ form: FormValues, over stored: JSONObject) -> JSONObject {
        var document = stored
        for list in lists {
            document[list.name] = self.list(form, list.name, stored[list.name], splitsAtCommas: list.splitsAtCommas)
        }
        document["time"] = time(form, stored["time"]?.object)
        document["grant_ttl"] = numbers(
            form, "grant_ttl", ["default_seconds", "max_seconds"], stored["grant_ttl"]?.object
        )
        .map(JSON.object)
        if var rate = numbers(form, "rate_limit", ["requests", "per_seconds"], stored["rate_limit"]?.object) {
            let per = form["rate_limit.per"]
            if !per.isEmpty { rate["per"] = .string(per) }
            document["rate_limit"] = .object(rate)
        } else {
            document["rate_limit"] = nil
        }
        document["require_approval"] = approval(form, stored["require_approval"]?.object)
        return document
    }

    /// What was not touched stays as it is stored, blanks and all.
    private static func list(_ form: FormValues, _ name: String, _ stored: JSON?, splitsAtCommas: Bool) -> JSON? {
        let typed = form.raw(name).replacing("\r\n", with: "\n")
        if let stored, stored.array?.isEmpty == false, HTML.escaped(typed) == HTML.escaped(text(of: stored)) {
            return stored
        }
        let entries =
            splitsAtCommas
            ? form.list(name)
            : typed.split(whereSeparator: \.isNewline).map { FormValues([(name: name, value: String($0))])[name] }
                .filter { !$0.isEmpty }
        guard entries.isEmpty else { return .strings(entries) }
        return form.has(emptyBox(name), "on") ? .some(.array([])) : .none
    }

    private static func time(_ form: FormValues, _ stored: JSONObject?) -> JSON? {
        var time = stored ?? [:]
        for name in ["business_hours_only", "weekdays_only"] {
            time[name] = form.has("time." + name, "on") ? .some(.bool(true)) : .none
        }
        let zone = form["time.timezone"]
        time["timezone"] = zone.isEmpty ? .none : .some(.string(zone))
        let storedWindows = stored?["windows"]?.array ?? []
        var windows: [JSON] = []
        for row in 0..<windowsMax {
            guard let window = window(form, row) else { continue }
            windows.append(storedWindows.first { isSame($0, window) } ?? window)
        }
        time["windows"] = windows.isEmpty ? .none : .some(.array(windows))
        if time.isEmpty, stored?.isEmpty != true { return nil }
        return .object(time)
    }

    private static func window(_ form: FormValues, _ row: Int) -> JSON? {
        let start = form[window(row, "start")]
        let end = form[window(row, "end")]
        guard !start.isEmpty || !end.isEmpty else { return nil }
        let days = form.all(window(row, "days"))
        var object = JSONObject()
        if !days.isEmpty { object["days"] = .strings(days) }
        if !start.isEmpty { object["start"] = .string(start) }
        if !end.isEmpty { object["end"] = .string(end) }
        return .object(object)
    }

    /// Whether two windows differ in nothing but the order of their days.
    private static func isSame(_ one: JSON, _ other: JSON) -> Bool {
        func days(_ window: JSON) -> Set<String>? { window["days"]?.array.map { Set($0.compactMap(\.string)) } }
        return one["start"] == other["start"] && one["end"] == other["end"] && days(one) == days(other)
    }

    /// `nil` when no number is given.
    private static func numbers(_ form: FormValues, _ object: String, _ names: [String], _ stored: JSONObject?)
        -> JSONObject?
    {
        var numbers = stored ?? [:]
        let typed = names.map { (name: $0, text: form[object + "." + $0]) }
        guard typed.contains(where: { !$0.text.isEmpty }) else { return nil }
        for (name, text) in typed {
            guard !text.isEmpty else {
                numbers[name] = nil
                continue
            }
            // What is no number is left to the document's reader to refuse.
            numbers[name] = Int64(text).map { JSON.integer($0) } ?? JSON.string(text)
        }
        return numbers
    }

    private static func approval(_ form: FormValues, _ stored: JSONObject?) -> JSON? {
        guard form.has("require_approval", "on") else { return nil }
        var approval = stored ?? [:]
        for each in approvalLists {
            approval[each.name] = list(
                form, "require_approval." + each.name, stored?[each.name], splitsAtCommas: each.splitsAtCommas)
        }
        let approvers = form["require_approval.approvers"]
        if !approvers.isEmpty { approval["approvers"] = .string(approvers) }
        return .object(approval)
    }
}
