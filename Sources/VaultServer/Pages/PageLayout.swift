import VaultAPI
import VaultStore

/// The frame of every page: head, one style sheet, one script, and what is around the content.
struct PageLayout: Sendable {
    /// What a page shows around its content.
    enum Frame: Sendable {
        /// One card in the middle.
        case single
        /// A header, and a column that may have a navigation beside it.
        case site(header: HTML, navigation: HTML?)
    }

    let title: String
    let body: HTML
    /// The app whose name, logo and colour the page carries.
    var brand: AppBrand?
    var frame = Frame.single
    /// Scripts of this page alone, by their addresses.
    var scripts: [String] = []

    var html: HTML {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>\(title) · \(brand?.name ?? "Sallyport")</title>
        <link rel="icon" href="data:,">
        <link rel="stylesheet" href="\(Asset.stylesheetPath)">
        \(brand?.stylesheet)
        <script src="\(Asset.scriptPath)" defer></script>
        \(scripts.map { "<script src=\"\($0)\" defer></script>" as HTML })
        </head>
        \(framed)
        </html>
        """
    }

    private var framed: HTML {
        switch frame {
        case .single:
            """
            <body class="single">
            <main>
            \(brand?.logo)
            \(body)
            </main>
            <footer>Kept by <strong>Sallyport</strong>, on your own machines.</footer>
            </body>
            """
        case .site(let header, let navigation):
            """
            <body>
            <a class="skip" href="#content">Skip to the content</a>
            <header class="site-header">
            \(header)
            </header>
            <div class="frame\(navigation == nil ? " narrow" : "")">
            \(navigation)
            <main id="content" tabindex="-1">
            \(body)
            </main>
            </div>
            </body>
            """
        }
    }

    /// - Parameter formTargets: where a form of the page may lead, beside our own origin (CSP `form-action` sources).
    func answer(status: Int = 200, formTargets: [String] = []) -> Answer {
        let policy = [
            "default-src 'none'", "style-src 'self'", "script-src 'self'", "connect-src 'self'", "img-src 'self' data:",
            "base-uri 'none'", "frame-ancestors 'none'", (["form-action 'self'"] + formTargets).joined(separator: " "),
        ]
        return Answer(
            status: status,
            headers: [
                (name: "Content-Type", value: "text/html; charset=utf-8"),
                (name: "Content-Security-Policy", value: policy.joined(separator: "; ")),
            ], body: Array(html.text.utf8))
    }
}

/// A plain page with one message.
struct MessagePage: Sendable {
    let title: String
    let message: String
    var returnURL: String?

    var layout: PageLayout {
        PageLayout(
            title: title,
            body: """
                <h1>\(title)</h1>
                <p>\(message)</p>
                \(returnURL.map { ReturnLink(url: $0).html })
                """)
    }
}

extension MessagePage {
    /// A refusal, as a page by itself.
    static func refusal(_ error: VaultError) -> Answer {
        let title = error.code == .notFound ? "This link does not work" : "That did not work"
        var answer = MessagePage(title: title, message: error.message).layout.answer(status: error.code.status)
        answer.errorCode = error.code
        if let seconds = error.retryAfterSeconds {
            answer.headers.append((name: "Retry-After", value: String(seconds)))
        }
        return answer
    }
}

/// The way back to the app: only addresses that were checked when the session was opened.
struct ReturnLink: Sendable {
    let url: String

    var html: HTML { "<p><a class=\"button\" href=\"\(url)\" rel=\"noreferrer\">Back to the app</a></p>" }
}
