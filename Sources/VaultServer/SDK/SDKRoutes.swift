import VaultAPI
import VaultDomain
import VaultService
import VaultStore

// Every route that signed SDK requests can reach (wire contract §4). One list; each noun's handlers are in a file of
// their own. A signed request to anything else is answered 404 or 405 by the table.

struct SDKRoutes: Sendable {
    let vault: Vault

    var routes: [Route<AppCaller>] {
        releaseRoutes + connectSessionRoutes + grantRoutes + catalogRoutes + identityRoutes + signInRoutes
    }
}

// MARK: - Reading what several bodies share

extension Fields {
    /// `grant_id` or `provider_id`, exactly one of them (wire contract §4.1).
    func readAddressing() -> (grantID: String?, providerID: String?) {
        // Whatever is not an id of a grant here is “not found”, however malformed (behaviour contract).
        let grantID = optionalString("grant_id", length: 0...1_000_000)
        let providerID = optionalString("provider_id", length: 1...255)
        if (grantID == nil) == (providerID == nil) {
            report("grant_id", "give exactly one of grant_id and provider_id")
        }
        return (grantID, providerID)
    }

    /// Why the caller asks, cut to what a record keeps. Empty is none.
    func readReason() -> String? {
        optionalString("reason", length: 0...1_000_000).flatMap {
            $0.isEmpty ? nil : String($0.prefix(Limits.reasonCharactersMax))
        }
    }

    /// A user token of any shape: what is wrong with it is a 401, not a 422 (behaviour contract).
    func readUserToken(_ name: String = "user_token") -> String? { value(name).map { $0.string ?? $0.text } }
}

extension GrantDetails {
    /// The status as SDK lists name it.
    var sdkJSON: JSON {
        var object: JSONObject = [
            "grant_id": grant.id.json, "grant_kind": .string(grant.kind.rawValue),
            "provider_id": .string(grant.providerID),
            "principal_type": .string(grant.principalType.rawValue), "status": .string(status.rawValue),
            "created_at": .string(grant.createdAt.rfc3339), "access_via": "ownership",
        ]
        object["label"] = grant.label.map(JSON.string)
        object["account_identifier"] = grant.accountIdentifier.map(JSON.string)
        object["last_used_at"] = grant.lastUsedAt.map { .string($0.rfc3339) }
        object["grant_expires_at"] = grant.expiresAt.map { .string($0.rfc3339) }
        object["expires_at"] = grant.expiresAt.map { .string($0.rfc3339) }
        if !grant.grantPolicy.isEmpty { object["grant_policy"] = .object(grant.grantPolicy) }
        switch grant.kind {
        case .oauth:
            object["scopes"] = .strings(grant.scopes)
            object["scope_mismatch"] = .bool(grant.hasScopeMismatch)
            object["needs_reconnect"] = .bool(status == .needsReauth)
            object["account_display_name"] = grant.accountDisplayName.map(JSON.string)
        case .managedSecret:
            object["managed_secret_id"] = grant.managedSecretID?.json
            object["managed_secret_slug"] = .string(grant.providerID)
            object["managed_secret_name"] = .string(managedSecret?.name ?? grant.providerID)
            object["credential_kind"] = "developer"
        }
        return .object(object)
    }
}
