import Testing
import VaultAPI
import VaultDomain

struct PolicyWordsTests {
    private static let cases: [(document: JSONObject, sentence: String)] = [
        (["allowed_groups": ["eng"]], "Only members of the group eng."),
        (
            ["allowed_groups": ["eng", "ops", "sales"]],
            "Only members of one of the groups eng, ops or sales."
        ),
        (["allowed_groups": []], "Nobody is allowed: the list of groups is empty."),
        (["allowed_roles": ["admin", "owner"]], "Only users with one of the roles admin or owner."),
        (
            ["time": ["business_hours_only": true, "weekdays_only": true, "timezone": "Europe/Berlin"]],
            "Only from 09:00 to 17:00, and on Monday to Friday, by the clocks of Europe/Berlin."
        ),
        (
            ["time": ["windows": [["days": ["mon", "fri"], "start": "22:00", "end": "06:00"]]]],
            "Only on Monday and Friday from 22:00 to 06:00 of the next day, by the clocks of UTC."
        ),
        (
            [
                "time": [
                    "windows": [
                        ["start": "12:15", "end": "12:45"], ["days": ["sun"], "start": "00:00", "end": "24:00"],
                    ]
                ]
            ],
            "Only every day from 12:15 to 12:45 or on Sunday, by the clocks of UTC."
        ),
        (["time": ["timezone": "UTC"]], "At any time (UTC)."),
        (["ip_allowlist": ["203.0.113.0/24", "2001:db8::/32"]], "Only from 203.0.113.0/24 or 2001:db8::/32."),
        (["ip_allowlist": []], "From nowhere: the list of addresses is empty."),
        (["methods": ["GET", "HEAD"]], "Only GET and HEAD calls, through the proxy."),
        (["paths": ["/v1/**"]], "Only calls to /v1/**, through the proxy."),
        (["grant_ttl": ["max_seconds": 86_400]], "A grant lasts 1 day at most."),
        (
            ["grant_ttl": ["default_seconds": 3600, "max_seconds": 129_600]],
            "A grant lasts 1 hour unless another term is asked for, and 36 hours at most."
        ),
        (
            ["require_approval": ["methods": ["POST", "DELETE"], "paths": ["/**"], "approvers": "operator"]],
            "An operator approves every POST and DELETE call to /** first."
        ),
        (["require_approval": ["approvers": "user"]], "The user approves every call first."),
        (
            ["rate_limit": ["requests": 60, "per_seconds": 60, "per": "grant"]],
            "At most 60 uses in any 1 minute, for each grant."
        ),
        (
            ["rate_limit": ["requests": 1, "per_seconds": 90, "per": "app"]],
            "At most 1 use in any 90 seconds, for the whole app."
        ),
    ]

    @Test("each rule of a document is one sentence", arguments: 0..<cases.count)
    func sentence(_ index: Int) {
        let (document, sentence) = Self.cases[index]
        #expect(PolicyWords.sentences(document).map(\.text) == [sentence])
    }

    @Test("every document of the cases is one that can be stored", arguments: 0..<cases.count)
    func validity(_ index: Int) throws {
        let fields = Fields(Self.cases[index].document, unknownMembers: .refused)
        _ = AccessPolicy(fields)
        try fields.finish()
    }

    @Test("rules are told in the order of evaluation, whatever the order of the document")
    func order() {
        let document: JSONObject = [
            "rate_limit": ["requests": 1, "per_seconds": 1, "per": "user"], "methods": ["GET"], "allowed_groups": ["a"],
        ]
        #expect(PolicyWords.sentences(document).map(\.rule) == ["allowed_groups", "methods", "rate_limit"])
        #expect(PolicyWords.sentences([:]).isEmpty)
    }
}
