import VaultAPI
import VaultDomain
import VaultStore

// What a use is of: which grant the request names, and where the call would go.

extension Vault {
    /// The address of the call, held against the rules for addresses from outside.
    static func destination(_ request: ReleaseRequest) throws -> WebAddress {
        let address: WebAddress
        do {
            address = try WebAddress(encoding: request.url)
        } catch {
            throw VaultError(.blockedDestination, "The address of the call is not usable: it \(error.reason).")
        }
        do {
            return try address.appendingQuery(request.query.map { ($0.name, $0.value) })
        } catch .tooLong {
            throw queryTooLong
        } catch {
            throw VaultError.validation("query_params", "make an address that \(error.reason)")
        }
    }

    static var queryTooLong: VaultError {
        VaultError(.queryTooLong, "The final address is longer than \(Limits.proxyURLCharactersMax) characters.")
    }

    static func grantNotFound(_ request: ReleaseRequest) -> VaultError {
        var members = JSONObject()
        if request.grantID == nil { members["provider_id"] = request.providerID.map(JSON.string) }
        return VaultError(.grantNotFound, "No such grant.", members: members)
    }

    func resolveGrant(
        _ caller: AppCaller, _ request: ReleaseRequest, user: UserRecord?, scope: String, in transaction: Transaction
    ) throws -> GrantRecord {
        // A key for some grants or providers only learns nothing of the others, not even whether they are there.
        func isInScope(_ grant: Grant) -> Bool {
            caller.scopes.allows(scope, anyOf: [grant.providerID, grant.id.text])
        }
        func missing() -> VaultError {
            let name = String((request.grantID ?? request.providerID ?? "").prefix(255))
            return caller.scopes.allows(scope, anyOf: [name])
                ? Self.grantNotFound(request) : caller.insufficientScope(["\(scope):\(name)"])
        }
        if caller.isAgentKey {
            guard request.grantID == nil else { throw Self.grantNotFound(request) }
            throw VaultError(
                .noDelegatedGrant, "No grant was delegated to this agent.",
                members: ["provider_id": .optional(request.providerID)])
        }
        // Who left since the token was read has no grants any more, and is to hear why.
        if let user, try transaction.user(user.user.id, appID: caller.appID)?.user.status == .deprovisioned {
            throw VaultError.userDeprovisioned
        }
        if let text = request.grantID {
            guard let id = GrantID(text), let record = try transaction.grant(id, appID: caller.appID),
                isInScope(record.grant)
            else { throw missing() }
            guard let user else { return record }
            if record.grant.principalType == .system {
                throw VaultError(
                    .systemGrantUserTokenMismatch, "The grant belongs to the app itself, so no user token fits it.")
            }
            guard record.grant.userID == user.user.id else { throw missing() }
            return record
        }
        guard let providerID = request.providerID else { throw Self.grantNotFound(request) }
        let candidates = try transaction.candidateGrants(
            appID: caller.appID, providerID: providerID, principalType: user == nil ? .system : .user,
            userID: user?.user.id, account: request.account, label: request.label,
            limit: Limits.ambiguousCandidatesMax + 1
        ).filter { isInScope($0.grant) }
        // What is over fits only where nothing alive does: then the caller hears in which way it is over.
        let time = now()
        let live = candidates.filter { $0.grant.status(credential: $0.credential?.credential, now: time) == .active }
        let fitting = live.isEmpty ? candidates : live
        guard let first = fitting.first else { throw missing() }
        guard fitting.count == 1 else { throw Self.ambiguous(fitting, request) }
        return first
    }

    private static func ambiguous(_ candidates: [GrantRecord], _ request: ReleaseRequest) -> VaultError {
        let shown = candidates.prefix(Limits.ambiguousCandidatesMax).map(\.grant)
        let described = shown.map { grant -> JSON in
            var object: JSONObject = ["grant_id": grant.id.json]
            object["label"] = grant.label.map(JSON.string)
            object["account_identifier"] = grant.accountIdentifier.map(JSON.string)
            object["account_display_name"] = grant.accountDisplayName.map(JSON.string)
            return .object(object)
        }
        return VaultError(
            .ambiguousGrant, "Several grants fit.", hint: "Name the account, the label, or the grant_id.",
            members: [
                "provider_id": .optional(request.providerID),
                "account_identifiers": .strings(shown.compactMap(\.accountIdentifier)),
                "account_was_provided": .bool(request.account != nil), "app_user_ids": [],
                "grant_ids": .strings(shown.map(\.id.text)), "candidates": .array(described),
                "candidates_truncated": .bool(candidates.count > shown.count),
            ])
    }
}
