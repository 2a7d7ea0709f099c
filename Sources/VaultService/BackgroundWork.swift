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

/// What follows deprovisionings and revocations: calls the revocation addresses of providers (RFC 7009) until each has
/// answered or a day has passed, forgets intents that were carried out, and keeps a key ready for the next.
package struct RevocationWorker: Service {
    private let vault: Vault

    package init(vault: Vault) { self.vault = vault }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                while !Task.isCancelled {
                    do {
                        try await vault.forgetDestructions()
                        await vault.emptyOwedLog()
                        try vault.prepareRevocationKey()
                        try await vault.startDueRevocations { group.addTask(operation: $0) }
                    } catch {
                        vault.logger.error("revocation round failed", metadata: ["error": "\(type(of: error))"])
                    }
                    if Task.isCancelled { break }
                    await vault.revocationSignal.wait(upTo: .seconds(1))
                }
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
            try transaction.settleRateCounters(now: time, tolerance: Limits.clockToleranceSeconds)
            try transaction.deleteOldRateCounters(now: time)
            try transaction.deleteExpiredConnectRows(now: time)
            try transaction.deleteExpiredSignInRows(now: time)
            try transaction.deleteExpiredWalletSessions(now: time)
            try transaction.deleteIgnoredDeliveries(
                receivedBefore: time.adding(seconds: -Limits.ignoredDeliveryLifeSeconds))
        }
        try await finishKeyDestructions()
        try await closeInterruptedUses(startedBefore: time.adding(seconds: -Limits.openUseSecondsMax))
        try noteAuditHeads()
        try await checkpointDueChains()
        try await pruneAudit()
        try await maintainSigningKeys()
    }
}
