import Foundation
import Glibc
import Synchronization
import Testing
import VaultDomain

@testable import VaultUpstream

// Real sockets on loopback, because what matters here is what a hostile or broken server can do with bytes.

/// One accepted connection, read and written by a script on a thread of its own.
private struct RawConnection: Sendable {
    let socket: Int32

    /// One request with the body that its Content-Length announces; `nil` when the client is gone.
    func readRequest() -> String? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = String(decoding: bytes, as: UTF8.self).range(of: "\r\n\r\n") {
                let text = String(decoding: bytes, as: UTF8.self)
                let length = text[..<end.lowerBound].split(separator: "\r\n").compactMap { line -> Int? in
                    let parts = line.split(separator: ":", maxSplits: 1)
                    guard parts.first?.lowercased() == "content-length" else { return nil }
                    return Int(parts[1].trimmingCharacters(in: .whitespaces))
                }
                if text[end.upperBound...].utf8.count >= length.first ?? 0 { return text }
            }
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            bytes += buffer[..<count]
        }
    }

    /// Whether the client was still there.
    @discardableResult
    func write(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    func isClosedByClient(withinSeconds seconds: Int) -> Bool {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var byte: UInt8 = 0
        return recv(socket, &byte, 1, 0) == 0 || errno == ECONNRESET
    }

    /// Closing now sends a reset, as a crashed peer or a middlebox does.
    func resetOnClose() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
    }
}

/// A port of loopback on which nobody listens. Bound, so that no other test is given it meanwhile.
private struct DeafPort {
    let socket: Int32
    let port: Int

    init() throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(socket, generic, length) == 0 && getsockname(socket, generic, &length) == 0
            }
        }
        try #require(isBound)
        self.socket = socket
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    func release() { close(socket) }
}

private final class RawServer: Sendable {
    private final class Log: Sendable {
        let entries = Mutex<(connections: Int, requests: [String])>((0, []))
    }

    let port: Int
    private let listener: Int32
    private let log = Log()

    /// `script` runs for each connection, which is closed when it returns.
    init(_ script: @escaping @Sendable (RawConnection, _ read: () -> String?) -> Void) throws {
        let port = try DeafPort()
        try #require(listen(port.socket, 64) == 0)
        let listener = port.socket
        self.listener = listener
        self.port = port.port
        Thread.detachNewThread { [log] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else {
                    // Closed by who uses it: a number closed elsewhere could be another server's by now.
                    close(listener)
                    return
                }
                log.entries.withLock { $0.connections += 1 }
                Thread.detachNewThread {
                    let connection = RawConnection(socket: client)
                    script(connection) {
                        guard let request = connection.readRequest() else { return nil }
                        log.entries.withLock { $0.requests.append(request) }
                        return request
                    }
                    close(client)
                }
            }
        }
    }

    /// Answers every request on every connection with the same bytes.
    convenience init(answering text: String) throws {
        try self.init { connection, read in
            while read() != nil, connection.write(text) {}
        }
    }

    /// Called at the end of a test, which also keeps the server alive until then.
    func stop() {
        Glibc.shutdown(listener, Int32(SHUT_RDWR))
    }

    var connections: Int { log.entries.withLock { $0.connections } }
    var requests: [String] { log.entries.withLock { $0.requests } }

    func address(_ target: String = "/", scheme: String = "http", host: String = "127.0.0.1") throws -> WebAddress {
        try WebAddress("\(scheme)://\(host):\(port)\(target)")
    }
}

private let okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

private let development = GuardedClient(allowsPrivateAddresses: true)
private let production = GuardedClient(allowsPrivateAddresses: false)

private func get(_ address: WebAddress, client: GuardedClient = development) async throws -> OutgoingResponse {
    try await client.send(OutgoingRequest(method: "GET", address: address, timeoutSeconds: 30))
}

private func failure(_ request: OutgoingRequest, client: GuardedClient = development) async throws -> OutgoingFailure {
    try await #require(throws: OutgoingFailure.self) { try await client.send(request) }
}

@Suite("The guarded client refuses")
struct GuardedClientRefusalTests {
    @Test(
        "row 22: private, local and reserved addresses in production, before any connection",
        arguments: [
            "https://127.0.0.1", "https://[::1]", "https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]",
            "https://[64:ff9b::7f00:1]",
            "https://0.0.0.0", "https://[::]", "https://10.0.0.1", "https://169.254.169.254", "https://[fd00:ec2::254]",
            "https://100.64.0.1",
            "https://192.168.1.1", "https://172.16.0.1", "https://198.18.0.1", "https://224.0.0.1",
            "https://255.255.255.255", "https://localhost",
        ])
    func privateAddresses(_ address: String) async throws {
        let request = OutgoingRequest(method: "GET", address: try WebAddress(address + "/secret?query"))
        guard case .addressRefused(let reason) = try await failure(request, client: production) else {
            Issue.record("not refused")
            return
        }
        #expect(!reason.contains("secret") && !reason.contains("query"))
    }

    @Test("row 21: plain http in production")
    func plainHTTP() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let refused = try await failure(
            OutgoingRequest(method: "GET", address: try server.address()), client: production)
        #expect(refused == .addressRefused("only https addresses are called"))
        #expect(server.connections == 0)
    }

    @Test(
        "row 22: metadata and link-local addresses even in development",
        arguments: [
            "http://169.254.169.254/", "http://[fe80::1]/", "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/",
        ])
    func metadata(_ address: String) async throws {
        guard case .addressRefused = try await failure(OutgoingRequest(method: "GET", address: try WebAddress(address)))
        else {
            Issue.record("not refused")
            return
        }
    }

    @Test(
        "row 23: names with one bad address among good ones, or with too many",
        arguments: [
            ["93.184.215.14", "127.0.0.1"], ["127.0.0.1", "93.184.215.14"], ["2606:4700::1111", "::ffff:10.0.0.1"],
            (0..<65).map { "93.184.215.\($0)" },
        ])
    func mixedAnswers(_ addresses: [String]) async throws {
        let client = GuardedClient(allowsPrivateAddresses: false) { _ in addresses.compactMap { IPAddress($0) } }
        let request = OutgoingRequest(method: "GET", address: try WebAddress("https://mixed.example/"))
        guard case .addressRefused = try await failure(request, client: client) else {
            Issue.record("not refused")
            return
        }
    }

    @Test("row 23: names without an address, and names that take too long")
    func noAnswer() async throws {
        let empty = GuardedClient(allowsPrivateAddresses: true) { _ in [] }
        let slow = GuardedClient(allowsPrivateAddresses: true) { _ in
            try await Task.sleep(for: .seconds(600))
            return []
        }
        let request = OutgoingRequest(
            method: "GET", address: try WebAddress("https://name.example/"), timeoutSeconds: 20)
        #expect(try await failure(request, client: empty) == .unresolvable)
        #expect(try await failure(request, client: slow) == .unresolvable)
        let unknown = OutgoingRequest(method: "GET", address: try WebAddress("https://does-not-exist.invalid/"))
        #expect(try await failure(unknown) == .unresolvable)
    }

    @Test(
        "row 74: methods and headers that would end their line",
        arguments: [
            ("GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "a", "b"), ("G ET", "a", "b"), ("", "a", "b"), ("CONNECT", "a", "b"),
            ("TRACE", "a", "b"),
            ("GET", "a\r\nb", "c"), ("GET", "a:", "b"), ("GET", "", "b"), ("GET", "a b", "c"), ("GET", "é", "c"),
            ("GET", "a", "b\r\nc: d"),
            ("GET", "a", "b\nc"), ("GET", "a", "b\rc"), ("GET", "a", "b\u{0}c"), ("GET", "a", "b\u{7F}"),
            ("GET", "a", String(repeating: "x", count: 70_000)),
        ])
    func injection(_ method: String, _ name: String, _ value: String) async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let request = OutgoingRequest(
            method: method, address: try server.address(), headers: [(name: name, value: value)])
        #expect(try await failure(request) == .malformed)
        #expect(server.connections == 0)
    }

    @Test("calls after it was shut down")
    func shutDown() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let client = GuardedClient(allowsPrivateAddresses: true)
        #expect(try await get(server.address(), client: client).status == 200)
        await client.shutdown()
        await client.shutdown()
        #expect(
            try await failure(OutgoingRequest(method: "GET", address: try server.address()), client: client)
                == .unreachable)
    }
}

@Suite("The guarded client sends")
struct GuardedClientSendTests {
    @Test("to the checked address under the name's own Host, resolving it once per call")
    func pinning() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let questions = Mutex<[String]>([])
        let client = GuardedClient(allowsPrivateAddresses: true) { host in
            // Row 23: the second answer would be another address.
            let count = questions.withLock { questions in
                questions.append(host)
                return questions.count
            }
            return [count == 1 ? "127.0.0.1" : "169.254.169.254"].compactMap { IPAddress($0) }
        }
        let address = try server.address("/x?y=1", host: "API.example.test")
        #expect(try await get(address, client: client).body == Array("ok".utf8))
        #expect(questions.withLock { $0 } == ["api.example.test"])
        let request = try #require(server.requests.first)
        #expect(request.hasPrefix("GET /x?y=1 HTTP/1.1\r\n"))
        #expect(request.lowercased().contains("\r\nhost: api.example.test:\(server.port)\r\n"))
        guard case .addressRefused = try await failure(OutgoingRequest(method: "GET", address: address), client: client)
        else {
            Issue.record("the new address was not refused")
            return
        }
        await client.shutdown()
    }

    @Test("names that the system resolves")
    func realName() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        #expect(try await get(server.address(host: "localhost")).status == 200)
        #expect(try await get(server.address(host: "localhost")).status == 200)
    }

    @Test("to the next address when the first lets nobody connect, and the request once")
    func nextAddress() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let client = GuardedClient(allowsPrivateAddresses: true) { _ in
            ["127.0.0.9", "127.0.0.8", "127.0.0.1"].compactMap { IPAddress($0) }
        }
        for body in [nil, Array("b".utf8)] {
            let request = OutgoingRequest(method: "POST", address: try server.address(host: "many.example"), body: body)
            #expect(try await client.send(request).status == 200)
        }
        #expect(server.requests.count == 2)
        await client.shutdown()
    }

    @Test(
        "exactly the target it was given",
        arguments: [
            "/", "/?", "/a//b/../c/./d", "/%2e%2e/%2F%5c", "/a;p=1,2/~!$&'()*+,;=:@-._", "/?a=b?c/d&e=%41%7a",
            "//evil.example/", "/?q=a+b&x='()*", "/a%20b?c%20d", "/?a%5Bb%5D=c",
        ])
    func target(_ target: String) async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        #expect(try await get(server.address(target)).status == 200)
        #expect(server.requests.first?.hasPrefix("GET \(target) HTTP/1.1\r\n") == true, "\(server.requests)")
    }

    @Test("row 76: its own framing and connection headers, not the caller's")
    func ownHeaders() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let request = OutgoingRequest(
            method: "POST", address: try server.address(),
            headers: [
                (name: "Host", value: "evil.example"), (name: "content-length", value: "1"),
                (name: "Transfer-Encoding", value: "chunked"),
                (name: "Connection", value: "close, authorization"), (name: "Accept-Encoding", value: "gzip"),
                (name: "TE", value: "trailers"),
                (name: "Upgrade", value: "h2c"), (name: "Expect", value: "100-continue"),
                (name: "Authorization", value: "Bearer t"),
                (name: "X-Twice", value: "1"), (name: "X-Twice", value: "2"),
            ], body: Array("hello".utf8))
        #expect(try await development.send(request).status == 200)
        let sent = try #require(server.requests.first).lowercased()
        #expect(sent.hasSuffix("\r\n\r\nhello"))
        #expect(sent.contains("\r\nhost: 127.0.0.1:\(server.port)\r\n") && sent.contains("\r\ncontent-length: 5\r\n"))
        #expect(sent.contains("\r\nauthorization: bearer t\r\n") && sent.contains("\r\nuser-agent: sallyport\r\n"))
        #expect(sent.contains("\r\nx-twice: 1\r\n") && sent.contains("\r\nx-twice: 2\r\n"))
        for name in ["evil", "transfer-encoding", "connection", "accept-encoding", "\r\nte:", "upgrade", "expect"] {
            #expect(!sent.contains(name), "\(name)")
        }
        #expect(sent.components(separatedBy: "content-length").count == 2)
    }

    @Test("over one connection while it lives, and over a fresh one where that is asked for")
    func reuse() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        for _ in 0..<3 { #expect(try await get(server.address()).status == 200) }
        #expect(server.connections == 1)
        for _ in 0..<2 {
            let request = OutgoingRequest(
                method: "POST", address: try server.address(), body: Array("b".utf8), usesFreshConnection: true)
            #expect(try await development.send(request).status == 200)
        }
        #expect(server.connections == 3)
        #expect(server.requests.count == 5)
    }

    @Test("many calls at once and to many names")
    func load() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        let client = GuardedClient(allowsPrivateAddresses: true) { _ in [IPAddress("127.0.0.1")].compactMap { $0 } }
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<300 {
                group.addTask { try await get(server.address(host: "n\(number).example"), client: client).status }
            }
            for try await status in group { #expect(status == 200) }
        }
        await client.shutdown()
    }

    @Test("and may be forgotten without being shut down")
    func dropped() async throws {
        let server = try RawServer(answering: okAnswer)
        defer { server.stop() }
        #expect(try await get(server.address(), client: GuardedClient(allowsPrivateAddresses: true)).status == 200)
    }
}

@Suite("The guarded client receives")
struct GuardedClientReceiveTests {
    @Test("row 24: a redirect as an answer and follows none", arguments: [301, 302, 303, 307, 308])
    func redirects(_ status: Int) async throws {
        let target = try RawServer(answering: okAnswer)
        defer { target.stop() }
        let server = try RawServer(
            answering:
                "HTTP/1.1 \(status) Moved\r\nLocation: http://127.0.0.1:\(target.port)/\r\nContent-Length: 0\r\n\r\n")
        defer { server.stop() }
        let request = OutgoingRequest(
            method: "GET", address: try server.address(), headers: [(name: "Authorization", value: "Bearer t")])
        let response = try await development.send(request)
        #expect(response.status == status)
        #expect(response.header("LOCATION") == "http://127.0.0.1:\(target.port)/")
        #expect(target.connections == 0)
    }

    @Test(
        "row 78: a body up to the limit, and of a longer one an error or its beginning",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n",
        ])
    func limits(_ answer: String) async throws {
        let server = try RawServer(answering: answer)
        defer { server.stop() }
        var request = OutgoingRequest(method: "GET", address: try server.address(), responseBytesMax: 10)
        let whole = try await development.send(request)
        #expect(whole.body == Array("0123456789".utf8) && !whole.isTruncated)
        request.responseBytesMax = 9
        #expect(try await failure(request) == .tooLarge)
        request.whenTooLarge = .truncate
        let cut = try await development.send(request)
        #expect(cut.body == Array("012345678".utf8) && cut.isTruncated)
        request.responseBytesMax = 0
        #expect(try await development.send(request).body.isEmpty)
    }

    @Test("row 78: of an endless body the beginning, and hangs up")
    func endless() async throws {
        let hangUps = Mutex(0)
        let server = try RawServer { connection, read in
            guard read() != nil, connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") else {
                return
            }
            let chunk = "10000\r\n" + String(repeating: "x", count: 65_536) + "\r\n"
            while connection.write(chunk) {}
            hangUps.withLock { $0 += 1 }
        }
        defer { server.stop() }
        let response = try await development.send(
            OutgoingRequest(
                method: "GET", address: try server.address(), responseBytesMax: 100_000, whenTooLarge: .truncate))
        #expect(response.isTruncated && response.body.count == 100_000)
        for _ in 0..<100 where hangUps.withLock({ $0 == 0 }) { try await Task.sleep(for: .milliseconds(50)) }
        #expect(hangUps.withLock { $0 } == 1)
    }

    @Test("row 25: nothing after the time limit, when an answer trickles, is silent, or never leaves its first lines")
    func timeLimit() async throws {
        let scripts: [@Sendable (RawConnection) -> Void] = [
            { connection in
                connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while connection.write("x") { usleep(100_000) }
            },
            { _ = $0.isClosedByClient(withinSeconds: 10) },
            { connection in
                connection.write("HTTP/1.1 200 OK\r\n")
                while connection.write("X: y\r\n") { usleep(100_000) }
            },
            { connection in while connection.write("HTTP/1.1 100 Continue\r\n\r\n") { usleep(1000) } },
        ]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for script in scripts {
                for body in [nil, Array("b".utf8)] {
                    group.addTask {
                        let server = try RawServer { connection, read in if read() != nil { script(connection) } }
                        defer { server.stop() }
                        let start = ContinuousClock.now
                        let request = OutgoingRequest(
                            method: "POST", address: try server.address(), body: body, timeoutSeconds: 1)
                        #expect(try await failure(request) == .timedOut)
                        #expect(ContinuousClock.now - start < .seconds(9))
                        #expect(server.requests.count == 1)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test(
        "row 28: a lost answer as lost, having sent the request once",
        arguments: [
            (reset: false, answer: ""), (reset: true, answer: ""),
            (reset: false, answer: "HTTP/1.1 200 OK\r\nContent-"),
            (reset: false, answer: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
            (reset: true, answer: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
            (reset: false, answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        ])
    func lostAnswers(_ end: (reset: Bool, answer: String)) async throws {
        for body in [nil, Array("grant_type=refresh_token".utf8)] {
            let server = try RawServer { connection, read in
                guard read() != nil else { return }
                if end.reset { connection.resetOnClose() }
                connection.write(end.answer)
            }
            defer { server.stop() }
            let request = OutgoingRequest(method: "POST", address: try server.address(), body: body)
            #expect(try await failure(request) == .answerLost)
            #expect(server.requests.count == 1 && server.connections == 1)
        }
    }

    @Test("row 28: a loss on a connection that was idle as lost too, and repeats nothing")
    func lostOnReuse() async throws {
        let server = try RawServer { connection, read in
            guard read() != nil, connection.write(okAnswer), read() != nil else { return }
            connection.resetOnClose()
        }
        defer { server.stop() }
        #expect(try await get(server.address()).status == 200)
        let request = OutgoingRequest(method: "POST", address: try server.address(), body: Array("b".utf8))
        #expect(try await failure(request) == .answerLost)
        #expect(server.requests.count == 2 && server.connections == 1)
    }

    @Test("no connection as such: nothing was sent")
    func noConnection() async throws {
        let nobody = try DeafPort()
        defer { nobody.release() }
        let address = try WebAddress("http://127.0.0.1:\(nobody.port)/")
        for body in [nil, Array("b".utf8)] {
            #expect(try await failure(OutgoingRequest(method: "POST", address: address, body: body)) == .unreachable)
        }
    }

    @Test("row 26: a TLS handshake that fails as such")
    func noTLS() async throws {
        let server = try RawServer { connection, _ in
            connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
            _ = connection.isClosedByClient(withinSeconds: 5)
        }
        defer { server.stop() }
        for body in [nil, Array("b".utf8)] {
            let request = OutgoingRequest(method: "POST", address: try server.address(scheme: "https"), body: body)
            #expect(try await failure(request) == .tls)
        }
    }

    @Test(
        "row 78: answers of every broken kind without harm",
        arguments: [
            "SSH-2.0-OpenSSH_9.2\r\n", "\r\n\r\n\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 99999 X\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "HTTP/1.1 200 OK\r\nX: " + String(repeating: "a", count: 200_000) + "\r\n\r\n",
            "HTTP/1.1 200 OK\r\n" + String(repeating: "X: y\r\n", count: 20_000) + "\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw bytes", "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\u{0}c\r\n\r\n",
            "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
        ])
    func brokenAnswers(_ answer: String) async throws {
        for method in ["GET", "HEAD", "POST"] {
            let server = try RawServer(answering: answer)
            defer { server.stop() }
            for _ in 0..<2 {
                let body = method == "POST" ? Array(repeating: UInt8(ascii: "b"), count: 100_000) : nil
                do {
                    let request = OutgoingRequest(
                        method: method, address: try server.address(), body: body, timeoutSeconds: 1)
                    _ = try await development.send(request)
                } catch is OutgoingFailure {
                    // Any failure will do; what counts is that the process and the client live on.
                }
            }
        }
    }

    @Test("row 78: an answer that nobody asked for without harm to the next call")
    func unsolicited() async throws {
        let server = try RawServer { connection, read in
            while read() != nil, connection.write(okAnswer) {
                usleep(50_000)
                connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            }
        }
        defer { server.stop() }
        for _ in 0..<3 {
            #expect(try await get(server.address()).body == Array("ok".utf8))
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    @Test("row 25: compressed bytes as they came")
    func compressed() async throws {
        let server = try RawServer(
            answering: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb")
        defer { server.stop() }
        let response = try await get(server.address())
        #expect(response.body == Array("bomb".utf8) && response.header("content-encoding") == "gzip")
        #expect(!server.requests.joined().lowercased().contains("accept-encoding"))
    }

    @Test("all headers in their order and Set-Cookie apart, keeping none for later calls")
    func headers() async throws {
        let server = try RawServer(
            answering: "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-One: 1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")
        defer { server.stop() }
        let response = try await get(server.address())
        #expect(response.headers.map(\.name) == ["Set-Cookie", "X-One", "Set-Cookie", "Content-Length"])
        #expect(response.header("set-cookie") == "a=1")
        _ = try await get(server.address())
        #expect(!server.requests.joined().lowercased().contains("cookie"))
    }

    @Test("nothing more once its task is cancelled, and hangs up", arguments: [false, true])
    func cancellation(_ hasBegun: Bool) async throws {
        let hangUps = Mutex(0)
        let server = try RawServer { connection, read in
            guard read() != nil else { return }
            if hasBegun { connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }
            if connection.isClosedByClient(withinSeconds: 10) { hangUps.withLock { $0 += 1 } }
        }
        defer { server.stop() }
        let address = try server.address()
        await withThrowingTaskGroup(of: OutgoingResponse.self) { group in
            group.addTask { try await get(address) }
            for _ in 0..<100 where server.requests.isEmpty { try? await Task.sleep(for: .milliseconds(20)) }
            try? await Task.sleep(for: .milliseconds(200))
            group.cancelAll()
            await #expect(throws: CancellationError.self) { try await group.next() }
        }
        for _ in 0..<100 where hangUps.withLock({ $0 == 0 }) { try await Task.sleep(for: .milliseconds(20)) }
        #expect(hangUps.withLock { $0 } == 1)
    }
}
