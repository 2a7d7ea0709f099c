import Testing
import VaultAPI
import VaultDomain

struct ReleaseDecisionTests {
    private static let now = Instant(seconds: 1_750_000_000)
    private static let appID = AppID()

    private static func user(_ status: UserStatus = .active, groups: [String] = []) -> User {
        User(
            id: UserID(), appID: appID, issuer: "https://id.example", externalSubjectID: "ada", subject: "ada",
            status: status,
            groups: groups, roles: ["editor"], firstSeenAt: now)
    }

    private static func facts(
        user: User? = user(), mode: ReleaseMode = .retrieve, url: String = "https://api.example.com/v1/items",
        policy: AccessPolicy? = nil, change: (inout ReleaseFacts) -> Void = { _ in }
    ) throws -> ReleaseFacts {
        let credential = Credential(
            id: CredentialID(), appID: appID, userID: user?.id, dataKeyID: DataKeyID(), version: 1,
            tokenGeneration: "g",
            hasRefreshToken: true, scopes: [], accessExpiresAt: nil, diedAt: nil)
        let grant = Grant(
            id: GrantID(), appID: appID, kind: .oauth, providerID: "workbench", credentialID: credential.id,
            principalType: user == nil ? .system : .user, userID: user?.id, createdAt: now)
        var facts = ReleaseFacts(
            mode: mode, grant: grant, credential: credential, user: user, hasUserToken: false,
            allowedHosts: [try #require(HostRule("api.example.com"))], method: "GET", address: try WebAddress(url),
            peer: IPAddress("203.0.113.7"),
            policies: policy.map { [LayeredPolicy(layer: .provider, policy: $0)] } ?? [],
            requestRule: nil, now: now)
        change(&facts)
        return facts
    }

    private static func policy(_ document: JSONObject) throws -> AccessPolicy {
        let fields = Fields(document, unknownMembers: .refused)
        let policy = AccessPolicy(fields)
        try fields.finish()
        return policy
    }

    private static func code(_ facts: ReleaseFacts) -> ErrorCode? { ReleaseDecision.decide(facts).refusal?.code }

    @Test("an active user's live grant on its own host is allowed")
    func allowed() throws {
        #expect(Self.code(try Self.facts()) == nil)
    }

    @Test("the user's status comes before everything else, so that codes tell nothing about the rest")
    func userFirst() throws {
        let elsewhere = "https://evil.example/"
        #expect(Self.code(try Self.facts(user: Self.user(.suspended), url: elsewhere)) == .userSuspended)
        #expect(Self.code(try Self.facts(user: Self.user(.deprovisioned), url: elsewhere)) == .grantDeleted)
        #expect(
            Self.code(try Self.facts(user: Self.user(.deprovisioned)) { $0.hasUserToken = true }) == .userDeprovisioned)
        #expect(Self.code(try Self.facts { $0.user = nil }) == .grantNotFound)
    }

    @Test("a revoked, expired or dead grant has its own answer, in this order")
    func grantStates() throws {
        let past = Self.now.adding(seconds: -1)
        #expect(Self.code(try Self.facts { $0.credential?.diedAt = past }) == .credentialRevoked)
        #expect(Self.code(try Self.facts { $0.credential = nil }) == .credentialRevoked)
        #expect(
            Self.code(
                try Self.facts {
                    $0.grant.expiresAt = Self.now
                    $0.credential = nil
                }) == .grantExpired)
        #expect(
            Self.code(
                try Self.facts {
                    $0.grant.revokedAt = past
                    $0.grant.expiresAt = past
                }) == .grantRevoked)
        #expect(Self.code(try Self.facts { $0.grant.hasScopeMismatch = true }) == .scopeMismatch)
    }

    @Test(
        "attack 73: a host that is not exactly the credential's is refused",
        arguments: [
            "https://api.example.com.evil.test/", "https://xapi.example.com/", "https://example.com/",
            "https://api.example.com:8443/", "http://api.example.com:8443/",
        ])
    func otherHosts(url: String) throws {
        #expect(Self.code(try Self.facts(url: url)) == .blockedDestination)
    }

    @Test("a policy on methods or paths makes retrieve impossible, because the call could not be checked any more")
    func proxyOnly() throws {
        let reading = try Self.policy(["methods": ["get"]])
        #expect(Self.code(try Self.facts(policy: reading)) == .restrictedGrantRequiresProxy)
        #expect(Self.code(try Self.facts(mode: .proxy, policy: reading)) == nil)
        let writing = try Self.policy(["methods": ["POST"]])
        #expect(Self.code(try Self.facts(mode: .proxy, policy: writing)) == .policyViolation)
    }

    @Test("groups decide by exact membership")
    func groups() throws {
        let policy = try Self.policy(["allowed_groups": ["eng"]])
        #expect(Self.code(try Self.facts(user: Self.user(groups: ["eng"]), policy: policy)) == nil)
        #expect(
            Self.code(try Self.facts(user: Self.user(groups: ["Eng", "eng "]), policy: policy)) == .policyViolation)
        #expect(Self.code(try Self.facts(user: Self.user(groups: []), policy: policy)) == .policyViolation)
    }

    @Test(
        "attack 87: what cannot be decided is denied: a group rule without a user, an address rule without an address")
    func undecidable() throws {
        let groups = try Self.policy(["allowed_groups": ["eng"]])
        #expect(Self.code(try Self.facts(user: nil, policy: groups)) == .policyViolation)
        let addresses = try Self.policy(["ip_allowlist": ["203.0.113.0/24"]])
        #expect(Self.code(try Self.facts(policy: addresses)) == nil)
        #expect(Self.code(try Self.facts(policy: addresses) { $0.peer = nil }) == .policyViolation)
    }

    private static func requestRule(_ when: JSONObject) throws -> RequestRule {
        try RequestRule(["rule_type": "json_match", "rule_body": ["when": .object(when), "effect": "deny"]])
    }

    @Test("a request's own rule denies what matches, and what it cannot decide")
    func ownRule() throws {
        for (when, mode, isAllowed) in [
            (["method": "GET"], .proxy, false), (["method": ["PUT", "get"]], .proxy, false),
            (["method": "POST"], .proxy, true), (["method": "POST"], .retrieve, false),
            (["provider_id": "workbench", "method": "GET"], .proxy, false),
            (["provider_id": "other", "method": "GET"], .proxy, true), (["weather": "rain"], .proxy, false),
            (["weather": "rain", "method": "POST"], .proxy, true), (["method": 7], .proxy, false),
        ] as [(JSONObject, ReleaseMode, Bool)] {
            let facts = try Self.facts(mode: mode) { $0.requestRule = try? Self.requestRule(when) }
            #expect(facts.requestRule != nil)
            #expect(Self.code(facts) == (isAllowed ? nil : .policyViolation), "\(when)")
        }
        let byContent: JSON = [
            "rule_type": "content_match", "rule_body": ["match": ["families": ["send"]], "effect": "deny"],
        ]
        #expect(Self.code(try Self.facts { $0.requestRule = try? RequestRule(byContent) }) == .policyViolation)
    }

    @Test(
        "what is no request rule is refused, and not ignored",
        arguments: [
            [:], ["rule_type": "json_match"],
            ["rule_type": "json_match", "rule_body": ["when": [:], "effect": "deny"]],
            ["rule_type": "json_match", "rule_body": ["when": ["method": "GET"], "effect": "allow"]],
            ["rule_type": "tomorrow", "rule_body": ["when": ["method": "GET"], "effect": "deny"]],
            ["rule_type": "content_match", "rule_body": ["effect": "deny"]],
        ] as [JSON])
    func noRule(rule: JSON) {
        #expect(throws: VaultError.self) { try RequestRule(rule) }
    }

    @Test("a refusal names the rule and its layer, and every rule's outcome is kept")
    func explains() throws {
        let policy = try Self.policy(["allowed_roles": ["editor"], "allowed_groups": ["eng"]])
        let decision = ReleaseDecision.decide(try Self.facts(policy: policy))
        #expect(decision.refusal?.details["rule"] == "allowed_groups")
        #expect(decision.refusal?.details["layer"] == "provider")
        #expect(decision.rules.map(\.verdict.result) == [.deny, .allow])
    }

    @Test(
        "path patterns match whole segments and nothing that servers read in two ways",
        arguments: [
            ("/v1/**", "/v1/items/7", true), ("/v1/**", "/v1", true), ("/v1/*", "/v1/items", true),
            ("/v1/*", "/v1/items/7", false),
            ("/v1/item-*", "/v1/item-7", true), ("/v1/items", "/v2/items", false), ("/**/edit", "/a/b/edit", true),
            ("/v1/**", "/v1/../admin", false), ("/v1/**", "/v1/%2e%2e/admin", false), ("/v1/**", "/v1//admin", false),
            ("/v1/**", "/v1/a%2Fb", false), ("/v1/**", "/v1/a;b", false), ("/**", "/", true),
            ("/v1/refunds", "/v1/%72efunds", true), ("/v1/caf\u{e9}", "/v1/caf%c3%A9", true),
            ("/v1/a%20b", "/v1/a%20b", true),
            ("/v1/a b", "/v1/a%20b", true), ("/v1/refunds", "/v1/%2572efunds", false), ("/v1/100%", "/v1/100%25", true),
        ] as [(String, String, Bool)])
    func paths(pattern: String, path: String, matches: Bool) {
        #expect((PathPattern.anyMatches([PathPattern(pattern)], RequestPath(path)) == true) == matches)
    }
}

struct KeyScopeTests {
    @Test(
        "read, write and admin imply downwards within a resource, actions only themselves",
        arguments: [
            ("grants:admin", "grants:read", true), ("grants:write", "grants:read", true),
            ("grants:read", "grants:write", false),
            ("grants:admin", "agents:read", false), ("keys:admin", "keys:derive", false),
            ("tokens:retrieve", "tokens:retrieve", true),
            ("agents:read", "agents:read:agt_1", true), ("agents:read:agt_1", "agents:read", false),
            ("agents:read:agt_1", "agents:read:agt_2", false),
        ] as [(String, String, Bool)])
    func implication(held: String, needed: String, isAllowed: Bool) throws {
        #expect(try #require(KeyScope(held)).implies(try #require(KeyScope(needed))) == isAllowed)
    }

    @Test(
        "what is not in the catalogue is no scope",
        arguments: ["", "*", "grants", "grants:", "grants:fly", "tokens:retrieve:", ":read"])
    func unknown(text: String) {
        #expect(KeyScope(text) == nil)
    }

    @Test("constraints narrow and never widen")
    func narrowing() throws {
        let held = GrantedScopes(["grants:write", "tokens:retrieve"].compactMap(KeyScope.init))
        #expect(held.narrowed(to: ["grants:read"])?.scopes.map(\.description) == ["grants:read"])
        #expect(held.narrowed(to: ["grants:admin"]) == nil)
        #expect(held.narrowed(to: ["proxy:execute"]) == nil)
        #expect(held.narrowed(to: ["nonsense"]) == nil)
    }

    @Test("every default scope is in the catalogue")
    func defaults() {
        #expect(KeyScopeCatalog.runtimeDefaults.allSatisfy { KeyScope($0) != nil })
    }
}

struct GrantPolicyTermsTests {
    private static let now = Instant(seconds: 1_000_000)

    private static func expiry(_ object: JSONObject) -> Int64? {
        GrantPolicyTerms(Fields(object, unknownMembers: .refused)).expiry(now: now, policy: .none).map {
            $0.seconds - now.seconds
        }
    }

    @Test("a life above the maximum is cut, not refused; without any term a grant lives on")
    func terms() {
        #expect(Self.expiry([:]) == nil)
        #expect(Self.expiry(["default_ttl_seconds": 60]) == 60)
        #expect(Self.expiry(["default_ttl_seconds": 600, "max_ttl_seconds": 60]) == 60)
        #expect(Self.expiry(["max_ttl_seconds": 60]) == 60)
        #expect(
            Self.expiry(["expires_at": .string(Self.now.adding(seconds: 30).rfc3339), "default_ttl_seconds": 60]) == 30)
    }
}
