// Names to addresses, away from the cooperative threads: `getaddrinfo` blocks for as long as a name server likes to be
// silent. Callers that ask for the same name share one look-up, and an answer is kept for seconds, so that a busy host
// costs one question and not thousands. It judges no address; GuardedClient does, for every one.

import Glibc
import NIOPosix
import Synchronization
import VaultDomain

final class AddressResolver: Sendable {
    /// A hostile name server can hold a thread for its whole time-out; more names than this in waiting are refused, and of
    /// one domain far fewer, so that nobody's slow names keep everybody else from being resolved.
    private static let threadCount = 32
    private static let lookupsMax = 256
    private static let lookupsPerDomainMax = 8
    private static let keptMax = 1024
    private static let keptFor = Duration.seconds(10)
    /// No honest name has more (row 23: a thousand records).
    static let recordsMax = 64

    private typealias Answer = Result<[IPAddress], OutgoingFailure>
    private typealias Waiter = CheckedContinuation<[IPAddress], any Error>

    private struct State {
        var kept: [String: (addresses: [IPAddress], until: ContinuousClock.Instant)] = [:]
        var waiting: [String: [UInt64: Waiter]] = [:]
        var nextWaiter: UInt64 = 0
    }

    private enum Start {
        case known(Answer), joined, lookUp
    }

    private let state = Mutex(State())
    private let threads = NIOThreadPool(numberOfThreads: threadCount)

    init() { threads.start() }

    deinit { threads.shutdownGracefully { _ in } }

    /// In the system's order of preference (RFC 6724). Returns at once when the task is cancelled; the look-up itself
    /// cannot be, and goes on for whoever asks next.
    func addresses(of host: String) async throws -> [IPAddress] {
        let ticket = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (waiter: Waiter) in
                // A cancellation that came before this line found no waiter to wake.
                guard !Task.isCancelled else { return waiter.resume(throwing: CancellationError()) }
                switch begin(host, ticket, waiter) {
                case .known(let answer): waiter.resume(with: answer.mapError { $0 })
                case .joined: break
                case .lookUp: lookUp(host)
                }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiting[host]?.removeValue(forKey: ticket) }
            waiter?.resume(throwing: CancellationError())
        }
    }

    private func begin(_ host: String, _ ticket: UInt64, _ waiter: Waiter) -> Start {
        state.withLock { state in
            if let kept = state.kept[host], kept.until > .now { return .known(.success(kept.addresses)) }
            if state.waiting[host] != nil {
                state.waiting[host]?[ticket] = waiter
                return .joined
            }
            let domain = Self.domain(of: host)
            guard state.waiting.count < Self.lookupsMax,
                state.waiting.keys.count(where: { Self.domain(of: $0) == domain }) < Self.lookupsPerDomainMax
            else { return .known(.failure(.unresolvable)) }
            state.waiting[host] = [ticket: waiter]
            return .lookUp
        }
    }

    /// The last two labels: what one owner can make up names under.
    private static func domain(of host: String) -> Substring {
        host.split(separator: ".").suffix(2).first.map { host[$0.startIndex...] } ?? host[...]
    }

    private func lookUp(_ host: String) {
        threads.submit { [self] work in
            let answer: Answer = work == .active ? Self.ask(host) : .failure(.unresolvable)
            let waiters = state.withLock { state in
                if case .success(let addresses) = answer {
                    let now = ContinuousClock.now
                    if state.kept.count >= Self.keptMax { state.kept = state.kept.filter { $0.value.until > now } }
                    if state.kept.count >= Self.keptMax { state.kept = [:] }
                    state.kept[host] = (addresses, now + Self.keptFor)
                }
                return state.waiting.removeValue(forKey: host) ?? [:]
            }
            for waiter in waiters.values { waiter.resume(with: answer.mapError { $0 }) }
        }
    }

    private static func ask(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return .failure(.unresolvable) }
        defer { freeaddrinfo(list) }

        var addresses: [IPAddress] = []
        var next = list
        while let entry = next?.pointee {
            guard let address = entry.ai_addr.flatMap(address) else { return .failure(.unresolvable) }
            if !addresses.contains(address) { addresses.append(address) }
            guard addresses.count <= recordsMax else { break }
            next = entry.ai_next
        }
        return addresses.isEmpty ? .failure(.unresolvable) : .success(addresses)
    }

    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>) -> IPAddress? {
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET:
            pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { socket in
                withUnsafeBytes(of: socket.pointee.sin_addr) { IPAddress(bytes: Array($0)) }
            }
        case AF_INET6:
            pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { socket in
                withUnsafeBytes(of: socket.pointee.sin6_addr) { IPAddress(bytes: Array($0)) }
            }
        default: nil
        }
    }
}
