import Foundation
import Synchronization
import Testing
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultUpstream

/// A provider that gives one answer and remembers what it was asked.
private final class ScriptedProvider: Sendable {
    private let requests = Mutex<[OutgoingRequest]>([])
    private let answer: @Sendable () throws -> OutgoingResponse

    init(_ answer: @escaping @Sendable () throws -> OutgoingResponse) { self.answer = answer }

    convenience init(
        _ body: String, status: Int = 200, type: String = "application/json", headers: [(String, String)] = []
    ) {
        self.init {
            OutgoingResponse(
                status: status,
                headers: [(name: "Content-Type", value: type)] + headers.map { (name: $0.0, value: $0.1) },
                body: Array(body.utf8))
        }
    }

    var seen: [OutgoingRequest] { requests.withLock { $0 } }

    func client(
        authentication: OAuthProviderTemplate.TokenAuthentication = .post,
        body: OAuthProviderTemplate.TokenRequestBody = .form,
        id: String = "client-1", secret: String? = "s3cret", revocation: String? = "https://id.example.com/revoke",
        style: OAuthProviderTemplate.RevocationStyle = .rfc7009, apiHeaders: [ProviderHeader] = []
    ) throws -> OAuthClient {
        OAuthClient(
            endpoints: OAuthEndpoints(
                tokenURL: try WebAddress("https://id.example.com/token"),
                revocation: try revocation.map {
                    RevocationEndpoint(style, try WebAddress($0), apiHeaders: apiHeaders)
                },
                clientID: id, clientSecret: secret.map { Secret($0) }, authentication: authentication, body: body)
        ) { request in
            self.requests.withLock { $0.append(request) }
            return try self.answer()
        }
    }

    func refresh() async throws -> TokenAnswer { try await client().refresh(Secret("refresh-1")) }

    func failure() async throws -> TokenCallFailure {
        try await #require(throws: TokenCallFailure.self) { try await refresh() }
    }
}

private func text(_ request: OutgoingRequest) -> String { String(decoding: request.body ?? [], as: UTF8.self) }

private func header(_ request: OutgoingRequest, _ name: String) -> String? {
    request.headers.first { $0.name.lowercased() == name }?.value
}

private let plainAnswer = #"{"access_token":"a1","token_type":"Bearer","expires_in":3600}"#

@Suite("The OAuth client asks")
struct OAuthRequestTests {
    @Test("for a code's tokens with a form, credentials in the body and the verifier of PKCE")
    func codeExchange() async throws {
        let provider = ScriptedProvider(plainAnswer)
        let answer = try await provider.client().exchangeCode(
            "c/1+2", redirectURI: "https://vault.example/cb?x=1", codeVerifier: "v~1")
        #expect(answer.accessToken == Secret("a1"))
        let request = try #require(provider.seen.first)
        #expect(request.method == "POST" && request.address.text == "https://id.example.com/token")
        #expect(
            text(request)
                == "grant_type=authorization_code&code=c%2F1%2B2&redirect_uri=https%3A%2F%2Fvault.example%2Fcb%3Fx%3D1"
                + "&code_verifier=v~1&client_id=client-1&client_secret=s3cret")
        #expect(header(request, "content-type") == "application/x-www-form-urlencoded")
        #expect(header(request, "accept") == "application/json")
        #expect(header(request, "authorization") == nil)
        #expect(request.usesFreshConnection && request.timeoutSeconds == 15 && request.responseBytesMax == 1 << 20)
    }

    @Test("with Basic credentials whose parts are form-encoded first (RFC 6749 §2.3.1)")
    func basic() async throws {
        let provider = ScriptedProvider(plainAnswer)
        _ = try await provider.client(authentication: .basic, id: "a:b c", secret: "p%:ü~").refresh(Secret("r&1"))
        let request = try #require(provider.seen.first)
        #expect(
            header(request, "authorization") == "Basic " + Data("a%3Ab%20c:p%25%3A%C3%BC~".utf8).base64EncodedString())
        #expect(text(request) == "grant_type=refresh_token&refresh_token=r%261")
    }

    @Test("as a public client with its id alone", arguments: OAuthProviderTemplate.TokenAuthentication.allCases)
    func publicClient(_ authentication: OAuthProviderTemplate.TokenAuthentication) async throws {
        for secret in [nil, ""] {
            let provider = ScriptedProvider(plainAnswer)
            _ = try await provider.client(authentication: authentication, secret: secret).refresh(Secret("r"))
            let request = try #require(provider.seen.first)
            #expect(header(request, "authorization") == nil)
            #expect(text(request) == "grant_type=refresh_token&refresh_token=r&client_id=client-1")
        }
    }

    @Test("in JSON where the provider wants that")
    func json() async throws {
        let provider = ScriptedProvider(plainAnswer)
        _ = try await provider.client(authentication: .basic, body: .json).refresh(Secret("r\"1"))
        let request = try #require(provider.seen.first)
        #expect(header(request, "content-type") == "application/json")
        #expect(try JSON(parsing: request.body ?? []) == ["grant_type": "refresh_token", "refresh_token": "r\"1"])
    }

    @Test("for a revocation with token and hint, always as a form")
    func revocation() async throws {
        let provider = ScriptedProvider("")
        #expect(try await provider.client(body: .json).revoke(Secret("t+1"), hint: "refresh_token") == .done)
        let request = try #require(provider.seen.first)
        #expect(request.address.text == "https://id.example.com/revoke")
        #expect(text(request) == "token=t%2B1&token_type_hint=refresh_token&client_id=client-1&client_secret=s3cret")
    }

    @Test("row 63: for a revocation in JSON with the API's headers, as Notion does")
    func jsonRevocation() async throws {
        let provider = ScriptedProvider(#"{"request_id":"1"}"#)
        let client = try provider.client(
            authentication: .basic, style: .json,
            apiHeaders: [ProviderHeader("Notion-Version", "2022-06-28", isRequired: true)])
        #expect(await client.revoke(Secret("t1"), hint: "access_token") == .done)
        let request = try #require(provider.seen.first)
        #expect(request.method == "POST" && header(request, "notion-version") == "2022-06-28")
        #expect(try JSON(parsing: request.body ?? []) == ["token": "t1"])
        #expect(header(request, "authorization")?.hasPrefix("Basic ") == true)
    }

    @Test("row 63: for a revocation by the access token itself, as Dropbox does, and renews it first where need be")
    func bearerRevocation() async throws {
        let provider = ScriptedProvider(plainAnswer)
        let client = try provider.client(style: .bearer)
        #expect(await client.revoke(Secret("refresh-1"), hint: "refresh_token") == .done)
        #expect(provider.seen.map(\.address.text) == ["https://id.example.com/token", "https://id.example.com/revoke"])
        let revocation = try #require(provider.seen.last)
        #expect(header(revocation, "authorization") == "Bearer a1" && revocation.body == nil)
        #expect(await client.revoke(Secret("a2"), hint: "access_token") == .done)
        #expect(provider.seen.count == 3 && provider.seen.last.flatMap { header($0, "authorization") } == "Bearer a2")
        let dead = ScriptedProvider(#"{"error":{".tag":"expired_access_token"}}"#, status: 401)
        #expect(try await dead.client(style: .bearer).revoke(Secret("a3"), hint: "access_token") == .done)
        let spent = ScriptedProvider(#"{"error":"invalid_grant"}"#, status: 400)
        #expect(try await spent.client(style: .bearer).revoke(Secret("r"), hint: "refresh_token") == .done)
        let down = ScriptedProvider("", status: 503)
        #expect(
            try await down.client(style: .bearer).revoke(Secret("r"), hint: "refresh_token")
                == .retry(reason: "the provider failed (503)"))
    }

    @Test("row 63: for the deletion of a token, as GitHub does, with the client id in the address")
    func tokenDeletion() async throws {
        let provider = ScriptedProvider("", status: 204)
        let client = try provider.client(
            id: "Iv1/8a", revocation: "https://api.example.com/applications", style: .deletedToken)
        #expect(await client.revoke(Secret("t1"), hint: "access_token") == .done)
        let request = try #require(provider.seen.first)
        #expect(request.method == "DELETE")
        #expect(request.address.text == "https://api.example.com/applications/Iv1%2F8a/token")
        #expect(try JSON(parsing: request.body ?? []) == ["access_token": "t1"])
        #expect(header(request, "authorization")?.hasPrefix("Basic ") == true)
        guard case .unsupported = await client.revoke(Secret("r1"), hint: "refresh_token") else {
            Issue.record("a refresh token was sent")
            return
        }
        #expect(provider.seen.count == 1)
    }

    @Test("and prints neither its request nor the token")
    func redaction() async throws {
        let provider = ScriptedProvider(#"{"access_token":"canary-1","refresh_token":"canary-2","extra":"e"}"#)
        let answer = try await provider.refresh()
        var printed = "\(answer) \(provider.seen)"
        dump(answer, to: &printed)
        dump(provider.seen, to: &printed)
        for canary in ["canary", "s3cret", "refresh-1"] { #expect(!printed.contains(canary), "\(canary)") }
    }
}

@Suite("The OAuth client reads")
struct OAuthAnswerTests {
    @Test("a full answer")
    func full() async throws {
        let body = """
            {"access_token":"a1","token_type":"Bearer","expires_in":3599,"refresh_token":"r2","scope":"read write",
             "id_token":"e.y.J","instance_url":"https://eu1.example.com","team":{"id":"T1","bot_token":"x"},"client_secret":"y"}
            """
        let answer = try await ScriptedProvider(body).refresh()
        #expect(
            answer.accessToken == Secret("a1") && answer.refreshToken == Secret("r2")
                && answer.idToken == Secret("e.y.J"))
        #expect(answer.expiresInSeconds == 3599 && answer.scopes == ["read", "write"] && answer.tokenType == "bearer")
    }

    @Test(
        "row 27: lifetimes of every shape",
        arguments: [
            ("3600", 3600), ("3600.9", 3600), ("\"3600\"", 3600), ("\"3600.5\"", 3600), ("1", 1), ("3.6e3", 3600),
            ("0", nil), ("-1", nil),
            ("\"0\"", nil), ("0.5", nil), ("null", nil), ("\"\"", nil), ("\"soon\"", nil), ("true", nil), ("{}", nil),
            ("\"nan\"", nil),
            ("\"-inf\"", nil), ("-1e400", nil), ("1e12", 315_360_000), ("1e400", 315_360_000), ("\"inf\"", 315_360_000),
            ("99999999999999999999", 315_360_000),
        ] as [(String, Int64?)])
    func lifetimes(_ value: String, _ seconds: Int64?) async throws {
        let answer = try await ScriptedProvider(#"{"access_token":"a","expires_in":"# + value + "}").refresh()
        #expect(answer.expiresInSeconds == seconds)
    }

    @Test(
        "scopes with blanks, commas or as a list",
        arguments: [
            (#""a b""#, ["a", "b"]), (#""a,b""#, ["a", "b"]), (#""a, b  c""#, ["a", "b", "c"]),
            (#"["a","b",""]"#, ["a", "b"]), (#""""#, []),
            ("null", nil), ("7", nil), (#""https://x/auth.read""#, ["https://x/auth.read"]),
        ] as [(String, [String]?)])
    func scopes(_ value: String, _ expected: [String]?) async throws {
        let answer = try await ScriptedProvider(#"{"access_token":"a","scope":"# + value + "}").refresh()
        #expect(answer.scopes == expected)
    }

    @Test(
        "row 27: no, a null and an empty refresh token as none",
        arguments: ["", #","refresh_token":"""#, #","refresh_token":null"#])
    func noRefreshToken(_ member: String) async throws {
        #expect(try await ScriptedProvider(#"{"access_token":"a""# + member + "}").refresh().refreshToken == nil)
    }

    @Test(
        "row 27: forms, whatever their content type says",
        arguments: ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", "", "application/octet-stream"])
    func forms(_ type: String) async throws {
        let provider = ScriptedProvider(
            "access_token=gho_1%2B&scope=repo%2Cgist&token_type=bearer&expires_in=60", type: type)
        let answer = try await provider.refresh()
        #expect(
            answer.accessToken == Secret("gho_1+") && answer.scopes == ["repo", "gist"] && answer.expiresInSeconds == 60
        )
    }

    @Test(
        "JSON that is labelled as something else",
        arguments: ["text/html", "text/plain", "application/x-www-form-urlencoded"])
    func mislabelledJSON(_ type: String) async throws {
        #expect(try await ScriptedProvider("\n " + plainAnswer, type: type).refresh().accessToken == Secret("a1"))
    }

    @Test("the user's own token of an answer with two")
    func nested() async throws {
        let provider = ScriptedProvider(
            #"{"ok":true,"authed_user":{"id":"U1","access_token":"xoxp","token_type":"user","scope":"a,b"},"team":{"id":"T"}}"#
        )
        let answer = try await provider.refresh()
        #expect(answer.accessToken == Secret("xoxp") && answer.tokenType == "user" && answer.scopes == ["a", "b"])
    }

    @Test(
        "row 27: nothing in an answer that issues nothing",
        arguments: [
            "", "null", "[]", "\"a\"", "{", "{}", #"{"access_token":""}"#, #"{"access_token":null}"#,
            #"{"access_token":"a","access_token":"b"}"#,
        ])
    func nothingIssued(_ body: String) async throws {
        guard case .malformed = try await ScriptedProvider(body).failure() else {
            Issue.record("not malformed")
            return
        }
    }

    @Test(
        "row 27: no token that is no bearer token, and knows that one was issued",
        arguments: [
            #"{"access_token":7}"#, #"{"access_token":"a\r\nX-Evil: 1"}"#, #"{"access_token":"a\u0000"}"#,
            #"{"access_token":"a\u001b[0m"}"#, #"{"access_token":"a b"}"#, #"{"access_token":"é"}"#,
            #"{"access_token":"a\u007f"}"#, #"{"access_token":"a","refresh_token":"r\n"}"#,
            #"{"access_token":"a","refresh_token":5}"#, #"{"access_token":"a","id_token":"x y"}"#,
            #"{"access_token":"a","token_type":"MAC"}"#, #"{"access_token":"a","token_type":"DPoP"}"#,
            #"{"access_token":""# + String(repeating: "x", count: 65_537) + #""}"#,
        ])
    func unusable(_ body: String) async throws {
        guard case .unusable(let reason) = try await ScriptedProvider(body).failure() else {
            Issue.record("not unusable")
            return
        }
        #expect(!reason.contains("Evil"))
    }

    @Test(
        "row 27: scopes that are none as nothing said",
        arguments: [#""a\u0007""#, "\"" + String(repeating: "s ", count: 1001) + "\""])
    func noScopes(_ value: String) async throws {
        #expect(try await ScriptedProvider(#"{"access_token":"a","scope":"# + value + "}").refresh().scopes == nil)
    }

    @Test(
        "row 25: no page and no broken form",
        arguments: [
            ("<html><body>access_token=a</body></html>", "text/html"), ("  <!doctype html>", "text/plain"),
            ("access_token=a", "text/html"),
            ("access_token=a", "application/json"), ("access_token=a&access_token=b", "text/plain"),
            ("access_token=%", "text/plain"),
        ])
    func unusableText(_ body: String, _ type: String) async throws {
        guard case .malformed = try await ScriptedProvider(body, type: type).failure() else {
            Issue.record("not malformed")
            return
        }
    }

    @Test(
        "row 27 and 28: refusals in every dress",
        arguments: [
            (
                400, #"{"error":"invalid_grant","error_description":"<script>"}"#,
                .refused(error: "invalid_grant", status: 400)
            ),
            (401, #"{"error":"invalid_grant"}"#, .refused(error: "invalid_grant", status: 401)),
            (401, #"{"error":"invalid_client"}"#, .refused(error: "invalid_client", status: 401)),
            (200, #"{"error":"bad_refresh_token"}"#, .refused(error: "invalid_grant", status: 200)),
            (
                200, #"{"error":"incorrect_client_credentials"}"#,
                .refused(error: "incorrect_client_credentials", status: 200)
            ),
            (200, #"{"access_token":"a","error":"invalid_scope"}"#, .refused(error: "invalid_scope", status: 200)),
            (200, #"{"ok":false,"error":"invalid_refresh_token"}"#, .refused(error: "invalid_grant", status: 200)),
            (200, #"{"ok":false}"#, .refused(error: "provider_error", status: 200)),
            (200, "error=bad_verification_code&error_uri=x", .refused(error: "invalid_grant", status: 200)),
            (400, "error=unauthorized_client", .refused(error: "unauthorized_client", status: 400)),
            (400, #"{"error":{"message":"no","code":190}}"#, .refused(error: "provider_error", status: 400)),
            (400, #"{"error":"Invalid Grant\r\n"}"#, .refused(error: "provider_error", status: 400)),
            (
                400, #"{"error":""# + String(repeating: "a", count: 65) + #""}"#,
                .refused(error: "provider_error", status: 400)
            ),
            (400, "<html>Bad Request</html>", .refused(error: "provider_error", status: 400)),
            (404, "", .refused(error: "provider_error", status: 404)),
            (400, #"{"error":"temporarily_unavailable"}"#, .providerError(status: 400)),
            (200, #"{"ok":false,"error":"ratelimited"}"#, .throttled(retryAfterSeconds: nil)),
            (500, #"{"error":"invalid_grant"}"#, .providerError(status: 500)), (503, "", .providerError(status: 503)),
            (302, "", .providerError(status: 302)),
        ] as [(Int, String, TokenCallFailure)])
    func refusals(_ status: Int, _ body: String, _ expected: TokenCallFailure) async throws {
        let type = body.hasPrefix("error=") ? "application/x-www-form-urlencoded" : "application/json"
        #expect(try await ScriptedProvider(body, status: status, type: type).failure() == expected)
    }

    @Test(
        "row 28: how long to wait",
        arguments: [
            ("7", 7), ("0", 0), ("-1", nil), ("soon", nil), ("9999999999", 86_400), ("", nil),
            ("Wed, 21 Oct 2026 07:28:00 GMT", nil),
        ]
            as [(String, Int?)])
    func throttling(_ value: String, _ seconds: Int?) async throws {
        let provider = ScriptedProvider("", status: 429, headers: [("Retry-After", value)])
        #expect(try await provider.failure() == .throttled(retryAfterSeconds: seconds))
    }

    @Test("row 28: failures of the network as what they are")
    func network() async throws {
        for failure in [OutgoingFailure.answerLost, .timedOut, .unreachable, .tls, .tooLarge] {
            #expect(try await ScriptedProvider { throw failure }.failure() == .unreachable(failure))
        }
        #expect(OutgoingFailure.answerLost.mayHaveBeenReceived && OutgoingFailure.timedOut.mayHaveBeenReceived)
        #expect(!OutgoingFailure.unreachable.mayHaveBeenReceived && !OutgoingFailure.tls.mayHaveBeenReceived)
        await #expect(throws: CancellationError.self) {
            try await ScriptedProvider { throw CancellationError() }.refresh()
        }
    }

    @Test(
        "what became of a revocation",
        arguments: [
            (200, "", .done), (204, "", .done), (200, "<html>", .done), (400, #"{"error":"invalid_token"}"#, .done),
            (400, #"{"error":"invalid_grant"}"#, .done), (200, #"{"ok":false,"error":"token_revoked"}"#, .done),
            (
                400, #"{"error":"unsupported_token_type"}"#,
                .unsupported(reason: "the provider does not revoke tokens of this kind")
            ),
            (404, "", .unsupported(reason: "the provider answered 404")),
            (401, #"{"error":"invalid_client"}"#, .retry(reason: "the provider refused with invalid_client (401)")),
            (403, "<html>", .retry(reason: "the provider answered 403")),
            (503, "", .retry(reason: "the provider answered 503")),
            (500, #"{"error":"invalid_token"}"#, .retry(reason: "the provider refused with invalid_token (500)")),
        ] as [(Int, String, RevocationOutcome)])
    func revocations(_ status: Int, _ body: String, _ expected: RevocationOutcome) async throws {
        #expect(
            try await ScriptedProvider(body, status: status).client().revoke(Secret("t"), hint: "access_token")
                == expected)
    }

    @Test("row 63: a revocation that cannot be sent is one to send again, without an address one that never can be")
    func revocationTrouble() async throws {
        let down = ScriptedProvider { throw OutgoingFailure.unreachable }
        #expect(
            try await down.client().revoke(Secret("t"), hint: "access_token")
                == .retry(reason: "no connection to the host could be made"))
        let none = try await down.client(revocation: nil).revoke(Secret("t"), hint: "access_token")
        #expect(none == .unsupported(reason: "the provider has no revocation address"))
    }

    @Test("a provider's word for Connect only when it is a word")
    func words() {
        #expect(TokenCallFailure.sanitized("access_denied") == "access_denied")
        for code in ["", "<b>", "a b", "A", "é", "x-y", String(repeating: "a", count: 65)] {
            #expect(TokenCallFailure.sanitized(code) == "provider_error", "\(code)")
        }
        #expect(TokenCallFailure.malformed("x").connectCode == "invalid_response")
        #expect(TokenCallFailure.refused(error: "invalid_grant", status: 400).connectCode == "invalid_grant")
    }
}
