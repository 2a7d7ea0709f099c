/// What narrows a list: parts that must all hold, with their parameters numbered as they come.
///
/// Only what is asked for stands in the text, so that an index can answer it. Of `(?1 IS NULL OR status = ?1)` a database
/// can make no search, and reads everything.
struct ListCondition {
    /// What is read, where it is not the table of the list alone.
    var source: String
    private(set) var arguments: [any SQLBindable] = []
    private var parts: [String] = []

    var text: String { parts.joined(separator: " AND ") }

    init(_ table: String) { source = table }

    /// The number under which the value stands in the text.
    mutating func bind(_ value: any SQLBindable) -> String {
        arguments.append(value)
        return "?\(arguments.count)"
    }

    mutating func require(_ part: String) { parts.append(part) }
}
