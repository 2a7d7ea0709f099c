import VaultAPI
import VaultDomain
import VaultService

/// The same records as a file, for a spreadsheet.
struct WalletActivityFile: Sendable {
    let appName: String
    let providers: [NamedProvider]

    static let header = CSVText.line([
        "time", "what", "provider", "method", "address", "outcome", "status", "latency_ms", "by", "reason",
    ])

    static let cutNote = CSVText.line([
        CSVText.cell("Older records were left out. Ask for an earlier time to get them.")
    ])

    func line(_ item: UserActivity) -> [UInt8] {
        let text = WalletActivityText(item: item, appName: appName, providers: providers)
        var status = ""
        var latency = ""
        if case .answered(let code, let milliseconds) = item.outcome {
            status = String(code)
            latency = milliseconds.map { String($0) } ?? ""
        }
        let cells = [
            item.occurredAt.rfc3339, text.what, text.provider, item.method ?? "", item.place ?? "", text.outcome,
            status, latency, text.who, text.reason,
        ]
        return CSVText.line(cells.map { CSVText.cell($0) })
    }
}
