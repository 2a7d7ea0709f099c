import Foundation
import Synchronization
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService

// Routes as data. A table holds the routes of one kind of caller, so that a handler that needs a caller cannot be
// mounted where there is none; the OpenAPI document and the test that walks every route read the same tables.

/// What a handler gets of a request: everything decoded once, nothing of the connection.
struct Exchange: Sendable {
    let method: String
    /// Without the query, as received.
    let path: String
    let rawQuery: String?
    let headers: [(name: String, value: String)]
    /// Empty where the handler reads it itself.
    let body: [UInt8]
    var lateBody: LateBody?
    let origin: RequestOrigin
    /// Values of the `{…}` segments, percent-decoded.
    var parameters: [String: String] = [:]

    func parameter(_ name: String) -> String { parameters[name] ?? "" }

    /// The one value of a header field.
    func header(_ name: String) -> String? {
        let values = headers.filter { $0.name == name }.map(\.value)
        return values.count == 1 ? values[0] : nil
    }

    /// The query as an object of strings; a repeated name is refused.
    func query() throws -> JSONObject {
        var object = JSONObject()
        guard FormText.count(rawQuery ?? "") <= Limits.queryItemsMax else {
            throw VaultError(.invalidRequest, "The query has more than \(Limits.queryItemsMax) items.")
        }
        for (name, value) in FormText.decode(rawQuery ?? "") {
            guard object[name] == nil else { throw VaultError.validation(String(name.prefix(64)), "is given twice") }
            object[name] = .string(value)
        }
        return object
    }

    /// The body's fields; an empty body is an empty object where `allowsEmpty`.
    func fields(_ unknownMembers: Fields.UnknownMembers, allowsEmpty: Bool = false) throws -> Fields {
        if body.isEmpty, allowsEmpty { return Fields([:], unknownMembers: unknownMembers) }
        return try Fields(body: body, unknownMembers: unknownMembers)
    }
}

/// A body that is read when the handler asks for it.
final class LateBody: Sendable {
    private let read: @Sendable () async throws -> [UInt8]
    private let wasAskedFor = Mutex(false)

    init(_ read: @escaping @Sendable () async throws -> [UInt8]) { self.read = read }

    var isUnread: Bool { wasAskedFor.withLock { !$0 } }

    func bytes() async throws -> [UInt8] {
        wasAskedFor.withLock { $0 = true }
        return try await read()
    }
}

/// What a handler answers.
struct Answer: Sendable {
    var status: Int
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// The code of a refusal, for the log.
    var errorCode: ErrorCode?
    /// Writes the body piece by piece instead; what it throws breaks the answer off.
    var stream: (@Sendable (_ write: ([UInt8]) async throws -> Void) async throws -> Void)?
    /// The use that it answers.
    private(set) var use: UsesUnderWay.Mark?

    static func json(_ value: JSON, status: Int = 200) -> Answer {
        Answer(status: status, headers: [(name: "Content-Type", value: "application/json")], body: value.bytes)
    }

    static func json(_ object: JSONObject, status: Int = 200) -> Answer { json(.object(object), status: status) }

    static let noContent = Answer(status: 204)

    func holding(_ use: UsesUnderWay.Mark?) -> Answer {
        var answer = self
        answer.use = use
        return answer
    }

    static func redirect(_ location: String) -> Answer {
        Answer(status: 303, headers: [(name: "Location", value: location)])
    }
}

/// One operation: where it is, what it says about itself, and what it does.
struct Route<Caller: Sendable>: Sendable {
    let method: String
    /// `/api/v1/apps/{app_id}`
    let template: String
    let summary: String
    let successStatus: Int
    /// What it takes and answers, for its description.
    private(set) var query: [RouteField] = []
    private(set) var body: [RouteField]?
    private(set) var answer: RouteAnswer?
    /// Whether the handler reads the body itself, so that a head which is refused costs no more.
    private(set) var readsBodyLate = false
    /// Whether the verb commits the nonce of its request together with what it writes.
    private(set) var commitsNonce = false
    /// Whether it may end what uses depend on. They are answered first.
    private(set) var endsUses: Bool
    let handle: @Sendable (Caller, Exchange) async throws -> Answer

    init(
        _ method: String, _ template: String, _ summary: String, status: Int = 200,
        _ handle: @escaping @Sendable (Caller, Exchange) async throws -> Answer
    ) {
        self.method = method
        self.template = template
        self.summary = summary
        successStatus = status
        endsUses = method != "GET" && !template.hasPrefix("/sdk/")
        self.handle = handle
    }

    func committingNonce() -> Route { with { $0.commitsNonce = true } }
    func endingUses() -> Route { with { $0.endsUses = true } }
    func readingBodyLate() -> Route { with { $0.readsBodyLate = true } }
    func taking(query: [RouteField]) -> Route { with { $0.query += query } }
    func taking(body: [RouteField]) -> Route { with { $0.body = body } }
    func answering(files types: String...) -> Route { with { $0.answer = .file(types) } }
    func answering(_ schema: String) -> Route { with { $0.answer = .one(schema) } }

    /// A list in pages, which are asked for by `limit` and `cursor`.
    func answering(pagesOf schema: String) -> Route {
        with { route in
            route.answer = .page(schema)
            route.query += [.optional("limit"), .optional("cursor")]
        }
    }

    private func with(_ change: (inout Route) -> Void) -> Route {
        var route = self
        change(&route)
        return route
    }
}

/// A member of a body or a parameter of a query, as the description names it.
struct RouteField: Sendable {
    enum Kind: String, Sendable { case string, integer, boolean, object, strings, objects }

    let name: String
    let kind: Kind
    let isRequired: Bool

    static func required(_ name: String, _ kind: Kind = .string) -> RouteField {
        RouteField(name: name, kind: kind, isRequired: true)
    }

    static func optional(_ name: String, _ kind: Kind = .string) -> RouteField {
        RouteField(name: name, kind: kind, isRequired: false)
    }
}

enum RouteAnswer: Sendable {
    /// The name of a schema of the description.
    case one(String)
    case page(String)
    /// Something else than JSON, of one of these media types.
    case file([String])
}

/// Matches exact paths: a doubled or trailing slash names nothing.
struct RouteTable<Caller: Sendable>: Sendable {
    enum Match: Sendable {
        case route(Route<Caller>, parameters: [String: String])
        case wrongMethod(allowed: [String])
        case none

        var commitsNonce: Bool { if case .route(let route, _) = self { route.commitsNonce } else { false } }
    }

    let routes: [Route<Caller>]
    /// By what every path that a template takes has in common with it.
    private let byShape: [Shape: [(segments: [Substring], route: Route<Caller>)]]

    private struct Shape: Hashable {
        let count: Int
        /// Begins no template of ours with a parameter.
        let first: Substring

        init(_ segments: [Substring]) {
            count = segments.count
            first = segments.count > 1 ? segments[1] : ""
        }
    }

    init(_ routes: [Route<Caller>]) {
        self.routes = routes
        byShape = Dictionary(
            grouping: routes.map {
                (segments: $0.template.split(separator: "/", omittingEmptySubsequences: false), route: $0)
            },
            by: { Shape($0.segments) })
    }

    func match(method: String, path: String) -> Match {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        var allowed: [String] = []
        for (segments, route) in byShape[Shape(parts)] ?? [] {
            guard let parameters = Self.parameters(segments, parts) else { continue }
            if route.method == method { return .route(route, parameters: parameters) }
            allowed.append(route.method)
        }
        return allowed.isEmpty ? .none : .wrongMethod(allowed: allowed)
    }

    private static func parameters(_ segments: [Substring], _ parts: [Substring]) -> [String: String]? {
        var parameters: [String: String] = [:]
        for (segment, part) in zip(segments, parts) {
            if segment.hasPrefix("{") {
                // No id or name of ours holds control characters; NUL would even end a text early in the database.
                guard !part.isEmpty, let value = String(part).removingPercentEncoding,
                    !value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
                else { return nil }
                parameters[String(segment.dropFirst().dropLast())] = value
            } else if segment != part {
                return nil
            }
        }
        return parameters
    }
}

/// `application/x-www-form-urlencoded`, for queries and form bodies.
enum FormText {
    /// No page of ours has a form with more fields.
    private static let fieldsMax = 2000

    /// How many fields a text has at most, counted without reading them.
    static func count(_ text: String) -> Int { text.utf8.count { $0 == UInt8(ascii: "&") } + 1 }

    /// A text with too many fields has none: what its form needs is then missing.
    static func decode(_ text: String) -> [(name: String, value: String)] {
        guard count(text) <= fieldsMax else { return [] }
        return text.split(separator: "&", omittingEmptySubsequences: true).map { piece in
            let pair = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (name: decoded(pair[0]), value: pair.count == 2 ? decoded(pair[1]) : "")
        }
    }

    /// RFC 3986 unreserved characters stay, everything else is percent-encoded.
    static func encode(_ text: String) -> String {
        let kept = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
        return text.utf8.reduce(into: "") { output, byte in
            if kept.contains(byte) {
                output.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                output += "%" + Hex.encode([byte]).uppercased()
            }
        }
    }

    static func query(_ items: [(String, String)]) -> String {
        items.map { encode($0.0) + "=" + encode($0.1) }.joined(separator: "&")
    }

    private static func decoded(_ text: Substring) -> String {
        let spaced = String(text).replacing("+", with: " ")
        return spaced.removingPercentEncoding ?? spaced
    }
}
