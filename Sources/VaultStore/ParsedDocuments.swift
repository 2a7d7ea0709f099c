import Synchronization
import VaultAPI

/// What stored documents say, by their text: the same few are read at every use. There is nothing in here that could be out of
/// date, because the text comes from the database each time.
enum ParsedDocuments {
    private static let bytesMax = 4 << 20

    private struct State {
        var documents: [String: JSON] = [:]
        var bytes = 0
    }

    private static let state = Mutex(State())

    static func json(_ text: String) throws -> JSON {
        if let known = state.withLock({ $0.documents[text] }) { return known }
        let json = try JSON(parsing: text)
        state.withLock { state in
            if state.bytes > bytesMax { state = State() }
            if state.documents.updateValue(json, forKey: text) == nil { state.bytes += text.utf8.count }
        }
        return json
    }
}
