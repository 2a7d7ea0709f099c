/// Asks once more before something stops working for others.
struct ConfirmationPage: Sendable {
    let title: String
    /// What happens then.
    let text: HTML
    /// Where the form goes.
    let path: String
    let csrfToken: String
    let label: String
    let backPath: String
    var state = FormState()
    /// What can be chosen on the way.
    var fields: HTML?
    var style = "danger"

    var html: HTML {
        """
        <div class="page-head"><h1 id="question">\(title)</h1></div>
        <section class="panel" aria-labelledby="question">
        \(text)
        <form method="post" action="\(path)">
        \(CSRFField(csrfToken).html)
        \(state.alert)
        \(fields)
        <p class="actions"><button class="\(style)">\(label)</button>
        <a class="button plain" href="\(backPath)">Cancel</a></p>
        </form>
        </section>
        """
    }
}

/// A link to what can be done with one thing of a list.
struct ActionLink: Sendable {
    let path: String
    let label: String
    /// Which one: what a screen reader adds to the label.
    let thing: String
    var style = "plain"

    var html: HTML {
        "<a class=\"button compact \(style)\" href=\"\(path)\" aria-label=\"\(label) \(thing)\">\(label)</a> "
    }
}
