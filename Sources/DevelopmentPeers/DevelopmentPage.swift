// The few pages of the peers: who to sign in as, which account to share. No script; forms and buttons only.

/// HTML in which literals are markup and interpolated text is escaped.
struct Markup: Sendable, ExpressibleByStringInterpolation {
    let text: String

    init(stringLiteral value: String) { text = value }
    init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }
    init(_ parts: some Sequence<Markup>) { text = parts.map(\.text).joined() }

    struct StringInterpolation: StringInterpolationProtocol {
        var text = ""

        init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

        mutating func appendLiteral(_ literal: String) { text += literal }
        mutating func appendInterpolation(_ markup: Markup) { text += markup.text }
        mutating func appendInterpolation(_ value: String) { text += Markup.escape(value) }
    }

    private static func escape(_ value: String) -> String {
        var escaped = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

struct DevelopmentPage: Sendable {
    let title: String
    let content: Markup

    /// One button for each person or account; choosing sends `choice`, declining sends `decision=deny`.
    static func chooser(
        title: String, lead: String, choices: [(id: String, name: String, detail: String)], hidden: FormFields
    ) -> DevelopmentPage {
        let fields = hidden.fields.map { field -> Markup in
            "<input type=\"hidden\" name=\"\(field.name)\" value=\"\(field.value)\">"
        }
        let buttons = choices.map { choice -> Markup in
            """
            <li><button name="choice" value="\(choice.id)"><strong>\(choice.name)</strong> \
            <span>\(choice.detail)</span></button></li>
            """
        }
        return DevelopmentPage(
            title: title,
            content: """
                <p>\(lead)</p>
                <form method="post" action="/authorize">\(Markup(fields))
                <ul>\(Markup(buttons))</ul>
                <p><button class="quiet" name="decision" value="deny">Cancel</button></p>
                </form>
                """)
    }

    static func message(_ title: String, _ text: String) -> DevelopmentPage {
        DevelopmentPage(title: title, content: "<p>\(text)</p>")
    }

    var html: String {
        let page: Markup = """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><title>\(title)</title>
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <style>
            :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
            body { max-width: 28rem; margin: 12vh auto; padding: 0 1rem; }
            ul { list-style: none; padding: 0; }
            button { font: inherit; width: 100%; text-align: left; padding: .75rem 1rem; margin: .25rem 0;
              border: 1px solid; border-radius: .5rem; background: none; color: inherit; cursor: pointer; }
            button:hover, button:focus-visible { outline: 3px solid; }
            button span, footer { opacity: .75; }
            .quiet { width: auto; }
            </style></head>
            <body><main><h1>\(title)</h1>
            \(content)
            </main><footer><p>For development only: nothing here asks for a password.</p></footer></body></html>
            """
        return page.text
    }
}
