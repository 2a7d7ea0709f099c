import Foundation
import Logging
import VaultAPI
import VaultCrypto
import VaultService
import VaultStore
import VaultUpstream

// An installation on disk: data folder, master key, key store, database. Opened by `serve` and by commands that work on
// the database directly, also at the same time.

package struct InstallationError: Error, CustomStringConvertible {
    package let description: String
}

package struct Installation: Sendable {
    package let vault: Vault
    private let store: Store
    private let keys: KeyStore
    private let client: GuardedClient

    /// Opens the installation that is there. `creating` makes one where there is none; commands that only look at one must
    /// not bring a second into the world by a mistyped folder.
    package init(settings: ServerSettings, publicURL: String, creating: Bool, logger: Logger) throws {
        if !creating, case .sqlite(let path) = settings.database, !FileManager.default.fileExists(atPath: path) {
            throw InstallationError(description: "there is no installation at \(path)")
        }
        do {
            if creating {
                try FileManager.default.createDirectory(
                    atPath: settings.dataDirectory, withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700])
            }
            store = try Store(settings.database, creating: creating)
            keys = try KeyStore(settings.keyStore) { try Self.masterKey(settings, mayMake: $0) }
        } catch KeyStoreError.wrongMasterKey {
            throw InstallationError(description: "the master key does not open this installation's key store")
        } catch let error as StoreError {
            throw InstallationError(description: "the database cannot be opened: \(Self.reason(error))")
        } catch let error as CocoaError {
            throw InstallationError(description: "the data folder cannot be used: error \(error.code.rawValue)")
        }
        try Self.tie(store, keys, creating: creating)
        client = GuardedClient(allowsPrivateAddresses: settings.isDevelopment)
        let client = client
        vault = try Vault(
            configuration: VaultConfiguration(
                publicURL: publicURL, isDevelopment: settings.isDevelopment, operatorSignIn: settings.operatorSignIn),
            store: store, keys: keys,
            send: { try await client.send($0) },
            now: { Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }, logger: logger)
    }

    /// Database and key store belong together: each remembers the other.
    private static func tie(_ store: Store, _ keys: KeyStore, creating: Bool) throws {
        var ids = (store: try store.installationID(), keys: try keys.installationID())
        guard creating || ids.store != nil else {
            throw InstallationError(description: "there is no installation: the database holds nothing yet")
        }
        // Of two nodes that start at the same time, both take what one of them sets.
        if ids.store == nil, ids.keys == nil {
            ids.keys = try keys.installationID(orSet: RandomUUID.text())
        }
        if ids.store == nil, let id = ids.keys, try store.isEmpty() && !keys.hasDataKeys() {
            ids.store = try store.installationID(orSet: id)
        }
        guard let id = ids.store, id == ids.keys else {
            throw InstallationError(description: "the database and the key store belong to different installations")
        }
    }

    /// Only one server works on a data folder at a time; the lock ends with the process. Other commands need none.
    package static func lockForServing(_ settings: ServerSettings) throws {
        let descriptor = open(settings.dataDirectory + "/serve.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw InstallationError(description: "another server works on the data folder \(settings.dataDirectory)")
        }
    }

    /// Copies everything into the databases of `settings`; how many rows each table has.
    package func copy(to settings: ServerSettings, onTable: (_ table: String, _ rows: Int) -> Void) throws -> [String:
        Int]
    {
        do {
            return try DatabaseTransfer.copy(
                store, keys, to: settings.database, keyStore: settings.keyStore, onTable: onTable)
        } catch DatabaseTransferError.targetInUse(let reason) {
            throw InstallationError(description: "the copy cannot go there: \(reason)")
        } catch DatabaseTransferError.incomplete(let table) {
            throw InstallationError(description: "the copy is not whole: rows of \(table) are missing")
        } catch let error as StoreError {
            throw InstallationError(description: "nothing was copied: \(Self.reason(error))")
        }
    }

    private static func reason(_ error: StoreError) -> String {
        switch error {
        case .unavailable(let reason), .constraint(let reason): reason
        case .corrupt(let column): "\(column) is damaged"
        }
    }

    package func close() async throws {
        try vault.noteAuditHeads()
        await client.shutdown()
        try store.close()
        try keys.close()
    }

    /// Facts of the database for the start-up log.
    package func databaseSettings() throws -> [String: String] { try store.settings() }

    // MARK: The master key

    private static func masterKey(_ settings: ServerSettings, mayMake: Bool) throws -> MasterKey {
        if let command = settings.masterKeyCommand {
            return try parse(try output(of: command), source: "the master key command")
        }
        let path = settings.masterKeyFile
        if !FileManager.default.fileExists(atPath: path) {
            guard mayMake else {
                throw InstallationError(description: "the key store exists but the master key file does not")
            }
            try create(path)
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        guard let mode = attributes[.posixPermissions] as? Int, mode & 0o077 == 0 else {
            throw InstallationError(
                description: "the master key file must not be readable by others: set its mode to 0600")
        }
        return try parse(try Data(contentsOf: URL(fileURLWithPath: path)), source: "the master key file")
    }

    /// Written whole under another name, made durable, then linked: a crash leaves no half key, and of two first starts
    /// one wins.
    private static func create(_ path: String) throws {
        let text = Data(RandomBytes.make(MasterKey.byteCount)).base64EncodedString() + "\n"
        let temporary = path + "." + Hex.encode(RandomBytes.make(6))
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        guard descriptor >= 0 else { throw InstallationError(description: "the master key file cannot be written") }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try handle.write(contentsOf: Data(text.utf8))
        try handle.synchronize()
        try handle.close()
        let isLinked = link(temporary, path) == 0 || errno == EEXIST
        unlink(temporary)
        guard isLinked else { throw InstallationError(description: "the master key file cannot be written") }
    }

    /// Base64 of 32 bytes.
    private static func parse(_ data: Data, source: String) throws -> MasterKey {
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let bytes = Data(base64Encoded: text), let key = MasterKey(Array(bytes)) else {
            throw InstallationError(description: "\(source) must hold base64 of \(MasterKey.byteCount) bytes")
        }
        return key
    }

    private static func output(of command: String) throws -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw InstallationError(description: "the master key command failed")
        }
        return data
    }
}
