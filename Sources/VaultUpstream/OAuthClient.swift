// OAuth 2.0 as a client: trading codes, refreshing and revoking (RFC 6749, RFC 7009, RFC 7636). Requests are built as the
// RFCs say; answers are read leniently, because providers differ, and trusted with nothing: sizes, characters and types
// are checked before a token becomes a Secret. It keeps no state and decides no retry. Called by Connect, by the refresh
// of credentials, by the queue of revocations and by browser sign-in.

import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain

/// One client at one provider.
package struct OAuthEndpoints: Sendable {
    package var tokenURL: WebAddress
    package var revocation: RevocationEndpoint?
    package var clientID: String
    /// `nil` or empty for a public client.
    package var clientSecret: Secret?
    package var authentication: OAuthProviderTemplate.TokenAuthentication
    package var body: OAuthProviderTemplate.TokenRequestBody

    package init(
        tokenURL: WebAddress, revocation: RevocationEndpoint? = nil, clientID: String, clientSecret: Secret?,
        authentication: OAuthProviderTemplate.TokenAuthentication, body: OAuthProviderTemplate.TokenRequestBody = .form
    ) {
        self.tokenURL = tokenURL
        self.revocation = revocation
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.authentication = authentication
        self.body = body
    }
}

/// Where and how a provider is told that a token is over.
package struct RevocationEndpoint: Sendable {
    package let style: OAuthProviderTemplate.RevocationStyle
    package let address: WebAddress
    /// What the provider's API expects in every request.
    package let apiHeaders: [ProviderHeader]

    package init(
        _ style: OAuthProviderTemplate.RevocationStyle, _ address: WebAddress, apiHeaders: [ProviderHeader] = []
    ) {
        self.style = style
        self.address = address
        self.apiHeaders = apiHeaders
    }
}

/// Why a token call brought no token. Texts are ours, or one sanitised word of the provider.
package enum TokenCallFailure: Error, Equatable, Sendable {
    /// The provider said no, with a code of RFC 6749 §5.2. `invalid_grant`, in whatever words a provider says it, means
    /// that the code or refresh token is dead.
    case refused(error: String, status: Int)
    /// No answer of a token address, with the reason: nothing was issued.
    case malformed(String)
    /// Tokens were issued that cannot be used, with the reason: the code or refresh token may be spent.
    case unusable(String)
    case unreachable(OutgoingFailure)
    case throttled(retryAfterSeconds: Int?)
    /// The provider is in trouble of its own; later may be better.
    case providerError(status: Int)

    /// Safe to show to an operator.
    package var reason: String {
        switch self {
        case .refused(let error, let status): "the provider refused with \(error) (\(status))"
        case .malformed(let problem), .unusable(let problem): "the provider's answer cannot be used: \(problem)"
        case .unreachable(let failure): failure.reason
        case .throttled: "the provider asks to slow down"
        case .providerError(let status): "the provider failed (\(status))"
        }
    }

    /// One word for the result of a Connect session.
    package var connectCode: String {
        switch self {
        case .refused(let error, _): error
        case .malformed, .unusable: "invalid_response"
        case .unreachable: "provider_unreachable"
        case .throttled: "provider_throttled"
        case .providerError: Self.unnamedError
        }
    }

    package static let unnamedError = "provider_error"

    /// A provider's error code as it may be stored and shown: anything but a short lower-case word becomes
    /// `provider_error`.
    package static func sanitized(_ code: String) -> String {
        let isWord = code.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "_") }
        return isWord && (1...64).contains(code.utf8.count) ? code : unnamedError
    }
}

package enum RevocationOutcome: Equatable, Sendable {
    /// Revoked, or dead before: RFC 7009 §2.2 does not tell them apart.
    case done
    case retry(reason: String)
    /// The provider has no revocation address, or none for this token; trying again is no use.
    case unsupported(reason: String)
}

package struct OAuthClient: Sendable {
    private static let timeoutSeconds = 15
    private static let answerBytesMax = 1 << 20

    private let endpoints: OAuthEndpoints
    private let send: Send

    package init(endpoints: OAuthEndpoints, send: @escaping Send) {
        self.endpoints = endpoints
        self.send = send
    }

    /// RFC 6749 §4.1.3 with RFC 7636 §4.5. Throws `TokenCallFailure`, or `CancellationError` when the task was cancelled.
    package func exchangeCode(_ code: String, redirectURI: String, codeVerifier: String?) async throws -> TokenAnswer {
        var parameters = [
            Parameter("grant_type", "authorization_code"), Parameter("code", code),
            Parameter("redirect_uri", redirectURI),
        ]
        if let codeVerifier { parameters.append(Parameter("code_verifier", codeVerifier)) }
        return try await callTokenAddress(parameters)
    }

    /// RFC 6749 §6. Throws as `exchangeCode` does.
    package func refresh(_ refreshToken: Secret) async throws -> TokenAnswer {
        try await callTokenAddress([
            Parameter("grant_type", "refresh_token"), Parameter("refresh_token", refreshToken),
        ])
    }

    /// RFC 7009 §2.1, or what the provider has in its place. `hint` is `access_token` or `refresh_token`.
    package func revoke(_ token: Secret, hint: String) async -> RevocationOutcome {
        guard let endpoint = endpoints.revocation else {
            return .unsupported(reason: "the provider has no revocation address")
        }
        let isRefreshToken = hint == "refresh_token"
        do {
            switch endpoint.style {
            case .rfc7009:
                let parameters = [Parameter("token", token), Parameter("token_type_hint", hint)]
                return RevocationOutcome(try await send(request(to: endpoint.address, parameters, body: .form)))
            case .json:
                var request = request(to: endpoint.address, [Parameter("token", token)], body: .json)
                for header in endpoint.apiHeaders {
                    if let value = header.value { request.headers.append((name: header.name, value: value)) }
                }
                return RevocationOutcome(try await send(request))
            case .bearer:
                // These refresh tokens do not rotate, so that one can be used here again after a failure.
                let accessToken = isRefreshToken ? try await refresh(token).accessToken : token
                let answer = try await send(bearerRevocation(endpoint.address, accessToken))
                // A token that does not authenticate is not alive.
                return answer.status == 401 ? .done : RevocationOutcome(answer)
            case .deletedToken:
                guard !isRefreshToken else {
                    return .unsupported(reason: "the provider ends access tokens only")
                }
                guard let request = try tokenDeletion(endpoint.address, token) else {
                    return .unsupported(reason: "the provider ends tokens only for a client with a secret")
                }
                return RevocationOutcome(try await send(request))
            }
        } catch let failure as OutgoingFailure {
            return .retry(reason: failure.reason)
        } catch let failure as TokenCallFailure {
            if case .refused("invalid_grant", _) = failure { return .done }
            return .retry(reason: failure.reason)
        } catch {
            return .retry(reason: "the call was interrupted")
        }
    }

    private func callTokenAddress(_ parameters: [Parameter]) async throws -> TokenAnswer {
        let answer: OutgoingResponse
        do {
            answer = try await send(request(to: endpoints.tokenURL, parameters, body: endpoints.body))
        } catch let failure as OutgoingFailure {
            throw TokenCallFailure.unreachable(failure)
        }
        return try TokenAnswer(answer)
    }
}

// MARK: - Requests

extension OAuthClient {
    private struct Parameter {
        let name: String
        let value: Secret

        init(_ name: String, _ value: Secret) {
            self.name = name
            self.value = value
        }

        init(_ name: String, _ value: String) { self.init(name, Secret(value)) }
    }

    private func request(
        to address: WebAddress, _ parameters: [Parameter], body: OAuthProviderTemplate.TokenRequestBody
    ) -> OutgoingRequest {
        var parameters = parameters
        var headers = [(name: "Accept", value: "application/json")]
        let secret = endpoints.clientSecret.flatMap { $0.isEmpty ? nil : $0 }
        switch (endpoints.authentication, secret) {
        case (.basic, let secret?):
            headers.append((name: "Authorization", value: basicAuthorization(secret)))
        case (.post, let secret?):
            parameters.append(Parameter("client_id", endpoints.clientID))
            parameters.append(Parameter("client_secret", secret))
        case (_, nil):
            // RFC 6749 §3.2.1: a public client only says which one it is.
            parameters.append(Parameter("client_id", endpoints.clientID))
        }
        let content: [UInt8]
        switch body {
        case .form:
            headers.append((name: "Content-Type", value: "application/x-www-form-urlencoded"))
            content = Self.form(parameters)
        case .json:
            headers.append((name: "Content-Type", value: "application/json"))
            content = Self.json(parameters)
        }
        return OutgoingRequest(
            method: "POST", address: address, headers: headers, body: content, timeoutSeconds: Self.timeoutSeconds,
            responseBytesMax: Self.answerBytesMax, usesFreshConnection: true)
    }

    private func bearerRevocation(_ address: WebAddress, _ accessToken: Secret) -> OutgoingRequest {
        OutgoingRequest(
            method: "POST", address: address,
            // plaintext leaves here
            headers: [(name: "Authorization", value: "Bearer " + accessToken.revealed())],
            timeoutSeconds: Self.timeoutSeconds, responseBytesMax: Self.answerBytesMax, usesFreshConnection: true)
    }

    /// `nil` for a public client.
    private func tokenDeletion(_ address: WebAddress, _ accessToken: Secret) throws -> OutgoingRequest? {
        guard let secret = endpoints.clientSecret, !secret.isEmpty else { return nil }
        return OutgoingRequest(
            method: "DELETE",
            address: try WebAddress("\(address.text)/\(FormEncoding.component(endpoints.clientID))/token"),
            headers: [
                (name: "Accept", value: "application/json"), (name: "Content-Type", value: "application/json"),
                (name: "Authorization", value: basicAuthorization(secret)),
            ], body: Self.json([Parameter("access_token", accessToken)]), timeoutSeconds: Self.timeoutSeconds,
            responseBytesMax: Self.answerBytesMax, usesFreshConnection: true)
    }

    /// RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
    private func basicAuthorization(_ secret: Secret) -> String {
        let id = FormEncoding.component(Array(endpoints.clientID.utf8))
        // plaintext leaves here
        let pair = secret.withBytes { id + [UInt8(ascii: ":")] + FormEncoding.component($0) }
        return "Basic " + Data(pair).base64EncodedString()
    }

    private static func form(_ parameters: [Parameter]) -> [UInt8] {
        var body: [UInt8] = []
        for parameter in parameters {
            if !body.isEmpty { body.append(UInt8(ascii: "&")) }
            body += Array(FormEncoding.component(parameter.name).utf8)
            body.append(UInt8(ascii: "="))
            // plaintext leaves here
            body += parameter.value.withBytes { FormEncoding.component($0) }
        }
        return body
    }

    private static func json(_ parameters: [Parameter]) -> [UInt8] {
        var object = JSONObject()
        for parameter in parameters {
            // plaintext leaves here
            object[parameter.name] = .string(parameter.value.revealed())
        }
        return JSON.object(object).bytes
    }
}

// MARK: - Answers

/// A provider's answer that brought a token.
package struct TokenAnswer: Sendable {
    package let accessToken: Secret
    /// `nil` when the provider sent none: the one at hand stays.
    package let refreshToken: Secret?
    /// `nil` when the provider gave no usable lifetime.
    package let expiresInSeconds: Int64?
    /// As the provider said; `nil` when it said nothing, which means what was asked for (RFC 6749 §5.1).
    package let scopes: [String]?
    package let idToken: Secret?
    /// Lower case; `bearer` when the provider said nothing.
    package let tokenType: String
}

extension TokenAnswer {
    private static let tokenBytesMax = 64 << 10
    private static let scopesMax = 1000
    private static let tenYearsSeconds: Double = 10 * 365 * 86_400

    /// Bearer tokens under the names that providers give them. Others (MAC, DPoP) need proofs that this client does not
    /// make.
    private static let bearerTypes: Set<String> = ["bearer", "bearertoken", "user", "bot"]

    package init(_ answer: OutgoingResponse) throws(TokenCallFailure) {
        switch answer.status {
        case 429: throw .throttled(retryAfterSeconds: answer.retryAfterSeconds)
        // A redirect is no answer; it is not followed.
        case 300..<400, 500...: throw .providerError(status: answer.status)
        default: break
        }
        let isSuccess = (200..<300).contains(answer.status)
        guard var object = answer.parameters else {
            if isSuccess { throw .malformed("it is neither JSON nor a form") }
            throw .refused(error: TokenCallFailure.unnamedError, status: answer.status)
        }
        // Some providers refuse with 200; one says `ok: false`.
        if !isSuccess || object.namesError { throw object.refusal(status: answer.status) }
        // Slack keeps the user's token apart from the workspace's.
        if object["access_token"] == nil, let user = object["authed_user"]?.object { object = user }

        guard let accessToken = try Self.token("access_token", in: object) else {
            throw .malformed("it holds no access_token")
        }
        let type = object["token_type"]?.string?.lowercased() ?? ""
        guard type.isEmpty || Self.bearerTypes.contains(type) else { throw .unusable("its token_type is not bearer") }
        self.accessToken = accessToken
        refreshToken = try Self.token("refresh_token", in: object)
        idToken = try Self.token("id_token", in: object)
        expiresInSeconds = Self.lifetime(object["expires_in"])
        scopes = Self.scopes(object["scope"])
        tokenType = type.isEmpty ? "bearer" : type
    }

    /// `nil` when absent, null or empty. What is there must be fit for an `Authorization` header (RFC 6750 §2.1).
    private static func token(_ name: String, in object: JSONObject) throws(TokenCallFailure) -> Secret? {
        guard let value = object[name], !value.isNull else { return nil }
        guard let text = value.string else { throw .unusable("its \(name) is not text") }
        guard !text.isEmpty else { return nil }
        guard text.utf8.count <= tokenBytesMax else { throw .unusable("its \(name) is too long") }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .unusable("its \(name) holds characters that no token has")
        }
        return Secret(text)
    }

    /// Seconds as a number of any form or as text. Zero, negative and unreadable values mean nothing; huge ones are cut.
    private static func lifetime(_ value: JSON?) -> Int64? {
        let seconds: Double? =
            switch value {
            case .number(let number)?: number.double ?? (number.text.hasPrefix("-") ? nil : tenYearsSeconds)
            case .string(let text)? where (1...32).contains(text.utf8.count): Double(text)
            default: nil
            }
        guard let seconds, seconds >= 1 else { return nil }
        return Int64(min(seconds, tenYearsSeconds))
    }

    /// Separated by blanks (RFC 6749 §3.3) or commas, or a list. What is no scope says nothing about what was granted.
    private static func scopes(_ value: JSON?) -> [String]? {
        let words: [String]
        switch value {
        case .string(let text)?:
            words = text.split { $0 == " " || $0 == "," }.map(String.init)
        case .array(let values)?:
            words = values.compactMap(\.string).filter { !$0.isEmpty }
        default: return nil
        }
        guard words.count <= scopesMax,
            words.allSatisfy({ $0.utf8.count <= 512 && OAuthProviderConfiguration.isScopeToken($0) })
        else { return nil }
        return words
    }
}

extension RevocationOutcome {
    /// What an answer of a revocation address means (RFC 7009 §2.2).
    package init(_ answer: OutgoingResponse) {
        let refusal = answer.parameters?.refusal(status: answer.status)
        switch (answer.status, refusal) {
        case (200..<300, _) where answer.parameters?.namesError != true: self = .done
        case (404, _), (405, _), (501, _): self = .unsupported(reason: "the provider answered \(answer.status)")
        // A token that is not known is a token that is not alive.
        case (..<500, .refused("invalid_grant", _)?), (..<500, .refused("invalid_token", _)?): self = .done
        case (_, .refused("unsupported_token_type", _)?):
            self = .unsupported(reason: "the provider does not revoke tokens of this kind")
        case (_, let refusal?): self = .retry(reason: refusal.reason)
        case (_, nil): self = .retry(reason: "the provider answered \(answer.status)")
        }
    }
}

// MARK: - Reading

extension OutgoingResponse {
    private static let retryAfterSecondsMax = 86_400

    /// `Retry-After` in seconds (RFC 9110 §10.2.3); its date form is left aside, as clocks differ.
    fileprivate var retryAfterSeconds: Int? {
        guard let text = header("retry-after"), let seconds = Int(text), seconds >= 0 else { return nil }
        return min(seconds, Self.retryAfterSecondsMax)
    }

    /// The members of a JSON object or of a form, told apart by look, because content types are often wrong.
    fileprivate var parameters: JSONObject? {
        guard let first = body.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) else { return nil }
        if first == UInt8(ascii: "{") {
            // An error here is an answer that cannot be read; which byte broke it is of no use to anyone.
            return (try? JSON(parsing: body))?.object
        }
        let type = header("content-type")?.lowercased() ?? ""
        guard !type.contains("json"), !type.contains("html"), first != UInt8(ascii: "<"),
            let pairs = FormEncoding.decode(body), pairs.count <= 200
        else { return nil }
        var object = JSONObject()
        for pair in pairs {
            guard object[pair.name] == nil else { return nil }
            object[pair.name] = .string(pair.value)
        }
        return object
    }
}

extension JSONObject {
    private static let deadGrantErrors: Set<String> = [
        "invalid_grant", "bad_refresh_token", "bad_verification_code", "invalid_refresh_token", "invalid_code",
        "code_expired",
        "token_revoked",
    ]
    private static let throttlingErrors: Set<String> = [
        "slow_down", "ratelimited", "rate_limited", "rate_limit_exceeded",
    ]
    private static let passingErrors: Set<String> = ["server_error", "temporarily_unavailable"]

    fileprivate var namesError: Bool {
        let error = self["error"] ?? .null
        return self["ok"]?.bool == false || !(error.isNull || error == "" || error == false)
    }

    fileprivate func refusal(status: Int) -> TokenCallFailure {
        let error = TokenCallFailure.sanitized(self["error"]?.string ?? "")
        if Self.deadGrantErrors.contains(error) { return .refused(error: "invalid_grant", status: status) }
        if Self.throttlingErrors.contains(error) { return .throttled(retryAfterSeconds: nil) }
        if Self.passingErrors.contains(error) { return .providerError(status: status) }
        return .refused(error: error, status: status)
    }
}
