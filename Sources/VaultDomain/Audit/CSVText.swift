/// Comma-separated values (RFC 4180) that are safe to open in a spreadsheet.
package enum CSVText {
    package static func line(_ cells: [String]) -> [UInt8] { Array((cells.joined(separator: ",") + "\r\n").utf8) }

    /// Spreadsheets run what begins like a formula: an apostrophe makes it text.
    package static func cell(_ text: String) -> String {
        guard let first = text.unicodeScalars.first, "=+-@\t\r\n".unicodeScalars.contains(first) else {
            return quoted(text)
        }
        return quoted("'" + text)
    }

    /// For what is no text and cannot be a formula, like a negative number.
    package static func quoted(_ text: String) -> String {
        guard text.utf8.contains(where: { "\",;\t\r\n".utf8.contains($0) }) else { return text }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }
}
