import Foundation

/// A folder that exists while a test runs.
package enum TemporaryFolder {
    package static func use<Result>(_ body: (String) throws -> Result) throws -> Result {
        let folder = try make()
        defer { remove(folder) }
        return try body(folder)
    }

    package static func use<Result: Sendable>(_ body: @Sendable (String) async throws -> Result) async throws -> Result
    {
        let folder = try make()
        defer { remove(folder) }
        return try await body(folder)
    }

    private static func make() throws -> String {
        let folder = FileManager.default.temporaryDirectory.path + "/sallyport-test-" + UUID().uuidString.lowercased()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return folder
    }

    private static func remove(_ folder: String) {
        do { try FileManager.default.removeItem(atPath: folder) } catch { print("left behind: \(folder)") }
    }

    /// Whether any file below the folder holds the text in plain.
    package static func files(_ folder: String, hold text: String) throws -> Bool {
        let needle = Data(text.utf8)
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            var isDirectory: ObjCBool = false
            let path = folder + "/" + name
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else {
                continue
            }
            if try Data(contentsOf: URL(fileURLWithPath: path)).range(of: needle) != nil { return true }
        }
        return false
    }
}
