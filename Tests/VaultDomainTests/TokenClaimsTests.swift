import Testing
import VaultAPI
import VaultDomain

@Suite("A token's claims")
struct TokenClaimsTests {
    private static let now = Instant(seconds: 1_800_000_000)

    private static func read(_ claims: String, _ mapping: ClaimMapping) throws -> TokenClaims {
        var all = try #require(try JSON(parsing: Array(claims.utf8)).object)
        for (name, value) in [("iss", JSON.string("https://id.example")), ("sub", .string("u1"))] where all[name] == nil
        {
            all[name] = value
        }
        if all["exp"] == nil { all["exp"] = JSON(1_800_000_600) }
        return try TokenClaims(
            claims: all, mapping: mapping, expectedIssuer: "https://id.example", audience: nil, signInClientID: nil,
            now: now)
    }

    private static func groups(_ claims: String, _ claim: String) throws -> [String]? {
        try read(claims, ClaimMapping(userID: "sub", group: claim)).groups
    }

    @Test(
        "name groups in every form that providers write",
        arguments: [
            // A literal name comes before a path.
            (#"{"https://corp.example/groups":["a","b"]}"#, "https://corp.example/groups", ["a", "b"]),
            (#"{"cognito:groups":["a"]}"#, "cognito:groups", ["a"]),
            (#"{"realm_access":{"roles":["a","b"]}}"#, "realm_access.roles", ["a", "b"]),
            (#"{"a.b":["literal"],"a":{"b":["path"]}}"#, "a.b", ["literal"]),
            (#"{"a":{"b.c":["x"],"b":{"c":["deep"]}}}"#, "a.b.c", ["deep"]),
            // One text is one group, blanks and commas and all.
            (#"{"groups":"eng, ops"}"#, "groups", ["eng, ops"]),
            (#"{"groups":["a","","a","A"]}"#, "groups", ["a", "A"]),
            (#"{"groups":[]}"#, "groups", []), (#"{"groups":""}"#, "groups", []),
            // Clerk: the active organization of version 1 and 2, and all of them from a template.
            (#"{"org_id":"org_1","org_role":"org:admin"}"#, "org_id", ["org_1"]),
            (#"{"o":{"id":"org_1","rol":"admin","slg":"acme"}}"#, "org_id", ["org_1"]),
            (#"{"o":{"id":"org_1","rol":"admin","slg":"acme"}}"#, "org_role", ["admin"]),
            (#"{"o":{"id":"org_1","rol":"admin","slg":"acme"}}"#, "org_slug", ["acme"]),
            (#"{"o":{"id":"org_1","rol":"admin"}}"#, "o", ["org_1"]),
            (#"{"org_memberships":{"org_1":"admin","org_2":"member"}}"#, "org_memberships", ["org_1", "org_2"]),
        ] as [(String, String, [String])])
    func groupForms(claims: String, claim: String, groups: [String]) throws {
        #expect(try Self.groups(claims, claim) == groups)
    }

    @Test(
        "say nothing about groups when the claim is missing or null",
        arguments: [
            (#"{}"#, "groups"), (#"{"groups":null}"#, "groups"), (#"{"realm_access":{}}"#, "realm_access.roles"),
            (#"{"realm_access":"text"}"#, "realm_access.roles"), (#"{"Groups":["a"]}"#, "groups"),
            (#"{"o":null}"#, "org_id"), (#"{"":{"":["a"]}}"#, "groups"),
        ])
    func missingGroups(claims: String, claim: String) throws {
        #expect(try Self.groups(claims, claim) == nil)
    }

    @Test(
        "are refused when the group claim is there and means nothing",
        arguments: [
            #"{"groups":7}"#, #"{"groups":true}"#, #"{"groups":["a",7]}"#, #"{"groups":[["a"]]}"#,
            #"{"groups":[null]}"#, #"{"groups":{"org_1":7}}"#, #"{"groups":{"id":7}}"#, #"{"groups":["a\u0000"]}"#,
        ])
    func malformedGroups(claims: String) throws {
        #expect(throws: TokenClaimsError.groups) { try Self.groups(claims, "groups") }
    }

    @Test("hold at most a thousand groups of at most 255 characters")
    func groupLimits() throws {
        func list(_ values: [String]) -> String {
            "{\"groups\":[\(values.map { "\"\($0)\"" }.joined(separator: ","))]}"
        }
        let thousand = (0..<1000).map { "g\($0)" }
        #expect(try Self.groups(list(thousand), "groups")?.count == 1000)
        #expect(throws: TokenClaimsError.groups) { try Self.groups(list(thousand + ["one more"]), "groups") }
        let long = String(repeating: "g", count: 255)
        #expect(try Self.groups(list([long]), "groups") == [long])
        #expect(throws: TokenClaimsError.groups) { try Self.groups(list([long + "g"]), "groups") }
    }

    @Test("name the user by the mapped claim and keep the subject")
    func userID() throws {
        let mapping = ClaimMapping(userID: "https://corp.example/employee", role: "roles")
        let read = try Self.read(#"{"https://corp.example/employee":"e-7","roles":"admin"}"#, mapping)
        #expect(read.userID == "e-7" && read.subject == "u1" && read.roles == ["admin"] && read.groups == nil)
        for claims in [#"{}"#, #"{"https://corp.example/employee":7}"#, #"{"https://corp.example/employee":" e-7"}"#] {
            #expect(throws: TokenClaimsError.userID) { try Self.read(claims, mapping) }
        }
        #expect(throws: TokenClaimsError.subject) {
            try Self.read(#"{"sub":"","https://corp.example/employee":"e-7"}"#, mapping)
        }
    }
}
