import VaultAPI

/// The frame of every page: one calm card, one style sheet, no script.
struct PageLayout: Sendable {
    let title: String
    let body: HTML

    var html: HTML {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>\(title) · Sallyport</title>
        <link rel="stylesheet" href="\(SitePath.stylesheet.path)">
        </head>
        <body>
        <main class="card">
        \(body)
        </main>
        <footer>Kept by <strong>Sallyport</strong>, on your own machines.</footer>
        </body>
        </html>
        """
    }

    /// - Parameter formTargets: where a form of the page may lead, beside our own origin (CSP `form-action` sources).
    func answer(status: Int = 200, formTargets: [String] = []) -> Answer {
        let policy = [
            "default-src 'none'", "style-src 'self'", "img-src 'self'", "base-uri 'none'", "frame-ancestors 'none'",
            "form-action 'self' " + formTargets.joined(separator: " "),
        ]
        return Answer(
            status: status,
            headers: [
                (name: "Content-Type", value: "text/html; charset=utf-8"),
                (name: "Content-Security-Policy", value: policy.joined(separator: "; ").trimmingSpaces()),
            ], body: Array(html.text.utf8))
    }
}

extension String {
    fileprivate func trimmingSpaces() -> String { split(separator: " ").joined(separator: " ") }
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

/// The way back to the app: only addresses that were checked when the session was opened.
struct ReturnLink: Sendable {
    let url: String

    var html: HTML { "<p><a class=\"button\" href=\"\(url)\" rel=\"noreferrer\">Back to the app</a></p>" }
}
