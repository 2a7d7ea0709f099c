import Testing
import VaultAPI
import VaultDomain

@Suite("Signing keys")
struct SigningKeyScheduleTests {
    private static let day: Int64 = 86_400
    private static let start = Instant(seconds: 1_800_000_000)

    private static func key(_ id: String, days: Int64, isRetired: Bool = false) -> SigningKeyRecord {
        SigningKeyRecord(id: id, publicKey: [:], signsFrom: start.adding(seconds: days * day), isRetired: isRetired)
    }

    private static func time(_ days: Int64) -> Instant { start.adding(seconds: days * day) }

    @Test("the first key signs at once, and none is needed beside it for its life")
    func first() {
        #expect(SigningKeySchedule.successor([], now: Self.start) == Self.start)
        let keys = [Self.key("a", days: 0)]
        #expect(SigningKeySchedule.signer(keys, now: Self.start)?.id == "a")
        #expect(SigningKeySchedule.successor(keys, now: Self.time(88)) == nil)
    }

    @Test("a successor is published a day before it signs, however late it is made")
    func successor() {
        let keys = [Self.key("a", days: 0)]
        #expect(SigningKeySchedule.successor(keys, now: Self.time(89)) == Self.time(90))
        #expect(SigningKeySchedule.successor(keys, now: Self.time(200)) == Self.time(201))
        let both = keys + [Self.key("b", days: 90)]
        #expect(SigningKeySchedule.successor(both, now: Self.time(89)) == nil)
        #expect(SigningKeySchedule.signer(both, now: Self.time(89))?.id == "a")
        #expect(SigningKeySchedule.signer(both, now: Self.time(90))?.id == "b")
    }

    @Test("a key that was followed goes a day later, and never the one that signs")
    func followed() {
        let keys = [Self.key("a", days: 0), Self.key("b", days: 90)]
        #expect(SigningKeySchedule.followed(keys, now: Self.time(90)).isEmpty)
        #expect(SigningKeySchedule.followed(keys, now: Self.time(91)).map(\.id) == ["a"])
        let retired = [Self.key("a", days: 0, isRetired: true), Self.key("b", days: 90)]
        #expect(SigningKeySchedule.followed(retired, now: Self.time(100)).isEmpty)
        #expect(SigningKeySchedule.signer(retired, now: Self.time(10))?.id == "b", "a retired key cannot sign")
    }

    @Test("over ten years there is always a key that signs, published a day before it did")
    func longRun() {
        var keys: [SigningKeyRecord] = []
        var published: [String: Instant] = [:]
        for hour in stride(from: Int64(0), to: 24 * 3650, by: 6) {
            let now = Self.start.adding(seconds: hour * 3600)
            if let signsFrom = SigningKeySchedule.successor(keys, now: now) {
                let id = "k\(keys.count)"
                keys.append(SigningKeyRecord(id: id, publicKey: [:], signsFrom: signsFrom, isRetired: false))
                published[id] = now
            }
            for key in SigningKeySchedule.followed(keys, now: now) {
                keys = keys.map {
                    $0.id == key.id
                        ? SigningKeyRecord(id: $0.id, publicKey: [:], signsFrom: $0.signsFrom, isRetired: true) : $0
                }
            }
            guard let signer = SigningKeySchedule.signer(keys, now: now), let since = published[signer.id] else {
                Issue.record("nobody signs")
                return
            }
            if signer.id != "k0" { #expect(since.adding(seconds: Self.day) <= now) }
            #expect(keys.count { !$0.isRetired } <= 2)
        }
        #expect(keys.count > 35)
    }
}
