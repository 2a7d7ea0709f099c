import VaultAPI
import VaultCrypto

extension DevelopmentOAuthProvider {
    func token(_ request: PeerRequest) -> PeerResponse {
        guard let fields = request.bodyFields, !fields.hasRepeatedName else {
            return .oauthError(400, "invalid_request", "The body must be a form without repeated names.")
        }
        guard client.isAuthenticated(by: request, fields) else {
            return .oauthError(401, "invalid_client", "The client's credentials are wrong.")
        }
        switch fields["grant_type"] {
        case "authorization_code": return tradeCode(fields)
        case "refresh_token": return refresh(fields)
        default: return .oauthError(400, "unsupported_grant_type", "Codes and refresh tokens are traded here.")
        }
    }

    private func tradeCode(_ fields: FormFields) -> PeerResponse {
        switch codes.redeem(fields, at: now) {
        case .refused(let reason): return .oauthError(400, "invalid_grant", reason)
        case .usedBefore(let approval):
            tokens.end(family: approval.id)
            return .oauthError(400, "invalid_grant", "The code was used before; what it brought is ended.")
        case .approved(let approval):
            tokens.begin(family: approval.id, account: approval.subject, scope: approval.request.scope)
            return issue(in: approval.id, withRefreshToken: true)
        }
    }

    private func refresh(_ fields: FormFields) -> PeerResponse {
        guard let given = fields["refresh_token"] else {
            return .oauthError(400, "invalid_request", "The refresh token is missing.")
        }
        switch tokens.use(refreshToken: given, spending: configuration.rotatesRefreshTokens) {
        case .refused(let reason): return .oauthError(400, "invalid_grant", reason)
        case .accepted(let family):
            recordRefresh()
            return issue(in: family, withRefreshToken: configuration.rotatesRefreshTokens)
        }
    }

    private func issue(in family: String, withRefreshToken: Bool) -> PeerResponse {
        let lifetime = expiresInSeconds
        let accessToken = "dev-access-" + RandomBytes.token()
        tokens.add(accessToken: accessToken, to: family, expiresAt: lifetime.map { now.adding(seconds: $0) })
        var answer: JSONObject = [
            "access_token": .string(accessToken), "token_type": "Bearer",
            "scope": .string(tokens.scope(of: family)),
        ]
        if let lifetime { answer["expires_in"] = .integer(lifetime) }
        if withRefreshToken {
            let refreshToken = "dev-refresh-" + RandomBytes.token()
            tokens.add(refreshToken: refreshToken, to: family)
            answer["refresh_token"] = .string(refreshToken)
        }
        return .json(200, .object(answer))
    }

    /// RFC 7009: an unknown token is answered like a known one; a refresh token takes its whole family with it.
    func revoke(_ request: PeerRequest) -> PeerResponse {
        guard let fields = request.bodyFields, !fields.hasRepeatedName, let token = fields["token"] else {
            return .oauthError(400, "invalid_request", "The token is missing.")
        }
        guard client.isAuthenticated(by: request, fields) else {
            return .oauthError(401, "invalid_client", "The client's credentials are wrong.")
        }
        if tokens.revoke(token) { recordRevocation(of: token) }
        return PeerResponse(status: 200)
    }
}

/// Tokens that descend from one consent. A refresh token works once when tokens rotate; one that comes a second time has
/// been stolen or replayed, and the whole family ends (RFC 9700 §4.14.2).
struct TokenFamilies: Sendable {
    enum Use {
        case accepted(family: String)
        case refused(String)
    }

    private struct Family {
        let account: String
        let scope: String
        var isEnded = false
    }

    private struct AccessToken {
        let family: String
        let expiresAt: Instant?
        var isRevoked = false
    }

    private var families: [String: Family] = [:]
    private var accessTokens: [String: AccessToken] = [:]
    private var refreshTokens: [String: (family: String, isSpent: Bool)] = [:]

    mutating func begin(family: String, account: String, scope: String) {
        families[family] = Family(account: account, scope: scope)
    }

    mutating func end(family: String) { families[family]?.isEnded = true }

    mutating func endAll(of account: String) {
        for (id, family) in families where family.account == account { end(family: id) }
    }

    mutating func add(accessToken: String, to family: String, expiresAt: Instant?) {
        accessTokens[accessToken] = AccessToken(family: family, expiresAt: expiresAt)
    }

    mutating func add(refreshToken: String, to family: String) { refreshTokens[refreshToken] = (family, false) }

    func scope(of family: String) -> String { families[family]?.scope ?? "" }

    func account(ofAccessToken token: String, at now: Instant) -> String? {
        guard let known = accessTokens[token], !known.isRevoked, let family = families[known.family], !family.isEnded,
            known.expiresAt.map({ now < $0 }) ?? true
        else { return nil }
        return family.account
    }

    var issued: Set<String> { Set(accessTokens.keys).union(refreshTokens.keys) }

    func isLive(refreshToken: String) -> Bool {
        guard let known = refreshTokens[refreshToken], let family = families[known.family] else { return false }
        return !known.isSpent && !family.isEnded
    }

    mutating func use(refreshToken: String, spending: Bool) -> Use {
        guard let known = refreshTokens[refreshToken], let family = families[known.family] else {
            return .refused("The refresh token is not known.")
        }
        guard !family.isEnded else { return .refused("The connection has ended.") }
        guard !known.isSpent else {
            end(family: known.family)
            return .refused("The refresh token was used before; the connection has ended.")
        }
        if spending { refreshTokens[refreshToken] = (known.family, true) }
        return .accepted(family: known.family)
    }

    /// Whether the token was one of these.
    mutating func revoke(_ token: String) -> Bool {
        if let known = refreshTokens[token] {
            end(family: known.family)
            return true
        }
        guard accessTokens[token] != nil else { return false }
        accessTokens[token]?.isRevoked = true
        return true
    }
}
