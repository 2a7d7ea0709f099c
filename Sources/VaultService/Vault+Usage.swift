import ServiceLifecycle
import VaultAPI
import VaultDomain
import VaultStore

// What an app's overview shows: figures of its use over time, and how far it is set up. The figures come from the audit trail,
// which is counted beside requests, so that no use waits for them.

/// The time that figures are shown for, and the slots that it is shown in. All slots begin at full hours or days of UTC.
package enum UsageRange: String, Sendable, CaseIterable {
    case day, week, month

    package var slotSeconds: Int64 {
        switch self {
        case .day: 3600
        case .week: 6 * 3600
        case .month: 86_400
        }
    }

    package var slotCount: Int {
        switch self {
        case .day: 24
        case .week: 28
        case .month: 30
        }
    }

    /// When each slot begins, the one that has not ended last.
    package func slots(until now: Instant) -> [Instant] {
        let current = now.seconds - now.seconds % slotSeconds
        return (0..<slotCount).map { Instant(seconds: current - Int64(slotCount - 1 - $0) * slotSeconds) }
    }
}

package struct UsageSlot: Sendable, Equatable {
    package let start: Instant
    package let totals: UsageTotals

    package init(start: Instant, totals: UsageTotals) {
        self.start = start
        self.totals = totals
    }
}

package struct UsageOfProvider: Sendable, Equatable {
    /// Empty: refusals of what is no provider of the app.
    package let providerID: String
    package let totals: UsageTotals

    package init(providerID: String, totals: UsageTotals) {
        self.providerID = providerID
        self.totals = totals
    }
}

package struct UsageReport: Sendable {
    package let range: UsageRange
    /// All slots of the range, in their order.
    package let slots: [UsageSlot]
    /// The most used first.
    package let providers: [UsageOfProvider]
    package let total: UsageTotals

    package init(range: UsageRange, slots: [UsageSlot], providers: [UsageOfProvider]) {
        self.range = range
        self.slots = slots
        self.providers = providers
        total = slots.reduce(into: UsageTotals()) { sum, slot in
            for outcome in UsageOutcome.allCases { sum[outcome] += slot.totals[outcome] }
        }
    }
}

/// A first call that would work for the app, for its snippets.
package enum SampleCall: Sendable, Equatable {
    /// With what the user connected at a provider.
    case asUser(providerID: String, host: String)
    /// With a secret of the app's own.
    case asApp(grantID: GrantID, host: String)
}

/// An app as its overview shows it.
package struct AppOverview: Sendable {
    package let app: AppRecord
    package let holdings: AppSummary
    package let progress: AppProgress
    package let usage: UsageReport
    /// `nil` before the app has anything to call with.
    package let sample: SampleCall?
}

extension Vault {
    package func overview(_ caller: OperatorCaller, appID: String, range: UsageRange) throws -> AppOverview {
        let app = try app(caller, appID)
        return try read { transaction in
            AppOverview(
                app: app, holdings: try transaction.summary(app), progress: try transaction.progress(of: app.id),
                usage: try usage(of: app.id, range: range, in: transaction),
                sample: try sample(of: app.id, in: transaction))
        }
    }

    private func usage(of appID: AppID, range: UsageRange, in transaction: Transaction) throws -> UsageReport {
        let starts = range.slots(until: now())
        let from = starts.first ?? now()
        let end = (starts.last ?? now()).adding(seconds: range.slotSeconds)
        let slots = try transaction.usage(
            appID: appID, from: from, before: end, slotMilliseconds: range.slotSeconds * 1000)
        let providers = try transaction.usageByProvider(appID: appID, from: from, before: end).map {
            UsageOfProvider(providerID: $0.key, totals: $0.value)
        }
        return UsageReport(
            range: range, slots: starts.map { UsageSlot(start: $0, totals: slots[$0] ?? UsageTotals()) },
            providers: providers.sorted {
                ($1.totals.sum, $0.providerID) < ($0.totals.sum, $1.providerID)
            })
    }

    private func sample(of appID: AppID, in transaction: Transaction) throws -> SampleCall? {
        if let providerID = try transaction.firstOAuthProvider(of: appID) {
            let hosts = try template(providerID, appID: appID, in: transaction)?.apiHosts ?? []
            return .asUser(providerID: providerID, host: Self.sampleHost(hosts))
        }
        guard let secret = try transaction.managedSecrets(appID: appID, after: .start, limit: 1).first,
            let grant = try transaction.candidateGrants(
                appID: appID, providerID: secret.slug, principalType: .system, userID: nil, account: nil, label: nil,
                limit: 1
            ).first
        else { return nil }
        return .asApp(grantID: grant.grant.id, host: Self.sampleHost(secret.allowedHosts))
    }

    private static func sampleHost(_ hosts: [String]) -> String {
        let host = hosts.first { !$0.hasPrefix("*.") } ?? hosts.first.map { String($0.dropFirst(2)) }
        return host ?? "api.example.com"
    }

    // MARK: Counting

    /// Adds up what the audit trail has gained. What a crash cuts off is counted at the next start: figures and how far they
    /// go are committed together.
    package func countUsage() async throws {
        guard try read({ try $0.hasUsageToCount() }) else { return }
        _ = try await ifFree("usage", countWaitingUsage)
    }

    private func countWaitingUsage() async throws {
        while try await write({ try $0.countUsage(recordsMax: Limits.usageRecordsAtOnce) })
            == Limits.usageRecordsAtOnce
        {
            try await Task.sleep(for: Limits.usagePause)
        }
    }

    func forgetOldUsage(at time: Instant) async throws {
        try await write { try $0.deleteUsage(before: time.adding(seconds: -Limits.usageLifeSeconds)) }
    }
}

/// Keeps the figures of use at most a few seconds behind the trail.
package struct UsageCounter: Service {
    private let vault: Vault
    private static let interval = Duration.seconds(2)

    package init(vault: Vault) { self.vault = vault }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await vault.orReport("uses could not be counted") { try await vault.countUsage() }
                // A cancelled sleep ends the loop above.
                _ = try? await Task.sleep(for: Self.interval)
            }
        }
    }
}
