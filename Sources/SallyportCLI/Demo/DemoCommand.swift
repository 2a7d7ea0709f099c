import ArgumentParser
import DevelopmentPeers
import Foundation
import Logging
import UnixSignals
import VaultAPI
import VaultServer
import VaultUpstream

// The main job on real HTTP, from nothing: an identity provider and an OAuth provider for development, the vault on a
// temporary SQLite file, and a story in which every step checks what it says.

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Show the main job end to end on loopback; every step checks what it says.")

    @Flag(help: "Exit when the story is told: 0 when every step held, 1 otherwise.")
    var once = false

    func run() async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/sallyport-demo-" + UUID().uuidString.lowercased()
        let narrator = Narrator()
        let failure = await Self.failure(narrator, folder: folder, staysUp: !once)
        // Keys and tokens of the story: whatever happened, they do not stay.
        if FileManager.default.fileExists(atPath: folder) { try FileManager.default.removeItem(atPath: folder) }
        guard let failure else { return }
        narrator.fail(failure)
        Foundation.exit(1)
    }

    /// Tells the story until it ends or somebody asks to stop; what did not hold, if anything.
    private static func failure(_ narrator: Narrator, folder: String, staysUp: Bool) async -> String? {
        await withTaskGroup(of: String?.self) { group in
            group.addTask {
                do {
                    try await tell(narrator, folder: folder, staysUp: staysUp)
                    return nil
                } catch let failure as DemoFailure {
                    return failure.description
                } catch is CancellationError {
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            group.addTask {
                for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) {
                    return narrator.isFinished ? nil : "it was interrupted"
                }
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            await group.waitForAll()
            return first
        }
    }

    private static func tell(_ narrator: Narrator, folder: String, staysUp: Bool) async throws {
        var provider = DevelopmentOAuthProvider.Configuration()
        // Shorter than the margin before expiry, so that the story needs a refresh.
        provider.expiresInSeconds = 30
        try await DevelopmentIdentityProvider.run { identityProvider in
            try await DevelopmentOAuthProvider.run(provider) { oauthProvider in
                try await withVault(folder: folder) { vaultURL in
                    let client = GuardedClient(allowsPrivateAddresses: true)
                    let world = DemoWorld(
                        vaultURL: vaultURL, folder: folder, identityProvider: identityProvider,
                        oauthProvider: oauthProvider,
                        http: DemoHTTP(send: { try await client.send($0) }))
                    var story = DemoStory(world: world, narrator: narrator)
                    try await story.tell()
                    narrator.finish()
                    if staysUp { try await Self.stayUp(narrator, world) }
                    await client.shutdown()
                }
            }
        }
    }

    /// Runs the real server on a free port while `body` runs.
    private static func withVault(folder: String, _ body: @escaping @Sendable (String) async throws -> Void)
        async throws
    {
        var input = ServerSettings.Input()
        input.listen = "127.0.0.1:\(try await FreePort.find(on: "127.0.0.1"))"
        input.dataDirectory = folder
        input.isDevelopment = true
        let settings = InstallationOptions.settings(input)
        let logger = Logger(label: "demo") { JSONLogHandler(label: $0, logLevel: .critical) }
        let publicURL = settings.address(boundPort: settings.listenPort)
        let installation = try Installation(settings: settings, publicURL: publicURL, creating: true, logger: logger)
        let (addresses, listening) = AsyncStream.makeStream(of: String.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { listening.finish() }
                do {
                    try await SallyportServer(settings: settings, installation: installation, logger: logger)
                        .run(stoppingOn: []) { listening.yield($0) }
                } catch is CancellationError {
                    // The story is told.
                }
            }
            var iterator = addresses.makeAsyncIterator()
            guard let address = await iterator.next() else { throw DemoFailure("the server did not start") }
            do {
                try await body(address)
            } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
            try await group.waitForAll()
        }
        try await installation.close()
    }

    private static func stayUp(_ narrator: Narrator, _ world: DemoWorld) async throws {
        narrator.say("The server stays up until you press Ctrl-C.")
        narrator.say("  Developer Portal   \(world.vaultURL)/portal")
        narrator.say("    sign in as       \(DemoStory.operatorEmail), password: \(DemoStory.operatorPassword)")
        narrator.say("  Identity provider  \(world.identityProvider.baseURL)")
        narrator.say("  OAuth provider     \(world.oauthProvider.baseURL)")
        while !Task.isCancelled { try await Task.sleep(for: .seconds(3600)) }
    }
}

/// A step that did not hold what it says.
struct DemoFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
