import Logging
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Personal access tokens: how scripts act as an operator. A token with the scope `read` alone sees what its operator sees
// and changes nothing.

package struct MintedAccessToken: Sendable {
    package let record: AccessTokenRecord
    /// Shown this once.
    package let token: Secret
}

extension Vault {
    static let tokenPrefix = "alter_pat_"
    package static let tokenScopes = ["read", "write"]

    /// The operator of a personal access token.
    package func authenticateOperator(token: String, origin: RequestOrigin) async throws -> OperatorCaller {
        guard token.hasPrefix(Self.tokenPrefix), token.utf8.count < 128 else { throw Self.unauthenticated }
        let digest = digestKey.digest(token)
        let time = now()
        let found = try read { transaction -> (AccessTokenRecord, OperatorCaller)? in
            guard let (record, operatorID) = try transaction.personalAccessToken(digest: digest, now: time),
                let account = try transaction.operatorAccount(operatorID)
            else { return nil }
            let caller = OperatorCaller(
                operatorID: account.id, email: account.email, roles: try transaction.memberships(of: account.id),
                isReadOnly: !record.scopes.contains("write"), sessionID: nil,
                tokenExpiresAt: record.expiresAt, origin: origin)
            return (record, caller)
        }
        guard let (record, caller) = found else { throw Self.unauthenticated }
        let noted = [record.lastUsedAt, lastTokenUse[record.id]].compactMap(\.self).max()
        if noted.map({ $0.adding(seconds: Limits.portalSeenSeconds) < time }) ?? true {
            noteUse(of: record.id, at: time)
        }
        return caller
    }

    /// Beside the request: who only reads is not to wait for those who write.
    private func noteUse(of id: PersonalAccessTokenID, at time: Instant) {
        lastTokenUse.note(id, at: time)
        Task {
            do {
                try await write { try $0.setPersonalAccessTokenUsed(id, at: time) }
            } catch {
                logger.notice("the use of a token was not noted", metadata: ["error": "\(type(of: error))"])
            }
        }
    }

    package static var unauthenticated: VaultError {
        VaultError(.unauthenticated, "A valid personal access token is needed: Authorization: Bearer alter_pat_….")
    }

    package func createAccessToken(
        _ caller: OperatorCaller, name: String, scopes: [String]?, expiresAt: Instant?
    ) async throws -> MintedAccessToken {
        try caller.requireWrite()
        let time = now()
        if let expiresAt, expiresAt <= time { throw VaultError.validation("expires_at", "must lie in the future") }
        if let own = caller.tokenExpiresAt, (expiresAt ?? Instant(milliseconds: .max)) > own {
            throw VaultError.validation("expires_at", "must not be later than that of the token that asks for it")
        }
        let token = Secret(Self.tokenPrefix + RandomBytes.token())
        let record = AccessTokenRecord(
            id: PersonalAccessTokenID(), name: name, scopes: scopes ?? Self.tokenScopes, createdAt: time,
            expiresAt: expiresAt)
        let digest = digestKey.digest(token.revealed())
        let entry = operatorEntry(
            "token.created", caller.operatorID, caller.origin,
            details: ["token_id": record.id.json, "scopes": .strings(record.scopes)])
        let auditKey = auditKey
        try await write { transaction in
            try transaction.insertPersonalAccessToken(record, operatorID: caller.operatorID, digest: digest)
            try transaction.appendAudit(entry, key: auditKey)
        }
        return MintedAccessToken(record: record, token: token)
    }

    package func accessTokens(_ caller: OperatorCaller, after: PagePosition, limit: Int) throws -> [AccessTokenRecord] {
        try read { try $0.personalAccessTokens(of: caller.operatorID, after: after, limit: limit) }
    }

    package func revokeAccessToken(_ caller: OperatorCaller, _ id: String) async throws {
        try caller.requireWrite()
        guard let tokenID = PersonalAccessTokenID(id) else { throw Self.notFound }
        let time = now()
        let entry = operatorEntry(
            "token.revoked", caller.operatorID, caller.origin, details: ["token_id": tokenID.json])
        let auditKey = auditKey
        let isRevoked = try await write { transaction in
            guard try transaction.revokePersonalAccessToken(tokenID, of: caller.operatorID, now: time) else {
                return false
            }
            try transaction.appendAudit(entry, key: auditKey)
            return true
        }
        guard isRevoked else { throw Self.notFound }
    }
}
