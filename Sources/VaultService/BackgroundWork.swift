import Logging
import ServiceLifecycle
import Synchronization
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore
import VaultUpstream

// Work that goes on beside requests: revocations owed to providers, and forgetting what has expired. What must survive a
// crash is a row; the signal only shortens the wait.

/// Wakes a waiting worker early. One waiter; a signal without a waiter is kept for the next.
package final class WorkSignal: Sendable {
    private struct State {
        var isPending = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    init() {}

    package func notify() {
        let waiter = state.withLock { state in
            let waiter = state.waiter
            state.waiter = nil
            if waiter == nil { state.isPending = true }
            return waiter
        }
        waiter?.resume()
    }

    /// Returns at the next signal, after the time, or when the task is cancelled, whichever is first.
    func wait(upTo duration: Duration) async {
        let deadline = Task {
            try await Task.sleep(for: duration)
            notify()
        }
        defer { deadline.cancel() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isSignalled = state.withLock { state in
                    defer { state.isPending = false }
                    if !state.isPending { state.waiter = continuation }
                    return state.isPending
                }
                if isSignalled { continuation.resume() }
            }
        } onCancel: {
            notify()
        }
    }
}

/// Calls the revocation addresses of providers (RFC 7009) until each has answered or a day has passed.
package struct RevocationWorker: Service {
    private let vault: Vault

    package init(vault: Vault) { self.vault = vault }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await vault.runDueRevocations()
                } catch {
                    vault.logger.error("revocation round failed", metadata: ["error": "\(type(of: error))"])
                }
                if Task.isCancelled { break }
                await vault.revocationSignal.wait(upTo: .seconds(1))
            }
        }
        await vault.refreshes.drain()
    }
}

/// Deletes what has expired: nonces, Connect sessions and attempts.
package struct Housekeeping: Service {
    private let vault: Vault
    private static let interval = Duration.seconds(60)

    package init(vault: Vault) { self.vault = vault }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await vault.forgetExpired()
                } catch {
                    vault.logger.error("housekeeping failed", metadata: ["error": "\(type(of: error))"])
                }
                // A cancelled sleep ends the loop above.
                _ = try? await Task.sleep(for: Self.interval)
            }
        }
    }
}

extension Vault {
    func forgetExpired() async throws {
        let time = now()
        try await write { transaction in
            try transaction.deleteExpiredNonces(now: time)
            try transaction.deleteExpiredConnectRows(now: time)
        }
    }

    /// One round over what is due. Each revocation is called and its outcome stored on its own.
    package func runDueRevocations() async throws {
        let due = try read { try $0.dueRevocations(now: now(), limit: Limits.revocationsPerRound) }
        for revocation in due {
            try Task.checkCancellation()
            let outcome = try await call(revocation)
            try await settle(revocation, outcome)
        }
    }

    private func call(_ revocation: RevocationRecord) async throws -> RevocationOutcome {
        let found = try read { transaction in
            (
                app: try transaction.app(revocation.appID),
                provider: try configuredProvider(revocation.providerID, appID: revocation.appID, in: transaction)
            )
        }
        guard let app = found.app, let provider = found.provider else {
            return .unsupported(reason: "the provider is not set up any more")
        }
        guard let sealed = revocation.token, let dataKeyID = revocation.dataKeyID else {
            return .unsupported(reason: "no token is held")
        }
        let token = try keys.dataKey(dataKeyID).open(sealed, Self.revocationContext(revocation.appID, revocation.id))
        return await (try oauthClient(provider, app: app)).revoke(token, hint: revocation.tokenTypeHint)
    }

    private func settle(_ revocation: RevocationRecord, _ outcome: RevocationOutcome) async throws {
        let time = now()
        switch outcome {
        case .done: try await finish(revocation, status: "done", error: nil)
        case .unsupported(let reason): try await finish(revocation, status: "unsupported", error: reason)
        case .retry(let reason):
            guard time < revocation.createdAt.adding(seconds: Limits.revocationLifeSeconds) else {
                return try await finish(revocation, status: "failed", error: reason)
            }
            let pause = min(Limits.revocationPauseSecondsMax, 1 << min(revocation.attempts, 12))
            try await write {
                try $0.postponeRevocation(revocation.id, until: time.adding(seconds: pause), error: reason)
            }
        }
    }

    /// Stores the outcome, forgets the token, and destroys its one-off key when nothing else needs it.
    private func finish(_ revocation: RevocationRecord, status: String, error: String?) async throws {
        let time = now()
        let auditKey = auditKey
        let entry = AuditEntry(
            event: "provider_revocation.\(status)", principal: .system, occurredAt: time, appID: revocation.appID,
            userID: revocation.userID, grantID: revocation.grantID, providerID: revocation.providerID,
            details: ["token_type": .string(revocation.tokenTypeHint)])
        try await write { transaction in
            try transaction.finishRevocation(revocation.id, status: status, error: error, now: time)
            if let key = revocation.dataKeyID, try !transaction.isDataKeyUsedByRevocation(key) {
                try transaction.insertKeyDestruction(key, now: time)
            }
            try transaction.appendAudit(entry, key: auditKey)
        }
        try await finishKeyDestructions()
    }
}
