import Logging
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// The verbs of the product, one extension file per noun. Only they touch a secret, and each takes its caller first, asks
// for the decision, writes the record and acts, so that no route, page, webhook, job or command can go around it.

package struct VaultConfiguration: Sendable {
    /// Where browsers and clients reach this installation: an origin without a path.
    package var publicURL: String
    /// Allows http, loopback and private addresses for issuers, providers and proxied calls.
    package var isDevelopment: Bool
    /// The identity provider of the installation itself, where operators sign in.
    package var operatorSignIn: OperatorSignInSettings?

    package init(publicURL: String, isDevelopment: Bool, operatorSignIn: OperatorSignInSettings? = nil) {
        self.publicURL = publicURL
        self.isDevelopment = isDevelopment
        self.operatorSignIn = operatorSignIn
    }

    package func address(_ path: String) -> String { publicURL + path }
    package var isPublicURLSecure: Bool { publicURL.hasPrefix("https://") }
}

package struct OperatorSignInSettings: Sendable {
    package let issuerURL: String
    package let clientID: String
    package let clientSecret: Secret

    package init(issuerURL: String, clientID: String, clientSecret: Secret) {
        self.issuerURL = issuerURL
        self.clientID = clientID
        self.clientSecret = clientSecret
    }
}

package struct Vault: Sendable {
    package let configuration: VaultConfiguration
    package let logger: Logger
    let store: Store
    let keys: KeyStore
    let send: Send
    let now: @Sendable () -> Instant
    let keySets: KeySetCache
    let refreshes: RefreshFlights
    let policyCache: PolicyCache
    let apiHostRules = Memo<[HostRule]>(limit: 1000)
    let revocationSignal: WorkSignal
    package let metrics: VaultMetrics
    let keyDestructions: KeyDestructions
    let spareRevocationKey: SpareKey
    let passwordDesk: PasswordDesk
    let operatorIssuer = OperatorIssuer()
    let lastSeen = LastNoted<UserNoun>()
    let lastUsed = LastNoted<GrantNoun>()
    let lastTokenUse = LastNoted<PersonalAccessTokenNoun>()
    package let usesUnderWay = UsesUnderWay()
    let webhookTurnstile: Turnstile<IdentityProviderID>
    /// Digests of bearer values that are stored, and derived references.
    let digestKey: DigestKey
    let auditKey: DigestKey

    package init(
        configuration: VaultConfiguration, store: Store, keys: KeyStore, send: @escaping Send,
        now: @escaping @Sendable () -> Instant, logger: Logger
    ) throws {
        self.configuration = configuration
        self.store = store
        self.keys = keys
        self.send = send
        self.now = now
        self.logger = logger
        keySets = KeySetCache(send: send)
        refreshes = RefreshFlights(executor: store.executor)
        policyCache = PolicyCache()
        revocationSignal = WorkSignal()
        metrics = VaultMetrics()
        keyDestructions = KeyDestructions(executor: store.executor)
        spareRevocationKey = SpareKey()
        passwordDesk = PasswordDesk(
            limit: Limits.passwordsWaitingMax, limitPerNetwork: Limits.passwordsWaitingOfNetworkMax)
        webhookTurnstile = Turnstile(limit: Limits.webhooksAtOnce, perKind: Limits.webhooksAtOncePerAddress)
        digestKey = DigestKey(try keys.systemKey("digest"))
        auditKey = DigestKey(try keys.systemKey("audit"))
    }

    var discovery: IdentityProviderDiscovery { IdentityProviderDiscovery(send: send) }

    /// Where tasks run that read the database, when reads may block.
    package var executor: BlockingExecutor? { store.executor }

    /// Whether database and keys are usable.
    package func isReady() -> Bool {
        do {
            _ = try store.read { try $0.row("SELECT 1 AS one") }
            try keys.checkUsable()
            return true
        } catch {
            logger.error("not ready", metadata: ["error": "\(type(of: error))"])
            return false
        }
    }

    /// What Prometheus asks for. Without the database, what the process itself knows.
    package func metricsText() -> String {
        metrics.text(
            isReady: isReady(), queues: try? read { try $0.queueFigures() }, now: now())
    }

    package var currentTime: Instant { now() }

    /// Runs `body` if no node does what `name` stands for; `nil` when one does.
    func ifFree<Result>(_ name: String, _ body: () async throws -> Result) async throws -> Result? {
        do {
            guard try store.leases.take(name) else { return nil }
        } catch let error as StoreError {
            throw Self.unavailable(error)
        }
        defer { store.leases.giveBack(name) }
        return try await body()
    }

    /// Runs `body` after whoever does what `name` stands for, on any node; `nil` when that takes too long.
    func inTurn<Result>(_ name: String, _ body: () async throws -> Result) async throws -> Result? {
        let deadline = ContinuousClock.now.advanced(by: .seconds(Limits.turnSecondsMax))
        while ContinuousClock.now < deadline {
            if let result = try await ifFree(name, body) { return result }
            try await Task.sleep(for: Limits.turnPause)
        }
        return nil
    }

    // MARK: Writing with a record

    /// Commits `body` and turns a failing database into the one answer for it: nothing released.
    func write<Result: Sendable>(
        in scope: WriteScope = .everything, recalls: Bool = false,
        _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        do {
            return try await store.write(in: scope, recalls: recalls, body)
        } catch let error as StoreError {
            throw Self.unavailable(error)
        }
    }

    func read<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        do {
            return try store.read(body)
        } catch let error as StoreError {
            throw Self.unavailable(error)
        }
    }

    /// A first look at what a transaction decides that is going to write. What is remembered refuses nobody: `body` runs again
    /// on what the database says when it throws.
    func recall<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result {
        do {
            return try store.recall(body)
        } catch let error as StoreError {
            throw Self.unavailable(error)
        } catch {
            return try read(body)
        }
    }

    package static func unavailable(_ error: StoreError) -> any Error {
        if case .constraint = error { return error }
        return VaultError(
            .serviceUnavailable, "The vault cannot answer right now.", retryAfterSeconds: 2, cause: "store: \(error)")
    }

    /// An unguessable reference to a row, derived from its id: `<id>.<mac>`. Nothing of it is stored.
    func reference(_ purpose: String, _ id: String) -> String {
        id + "." + Base64URL.encode(digestKey.digest("\(purpose):\(id)"))
    }

    /// The id inside a reference, if it is one of ours for this purpose.
    func referencedID(_ purpose: String, _ reference: String) -> String? {
        let parts = reference.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let mac = Base64URL.decode(parts[1]) else { return nil }
        let id = String(parts[0])
        return digestKey.matches(mac, Array("\(purpose):\(id)".utf8)) ? id : nil
    }
}
