// Which hosts a credential may be sent to. One rule is one line an operator wrote; matching is exact text on the parsed
// address, never a search in a URL. Called by the release decision and by the proxy.

/// `host`, `host:port` or `*.suffix`, the last covering one or more labels in front of the suffix but not the suffix
/// itself. Without a port the scheme's own port is meant.
package struct HostRule: Hashable, Sendable, CustomStringConvertible {
    /// The rule in lower case.
    package let text: String
    private let host: String
    private let port: Int?
    private let isWildcard: Bool

    package init?(_ text: String) {
        let lower = text.lowercased()
        guard lower.utf8.count <= 264, lower.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        isWildcard = lower.hasPrefix("*.")
        let authority = isWildcard ? String(lower.dropFirst(2)) : lower
        guard let parts = WebAddress.HostAndPort(authority) else { return nil }
        // `*.com` would send the credential to anyone who registers a name.
        if isWildcard { guard parts.ipAddress == nil, parts.host.contains(".") else { return nil } }
        host = parts.host
        port = parts.port
        self.text = (isWildcard ? "*." : "") + host + (port.map { ":\($0)" } ?? "")
    }

    package func matches(_ address: WebAddress) -> Bool {
        guard port.map({ $0 == address.port }) ?? address.isDefaultPort else { return false }
        return isWildcard ? address.host.hasSuffix("." + host) : address.host == host
    }

    package var description: String { text }
}
