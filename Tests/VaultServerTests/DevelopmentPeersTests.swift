import DevelopmentPeers
import Foundation
import Testing
import VaultAPI
import VaultCrypto

@Suite("The development peers, over real HTTP")
struct DevelopmentPeersTests {
    private let browser = PeerBrowser()

    // MARK: - Identity provider

    @Test("the identity provider describes itself and publishes a key for every algorithm")
    func discovery() async throws {
        try await DevelopmentIdentityProvider.run { provider in
            let document = try await browser.get(provider.baseURL + "/.well-known/openid-configuration").json()
            #expect(document["issuer"]?.string == provider.baseURL)
            #expect(document["code_challenge_methods_supported"] == ["S256"])
            let keySet = try #require(document["jwks_uri"]?.string)
            let keys = try await browser.get(keySet).json()["keys"]?.array ?? []
            #expect(keys.count == 2)
            let keyIDs = keys.compactMap { $0["kid"]?.string }
            #expect(Set(keyIDs).count == 2)
            #expect(keys.allSatisfy { $0["d"] == nil && $0["p"] == nil })
            for algorithm in [SignatureAlgorithm.es256, .rs256] {
                let token = try await provider.issueToken(for: "auth0|ada", audience: "a", algorithm: algorithm)
                let signature = try JSONWebSignature(compact: token)
                #expect(signature.algorithm == algorithm)
                try signature.verify(with: JSONWebKeySet(parsing: .object(["keys": .array(keys)])))
            }
            try await provider.rotateKeys(keepingOld: false)
            let fresh = try await browser.get(provider.baseURL + "/jwks").json()["keys"]?.array ?? []
            let freshIDs = Set(fresh.compactMap { $0["kid"]?.string })
            #expect(freshIDs.count == 2 && freshIDs.isDisjoint(with: keyIDs))
            let later = try await provider.issueToken(for: "auth0|ada", audience: "a")
            #expect(try JSONWebSignature(compact: later).keyID.map(freshIDs.contains) == true)
            #expect(await provider.requestCount(on: "/jwks") == 2)
        }
    }

    @Test("a person signs in with code and PKCE, and the ID token says who")
    func signIn() async throws {
        try await DevelopmentIdentityProvider.run(.onlyElliptic) { provider in
            let flow = PeerFlow(
                provider.baseURL, provider.client, extra: [("nonce", "n-1"), ("scope", "openid email")])
            let page = try await browser.get(flow.authorizationURL)
            #expect(page.status == 200)
            #expect(page.text.contains("Ada Byron") && !page.text.contains("<script"))

            let callback = try await browser.get(flow.authorizationURL + "&login_hint=auth0%7Cada").callback()
            #expect(callback["state"] == flow.state)
            #expect(callback["iss"] == provider.baseURL)
            let code = try #require(callback["code"])
            let tokens = try await browser.post(provider.baseURL + "/token", flow.exchange(code)).json()
            let idToken = try JSONWebSignature(compact: #require(tokens["id_token"]?.string))
            let keySet = try await browser.get(provider.baseURL + "/jwks").json()
            try idToken.verify(with: JSONWebKeySet(parsing: keySet))
            let claims = idToken.claims
            #expect(claims["sub"] == "auth0|ada")
            #expect(claims["nonce"] == "n-1")
            #expect(claims["groups"] == ["engineering"])
            #expect(claims["aud"]?.string == provider.client.id)

            let again = try await browser.post(provider.baseURL + "/token", flow.exchange(code))
            #expect(again.status == 400)
            #expect(try again.json()["error"] == "invalid_grant")

            let accessToken = try #require(tokens["access_token"]?.string)
            let userinfo = try await browser.get(provider.baseURL + "/userinfo", bearer: accessToken).json()
            #expect(userinfo["email"] == "ada@example.test")

            let body = await provider.deleteUser("auth0|ada")
            #expect(body.array?.first?["data"]?["type"] == "sdu")
            #expect(body.array?.first?["data"]?["user_id"] == "auth0|ada")
            #expect(body.array?.first?["log_id"]?.string?.isEmpty == false)
            #expect(try await browser.get(provider.baseURL + "/userinfo", bearer: accessToken).status == 401)
            let refused = try await browser.get(flow.authorizationURL + "&login_hint=auth0%7Cada").callback()
            #expect(refused["error"] == "access_denied" && refused["code"] == nil)
            await #expect(throws: DevelopmentPeerError.self) {
                _ = try await provider.issueToken(for: "auth0|ada", audience: "a")
            }
            _ = try await provider.issueToken(for: "auth0|ada", audience: "a", evenIfDeleted: true)
        }
    }

    @Test("choosing on the page and cancelling work as forms")
    func signInPage() async throws {
        try await DevelopmentIdentityProvider.run(.onlyElliptic) { provider in
            let flow = PeerFlow(provider.baseURL, provider.client)
            let chosen = try await browser.post(
                provider.baseURL + "/authorize", flow.authorizationFields + [("choice", "auth0|grace")]
            ).callback()
            #expect(chosen["code"] != nil && chosen["state"] == flow.state)
            let denied = try await browser.post(
                provider.baseURL + "/authorize", flow.authorizationFields + [("decision", "deny")]
            ).callback()
            #expect(denied["error"] == "access_denied" && denied["code"] == nil)
        }
    }

    @Test("names are escaped on the page")
    func escaping() async throws {
        var configuration = DevelopmentIdentityProvider.Configuration.onlyElliptic
        configuration.people = [
            DevelopmentPerson(subject: "\"><script>1", email: "<b>@x", name: "<img src=x onerror=alert(1)>&'")
        ]
        try await DevelopmentIdentityProvider.run(configuration) { provider in
            let flow = PeerFlow(provider.baseURL, provider.client, extra: [("ui", "\"><script>2")])
            let page = try await browser.get(flow.authorizationURL).text
            #expect(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>@"))
            #expect(page.contains("&lt;img src=x onerror=alert(1)&gt;&amp;&#39;"))
        }
    }

    @Test("a redirect address elsewhere is never followed")
    func openRedirect() async throws {
        try await DevelopmentIdentityProvider.run(.onlyElliptic) { provider in
            let elsewhere = [
                "https://evil.test/", "http://127.0.0.1@evil.test/", "http://127.0.0.1:80@evil.test/",
                "http://localhost.evil.test/", "http://127.0.0.1\\@evil.test/", "//127.0.0.1/", "javascript:1",
            ]
            for address in elsewhere {
                let flow = PeerFlow(provider.baseURL, provider.client, redirectURI: address)
                let answer = try await browser.get(flow.authorizationURL + "&login_hint=auth0%7Cada")
                #expect(answer.status == 400 && answer.header("location") == nil, "\(address)")
                let query = FormText.encode([("post_logout_redirect_uri", address)])
                let signedOut = try await browser.get(provider.baseURL + "/end_session?" + query)
                #expect(signedOut.status == 400 && signedOut.header("location") == nil, "\(address)")
            }
            let query = FormText.encode([("post_logout_redirect_uri", PeerFlow.redirectURI), ("state", "s 1")])
            let answer = try await browser.get(provider.baseURL + "/end_session?" + query)
            #expect(answer.header("location") == PeerFlow.redirectURI + "?state=s%201")
        }
    }

    // MARK: - OAuth provider

    @Test("an account is connected, its token reaches the API, and the API tells no credential")
    func connect() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            let flow = PeerFlow(provider.baseURL, provider.client, extra: [("scope", "mail.read")])
            let page = try await browser.get(flow.authorizationURL)
            #expect(page.status == 200 && page.text.contains("mail.read"))
            let tokens = try await connect(flow, provider)
            #expect(tokens["scope"] == "mail.read")
            #expect(tokens["expires_in"]?.number?.integer == 3600)
            let accessToken = try #require(tokens["access_token"]?.string)
            #expect(await provider.isLive(accessToken))
            let userinfo = try await browser.get(provider.userinfoURL, bearer: accessToken).json()
            #expect(userinfo["sub"] == "acct-1001")

            let answer = try await browser.send(
                "PUT", provider.baseURL + "/api/notes/7?x=1&x=" + accessToken,
                headers: [("authorization", "Bearer " + accessToken), ("x-copy", "t=" + accessToken), ("x-a", "1")],
                body: Array(#"{"note":"ü"}"#.utf8))
            let echo = try answer.json()
            #expect(echo["method"] == "PUT" && echo["path"] == "/api/notes/7" && echo["query"] == "x=1&x=received")
            #expect(echo["headers"]?["authorization"] == "received" && echo["headers"]?["x-copy"] == "t=received")
            #expect(echo["headers"]?["x-a"] == "1")
            #expect(echo["body"] == #"{"note":"ü"}"# && echo["account"] == "acct-1001")
            #expect(!answer.text.contains(accessToken))

            let calls = await provider.calls
            #expect(calls.map(\.path) == ["/userinfo", "/api/notes/7"])
            #expect(calls.last?.token == accessToken && calls.last?.status == 200)
            #expect(await provider.tokensSeen == [accessToken])
            #expect(try await browser.get(provider.baseURL + "/api/status/418", bearer: accessToken).status == 418)
            #expect(try await browser.get(provider.baseURL + "/api/status/204", bearer: accessToken).status == 204)
            #expect(try await browser.get(provider.baseURL + "/api/status/99", bearer: accessToken).status == 404)
            #expect(try await browser.get(provider.baseURL + "/api/echo", bearer: "made-up").status == 401)
            #expect(try await browser.get(provider.baseURL + "/api/echo").status == 401)
        }
    }

    @Test("a code is worth nothing without its verifier, its address and the client's secret")
    func codeChecks() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            let flow = PeerFlow(provider.baseURL, provider.client)
            let token = provider.tokenURL
            func code() async throws -> String {
                try #require(
                    try await browser.get(flow.authorizationURL + "&account=acct-1002").callback()["code"])
            }
            let otherVerifier = PeerFlow(provider.baseURL, provider.client).verifier
            let wrong: [[(String, String)]] = [
                flow.exchange(try await code(), replacing: ("code_verifier", otherVerifier)),
                flow.exchange(try await code(), replacing: ("code_verifier", "short")),
                flow.exchange(try await code(), replacing: ("redirect_uri", "http://127.0.0.1:9/other")),
                flow.exchange("made-up"),
            ]
            for fields in wrong {
                let answer = try await browser.post(token, fields)
                #expect(answer.status == 400)
                #expect(try answer.json()["error"] == "invalid_grant")
            }
            let fields = flow.exchange(try await code())
            let unauthenticated = flow.exchange(try await code(), replacing: ("client_secret", "wrong"))
            let refused = try await browser.post(token, unauthenticated)
            #expect(refused.status == 401)
            #expect(try refused.json()["error"] == "invalid_client")

            let withoutCredentials = fields.filter { !$0.0.hasPrefix("client_") }
            let basic = try await browser.post(token, withoutCredentials, basic: provider.client)
            #expect(basic.status == 200)
            let accessToken = try #require(try basic.json()["access_token"]?.string)
            #expect(try await browser.post(token, withoutCredentials, basic: provider.client).status == 400)
            #expect(await !provider.isLive(accessToken), "a code used twice ends what it brought")
        }
    }

    @Test("without a challenge, and when the person declines, the app gets an error and no code")
    func refusals() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            let flow = PeerFlow(provider.baseURL, provider.client)
            let denied = try await browser.get(flow.authorizationURL + "&decision=deny").callback()
            #expect(denied["error"] == "access_denied" && denied["state"] == flow.state && denied["code"] == nil)
            let plain = flow.authorizationFields.filter { !$0.0.hasPrefix("code_challenge") }
            let query = FormText.encode(plain + [("account", "acct-1001")])
            let answer = try await browser.get(provider.authorizationURL + "?" + query).callback()
            #expect(answer["error"] == "invalid_request" && answer["code"] == nil)
            let twice = try await browser.get(flow.authorizationURL + "&state=again&account=acct-1001")
            #expect(twice.status == 400 && twice.header("location") == nil)
            #expect(try await browser.send("DELETE", provider.tokenURL).status == 405)
            #expect(try await browser.get(provider.baseURL + "/nowhere").status == 404)
        }
    }

    @Test("refresh tokens rotate, and one that is used again ends the family")
    func rotation() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            let flow = PeerFlow(provider.baseURL, provider.client)
            let first = try await connect(flow, provider)
            let spent = try #require(first["refresh_token"]?.string)
            await provider.setExpiresIn(seconds: 600)
            let second = try await browser.post(provider.tokenURL, flow.refresh(spent)).json()
            #expect(second["expires_in"]?.number?.integer == 600)
            let current = try #require(second["refresh_token"]?.string)
            let accessToken = try #require(second["access_token"]?.string)
            #expect(current != spent)
            #expect(await provider.isLive(refreshToken: current))
            #expect(await !provider.isLive(refreshToken: spent))
            #expect(await provider.isLive(accessToken))
            #expect(await provider.refreshCount == 1)

            #expect(try await browser.post(provider.tokenURL, flow.refresh(spent)).status == 400)
            #expect(await !provider.isLive(refreshToken: current))
            #expect(await !provider.isLive(accessToken))
            #expect(try await browser.post(provider.tokenURL, flow.refresh(current)).status == 400)

            await provider.setExpiresIn(seconds: 0)
            let expired = try #require(try await connect(flow, provider)["access_token"]?.string)
            #expect(await !provider.isLive(expired))
        }
    }

    @Test("revocation ends what RFC 7009 says it ends")
    func revocation() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            let flow = PeerFlow(provider.baseURL, provider.client)
            let tokens = try await connect(flow, provider)
            let accessToken = try #require(tokens["access_token"]?.string)
            let refreshToken = try #require(tokens["refresh_token"]?.string)
            let stranger = [("token", refreshToken), ("client_id", "x"), ("client_secret", "y")]
            #expect(try await browser.post(provider.revocationURL, stranger).status == 401)
            #expect(await provider.isLive(refreshToken: refreshToken))
            #expect(try await browser.post(provider.revocationURL, flow.revoke("unknown")).status == 200)
            #expect(await provider.revokedTokens.isEmpty)
            #expect(try await browser.post(provider.revocationURL, flow.revoke(accessToken)).status == 200)
            #expect(await !provider.isLive(accessToken))
            #expect(await provider.isLive(refreshToken: refreshToken))
            let next = try await browser.post(provider.tokenURL, flow.refresh(refreshToken)).json()
            let nextRefreshToken = try #require(next["refresh_token"]?.string)
            #expect(try await browser.post(provider.revocationURL, flow.revoke(nextRefreshToken)).status == 200)
            let nextAccessToken = try #require(next["access_token"]?.string)
            #expect(await !provider.isLive(nextAccessToken))
            #expect(await provider.revokedTokens == [accessToken, nextRefreshToken])
        }
    }

    @Test("planned failures happen, before or after the request took effect")
    func failures() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            let flow = PeerFlow(provider.baseURL, provider.client)
            let refreshToken = try #require(try await connect(flow, provider)["refresh_token"]?.string)
            await provider.fail(next: 2, on: "/token", with: PlannedFailure(status: 429, retryAfterSeconds: 7))
            for _ in 0..<2 {
                let answer = try await browser.post(provider.tokenURL, flow.refresh(refreshToken))
                #expect(answer.status == 429 && answer.header("retry-after") == "7")
            }
            #expect(await provider.isLive(refreshToken: refreshToken))
            await provider.fail(next: 1, on: "/token", with: PlannedFailure(happensAfterProcessing: true))
            #expect(try await browser.post(provider.tokenURL, flow.refresh(refreshToken)).status == 503)
            #expect(await !provider.isLive(refreshToken: refreshToken))
            #expect(await provider.requestCount(on: "/token") == 4)
        }
    }

    @Test("an API key made outside of OAuth is taken in any header and not told")
    func apiKeys() async throws {
        try await DevelopmentOAuthProvider.run { provider in
            await provider.accept(apiKey: "static-key")
            let bearer = try await browser.get(provider.baseURL + "/api/echo", bearer: "static-key")
            let header = try await browser.send(
                "GET", provider.baseURL + "/api/echo", headers: [("x-api-key", "static-key")])
            #expect(bearer.status == 200 && header.status == 200)
            #expect(!bearer.text.contains("static-key") && !header.text.contains("static-key"))
            #expect(await provider.tokensSeen == ["static-key"])
        }
    }

    // MARK: - Life

    @Test("a peer lives as long as its closure, and an error passes through")
    func life() async throws {
        struct Stopped: Error {}
        let address = try await DevelopmentOAuthProvider.run { provider in
            let answer = try await browser.get(provider.baseURL + "/nowhere")
            #expect(answer.status == 404)
            return provider.baseURL
        }
        await #expect(throws: (any Error).self) { _ = try await browser.get(address + "/nowhere") }
        await #expect(throws: Stopped.self) { try await DevelopmentOAuthProvider.run { _ in throw Stopped() } }
        try await DevelopmentOAuthProvider.run { provider in
            let port = try #require(Int(provider.apiHost.split(separator: ":").last ?? ""))
            await #expect(throws: (any Error).self) {
                try await DevelopmentOAuthProvider.run(port: port) { _ in Issue.record("two on one port") }
            }
        }
    }

    private func connect(_ flow: PeerFlow, _ provider: DevelopmentOAuthProvider) async throws -> JSON {
        let callback = try await browser.get(flow.authorizationURL + "&account=acct-1001").callback()
        let code = try #require(callback["code"])
        return try await browser.post(provider.tokenURL, flow.exchange(code)).json()
    }
}

extension DevelopmentIdentityProvider.Configuration {
    /// Without the RSA key, which takes a moment to make.
    fileprivate static var onlyElliptic: Self {
        var configuration = Self()
        configuration.algorithms = [.es256]
        return configuration
    }
}
