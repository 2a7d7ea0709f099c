import VaultAPI
import VaultService
import VaultStore

extension Paging {
    /// The paging of a page's list: `cursor` and `limit` in its address, everything else is the filter.
    init(_ exchange: Exchange, limit: Int = 50) throws {
        var filter = try exchange.query()
        let own: JSONObject = filter["cursor"].map { ["cursor": $0] } ?? [:]
        filter["cursor"] = nil
        filter["done"] = nil
        // A form sends its empty fields as well; the address of the next page does not.
        for name in filter.names where filter[name]?.string?.isEmpty == true { filter[name] = nil }
        let fields = Fields(own, unknownMembers: .refused)
        self.init(fields, path: exchange.path, filter: filter, limit: limit)
        try fields.finish()
    }
}

/// The way to the rest of a list that goes on.
struct Pager: Sendable {
    let next: String?
    var label = "Show more"

    init(next: String?) { self.next = next }

    /// - Parameter rows: asked for with one more than the page's limit.
    init<Item>(
        _ paging: Paging, _ rows: [Item], path: String, filter: [(String, String)] = [],
        position: (Item) -> PagePosition
    ) {
        guard rows.count > paging.limit, let last = rows.prefix(paging.limit).last else {
            next = nil
            return
        }
        let items = filter.filter { !$0.1.isEmpty } + [("cursor", paging.cursor(position(last)))]
        next = path + "?" + FormText.query(items)
    }

    var html: HTML? { next.map { "<p class=\"pager\"><a class=\"button plain\" href=\"\($0)\">\(label)</a></p>" } }
}

extension CappedCount {
    /// `1 user`, `10,000+ users`
    func words(_ noun: String) -> String { "\(text) \(noun)\(value == 1 ? "" : "s")" }

    var text: String { Self.grouped(value) + (isMore ? "+" : "") }

    static func grouped(_ number: Int64) -> String {
        var digits = Array(String(number))
        var index = digits.count - 3
        while index > 0 {
            digits.insert(",", at: index)
            index -= 3
        }
        return String(digits)
    }
}
