import DevelopmentPeers
import Foundation
import VaultAPI
import VaultCrypto
import VaultServer
import VaultService
import VaultStore

// The story. Each step does one thing over HTTP, looks at both ends, and says what it saw.

/// What the vault holds or was told in the story and must never show.
actor DemoSecrets {
    private(set) var all: Set<String> = []

    func note(_ secrets: String...) { all.formUnion(secrets.filter { !$0.isEmpty }) }
}

/// Where the story plays.
struct DemoWorld: Sendable {
    let vaultURL: String
    let folder: String
    let identityProvider: DevelopmentIdentityProvider
    let oauthProvider: DevelopmentOAuthProvider
    let http: DemoHTTP
    let secrets = DemoSecrets()

    static let audience = "https://api.example.test"
    static let person = "auth0|ada"
    static let providerID = "workbench"

    /// Every file of the installation but the master key, as one text of bytes.
    func filesHold(_ needle: String) throws -> Bool {
        let pattern = Data(needle.utf8)
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name != "master.key" {
            let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))
            if data.range(of: pattern) != nil { return true }
        }
        return false
    }

    /// Throws when any secret so far, or any token the provider ever issued, stands in a file in plain text.
    func requireSilentFiles() async throws -> Int {
        let all = await secrets.all.union(oauthProvider.issuedTokens)
        for secret in all { try check(try !filesHold(secret), "a secret stands in the vault’s files in plain text") }
        return all.count
    }

    /// How many users have a data key in the key store.
    func userKeyCount() throws -> Int {
        let text = try String(contentsOfFile: folder + "/master.key", encoding: .utf8)
        guard let bytes = Data(base64Encoded: text.trimmingCharacters(in: .whitespacesAndNewlines)),
            let master = MasterKey(Array(bytes))
        else { throw DemoFailure("the master key cannot be read") }
        let keys = try KeyStore(.sqlite(path: folder + "/keys.db"), masterKey: master)
        defer { try? keys.close() }
        return try keys.dataKeyIDs(purpose: "user").count
    }
}

func check(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
    guard holds else { throw DemoFailure(otherwise()) }
}

struct DemoStory {
    let world: DemoWorld
    let narrator: Narrator

    /// What the operator set up.
    private struct Setup: Sendable {
        let pat: String
        let app: String
        let key: String
        let webhookURL: String
        let webhookSecret: String
    }

    init(world: DemoWorld, narrator: Narrator) {
        self.world = world
        self.narrator = narrator
    }

    mutating func tell() async throws {
        narrator.title(
            "Sallyport",
            "An app connects a user’s account, uses it under policy, and loses it the moment the user leaves.")
        let setup = try await setUp()
        let token = try await signIn(setup)
        let grant = try await connect(setup, token)
        try await retrieve(setup, token)
        try await proxy(setup, grant)
        try await refusedByPolicy(setup, token)
        try await userLeaves(setup)
        try await refusedEverywhere(setup, token, grant)
        try await proveTheRecord(setup)
        narrator.say("  Every step held.")
        narrator.say("")
    }

    // MARK: Setting up

    private func setUp() async throws -> Setup {
        let world = world
        let result = Slot<Setup>()
        try await narrator.step("An operator sets up an app") {
            let pat = try await Self.createOperator(world)
            let apps = world.vaultURL + "/api/v1/apps"
            func call(_ method: String, _ path: String, _ body: JSON, _ status: Int) async throws -> JSON {
                let reply = try await world.http.json(method, apps + path, bearer: pat, body)
                try check(
                    reply.status == status,
                    "\(method) \(path) answered \(reply.status): \(reply.json["message"]?.string ?? "")")
                return reply.json
            }
            let app = try await call("POST", "", ["name": "Atlas"], 201)["id"]?.string ?? ""
            let key = try await call("POST", "/\(app)/keys", ["name": "atlas-agent"], 201)["api_key"]?.string ?? ""
            let discovered = try await call(
                "POST", "/\(app)/identity-provider/discover", ["issuer_url": .string(world.identityProvider.baseURL)],
                200)
            try check(discovered["issuer"]?.string == world.identityProvider.baseURL, "discovery found another issuer")
            _ = try await call(
                "POST", "/\(app)/identity-provider",
                [
                    "issuer_url": .string(world.identityProvider.baseURL), "idp_type": "auth0",
                    "audience": .string(DemoWorld.audience),
                    "group_claim": "groups",
                ], 201)
            let webhooks = try await call("POST", "/\(app)/identity-provider/webhooks", [:], 201)
            _ = try await call(
                "PUT", "/\(app)/oauth-providers/\(DemoWorld.providerID)", Self.providerSettings(world), 200)
            let secret = webhooks["signing_secret"]?.string ?? ""
            await world.secrets.note(pat, key, secret, world.oauthProvider.client.secret.revealed())
            result.put(
                Setup(
                    pat: pat, app: app, key: key, webhookURL: webhooks["url"]?.string ?? "", webhookSecret: secret))
            return [
                "identity provider discovered at \(world.identityProvider.baseURL)",
                "OAuth provider, API key and lifecycle webhook are in place",
            ]
        }
        return try result.take()
    }

    static let operatorEmail = "operator@example.test"
    /// Of an installation on loopback that ends with the demo.
    static let operatorPassword = "a demo on this machine"

    /// As `sallyport operator create` does it: on the installation's files, beside the running server.
    private static func createOperator(_ world: DemoWorld) async throws -> String {
        var input = ServerSettings.Input()
        input.dataDirectory = world.folder
        let token = Slot<String>()
        try await LocalVault.use(InstallationOptions.settings(input)) { vault in
            let created = try await vault.createOperator(
                email: Self.operatorEmail, password: Secret(Self.operatorPassword), withToken: true)
            token.put(created.token?.revealed() ?? "")  // plaintext leaves here
        }
        return try token.take()
    }

    private static func providerSettings(_ world: DemoWorld) -> JSON {
        let provider = world.oauthProvider
        let clientSecret = provider.client.secret.revealed()  // plaintext leaves here
        return [
            "client_id": .string(provider.client.id), "client_secret": .string(clientSecret),
            "display_name": "Workbench", "scopes": ["items:read"],
            "authorization_url": .string(provider.authorizationURL),
            "token_url": .string(provider.tokenURL), "revocation_url": .string(provider.revocationURL),
            "userinfo_url": .string(provider.userinfoURL), "api_hosts": [.string(provider.apiHost)],
        ]
    }

    // MARK: The person arrives

    private func signIn(_ setup: Setup) async throws -> String {
        let world = world
        let result = Slot<String>()
        try await narrator.step("Ada signs in at the app’s identity provider") {
            let token = try await Self.idToken(world)
            let reply = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/auth/verify-token", key: setup.key, ["token": .string(token)])
            try check(reply.json["sub"]?.string == DemoWorld.person, "the vault did not accept Ada’s token")
            let users = try await world.http.json(
                "GET", "\(world.vaultURL)/api/v1/apps/\(setup.app)/users", bearer: setup.pat)
            try check(users.json["items"]?.array?.first?["group_ids"] == ["engineering"], "Ada’s groups did not arrive")
            await world.secrets.note(token)
            result.put(token)
            return [
                "the vault verified her signed token against the provider’s published keys",
                "her user record exists, in group engineering",
            ]
        }
        return try result.take()
    }

    /// Authorization code with PKCE, as the app does it.
    private static func idToken(_ world: DemoWorld) async throws -> String {
        let issuer = world.identityProvider.baseURL
        let verifier = RandomBytes.token()
        let redirect = "http://127.0.0.1:9/app/callback"
        let query: [(String, String)] = [
            ("response_type", "code"), ("client_id", world.identityProvider.client.id), ("redirect_uri", redirect),
            ("scope", "openid email profile"), ("state", "app"), ("nonce", "n-1"),
            ("code_challenge", Base64URL.encode(Digest.sha256(verifier))), ("code_challenge_method", "S256"),
            ("login_hint", DemoWorld.person),
        ]
        var browser = DemoBrowser(http: world.http)
        let text = query.map { DemoBrowser.encoded($0.0) + "=" + DemoBrowser.encoded($0.1) }.joined(separator: "&")
        let visit = try await browser.open(issuer + "/authorize?" + text, stoppingAt: redirect)
        let code =
            visit.url.split(separator: "?").last?.split(separator: "&").first { $0.hasPrefix("code=") }?.dropFirst(5)
            ?? ""
        try check(!code.isEmpty, "the identity provider gave no code")
        let form = [
            ("grant_type", "authorization_code"), ("code", String(code)), ("redirect_uri", redirect),
            ("code_verifier", verifier),
            ("client_id", world.identityProvider.client.id),
            ("client_secret", world.identityProvider.client.secret.revealed()),  // plaintext leaves here
        ]
        let reply = try await browser.open(issuer + "/token", form: form).reply
        // The access token is for the API's audience; the ID token is for the app itself.
        guard let token = reply.json["access_token"]?.string else {
            throw DemoFailure("the identity provider gave no token")
        }
        return token
    }

    private func connect(_ setup: Setup, _ token: String) async throws -> String {
        let world = world
        let result = Slot<String>()
        try await narrator.step("Ada connects her Workbench account") {
            let session = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/oauth/connect/session", key: setup.key,
                ["allowed_providers": [.string(DemoWorld.providerID)], "user_token": .string(token)])
            let page = session.json["connect_url"]?.string ?? ""
            var browser = DemoBrowser(http: world.http)
            let shown = try await browser.open(page).reply.text
            try check(shown.contains("Atlas") && shown.contains("ada@"), "the page does not say for whom it asks")
            let csrf =
                shown.split(separator: "name=\"csrf\" value=\"").last?.split(separator: "\"").first.map(String.init)
                ?? ""
            let consent = try await browser.open(
                page, form: [("csrf", csrf), ("provider", DemoWorld.providerID)],
                stoppingAt: world.oauthProvider.authorizationURL)
            let end = try await browser.open(consent.url + "&account=acct-1001")
            try check(
                end.reply.text.contains("Connected"),
                "the way back from the provider ended at status \(end.reply.status)")
            let poll = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/oauth/connect/session/poll", key: setup.key,
                ["session_token": session.json["session_token"] ?? .null])
            let grant = poll.json["grants"]?.array?.first
            try check(poll.json["status"]?.string == "completed", "the session did not complete")
            result.put(grant?["grant_id"]?.string ?? "")
            return [
                "consent given at the provider, with PKCE, in her own browser",
                "grant \(grant?["grant_id"]?.string ?? "") for \(grant?["account_identifier"]?.string ?? "")",
            ]
        }
        return try result.take()
    }

    // MARK: The app works

    private func use(_ setup: Setup, _ token: String) async throws -> DemoHTTP.Reply {
        try await world.http.signed("POST", world.vaultURL, "/sdk/token", key: setup.key, Self.useBody(world, token))
    }

    private static func useBody(_ world: DemoWorld, _ token: String) -> JSON {
        [
            "provider_id": .string(DemoWorld.providerID), "reason": "show open items",
            "request": ["method": "GET", "url": .string(world.oauthProvider.baseURL + "/api/items")],
            "user_token": .string(token),
        ]
    }

    private func retrieve(_ setup: Setup, _ token: String) async throws {
        let world = world
        try await narrator.step("The app retrieves a credential and calls the API itself") {
            let before = await world.oauthProvider.refreshCount
            let reply = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/token", key: setup.key, Self.useBody(world, token))
            guard let accessToken = reply.json["access_token"]?.string else {
                throw DemoFailure("no token: \(reply.status)")
            }
            let after = await world.oauthProvider.refreshCount
            try check(after == before + 1, "the token that was about to expire was not renewed once")
            let call = try await world.http.json("GET", world.oauthProvider.baseURL + "/api/items", bearer: accessToken)
            try check(call.status == 200, "the API refused the token: \(call.status)")
            let seen = await world.oauthProvider.calls.last?.token
            try check(seen == accessToken, "the provider saw another token")
            let count = try await world.requireSilentFiles()
            return [
                "a token about to expire was renewed first, and rotated", "the provider saw exactly this token",
                "none of \(count) secrets, every token it ever issued among them, is readable in the vault’s files",
            ]
        }
    }

    private func proxy(_ setup: Setup, _ grant: String) async throws {
        let world = world
        try await narrator.step("The vault calls the API on the app’s behalf") {
            let reply = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/proxy", key: setup.key,
                [
                    "method": "POST", "url": .string(world.oauthProvider.baseURL + "/api/items?page=2"),
                    "grant_id": .string(grant),
                    "query_params": ["sort": "name"], "body": ["title": "Write the minutes"],
                ])
            try check(reply.json["status_code"]?.number?.integer == 200, "the proxied call answered \(reply.status)")
            guard let call = await world.oauthProvider.calls.last, let used = call.token else {
                throw DemoFailure("the provider saw no call")
            }
            try check(
                call.query.contains("page=2") && call.query.contains("sort=name"), "the query did not arrive whole")
            let body = Data(base64Encoded: reply.json["body_b64"]?.string ?? "") ?? Data()
            try check(!body.isEmpty, "the provider's answer did not come back")
            try check(
                !reply.text.contains(used) && !String(decoding: body, as: UTF8.self).contains(used),
                "the answer to the app holds the token")
            let before = await world.identityProvider.requestCount(on: "/userinfo")
            let elsewhere = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/proxy", key: setup.key,
                [
                    "method": "GET", "url": .string(world.identityProvider.baseURL + "/userinfo"),
                    "grant_id": .string(grant),
                ])
            try check(elsewhere.json["error"]?.string == "blocked_destination", "another host was not refused")
            let after = await world.identityProvider.requestCount(on: "/userinfo")
            try check(after == before, "another host was called before it was refused")
            return [
                "the provider saw the credential, the app never did",
                "a call to any other host is refused before it is made",
            ]
        }
    }

    private func refusedByPolicy(_ setup: Setup, _ token: String) async throws {
        let world = world
        try await narrator.step("A policy says no") {
            let address = "\(world.vaultURL)/api/v1/apps/\(setup.app)/policies/\(DemoWorld.providerID)"
            let set = try await world.http.json("PUT", address, bearer: setup.pat, ["allowed_groups": ["finance"]])
            try check(set.status == 200, "the policy was not taken: \(set.status)")
            let calls = await world.oauthProvider.calls.count
            let refused = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/token", key: setup.key, Self.useBody(world, token))
            try check(
                refused.status == 403 && refused.json["error"]?.string == "policy_violation", "the policy did not bite")
            let after = await world.oauthProvider.calls.count
            try check(after == calls, "the provider was called all the same")
            _ = try await world.http.json("DELETE", address, bearer: setup.pat)
            return ["only finance may use Workbench: refused, \(refused.json["details"]?["reason"]?.string ?? "")"]
        }
    }

    // MARK: The person leaves

    private func userLeaves(_ setup: Setup) async throws {
        let world = world
        try await narrator.step("The identity provider says that Ada is gone") {
            let live = await world.oauthProvider.tokensSeen.last ?? ""
            try check(try world.userKeyCount() == 1, "Ada has no key of her own")
            let body = await world.identityProvider.deleteUser(DemoWorld.person)
            let started = ContinuousClock.now
            let reply = try await world.http.request(
                "POST", setup.webhookURL,
                headers: [
                    (name: "Authorization", value: setup.webhookSecret),
                    (name: "Content-Type", value: "application/json"),
                ],
                body: body.bytes)
            let milliseconds = (ContinuousClock.now - started) / .milliseconds(1)
            try check(reply.status == 204, "the webhook answered \(reply.status)")
            let app = "\(world.vaultURL)/api/v1/apps/\(setup.app)"
            let users = try await world.http.json("GET", app + "/users", bearer: setup.pat)
            let grants = try await world.http.json("GET", app + "/grants", bearer: setup.pat)
            try check(
                users.json["items"]?.array?.first?["status"] == "deprovisioned", "Ada was not deprovisioned")
            try check(
                grants.json["items"]?.array?.allSatisfy { $0["status"] == "revoked" } == true, "a grant lives on")
            try check(try world.userKeyCount() == 0, "her key is still there")
            for _ in 0..<100 {
                if await !world.oauthProvider.revokedTokens.isEmpty, await !world.oauthProvider.isLive(live) { break }
                try await Task.sleep(for: .milliseconds(50))
            }
            let isRevoked = await !world.oauthProvider.revokedTokens.isEmpty
            try check(isRevoked, "the provider was not told to revoke")
            let isLive = await world.oauthProvider.isLive(live)
            try check(!isLive, "the token still works at the provider")
            return [
                "acknowledged after \(Int(milliseconds.rounded())) ms, when grants, tokens and her key were gone for good",
                "the provider’s revocation address was called; her token is dead there, too",
            ]
        }
    }

    private func refusedEverywhere(_ setup: Setup, _ token: String, _ grant: String) async throws {
        let world = world
        try await narrator.step("The next request is refused") {
            let byToken = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/token", key: setup.key, Self.useBody(world, token))
            try check(
                byToken.json["error"]?.string == "user_deprovisioned",
                "her still-valid token was answered \(byToken.status)")
            let byGrant = try await world.http.signed(
                "POST", world.vaultURL, "/sdk/token", key: setup.key,
                [
                    "grant_id": .string(grant), "reason": nil,
                    "request": ["method": "GET", "url": .string(world.oauthProvider.baseURL + "/api/items")],
                ])
            try check(
                byGrant.status == 410 && byGrant.json["error"]?.string == "grant_deleted",
                "her grant was answered \(byGrant.status)")
            return [
                "her token is still valid at its issuer, and opens nothing here: user_deprovisioned",
                "her grant by its id: grant_deleted",
            ]
        }
    }

    private func proveTheRecord(_ setup: Setup) async throws {
        let world = world
        try await narrator.step("The record of all this is whole") {
            let app = "\(world.vaultURL)/api/v1/apps/\(setup.app)"
            let verified = try await world.http.json("POST", app + "/audit/verify", bearer: setup.pat, [:])
            try check(verified.json["intact"]?.bool == true, "the audit chain does not hold")
            let uses =
                try await world.http.json("GET", app + "/audit?event=credential.retrieved", bearer: setup.pat).json[
                    "items"]?.array ?? []
            let allowed = uses.filter { $0["decision"]?.string == "allow" }.count
            let denied = uses.filter { $0["decision"]?.string == "deny" }.count
            try check(
                allowed == 1 && denied == 3,
                "expected 1 allowed and 3 refused retrieves, found \(allowed) and \(denied)")
            let count = try await world.requireSilentFiles()
            return [
                "\(verified.json["records"]?.number?.text ?? "") chained records verified: 1 retrieve allowed, 3 refused, each with its reason",
                "none of the story’s \(count) keys, tokens and secrets is in any file of the vault",
            ]
        }
    }
}
