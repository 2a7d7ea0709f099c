import Synchronization
import VaultAPI

/// What stored documents say, by their text: the same few are read at every use. There is nothing in here that could be out of
/// date, because the text comes from the database each time. Texts are the same when their bytes are: to Swift's `==` different
/// texts of one Unicode meaning are equal.
enum ParsedDocuments {
    private static let bytesMax = 4 << 20

    private struct State {
        var documents: [[UInt8]: JSON] = [:]
        var bytes = 0
    }

    private static let state = Mutex(State())

    static func json(_ text: String) throws -> JSON {
        let key = Array(text.utf8)
        if let known = state.withLock({ $0.documents[key] }) { return known }
        let json = try JSON(parsing: text)
        state.withLock { state in
            if state.bytes > bytesMax { state = State() }
            if state.documents.updateValue(json, forKey: key) == nil { state.bytes += key.count }
        }
        return json
    }
}
