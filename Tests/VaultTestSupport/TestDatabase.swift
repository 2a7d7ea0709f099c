import Foundation
import Synchronization
import VaultCrypto
import VaultStore

/// The database that a test works on: an SQLite file in its folder, or one of the PostgreSQL server whose URI is in
/// `SALLYPORT_TEST_POSTGRESQL`.
package enum TestDatabase {
    package struct Failure: Error { package let status: Int32 }

    private static let server = ProcessInfo.processInfo.environment["SALLYPORT_TEST_POSTGRESQL"]
    private static let made = Mutex<[String: DatabaseAddress]>([:])

    /// For what only a database in files can show.
    package static var isFile: Bool { server == nil }

    /// The same one for the same folder and name.
    package static func address(in folder: String, _ name: String = "vault") throws -> DatabaseAddress {
        let path = "\(folder)/\(name).db"
        guard let server else { return .sqlite(path: path) }
        return try made.withLock { made in
            if let known = made[path] { return known }
            let database = "test_" + Hex.encode(RandomBytes.make(8))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["psql", "--quiet", server, "--command", "CREATE DATABASE \(database)"]
            try process.run()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else { throw Failure(status: process.terminationStatus) }
            let address = DatabaseAddress.postgresql(
                uri: server + (server.contains("?") ? "&" : "?") + "dbname=\(database)")
            made[path] = address
            return address
        }
    }
}
