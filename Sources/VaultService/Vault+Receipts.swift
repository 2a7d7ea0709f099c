import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// The signed statement of what ended when a user was deprovisioned (management contract, “deprovisioning-receipt”). What
// happened is stored with the deprovisioning; what became of the tokens at their providers is read when the receipt is
// asked for, and a statement that differs from the signed one is signed anew under the next version.

package struct DeprovisioningReceipt: Sendable {
    /// Compact JWS of type `deprovisioning-receipt+jwt`, by a key of the published set.
    package let receipt: String
    package let version: Int64

    static let type = "deprovisioning-receipt+jwt"

    /// What the receipt states, once its signature was held against a key set (RFC 7517 §5). Needs nothing else.
    package static func claims(of receipt: String, keySet: JSON) throws(StatementError) -> JSONObject {
        let claims = try SignedStatement.claims(of: receipt, type: type, named: "receipt", keySet: keySet)
        guard ["iss", "sub", "app_id", "deprovisioned_at"].allSatisfy({ claims[$0]?.string != nil }) else {
            throw .statement("receipt", "it does not say who was deprovisioned when")
        }
        return claims
    }
}

extension Vault {
    /// Of the user's latest deprovisioning. Throws 404 when there was none.
    package func deprovisioningReceipt(_ caller: OperatorCaller, appID: String, _ id: String) async throws
        -> DeprovisioningReceipt
    {
        let app = try app(caller, appID)
        // What was carried out by now is to be told.
        try await forgetDestructions()
        while true {
            let (record, statement) = try read { transaction in
                let user = try user(id, app: app, in: transaction).user
                guard let record = try transaction.deprovisioning(userID: user.id) else { throw Self.notFound }
                return (record, Self.statement(record, try transaction.revocations(deprovisioningID: record.id)))
            }
            if let receipt = record.receipt, record.statement == statement {
                return DeprovisioningReceipt(receipt: receipt, version: record.version)
            }
            let version = record.version + 1
            let receipt = try sign(statement, version: version)
            if try await write({
                try $0.setReceipt(record.id, version: version, statement: statement, receipt: receipt)
            }) {
                return DeprovisioningReceipt(receipt: receipt, version: version)
            }
            // Somebody else signed this version meanwhile: theirs is the one.
        }
    }

    private func sign(_ statement: JSONObject, version: Int64) throws -> String {
        var claims: JSONObject = [
            "iss": .string(configuration.publicURL), "iat": .integer(now().seconds),
            "jti": .string(RandomBytes.token()), "version": .integer(version),
        ]
        for member in statement.members { claims[member.name] = member.value }
        return try signed(claims, type: DeprovisioningReceipt.type)
    }

    /// What is true from the moment of the deprovisioning on.
    static func receiptFacts(
        _ user: User, entry: AuditEntry, grants: [Grant], eventAt: Instant?, at time: Instant
    ) -> JSONObject {
        [
            "sub": user.id.json, "app_id": user.appID.json,
            "user": [
                "id": user.id.json, "external_subject_id": .string(user.externalSubjectID),
                "subject": .string(user.subject), "issuer": .string(user.issuer),
            ],
            "trigger": .object(trigger(entry)), "event_at": .optional(eventAt),
            "deprovisioned_at": .string(time.rfc3339), "audit_event_id": entry.id.json,
            "grants_revoked": .array(grants.map(grantJSON)),
        ]
    }

    private static func grantJSON(_ grant: Grant) -> JSON {
        [
            "grant_id": grant.id.json, "provider_id": .string(grant.providerID),
            "credential_id": grant.credentialID?.json ?? .null,
        ]
    }

    private static func trigger(_ entry: AuditEntry) -> JSONObject {
        var trigger: JSONObject
        switch entry.principal {
        case .identityProvider(let deliveryID):
            trigger = ["type": "webhook", "delivery_id": .string(deliveryID)]
        case .operatorAccount(let id): trigger = ["type": "operator", "operator_id": id.json]
        case .app, .user, .browser, .system: trigger = ["type": "system"]
        }
        for name in ["event_type", "reason"] { trigger[name] = entry.details[name] }
        return trigger
    }

    private static func statement(_ record: DeprovisioningRecord, _ revocations: [RevocationRecord]) -> JSONObject {
        var statement = record.facts
        statement["data_key"] =
            record.dataKeyID.map { ["id": $0.json, "destroyed_at": .optional(record.keyDestroyedAt)] } ?? .null
        statement["tokens_destroyed"] = .array(
            revocations.map { revocation in
                var outcome: JSONObject = ["outcome": .string(revocation.status)]
                if revocation.status == "pending" {
                    // The one copy that still exists, under a key of its own.
                    outcome["held_until"] = .string(
                        revocation.createdAt.adding(seconds: Limits.revocationLifeSeconds).rfc3339)
                } else {
                    outcome["settled_at"] = .string((revocation.finishedAt ?? revocation.createdAt).rfc3339)
                    outcome["detail"] = revocation.lastError.map(JSON.string)
                }
                return [
                    "provider_id": .string(revocation.providerID), "grant_id": revocation.grantID?.json ?? .null,
                    "credential_id": revocation.credentialID?.json ?? .null,
                    "token_type": .string(revocation.tokenTypeHint), "provider_revocation": .object(outcome),
                ]
            })
        return statement
    }
}
