import Foundation
import VaultAPI
import VaultCrypto

/// Knows a browser again between our page and the way back from a provider: a random value, of which the vault keeps a
/// digest. It says nothing about who sits there.
struct BrowserCookie: Sendable {
    /// Over https the name itself keeps other hosts and paths from setting it (RFC 6265bis §4.1.3.2).
    let isSecure: Bool

    private var name: String { isSecure ? "__Host-sallyport-browser" : "sallyport-browser" }

    /// `Lax`: the provider leads the browser back with a top-level navigation.
    func header(_ key: String) -> (name: String, value: String) {
        (
            name: "Set-Cookie",
            value: "\(name)=\(key); Path=/; Max-Age=3600; HttpOnly; SameSite=Lax" + (isSecure ? "; Secure" : "")
        )
    }

    func key(of exchange: Exchange) -> String? { exchange.cookie(name) }
}

extension Exchange {
    /// The value of a cookie of ours: 256 random bits.
    func cookie(_ name: String) -> String? {
        anyCookie(name).flatMap { Base64URL.decode($0)?.count == 32 ? $0 : nil }
    }

    /// The value of a cookie. One that comes twice is nobody's.
    func anyCookie(_ name: String) -> String? {
        let pairs = headers.filter { $0.name == "cookie" }.flatMap { $0.value.split(separator: ";") }
            .map { $0.trimmingCharacters(in: .whitespaces) }
        let values = pairs.filter { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
        return values.count == 1 ? values[0] : nil
    }

    var isForm: Bool {
        header("content-type")?.lowercased().hasPrefix("application/x-www-form-urlencoded") == true
    }

    /// A form that sends a file.
    var isUpload: Bool { header("content-type")?.lowercased().hasPrefix("multipart/form-data") == true }

    /// A browser names the page that a form was sent from; another site's is refused. Absent only in old browsers, and
    /// `null` where the page keeps its address to itself, as ours do: there the form's token decides.
    func isFromOrigin(_ origin: String) -> Bool {
        guard let sent = header("origin") else { return true }
        return sent == origin || sent == "null"
    }
}

extension Exchange {
    /// What a provider sends back by the browser. A repeated parameter is somebody's attempt to be read twice (RFC 6749 §3.1).
    func callbackQuery() throws -> [String: String] {
        var query: [String: String] = [:]
        for (name, value) in FormText.decode(rawQuery ?? "") {
            guard query.updateValue(value, forKey: name) == nil else {
                throw VaultError(.invalidRequest, "The provider's answer names a parameter twice.")
            }
        }
        return query
    }
}
