// What goes out and what comes back, as plain values, and the `Send` seam between the verbs and the network. Requests and
// answers carry tokens: both print without headers and bodies.

import VaultDomain

/// One outgoing call. `GuardedClient.send` is the real one; tests give closures.
package typealias Send = @Sendable (OutgoingRequest) async throws -> OutgoingResponse

package struct OutgoingRequest: Sendable, CustomStringConvertible, CustomReflectable {
    package enum TooLarge: Sendable {
        /// The call fails, and nothing of the body is returned.
        case fail
        /// The body ends at the limit, and the rest is not read.
        case truncate
    }

    package var method: String
    package var address: WebAddress
    /// Host, framing, hop-by-hop headers and `Accept-Encoding` are the client's own: given here, they are left out.
    package var headers: [(name: String, value: String)]
    package var body: [UInt8]?
    /// From the first look-up to the last byte of the body.
    package var timeoutSeconds: Int
    package var responseBytesMax: Int
    package var whenTooLarge: TooLarge
    /// Never sent over a connection that was used before. An idle connection may be closed by the other side at the moment
    /// of sending, and then nobody knows whether the request was read: too much doubt for a refresh token.
    package var usesFreshConnection: Bool

    package init(
        method: String, address: WebAddress, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil,
        timeoutSeconds: Int = 10, responseBytesMax: Int = 1 << 20, whenTooLarge: TooLarge = .fail,
        usesFreshConnection: Bool = false
    ) {
        self.method = method
        self.address = address
        self.headers = headers
        self.body = body
        self.timeoutSeconds = timeoutSeconds
        self.responseBytesMax = responseBytesMax
        self.whenTooLarge = whenTooLarge
        self.usesFreshConnection = usesFreshConnection
    }

    package var description: String { "\(method) \(address.origin)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

package struct OutgoingResponse: Sendable, CustomStringConvertible, CustomReflectable {
    package let status: Int
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]
    /// The body was longer than was asked for.
    package let isTruncated: Bool

    package init(
        status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = [], isTruncated: Bool = false
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        self.isTruncated = isTruncated
    }

    /// The first header of this name, in any case.
    package func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name.lowercased() == name }?.value
    }

    package var description: String { "\(status), \(body.count) bytes" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why there is no answer. Names no query, header or body.
package enum OutgoingFailure: Error, Equatable, Sendable {
    /// The address is not one this server calls; the text says why.
    case addressRefused(String)
    case unresolvable
    /// No connection, so that nothing was sent.
    case unreachable
    /// No trustworthy TLS connection, so that nothing was sent.
    case tls
    /// The time was up; the request may have been received.
    case timedOut
    case tooLarge
    /// The request is not one that HTTP can carry; nothing was sent.
    case malformed
    /// The connection broke, or the answer was not HTTP; the request may have been received.
    case answerLost

    /// Safe to show to an operator or an app.
    package var reason: String {
        switch self {
        case .addressRefused(let reason): reason
        case .unresolvable: "the host's name could not be resolved"
        case .unreachable: "no connection to the host could be made"
        case .tls: "the host's certificate or TLS version is not acceptable"
        case .timedOut: "the host did not answer in time"
        case .tooLarge: "the host's answer is too large"
        case .malformed: "the request has a method or header that HTTP does not allow"
        case .answerLost: "the connection broke before the answer was complete"
        }
    }

    /// Whether the other side may have acted. What is sent once only must then not simply be sent again.
    package var mayHaveBeenReceived: Bool {
        switch self {
        case .addressRefused, .unresolvable, .unreachable, .tls, .malformed: false
        case .timedOut, .tooLarge, .answerLost: true
        }
    }
}

// MARK: - What may be put into a request

extension OutgoingRequest {
    private static let headersMax = 100
    private static let headerBytesMax = 64 << 10

    /// Owned by the connection and not by the caller (RFC 9110 §7.6.1, §8.6, §10.1.1). A caller's `Connection` is not
    /// obeyed either: it could name the header that carries the credential.
    private static let ownHeaders: Set<String> = [
        "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    ]

    /// Throws `malformed` for what could split or smuggle a request (row 74: CRLF in method or header).
    func checkedHeaders() throws(OutgoingFailure) -> [(name: String, value: String)] {
        guard (1...32).contains(method.utf8.count), HeaderField.isToken(method),
            !["CONNECT", "TRACE"].contains(method.uppercased()), headers.count <= Self.headersMax
        else { throw .malformed }
        var size = 0
        for header in headers {
            size += header.name.utf8.count + header.value.utf8.count
            guard HeaderField.isToken(header.name), HeaderField.isValue(header.value) else { throw .malformed }
        }
        guard size <= Self.headerBytesMax else { throw .malformed }
        return headers.filter { !Self.ownHeaders.contains($0.name.lowercased()) }
    }
}
