import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// What users see of the audit trail in the Wallet: the records about them in this app, and of each only what is theirs to
// see (`UserActivity`). A page costs the same whether the trail has a thousand records or a million.

package struct ActivityFilter: Sendable {
    package var kind: UserActivityKind?
    package var providerID: String?
    package var from: Instant?
    /// The first moment that is not meant any more.
    package var end: Instant?

    package init(
        kind: UserActivityKind? = nil, providerID: String? = nil, from: Instant? = nil, end: Instant? = nil
    ) {
        self.kind = kind
        self.providerID = providerID
        self.from = from
        self.end = end
    }

    fileprivate func matches(_ summary: AuditSummary) -> Bool {
        guard let found = UserActivityKind(event: summary.event, decision: summary.decision) else { return false }
        return (kind == nil || found == kind) && (providerID == nil || summary.providerID == providerID)
            && from.map { summary.occurredAt >= $0 } ?? true && end.map { summary.occurredAt < $0 } ?? true
    }
}

package struct ActivityPage: Sendable {
    package let items: [UserActivity]
    /// Where older ones go on; `nil` at the end.
    package let next: String?
    /// Whether it ends because enough records were read, and not because it is full.
    package let isPartial: Bool
}

/// A provider or secret by the name that people know it by.
package struct NamedProvider: Sendable {
    package let id: String
    package let name: String

    package init(id: String, name: String) {
        self.id = id
        self.name = name
    }
}

extension Vault {
    /// Newest first. `cursor` is the `next` of the page before.
    package func activity(_ caller: WalletCaller, filter: ActivityFilter, cursor: String?) throws -> ActivityPage {
        let step = try read { transaction in
            try activity(
                caller, filter, before: try start(caller, filter, cursor: cursor, in: transaction),
                rows: Limits.activityPage, scan: Limits.activityScan, in: transaction)
        }
        return ActivityPage(
            items: step.items, next: step.last.map { Self.cursor($0.id) },
            isPartial: step.last != nil && step.items.count < Limits.activityPage)
    }

    /// The providers and secrets of the user's own grants, also of those that ended.
    package func activityProviders(_ caller: WalletCaller) throws -> [NamedProvider] {
        try read { transaction in
            try transaction.grantedProviderIDs(userID: caller.user.id, limit: Limits.pageDefault).map { id in
                let secret = try transaction.managedSecret(slug: id, appID: caller.app.id)
                let template = try template(id, appID: caller.app.id, in: transaction)
                return NamedProvider(id: id, name: template?.displayName ?? secret?.name ?? id)
            }
        }
    }

    package func exportActivity(_ caller: WalletCaller, filter: ActivityFilter) -> ActivityExport {
        ActivityExport(vault: self, caller: caller, filter: filter)
    }

    // MARK: Steps

    struct ActivityStep {
        var items: [UserActivity] = []
        /// The last record that was looked at; `nil` when there are no more.
        var last: AuditSummary?
        var scanned = 0
    }

    func activity(
        _ caller: WalletCaller, _ filter: ActivityFilter, before position: Int64, rows: Int, scan: Int,
        in transaction: Transaction
    ) throws -> ActivityStep {
        let summaries = try transaction.auditSummaries(userID: caller.user.id, before: position, limit: scan)
        let oldest = filter.from?.adding(seconds: -Limits.activityDelaySeconds)
        var step = ActivityStep()
        for summary in summaries {
            if step.items.count == rows { return step }
            step.scanned += 1
            step.last = summary
            if let oldest, summary.occurredAt < oldest {
                step.last = nil
                return step
            }
            guard summary.appID == caller.app.id, filter.matches(summary),
                let record = try transaction.auditRecord(at: summary.position),
                let item = UserActivity(record.record)
            else { continue }
            step.items.append(item)
        }
        if summaries.count < scan { step.last = nil }
        return step
    }

    func start(_ caller: WalletCaller, _ filter: ActivityFilter, cursor: String?, in transaction: Transaction) throws
        -> Int64
    {
        if let cursor {
            guard let id = Self.recordID(cursor),
                let position = try transaction.auditPosition(id, userID: caller.user.id)
            else { throw VaultError(.invalidRequest, "This page of the list is not there. Begin at its top.") }
            return position
        }
        guard let end = filter.end else { return .max }
        return try transaction.auditPosition(
            userID: caller.user.id, after: end.adding(seconds: Limits.activityDelaySeconds))
    }

    // MARK: Cursors

    /// A record's id in its short form. Places among all records would tell how busy others are.
    private static func cursor(_ id: AuditEventID) -> String {
        Base64URL.encode(Hex.decode(id.text.filter { $0 != "-" }) ?? [])
    }

    private static func recordID(_ cursor: String) -> AuditEventID? {
        guard let bytes = Base64URL.decode(cursor), bytes.count == 16 else { return nil }
        let parts = [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { Hex.encode(Array(bytes[$0])) }
        return AuditEventID(parts.joined(separator: "-"))
    }
}

/// A user's activity on its way out, newest first and page by page, up to a number of rows.
package struct ActivityExport: Sendable {
    private let vault: Vault
    private let caller: WalletCaller
    private let filter: ActivityFilter
    private var position: Int64?
    private var rowsLeft = Limits.activityExportRows
    private var scanLeft = Limits.activityExportScan
    private var isAtEnd = false
    /// Whether older ones were left out.
    package private(set) var isCut = false

    fileprivate init(vault: Vault, caller: WalletCaller, filter: ActivityFilter) {
        self.vault = vault
        self.caller = caller
        self.filter = filter
    }

    /// The next ones, perhaps none; `nil` at the end.
    package mutating func next() throws -> [UserActivity]? {
        guard !isAtEnd else { return nil }
        let rows = min(rowsLeft, Limits.auditPage)
        let scan = min(scanLeft, Limits.activityScan)
        let (vault, caller, filter, position) = (vault, caller, filter, position)
        let step = try vault.read { transaction in
            try vault.activity(
                caller, filter,
                before: try position ?? vault.start(caller, filter, cursor: nil, in: transaction), rows: rows,
                scan: scan, in: transaction)
        }
        rowsLeft -= step.items.count
        scanLeft -= step.scanned
        self.position = step.last?.position
        isCut = step.last != nil && (rowsLeft == 0 || scanLeft == 0)
        isAtEnd = step.last == nil || isCut
        return step.items
    }
}
