import Foundation
import Testing
import VaultAPI
import VaultDomain
import VaultTestSupport

/// A policy as an operator would send it. Throws what is wrong with it.
private func policy(_ document: JSONObject) throws -> AccessPolicy {
    let fields = Fields(document, unknownMembers: .refused)
    let policy = AccessPolicy(fields)
    try fields.finish()
    return policy
}

private func facts(
    groups: [String]? = nil, method: String? = "GET", path: String? = "/v1/items", peer: String? = "203.0.113.7",
    at now: Instant = Instant(seconds: 1_750_000_000)
) -> PolicyFacts {
    let user = groups.map {
        User(
            id: UserID(), appID: AppID(), issuer: "https://id.example", externalSubjectID: "ada", subject: "ada",
            status: .active, groups: $0, firstSeenAt: now)
    }
    return PolicyFacts(
        user: user, grant: nil, method: method, path: path.map(RequestPath.init), peer: peer.flatMap { IPAddress($0) },
        now: now)
}

private func result(_ document: JSONObject, _ facts: PolicyFacts, rate: RateReading? = nil) throws
    -> RuleVerdict.Result?
{
    try policy(document).evaluate(facts, layer: .provider, rate: rate).first?.verdict.result
}

extension VaultError {
    fileprivate static var notATimeRule: VaultError { VaultError(.internalError, "The policy has no time rule.") }
}

struct TimeRuleTests {
    private static let windows: JSON = [
        ["days": ["mon", "fri"], "start": "22:00", "end": "06:00"],
        ["days": ["sun"], "start": "00:00", "end": "24:00"],
        ["start": "12:15", "end": "12:45"],
    ]

    /// The documents of the comparison, in the order in which the reference knows them.
    private static let rules: [JSONObject] = [
        ["business_hours_only": true], ["weekdays_only": true], ["business_hours_only": true, "weekdays_only": true],
        ["windows": windows], ["weekdays_only": true, "windows": windows],
    ]

    /// One byte a minute of the year for a zone, one bit a rule. Every window is laid out on the dates of the calendar, and
    /// a minute is allowed when its naive local time lies in one: no arithmetic on days of the week or across midnight.
    private static let reference = """
        import sys
        from datetime import date, datetime, time, timedelta
        from zoneinfo import ZoneInfo

        zone, first, minutes = ZoneInfo(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
        inside = [set() for _ in range(3)]
        day = date(2025, 12, 20)
        def add(which, start, end):
            while start < end:
                inside[which].add(start)
                start += timedelta(minutes=1)
        while day < date(2027, 1, 10):
            at = lambda hour, minute=0: datetime.combine(day, time(hour, minute))
            midnight = at(0) + timedelta(days=1)
            add(0, at(9), at(17))
            if day.isoweekday() <= 5: add(1, at(0), midnight)
            if day.strftime("%a") in ("Mon", "Fri"): add(2, at(22), midnight + timedelta(hours=6))
            if day.strftime("%a") == "Sun": add(2, at(0), midnight)
            add(2, at(12, 15), at(12, 45))
            day += timedelta(days=1)
        out = bytearray()
        for minute in range(minutes):
            local = datetime.fromtimestamp(first + 60 * minute, zone).replace(tzinfo=None)
            hours, weekday, window = (local in each for each in inside)
            answers = (hours, weekday, hours and weekday, window, weekday and window)
            out.append(sum(bit << place for place, bit in enumerate(answers)))
        sys.stdout.buffer.write(out)
        """

    @Test(
        "every minute of a year is judged as an independent reference judges it, in six zones",
        arguments: [
            "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Auckland",
            "America/St_Johns",
        ])
    func yearOfMinutes(zone: String) throws {
        let first = try #require(Instant(rfc3339: "2026-01-01T00:00:00Z")).seconds
        let minutes = 365 * 1440
        let expected = [UInt8](try Python.output(of: Self.reference, zone, String(first), String(minutes)))
        try #require(expected.count == minutes)
        let rules = try Self.rules.map { document -> TimeRule in
            var document = document
            document["timezone"] = .string(zone)
            guard case .time(let rule) = try policy(["time": .object(document)]).rules.first else {
                throw VaultError.notATimeRule
            }
            return rule
        }
        var wrong: [Int] = []
        for minute in 0..<minutes {
            // Not on the minute itself, so that seconds and milliseconds are met as well.
            let now = Instant(milliseconds: (first + Int64(minute) * 60) * 1000 + Int64(minute % 60_000))
            var bits: UInt8 = 0
            for (place, rule) in rules.enumerated() where rule.allows(now) == true { bits |= 1 << UInt8(place) }
            if bits != expected[minute] { wrong.append(minute) }
        }
        #expect(wrong.isEmpty, "\(wrong.count) minutes, the first is \(wrong.first ?? 0)")
    }

    @Test(
        "attack 83: edges to the millisecond, and times that clocks skip or show twice",
        arguments: [
            // Friday 23:59:59.999 is Friday still.
            ("Europe/Berlin", "2026-11-27T22:59:59.999Z", true), ("Europe/Berlin", "2026-11-27T23:00:00Z", false),
            // 02:30 does not exist on the night of 29 March; 01:59:59 does, and the next second is 03:00:00.
            ("Europe/Berlin", "2026-03-27T00:59:59Z", true), ("Europe/Berlin", "2026-03-29T01:00:00Z", false),
        ] as [(String, String, Bool)])
    func edges(zone: String, at: String, isAllowed: Bool) throws {
        let now = try #require(Instant(rfc3339: at))
        let document: JSONObject = ["time": ["weekdays_only": true, "timezone": .string(zone)]]
        #expect(try result(document, facts(at: now)) == (isAllowed ? .allow : .deny))
    }

    @Test("attack 83: what clocks show twice is judged alike both times")
    func overlap() throws {
        let window: JSON = [["start": "01:00", "end": "01:30"]]
        let document: JSONObject = ["time": ["timezone": "America/New_York", "windows": window]]
        for (at, isAllowed) in [
            ("2026-11-01T05:15:00Z", true), ("2026-11-01T06:15:00Z", true), ("2026-11-01T06:45:00Z", false),
        ] {
            let now = try #require(Instant(rfc3339: at))
            #expect(try result(document, facts(at: now)) == (isAllowed ? .allow : .deny))
        }
    }

    @Test(
        "attack 83: what is no zone of the IANA database, or no time, is refused when it is written",
        arguments: [
            ["timezone": "Mars/Olympus"], ["timezone": "EST"], ["timezone": "GMT+5"], ["timezone": "+02:00"],
            ["timezone": "../../etc/passwd"], ["timezone": ""], ["windows": []],
            ["windows": [["start": "9:00", "end": "17:00"]]],
            ["windows": [["start": "09:00", "end": "24:01"]]], ["windows": [["start": "24:00", "end": "06:00"]]],
            ["windows": [["start": "23:59:60", "end": "06:00"]]], ["windows": [["start": "09:00"]]],
            ["windows": [["days": [], "start": "09:00", "end": "17:00"]]],
            ["windows": [["days": ["Monday"], "start": "09:00", "end": "17:00"]]],
            ["windows": [["days": ["mon"], "start": "09:00", "end": "17:00", "zone": "UTC"]]], ["hours": 8],
        ] as [JSONObject])
    func refused(time: JSONObject) {
        #expect(throws: VaultError.self) { try policy(["time": .object(time)]) }
    }
}

struct AddressRuleTests {
    private static let reference = """
        import ipaddress, random
        dice = random.Random(20261125)
        def near(network):
            first, last = int(network.network_address), int(network.broadcast_address)
            number = dice.choice([first, last, first - 1, last + 1, dice.randint(first, last)])
            return network.network_address.__class__(min(max(number, 0), 2 ** network.max_prefixlen - 1))
        for _ in range(20000):
            bits, make, network = dice.choice([
                (32, ipaddress.IPv4Address, ipaddress.IPv4Network), (128, ipaddress.IPv6Address, ipaddress.IPv6Network)])
            range_ = network((dice.getrandbits(bits), dice.choice([0, 1, 7, 8, 16, 24, 31, bits - 1, bits])), strict=False)
            address = dice.choice([near, lambda _: make(dice.getrandbits(bits))])(range_)
            inside = address in range_
            text = str(address)
            # An IPv4 address that came over an IPv6 socket is the same address.
            if bits == 32 and dice.random() < 0.3: text = "::ffff:" + text
            elif bits == 128 and address.ipv4_mapped: continue
            print(range_, text, int(inside))
        """

    @Test("attack 84: ranges hold what Python's ipaddress says they hold, mapped addresses included")
    func ranges() throws {
        let lines = String(decoding: try Python.output(of: Self.reference), as: UTF8.self).split(separator: "\n")
        try #require(lines.count > 15_000)
        for line in lines {
            let parts = line.split(separator: " ").map(String.init)
            let range = try #require(IPRange(parts[0]), "\(line)")
            let address = try #require(IPAddress(parts[1]), "\(line)")
            #expect(range.contains(address) == (parts[2] == "1"), "\(line)")
        }
    }

    @Test(
        "attack 84: what is no range is refused when it is written",
        arguments: [
            "10.0.0.0/33", "10.0.0.1/8", "010.0.0.0/8", "10.0.0", "10.0.0.0/08", "fe80::1%eth0", "::/129", "localhost",
            "10.0.0.0/-1", "10.0.0.0/8/8", " 10.0.0.0/8", "",
        ])
    func refused(range: String) {
        #expect(throws: VaultError.self) { try policy(["ip_allowlist": [.string(range)]]) }
    }

    @Test("attack 84: /0 holds every address of its family, and an address that is not known is in none")
    func everything() throws {
        #expect(try result(["ip_allowlist": ["0.0.0.0/0"]], facts()) == .allow)
        #expect(try result(["ip_allowlist": ["::/0"]], facts()) == .deny)
        #expect(try result(["ip_allowlist": ["::/0"]], facts(peer: "2001:db8::1")) == .allow)
        #expect(try result(["ip_allowlist": ["0.0.0.0/0", "::/0"]], facts(peer: nil)) == .deny)
        #expect(try result(["ip_allowlist": []], facts()) == .deny)
    }
}

struct PolicyDocumentTests {
    private static let whole: JSONObject = [
        "allowed_groups": ["eng"], "allowed_roles": ["admin"],
        "time": [
            "business_hours_only": true, "weekdays_only": true, "timezone": "America/New_York",
            "windows": [["days": ["mon", "fri"], "start": "22:00", "end": "06:00"]],
        ],
        "ip_allowlist": ["203.0.113.0/24", "2001:db8::/32"], "methods": ["GET"], "paths": ["/v1/**"],
        "grant_ttl": ["default_seconds": 3600, "max_seconds": 86_400],
        "require_approval": ["methods": ["POST", "DELETE"], "paths": ["/**"], "approvers": "user"],
        "rate_limit": ["requests": 60, "per_seconds": 60, "per": "grant"],
    ]

    @Test("the document of the contract is kept as it was sent, and every member is a rule")
    func whole() throws {
        let policy = try policy(Self.whole)
        #expect(policy.json == Self.whole)
        #expect(policy.rules.map(\.name) == Self.whole.names)
        #expect(AccessPolicy(stored: policy.json).rules.map(\.name) == Self.whole.names)
    }

    @Test(
        "attack 87: a stored document that cannot be read denies, whatever is wrong with it",
        arguments: [
            ["allowed_groups": "eng"], ["ip_allowlist": ["10.0.0.0/33"]], ["time": ["timezone": "Mars/Olympus"]],
            ["rate_limit": ["requests": 0, "per_seconds": 60]], ["a_rule_of_tomorrow": true],
        ] as [JSONObject])
    func unreadable(document: JSONObject) {
        let outcomes = AccessPolicy(stored: document).evaluate(facts(groups: ["eng"]), layer: .app, rate: .free)
        #expect(outcomes.map(\.rule) == ["policy"])
        #expect(outcomes.map(\.verdict.result) == [.deny])
    }

    private static let undecidable: [(document: JSONObject, facts: PolicyFacts)] = [
        (["allowed_groups": ["eng"]], facts()), (["allowed_roles": ["admin"]], facts()),
        (["methods": ["GET"]], facts(method: nil)), (["paths": ["/**"]], facts(path: nil)),
        (["ip_allowlist": ["0.0.0.0/0"]], facts(peer: nil)),
        (["require_approval": ["methods": ["POST"]]], facts(method: nil)),
        (["rate_limit": ["requests": 1, "per_seconds": 1, "per": "user"]], facts()),
    ]

    @Test("attack 87: a rule that lacks the fact it is about denies")
    func undecidable() throws {
        for (document, facts) in Self.undecidable { #expect(try result(document, facts) == .deny, "\(document)") }
    }

    @Test("an approval covers what matches, and a path that servers read in two ways")
    func approval() throws {
        let document: JSONObject = ["require_approval": ["methods": ["POST"], "paths": ["/v1/refunds"]]]
        #expect(try result(document, facts(method: "POST", path: "/v1/refunds")) == .deny)
        #expect(try result(document, facts(method: "GET", path: "/v1/refunds")) == .notApplicable)
        #expect(try result(document, facts(method: "POST", path: "/v1/items")) == .notApplicable)
        #expect(try result(document, facts(method: "POST", path: "/v1/x/../refunds")) == .deny)
        #expect(try result(document, facts(method: "POST", path: "/v1/%72efunds")) == .deny)
    }

    @Test("a denial says what it would have taken, in few words however long the list")
    func needed() throws {
        let names = (1...200).map { "group-\($0)" }
        let outcome = try policy(["allowed_groups": .strings(names)]).evaluate(
            facts(groups: []), layer: .app, rate: nil)
        #expect(outcome.first?.verdict.needed?.hasPrefix("one of: group-1, group-2") == true)
        #expect(outcome.first?.verdict.needed?.hasSuffix("and 190 more") == true)
    }
}

struct TraceContextTests {
    private static let traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

    @Test("a trace context is kept, of later versions what is common to all")
    func kept() {
        for text in ["00-\(Self.traceID)-00f067aa0ba902b7-01", "01-\(Self.traceID)-00f067aa0ba902b7-01-more"] {
            #expect(TraceContext(traceparent: text)?.traceID == Self.traceID)
            #expect(TraceContext(traceparent: text)?.spanID == "00f067aa0ba902b7")
        }
    }

    @Test(
        "what is no trace context is none",
        arguments: [
            "", "00", "ff-\(traceID)-00f067aa0ba902b7-01", "00-\(traceID)-00f067aa0ba902b7-01-more",
            "00-\(String(repeating: "0", count: 32))-00f067aa0ba902b7-01", "00-\(traceID)-0000000000000000-01",
            "00-\(traceID.uppercased())-00f067aa0ba902b7-01", "00-\(traceID)-00f067aa0ba902b7",
            "00-\(traceID)0-00f067aa0ba902b7-01",
            "0-\(traceID)-00f067aa0ba902b7-01", "00-\(traceID)-00f067aa0ba902b7-0x",
        ])
    func refused(text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }
}
