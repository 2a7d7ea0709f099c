import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

/// Paging of lists: `?limit=` and `?cursor=`, answered by the Management API as `{items, next_cursor}`, by pages with a link.
///
/// A cursor names the list, the app and the filter it belongs to; another one's is refused (management contract).
struct Paging: Sendable {
    let limit: Int
    let position: PagePosition
    private let fingerprint: String

    /// Reads `limit` and `cursor` from the query. `filter` is every other parameter that shapes the list.
    /// A page whose limit is fixed passes it.
    init(_ fields: Fields, path: String, filter: JSONObject, limit fixed: Int? = nil) {
        limit =
            fixed ?? fields.optionalString("limit", length: 1...8).flatMap { text -> Int? in
                guard let value = Int(text), (1...Limits.pageMax).contains(value) else {
                    fields.report("limit", "must be a number from 1 to \(Limits.pageMax)")
                    return nil
                }
                return value
            } ?? Limits.pageDefault
        let parameters = filter.members.sorted { $0.name < $1.name }.map { $0.name + "=" + $0.value.text }
        fingerprint = String(Hex.encode(Digest.sha256(path + "?" + parameters.joined(separator: "&"))).prefix(16))
        guard let text = fields.optionalString("cursor", length: 1...512) else {
            position = .start
            return
        }
        guard let bytes = Base64URL.decode(text), let object = (try? JSON(parsing: bytes))?.object,
            object["list"]?.string == fingerprint, let at = object["at"]?.number?.integer, let id = object["id"]?.string
        else {
            fields.report("cursor", "does not belong to this list")
            position = .start
            return
        }
        position = PagePosition(at: at, id: id)
    }

    func cursor(_ position: PagePosition) -> String {
        let cursor: JSON = ["list": .string(fingerprint), "at": .integer(position.at), "id": .string(position.id)]
        return Base64URL.encode(cursor.bytes)
    }

    /// The answer for a list that is at hand as a whole, in the order of its ids.
    func answer<Item>(all items: [Item], id: (Item) -> String, json: (Item) -> JSON) -> Answer {
        answer(
            items.filter { id($0) > position.id }.sorted { id($0) < id($1) },
            position: { PagePosition(at: 0, id: id($0)) }, json: json)
    }

    /// The answer for rows that were asked for with `limit + 1`.
    func answer<Item>(_ rows: [Item], position: (Item) -> PagePosition, json: (Item) -> JSON) -> Answer {
        let page = rows.prefix(limit)
        var next: JSON = .null
        if rows.count > limit, let last = page.last {
            next = .string(cursor(position(last)))
        }
        return .json(["items": .array(page.map(json)), "next_cursor": next])
    }
}

extension Exchange {
    /// The query as fields; unknown parameters are refused.
    func queryFields() throws -> Fields { Fields(try query(), unknownMembers: .refused) }

    /// The part of the query that shapes a list, for its cursors.
    func listFilter() throws -> JSONObject {
        var filter = try query()
        filter["limit"] = nil
        filter["cursor"] = nil
        return filter
    }
}
