import Testing
import VaultAPI
import VaultDomain

@Suite("What users see of their records")
struct UserActivityTests {
    private static func record(_ event: String, _ changes: JSONObject = [:]) -> JSONObject {
        var record: JSONObject = [
            "id": "11111111-1111-4111-8111-111111111111", "occurred_at": "2026-11-24T10:00:00Z",
            "event": .string(event),
            "decision": "allow",
            "principal": ["type": "app", "key_id": "secret-key", "key_prefix": "alter_rk_x", "caller": "nightly"],
            "peer": "192.0.2.7",
        ]
        for (name, value) in changes.members { record[name] = value }
        return record
    }

    @Test("a use tells method, host and path, and nothing that stands behind them")
    func place() {
        for (url, place) in [
            ("https://api.example.com/v1/items?token=abc#x", "api.example.com/v1/items"),
            ("https://user:secret@api.example.com:8443/a/b", "api.example.com:8443/a/b"),
            ("https://api.example.com", "api.example.com"), ("https://api.example.com?x=1", "api.example.com"),
            ("https://…@host/@path", "host/@path"), ("nonsense?q", "nonsense"),
            ("https://evil.example\\@host/x", "evil.example\\@host/x"),
        ] {
            #expect(UserActivity(Self.record("credential.proxied", ["url": .string(url)]))?.place == place)
        }
        #expect(UserActivity(Self.record("credential.proxied", ["url": ""]))?.place == nil)
    }

    @Test("a refusal says that rules did not allow it, and not which")
    func refusal() throws {
        let rules: JSON = [
            ["layer": "app", "rule": "allowed_groups", "result": "deny", "needed": "one of canary-group"]
        ]
        let record = Self.record(
            "credential.retrieved",
            [
                "decision": "deny",
                "details": ["error": "policy_violation", "rules": rules, "refusal": ["rule": "canary"]],
            ])
        let activity = try #require(UserActivity(record))
        #expect(activity.kind == .refused)
        #expect(activity.outcome == .refused("not allowed by the app’s rules"))
        let shown = "\(activity)"
        for hidden in ["canary", "secret-key", "alter_rk", "192.0.2.7", "11111111"] {
            #expect(!shown.contains(hidden), "\(hidden)")
        }
        #expect(shown.contains("nightly"))
    }

    @Test("an operator is not named, and their reason is theirs")
    func operators() throws {
        let activity = try #require(
            UserActivity(
                Self.record(
                    "grant.revoked",
                    ["principal": ["type": "operator", "operator_id": "canary"], "reason": "canary reason"])))
        #expect(activity.initiator == .operators)
        #expect(activity.reason == nil)
        #expect(!"\(activity)".contains("canary"))
    }

    @Test("what is not known to be the user's business is not shown")
    func unknown() {
        for event in ["policy.changed", "key.created", "user.updated", "credential.refreshed", "", "new.event"] {
            #expect(UserActivity(Self.record(event)) == nil, "\(event)")
        }
        #expect(UserActivity(["event": "grant.revoked"]) == nil, "without a time")
    }

    @Test("outcomes: the provider's answer, a call that broke off, one that a restart cut off")
    func outcomes() {
        let answered = Self.record("credential.proxied", ["status": 204, "latency_ms": 12])
        #expect(UserActivity(answered)?.outcome == .answered(status: 204, milliseconds: 12))
        let broken = Self.record("credential.proxied", ["details": ["failure": "timeout"]])
        #expect(UserActivity(broken)?.outcome == .failed)
        let cut = Self.record(
            "credential.proxied",
            [
                "principal": ["type": "system"],
                "details": ["interrupted": true, "principal": ["type": "app", "caller": "nightly"]],
            ])
        #expect(UserActivity(cut)?.outcome == .failed)
        #expect(UserActivity(cut)?.initiator == .app(label: "nightly"))
        #expect(UserActivity(Self.record("credential.retrieved"))?.outcome == .done)
    }

    @Test("cells that a spreadsheet would run become text, and cells with separators are quoted")
    func cells() {
        for (text, cell) in [
            ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "\"'\tx\""), ("\rx", "\"'\rx\""),
            ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("plain", "plain"), ("", ""),
        ] {
            #expect(CSVText.cell(text) == cell)
        }
        #expect(CSVText.quoted("-5") == "-5")
        #expect(CSVText.line(["a", "b"]) == Array("a,b\r\n".utf8))
    }
}
