import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultUpstream

/// HTTP as the people of the story use it: a browser with cookies, an operator with a token, an app with a signing key.
struct DemoHTTP: Sendable {
    let send: Send

    struct Reply: Sendable {
        let status: Int
        let headers: [(name: String, value: String)]
        let body: [UInt8]

        var json: JSON { (try? JSON(parsing: body)) ?? .null }
        var text: String { String(decoding: body, as: UTF8.self) }
        func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }
    }

    func request(
        _ method: String, _ url: String, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil
    ) async throws -> Reply {
        let response = try await send(
            OutgoingRequest(
                method: method, address: try WebAddress(url), headers: headers, body: body, timeoutSeconds: 30))
        return Reply(status: response.status, headers: response.headers, body: response.body)
    }

    func json(_ method: String, _ url: String, bearer: String, _ body: JSON? = nil) async throws -> Reply {
        var headers = [(name: "Authorization", value: "Bearer " + bearer)]
        if body != nil { headers.append((name: "Content-Type", value: "application/json")) }
        return try await request(method, url, headers: headers, body: body?.bytes)
    }

    /// A request signed as the SDK signs it (wire contract §2).
    func signed(_ method: String, _ base: String, _ path: String, key: String, _ body: JSON) async throws -> Reply {
        let bytes = body.bytes
        let text = RequestSignatureText(
            method: method, target: path, timestamp: String(Int(Date().timeIntervalSince1970)),
            nonce: Hex.encode(RandomBytes.make(16)),
            contentHash: Hex.encode(Digest.sha256(bytes)))
        let signature = RequestMAC.signature(of: text.text, apiKey: Secret(key))
        return try await request(
            method, base + path,
            headers: [
                (name: "x-api-key", value: key), (name: "X-Alter-Timestamp", value: text.timestamp),
                (name: "X-Alter-Nonce", value: text.nonce), (name: "X-Alter-Content-SHA256", value: text.contentHash),
                (name: "X-Alter-Signature", value: Hex.encode(signature)),
                (name: "Content-Type", value: "application/json"),
            ], body: bytes)
    }
}

/// Follows redirects by hand and keeps cookies, as a browser does.
struct DemoBrowser {
    let http: DemoHTTP
    private var cookies: [String: String] = [:]

    init(http: DemoHTTP) { self.http = http }

    struct Visit {
        let reply: DemoHTTP.Reply
        let url: String
    }

    /// Goes to the address and on along redirects, until a page answers or `stop` knows the address.
    mutating func open(_ url: String, form: [(String, String)]? = nil, stoppingAt stop: String? = nil) async throws
        -> Visit
    {
        var url = url
        var form = form
        for _ in 0..<10 {
            if let stop, url.hasPrefix(stop) {
                return Visit(reply: DemoHTTP.Reply(status: 0, headers: [], body: []), url: url)
            }
            var headers = [(name: "Cookie", value: cookies.map { "\($0.key)=\($0.value)" }.joined(separator: "; "))]
            var body: [UInt8]?
            if let fields = form {
                headers.append((name: "Content-Type", value: "application/x-www-form-urlencoded"))
                body = Array(fields.map { Self.encoded($0.0) + "=" + Self.encoded($0.1) }.joined(separator: "&").utf8)
            }
            let reply = try await http.request(form == nil ? "GET" : "POST", url, headers: headers, body: body)
            keepCookies(reply)
            guard (300...399).contains(reply.status), let location = reply.header("location") else {
                return Visit(reply: reply, url: url)
            }
            url = location.hasPrefix("/") ? try WebAddress(url).origin + location : location
            form = nil
        }
        throw DemoFailure("the browser was redirected in circles")
    }

    private mutating func keepCookies(_ reply: DemoHTTP.Reply) {
        for (_, value) in reply.headers.filter({ $0.name.lowercased() == "set-cookie" }) {
            let pair = value.split(separator: ";").first?.split(separator: "=", maxSplits: 1).map(String.init) ?? []
            if pair.count == 2 { cookies[pair[0]] = pair[1] }
        }
    }

    static func encoded(_ text: String) -> String {
        let plain = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: plain) ?? ""
    }
}
