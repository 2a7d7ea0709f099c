import VaultAPI

// The parts that pages are made of. A part is a value with `html`.

/// A labelled input, with its hint and its problem tied to it.
struct Field: Sendable {
    enum Kind: Sendable {
        case text, password, email, url, number, search, dateTime, file
        case area(rows: Int)
        case select([(value: String, label: String)])
    }

    let name: String
    let label: String
    let state: FormState
    var kind = Kind.text
    var hint: HTML?
    var isRequired = false
    /// What is shown before anything was sent.
    var initial = ""
    var placeholder = ""
    /// HTML `autocomplete`; passwords and secrets say what they are.
    var autocomplete = "off"
    /// Distinguishes fields of one name on one page.
    var idPrefix = ""

    init(
        _ name: String, _ label: String, _ state: FormState, kind: Kind = .text, hint: HTML? = nil,
        isRequired: Bool = false, initial: String = "", placeholder: String = "", autocomplete: String = "off",
        idPrefix: String = ""
    ) {
        self.name = name
        self.label = label
        self.state = state
        self.kind = kind
        self.hint = hint
        self.isRequired = isRequired
        self.initial = initial
        self.placeholder = placeholder
        self.autocomplete = autocomplete
        self.idPrefix = idPrefix
    }

    private var id: String { "f-" + idPrefix + name }
    private var value: String { state.isSent ? state.values.raw(name) : initial }

    var html: HTML {
        let problem = state.problem(name)
        let described = [hint.map { _ in id + "-hint" }, problem.map { _ in id + "-problem" }].compactMap { $0 }
        let describedBy: HTML? =
            described.isEmpty ? nil : " aria-describedby=\"\(described.joined(separator: " "))\""
        let invalid: HTML? = problem == nil ? nil : " aria-invalid=\"true\""
        let required: HTML? = isRequired ? " required" : nil
        let common: HTML = "id=\"\(id)\" name=\"\(name)\"\(describedBy)\(invalid)\(required)"
        return """
            <div class="field">
            <label for="\(id)">\(label)\(isRequired ? nil : optionalMark)</label>
            \(control(common))
            \(hint.map { "<p class=\"hint\" id=\"\(id)-hint\">\($0)</p>" as HTML })
            \(problem.map { "<p class=\"problem\" id=\"\(id)-problem\">\(label) \($0).</p>" as HTML })
            </div>
            """
    }

    private var optionalMark: HTML? {
        if case .select = kind { return nil }
        if case .search = kind { return nil }
        return " <span class=\"quiet\">(optional)</span>"
    }

    private func control(_ common: HTML) -> HTML {
        func input(_ type: String, value: String) -> HTML {
            let hintText: HTML? = placeholder.isEmpty ? nil : " placeholder=\"\(placeholder)\""
            return
                "<input type=\"\(type)\" \(common) value=\"\(value)\" autocomplete=\"\(autocomplete)\"\(hintText) spellcheck=\"false\">"
        }
        switch kind {
        case .text: return input("text", value: value)
        // Never filled again: a secret is not written back into a page.
        case .password: return input("password", value: "")
        case .email: return input("email", value: value)
        case .url: return input("url", value: value)
        case .number: return input("number", value: value)
        case .search: return input("search", value: value)
        case .dateTime: return input("datetime-local", value: value)
        case .file: return "<input type=\"file\" \(common)>"
        case .area(let rows):
            // Browsers send every line end as CR LF.
            let text = value.replacing("\r\n", with: "\n")
            return "<textarea \(common) rows=\"\(String(rows))\" spellcheck=\"false\">\n\(text)</textarea>"
        case .select(let options):
            return """
                <select \(common)>
                \(options.map { option in
                    let selected: HTML? = option.value == value ? " selected" : nil
                    return "<option value=\"\(option.value)\"\(selected)>\(option.label)</option>" as HTML
                })
                </select>
                """
        }
    }
}

/// One box to tick. Several of one name make a list.
struct CheckBox: Sendable {
    let name: String
    let value: String
    let label: HTML
    let state: FormState
    /// Whether it is ticked before anything was sent.
    var isInitiallyOn = false

    var html: HTML {
        let isOn = state.isSent ? state.values.has(name, value) : isInitiallyOn
        let checked: HTML? = isOn ? " checked" : nil
        return
            "<label class=\"check\"><input type=\"checkbox\" name=\"\(name)\" value=\"\(value)\"\(checked)> <span>\(label)</span></label>"
    }
}

/// A value to be copied elsewhere. The button shows where scripts run.
struct CopyField: Sendable {
    let id: String
    let label: String
    let value: String

    var html: HTML {
        """
        <div class="field">
        <label for="copy-\(id)">\(label)</label>
        <div class="copy">
        <input id="copy-\(id)" value="\(value)" readonly>
        <button type="button" class="plain" data-copy="copy-\(id)" hidden aria-label="Copy \(label)">Copy</button>
        </div>
        </div>
        """
    }
}

/// Text of several lines to be copied, like a snippet of code.
struct CopyBlock: Sendable {
    let id: String
    let label: String
    let text: String

    var html: HTML {
        """
        <h3>\(label)</h3>
        <pre tabindex="0" role="group" aria-label="\(label)"><code id="block-\(id)">\(text)</code></pre>
        <p><button type="button" class="plain compact" data-copy="block-\(id)" hidden aria-label="Copy \(label)">Copy</button></p>
        """
    }
}

enum Tone: String, Sendable { case neutral, good, bad, warn }

struct Badge: Sendable {
    let text: String
    var tone = Tone.neutral

    init(_ text: String, _ tone: Tone = .neutral) {
        self.text = text
        self.tone = tone
    }

    var html: HTML { "<span class=\"badge \(tone.rawValue)\">\(text)</span>" }
}

/// What just happened, or what one should know. `isAlert`: read out at once.
struct Notice: Sendable {
    let content: HTML
    var tone = Tone.neutral
    var isAlert = false

    init(_ content: HTML, _ tone: Tone = .neutral, isAlert: Bool = false) {
        self.content = content
        self.tone = tone
        self.isAlert = isAlert
    }

    var html: HTML {
        "<div class=\"notice \(tone.rawValue)\" role=\"\(isAlert ? "alert" : "note")\"><p>\(content)</p></div>"
    }
}

extension FormState {
    /// What is wrong with the whole form, read out at once.
    var alert: HTML? { message.map { Notice("\($0)", .bad, isAlert: true).html } }
}

/// A table that scrolls by itself where it is too wide; on phones its rows become blocks.
struct DataTable: Sendable {
    struct Column: Sendable {
        let title: String
        var isNumber = false

        init(_ title: String, isNumber: Bool = false) {
            self.title = title
            self.isNumber = isNumber
        }
    }

    let label: String
    let columns: [Column]
    /// The first cell of a row names it.
    let rows: [[HTML]]

    var html: HTML {
        """
        <div class="table" role="group" aria-label="\(label)" tabindex="0">
        <table class="stack">
        <thead><tr>\(columns.map { "<th scope=\"col\"\($0.isNumber ? numberClass : nil)>\($0.title)</th>" as HTML })</tr></thead>
        <tbody>
        \(rows.map(row))
        </tbody>
        </table>
        </div>
        """
    }

    private var numberClass: HTML { " class=\"number\"" }

    private func row(_ cells: [HTML]) -> HTML {
        let marked = cells.enumerated().map { index, cell -> HTML in
            let isNumber = columns.indices.contains(index) && columns[index].isNumber
            return "<td\(isNumber ? numberClass : nil)>\(cell)</td>"
        }
        return "<tr>\(marked)</tr>\n"
    }
}

/// An empty list: what would be here, and what to do next.
struct EmptyState: Sendable {
    let title: String
    let text: HTML
    var action: HTML?

    var html: HTML { "<div class=\"empty\"><h2>\(title)</h2><p>\(text)</p>\(action)</div>" }
}

/// A value as machines know it.
struct Code: Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    var html: HTML { "<code>\(text)</code>" }
}

/// Several of them, one after the other.
struct CodeList: Sendable {
    let texts: [String]

    init(_ texts: [String]) { self.texts = texts }

    var html: HTML { "\(texts.map { "<code>\($0)</code> " as HTML })" }
}

/// Facts about one thing, by name.
struct Facts: Sendable {
    let rows: [(name: String, value: HTML?)]

    init(_ rows: [(name: String, value: HTML?)]) { self.rows = rows }

    var html: HTML {
        let items = rows.compactMap { row in
            row.value.map { "<dt>\(row.name)</dt><dd>\($0)</dd>" as HTML }
        }
        return "<dl class=\"facts\">\(items)</dl>"
    }
}

/// What ties a form to the session or browser that its page was made for: a form that another site sends has none.
struct CSRFField: Sendable {
    let token: String

    init(_ token: String) { self.token = token }

    var html: HTML { "<input type=\"hidden\" name=\"csrf\" value=\"\(token)\">" }
}

/// A form that is only a button.
struct ButtonForm: Sendable {
    let path: String
    let csrfToken: String
    let label: String
    var style = "plain compact"
    var fields: [(name: String, value: String)] = []
    /// What a screen reader says, where the label alone would name several things.
    var accessibleLabel: String?

    var html: HTML {
        let spoken: HTML? = accessibleLabel.map { " aria-label=\"\($0)\"" }
        return """
            <form method="post" action="\(path)">\(CSRFField(csrfToken).html)\
            \(fields.map { "<input type=\"hidden\" name=\"\($0.name)\" value=\"\($0.value)\">" as HTML })\
            <button class="\(style)"\(spoken)>\(label)</button></form>
            """
    }
}

/// The first letter of a name, where there is no picture.
struct Letter: Sendable {
    let name: String

    var html: HTML {
        "<span class=\"letter\" aria-hidden=\"true\">\(name.first.map { String($0).uppercased() } ?? "·")</span>"
    }
}

/// A time in words, with the exact one at hand.
struct TimeText: Sendable {
    let instant: Instant
    let now: Instant

    var html: HTML {
        "<time datetime=\"\(instant.rfc3339)\" title=\"\(instant.dayAndTime)\">\(words)</time>"
    }

    private var words: String {
        let seconds = now.seconds - instant.seconds
        let distance = abs(seconds)
        let amount: String
        switch distance {
        case ..<45: return seconds < 0 ? "in a moment" : "just now"
        case ..<5400: amount = Self.count(max(1, (distance + 30) / 60), "minute")
        case ..<129_600: amount = Self.count((distance + 1800) / 3600, "hour")
        case ..<3_888_000: amount = Self.count((distance + 43_200) / 86_400, "day")
        default: return instant.dayAndTime
        }
        return seconds < 0 ? "in " + amount : amount + " ago"
    }

    static func count(_ number: Int64, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}

extension Instant {
    /// `2026-11-24 at 22:05 UTC`
    var dayAndTime: String {
        let text = rfc3339
        return text.prefix(10) + " at " + text.dropFirst(11).prefix(5) + " UTC"
    }
}
