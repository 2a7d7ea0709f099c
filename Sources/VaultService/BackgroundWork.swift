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
            async let recovery: Void = vault.orReport(
                "users without keys could not be looked for", vault.endUsersWithoutKeys)
            while !Task.isCancelled {
                await vault.orReport("house was not kept") {
                    try await vault.ifFree("housekeeping") { await vault.keepHouse() }
                }
                // A cancelled sleep ends the loop above.
                _ = try? await Task.sleep(for: Self.interval)
            }
            await recovery
        }
    }
}

/// Notes in the key store how far the audit trail has come. What is cut off it afterwards shows, whatever the database says.
package struct AuditAnchors: Service {
    private let vault: Vault
    private static let interval = Duration.seconds(2)

    package init(vault: Vault) { self.vault = vault }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await vault.orReport("the ends of the audit trail could not be noted") { try vault.noteAuditHeads() }
                // A cancelled sleep ends the loop above.
                _ = try? await Task.sleep(for: Self.interval)
            }
        }
    }
}

extension Vault {
    /// Each task by itself: one that fails keeps none of the others from being done.
    func keepHouse() async {
        let time = now()
        await orReport("signing keys could not be maintained") { try await maintainSigningKeys() }
        await orReport("what has expired could not be forgotten") { try await forgetExpired(at: time) }
        await orReport("keys could not be destroyed") { try await finishKeyDestructions() }
        await orReport("interrupted uses could not be closed") {
            try await closeInterruptedUses(startedBefore: time.adding(seconds: -Limits.openUseSecondsMax))
        }
        await orReport("the ends of the audit trail could not be looked at") { try checkAuditEnds() }
        await orReport("checkpoints could not be made") { try await checkpointDueChains() }
        await orReport("audit records could not be pruned") { try await pruneAudit() }
        await orReport("old figures could not be forgotten") { try await forgetOldUsage(at: time) }
    }

    func orReport<Result>(_ message: String, _ work: () async throws -> Result) async {
        do { _ = try await work() } catch is CancellationError {} catch {
            logger.error("\(message)", metadata: ["error": "\(type(of: error))"])
        }
    }

    /// A part at a time: there may be millions, and nobody's commit is to wait for all of them.
    private func forgetNonces(at time: Instant) async throws {
        var place = NoncePlace.start
        while place != .end {
            let start = place
            let (end, holdsExpired) = try read { try $0.nonces(after: start, limit: Limits.noncesAtOnce, now: time) }
            if holdsExpired {
                try await write(in: .expired) { try $0.deleteExpiredNonces(after: start, upTo: end, now: time) }
            }
            place = end
        }
    }

    private func forgetExpired(at time: Instant) async throws {
        try await write { transaction in
            try transaction.settleRateCounters(now: time, tolerance: Limits.clockToleranceSeconds)
            try transaction.deleteExpiredConnectRows(now: time)
            try transaction.deleteExpiredSignInRows(now: time)
            try transaction.deleteExpiredWalletSessions(now: time)
            try transaction.deleteExpiredPortalRows(
                now: time, failuresBefore: time.adding(seconds: -Limits.signInFailureLifeSeconds))
            try transaction.deleteIgnoredDeliveries(
                receivedBefore: time.adding(seconds: -Limits.ignoredDeliveryLifeSeconds))
        }
        try await forgetNonces(at: time)
        while try await write({ try $0.deleteOldRateUses(now: time, limit: Limits.rowsForgottenAtOnce) })
            == Limits.rowsForgottenAtOnce
        {}
    }
}
