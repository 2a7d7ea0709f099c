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

    package init(publicURL: String, isDevelopment: Bool) {
        self.publicURL = publicURL
        self.isDevelopment = isDevelopment
    }

    package func address(_ path: String) -> String { publicURL + path }
    package var isPublicURLSecure: Bool { publicURL.hasPrefix("https://") }
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
    let revocationLanes: RevocationLanes
    let revocationSignal: WorkSignal
    let keyDestructions: KeyDestructions
    let spareRevocationKey: SpareKey
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
        refreshes = RefreshFlights()
        revocationLanes = RevocationLanes()
        revocationSignal = WorkSignal()
        keyDestructions = KeyDestructions()
        spareRevocationKey = SpareKey()
        webhookTurnstile = Turnstile(limit: Limits.webhooksAtOnce, perKind: Limits.webhooksAtOncePerAddress)
        digestKey = DigestKey(try keys.systemKey("digest"))
        auditKey = DigestKey(try keys.systemKey("audit"))
    }

    var discovery: IdentityProviderDiscovery { IdentityProviderDiscovery(send: send) }

    /// Completes what a crash interrupted. Runs before anything is served.
    package func recover() async throws {
        try await finishKeyDestructions()
        try await forgetDestructions()
        await emptyDatabaseLog()
        try await destroyOrphanedRevocationKeys()
        try await maintainSigningKeys()
        // Before anything is appended to it.
        if case .broken(let sequence, let reason) = try verifyAuditEnd() {
            logger.critical(
                "the audit trail does not hold", metadata: ["record": "\(sequence)", "reason": "\(reason)"])
        }
        try await closeInterruptedUses(startedBefore: now().adding(seconds: 1))
        try await endUsersAgain()
    }

    /// Who was ended stays so, whatever an older copy of the database says: the key store remembers the user, and the user's
    /// key is gone.
    private func endUsersAgain() async throws {
        for ended in try keys.endedUsers() {
            let stored = try read { try $0.user(ended.id, appID: ended.appID) }
            if let stored, stored.user.epoch >= ended.epoch { continue }
            try await write { transaction in
                guard let app = try transaction.app(ended.appID) else { return }
                var record = try transaction.user(ended.id, appID: app.id) ?? Self.tombstone(of: ended, in: transaction)
                record?.user.epoch = ended.epoch - 1
                guard let record else { return }
                try self.deprovision(record, app: app, entry: endEntry(record.user), eventAt: nil, in: transaction)
            }
        }
        let alive = try keys.dataKeyIDs()
        for item in try read({ try $0.usersWithKeys() }) where !alive.contains(item.dataKeyID) {
            try await write { transaction in
                guard let app = try transaction.app(item.appID),
                    let record = try transaction.user(item.userID, appID: item.appID)
                else { return }
                try self.deprovision(record, app: app, entry: endEntry(record.user), eventAt: nil, in: transaction)
            }
        }
        try await finishKeyDestructions()
        try await forgetDestructions()
    }

    private func endEntry(_ user: User) -> AuditEntry {
        AuditEntry(
            event: "user.deprovisioned", principal: .system, occurredAt: now(), appID: user.appID, userID: user.id,
            details: ["reason": "the user was ended before, as the key store says"])
    }

    /// A record for a user whom the database does not know; `nil` when it knows the same subject under another id.
    private static func tombstone(of ended: EndedUser, in transaction: Transaction) throws -> UserRecord? {
        let known = try transaction.user(
            appID: ended.appID, issuer: ended.issuer, externalSubjectID: ended.externalSubjectID)
        guard known == nil, let subject = ended.subjects.first else { return known }
        let record = UserRecord(
            user: User(
                id: ended.id, appID: ended.appID, issuer: ended.issuer, externalSubjectID: ended.externalSubjectID,
                subject: subject, status: .active, firstSeenAt: ended.endedAt))
        try transaction.insertUser(record)
        for subject in ended.subjects.dropFirst() { try transaction.insertSubject(subject, of: ended.id) }
        return record
    }

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

    // MARK: Writing with a record

    /// Commits `body` and turns a failing database into the one answer for it: nothing released.
    func write<Result: Sendable>(_ body: @escaping @Sendable (Transaction) throws -> Result) async throws -> Result {
        do {
            return try await store.write(body)
        } catch let error as StoreError {
            throw Self.unavailable(error)
        }
    }

    func read<Result>(_ body: (Transaction) throws -> Result) throws -> Result {
        do {
            return try store.read(body)
        } catch let error as StoreError {
            throw Self.unavailable(error)
        }
    }

    static func unavailable(_ error: StoreError) -> any Error {
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
