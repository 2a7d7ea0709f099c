import Synchronization
import VaultAPI

/// When this process last wrote down that somebody was seen, or something used: it need not be written at every call, and a
/// record that was read before does not make it written again.
final class LastNoted<Noun>: Sendable {
    private static var countMax: Int { 100_000 }

    private let times = Mutex<[Identifier<Noun>: Instant]>([:])

    subscript(id: Identifier<Noun>) -> Instant? { times.withLock { $0[id] } }

    func note(_ id: Identifier<Noun>, at time: Instant?) {
        times.withLock { times in
            if times.count >= Self.countMax { times = [:] }
            times[id] = time
        }
    }
}
