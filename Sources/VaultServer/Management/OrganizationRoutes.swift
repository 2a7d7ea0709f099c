import VaultAPI
import VaultCrypto
import VaultService
import VaultStore

// Organizations, invitations, and the calling operator's personal access tokens.

extension ManagementRoutes {
    var organizationRoutes: [Route<OperatorCaller>] {
        let organizations = "/api/v1/organizations"
        let organization = organizations + "/{organization_id}"
        return [
            Route("POST", organizations, "Create an organization", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let name = fields.string("name", length: 1...200)
                try fields.finish()
                return .json(try await vault.createOrganization(caller, name: name).json, status: 201)
            }
            .taking(body: [.required("name")]).answering("Organization"),
            Route("GET", organizations, "List the caller's organizations") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let found = try vault.organizations(caller, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    found,
                    position: { PagePosition(at: $0.record.createdAt.milliseconds, id: $0.record.id.text) },
                    json: \.json)
            }
            .answering(pagesOf: "Organization"),
            Route("GET", organization, "Read an organization") { caller, exchange in
                .json(try vault.organization(caller, exchange.organizationID).json)
            }
            .answering("Organization"),
            Route("PATCH", organization, "Rename an organization") { caller, exchange in
                let fields = try exchange.fields(.refused)
                let name = fields.string("name", length: 1...200)
                try fields.finish()
                return .json(try await vault.renameOrganization(caller, exchange.organizationID, name: name).json)
            }
            .taking(body: [.required("name")]).answering("Organization"),
            Route("GET", organization + "/members", "List members") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let members = try vault.members(
                    caller, organizationID: exchange.organizationID, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    members, position: { PagePosition(at: 0, id: $0.operatorID.text) }, json: \.json)
            }
            .answering(pagesOf: "Member"),
            Route("PATCH", organization + "/members/{member_id}", "Change a member's role", status: 204) {
                caller, exchange in
                let fields = try exchange.fields(.refused)
                let role = fields.readRole()
                try fields.finish()
                try await vault.changeMember(
                    caller, organizationID: exchange.organizationID, exchange.parameter("member_id"), role: role)
                return .noContent
            }
            .taking(body: [.required("role")]),
            Route("DELETE", organization + "/members/{member_id}", "Remove a member, or leave", status: 204) {
                caller, exchange in
                try await vault.changeMember(
                    caller, organizationID: exchange.organizationID, exchange.parameter("member_id"), role: nil)
                return .noContent
            },
        ] + invitationRoutes(organization)
    }

    private func invitationRoutes(_ organization: String) -> [Route<OperatorCaller>] {
        [
            Route("POST", organization + "/invitations", "Invite somebody; the link is shown this once", status: 201) {
                caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = InvitationSettings(fields)
                try fields.finish()
                let opened = try await vault.invite(
                    caller, organizationID: exchange.organizationID, email: settings.email, role: settings.role)
                var object = opened.record.json
                object["invitation_url"] = .string(opened.address.revealed())  // plaintext leaves here
                return .json(object, status: 201)
            }
            .taking(body: [.required("email"), .optional("role")]).answering("OpenedInvitation"),
            Route("GET", organization + "/invitations", "List open invitations") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let found = try vault.invitations(
                    caller, organizationID: exchange.organizationID, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    found, position: { PagePosition(at: $0.createdAt.milliseconds, id: $0.id.text) },
                    json: { .object($0.json) })
            }
            .answering(pagesOf: "Invitation"),
            Route("DELETE", organization + "/invitations/{invitation_id}", "Revoke an invitation", status: 204) {
                caller, exchange in
                try await vault.revokeInvitation(
                    caller, organizationID: exchange.organizationID, exchange.parameter("invitation_id"))
                return .noContent
            },
        ]
    }

    var tokenRoutes: [Route<OperatorCaller>] {
        let tokens = "/api/v1/tokens"
        return [
            Route("POST", tokens, "Create a personal access token, shown this once", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = AccessTokenSettings(fields)
                try fields.finish()
                let minted = try await vault.createAccessToken(
                    caller, name: settings.name, scopes: settings.scopes, expiresAt: settings.expiresAt)
                var object = minted.record.json
                object["token"] = .string(minted.token.revealed())  // plaintext leaves here
                return .json(object, status: 201)
            }
            .taking(body: [.required("name"), .optional("scopes", .strings), .optional("expires_at")])
            .answering("MintedAccessToken"),
            Route("GET", tokens, "List the caller's personal access tokens") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let found = try vault.accessTokens(caller, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    found, position: { PagePosition(at: $0.createdAt.milliseconds, id: $0.id.text) },
                    json: { .object($0.json) })
            }
            .answering(pagesOf: "AccessToken"),
            Route("DELETE", tokens + "/{token_id}", "Revoke a personal access token", status: 204) { caller, exchange in
                try await vault.revokeAccessToken(caller, exchange.parameter("token_id"))
                return .noContent
            },
        ]
    }
}

struct InvitationSettings: Sendable {
    let email: String
    let role: MembershipRole

    init(_ fields: Fields) {
        email = fields.string("email", length: 1...320)
        role = fields.optionalChoice("role", MembershipRole.self) ?? .member
    }
}

struct AccessTokenSettings: Sendable {
    let name: String
    let scopes: [String]?
    let expiresAt: Instant?

    init(_ fields: Fields) {
        name = fields.string("name", length: 1...200)
        let scopes = fields.optionalStrings("scopes", countMax: 10)
        if let scopes {
            if !scopes.contains("read") { fields.report("scopes", "must hold read") }
            for (index, scope) in scopes.enumerated() where !Vault.tokenScopes.contains(scope) {
                fields.report("scopes[\(index)]", "must be read or write")
            }
        }
        self.scopes = scopes
        expiresAt = fields.optionalInstant("expires_at")
    }
}

extension Fields {
    fileprivate func readRole() -> MembershipRole? {
        if !has("role") { report("role", "is required") }
        return optionalChoice("role", MembershipRole.self)
    }
}

extension OrganizationView {
    fileprivate var json: JSON {
        [
            "id": record.id.json, "name": .string(record.name), "created_at": .string(record.createdAt.rfc3339),
            "role": .string(role.rawValue),
        ]
    }
}

extension MemberRecord {
    fileprivate var json: JSON {
        ["operator_id": operatorID.json, "email": .string(email), "role": .string(role.rawValue)]
    }
}

extension InvitationRecord {
    fileprivate var json: JSONObject {
        [
            "id": id.json, "organization_id": organizationID.json, "email": .string(email),
            "role": .string(role.rawValue), "created_at": .string(createdAt.rfc3339),
            "expires_at": .string(expiresAt.rfc3339),
        ]
    }
}

extension AccessTokenRecord {
    fileprivate var json: JSONObject {
        [
            "id": id.json, "name": .string(name), "scopes": .strings(scopes), "created_at": .string(createdAt.rfc3339),
            "expires_at": .optional(expiresAt), "last_used_at": .optional(lastUsedAt),
        ]
    }
}
