import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

// Apps and their API keys.

extension ManagementRoutes {
    var appRoutes: [Route<OperatorCaller>] {
        [
            Route("POST", Self.apps, "Create an app", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let name = fields.string("name", length: 1...200)
                let websiteURL = fields.readWebAddress("website_url")
                let organizationID = fields.readID("organization_id", OrganizationID.init)
                try fields.finish()
                let app = try await vault.createApp(
                    caller, name: name, websiteURL: websiteURL, organizationID: organizationID)
                return .json(app.json, status: 201)
            }
            .taking(body: [.required("name"), .optional("website_url"), .optional("organization_id")]).answering("App"),
            Route("GET", Self.apps, "List apps") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let apps = try vault.apps(caller, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    apps, position: { PagePosition(at: $0.createdAt.milliseconds, id: $0.id.text) }, json: \.json)
            }
            .answering(pagesOf: "App"),
            Route("GET", Self.app, "Read an app") { caller, exchange in
                .json(try vault.app(caller, exchange.appID).json)
            }
            .answering("App"),
            Route("PATCH", Self.app, "Change an app") { caller, exchange in
                let fields = try exchange.fields(.refused)
                let name = fields.optionalString("name", length: 1...200)
                let websiteURL: String?? =
                    fields.isPresent("website_url") ? .some(fields.readWebAddress("website_url")) : nil
                try fields.finish()
                return .json(try await vault.updateApp(caller, exchange.appID, name: name, websiteURL: websiteURL).json)
            }
            .taking(body: [.optional("name"), .optional("website_url")]).answering("App"),
            Route("POST", Self.app + "/archive", "Archive an app: its keys stop working") { caller, exchange in
                try exchange.fields(.refused, allowsEmpty: true).finish()
                return .json(try await vault.setAppArchived(caller, exchange.appID, true).json)
            }
            .taking(body: []).answering("App"),
            Route("POST", Self.app + "/unarchive", "Bring an archived app back") { caller, exchange in
                try exchange.fields(.refused, allowsEmpty: true).finish()
                return .json(try await vault.setAppArchived(caller, exchange.appID, false).json)
            }
            .taking(body: []).answering("App"),
            Route("DELETE", Self.app, "Delete an app and all it holds", status: 204) { caller, exchange in
                let query = try exchange.queryFields()
                let confirmation = query.string("confirm", length: 1...200)
                try query.finish()
                try await vault.deleteApp(caller, exchange.appID, confirmation: confirmation)
                return .noContent
            }
            .taking(query: [.required("confirm")]),
        ]
    }

    var keyRoutes: [Route<OperatorCaller>] {
        [
            Route("POST", Self.app + "/keys", "Create an API key, shown this once", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused)
                let settings = KeySettings(fields)
                try fields.finish()
                return .json(try await vault.createKey(caller, appID: exchange.appID, settings).json, status: 201)
            }
            .taking(body: [
                .required("name"), .optional("scopes", .strings), .optional("key_type"),
                .optional("cidr_allowlist", .strings), .optional("rate_limit_rpm", .integer), .optional("expires_at"),
            ]).answering("MintedAPIKey"),
            Route("GET", Self.app + "/keys", "List API keys") { caller, exchange in
                let query = try exchange.queryFields()
                let paging = Paging(query, path: exchange.path, filter: try exchange.listFilter())
                try query.finish()
                let keys = try vault.keys(
                    caller, appID: exchange.appID, after: paging.position, limit: paging.limit + 1)
                return paging.answer(
                    keys, position: { PagePosition(at: $0.createdAt.milliseconds, id: $0.id.text) },
                    json: { .object($0.json) })
            }
            .answering(pagesOf: "APIKey"),
            Route("POST", Self.app + "/keys/{key_id}/rotate", "Replace an API key", status: 201) { caller, exchange in
                let fields = try exchange.fields(.refused, allowsEmpty: true)
                let overlap = fields.optionalInteger("overlap_days", in: 0...30) ?? 7
                try fields.finish()
                let minted = try await vault.rotateKey(
                    caller, appID: exchange.appID, exchange.parameter("key_id"), overlapDays: overlap)
                return .json(minted.json, status: 201)
            }
            .taking(body: [.optional("overlap_days", .integer)]).answering("MintedAPIKey"),
            Route("DELETE", Self.app + "/keys/{key_id}", "Revoke an API key") { caller, exchange in
                .json(try await vault.revokeKey(caller, appID: exchange.appID, exchange.parameter("key_id")).json)
            }
            .answering("APIKey"),
        ]
    }
}

extension Fields {
    /// An address that pages may link to; only checked for its form.
    func readWebAddress(_ name: String) -> String? {
        guard let text = optionalString(name) else { return nil }
        do { return try WebAddress(text).text } catch {
            report(name, error.reason)
            return nil
        }
    }

    func readID<Noun>(_ name: String, _ make: (String) -> Identifier<Noun>?) -> Identifier<Noun>? {
        guard let text = optionalString(name, length: 1...64) else { return nil }
        let id = make(text)
        if id == nil { report(name, "must be a lower-case UUID") }
        return id
    }
}

extension AppRecord {
    var json: JSON {
        [
            "id": id.json, "organization_id": organizationID.json, "name": .string(name),
            "website_url": .optional(websiteURL),
            "created_at": .string(createdAt.rfc3339), "archived_at": .optional(archivedAt),
            "status": archivedAt == nil ? "active" : "archived",
        ]
    }
}

extension KeySettings {
    private enum TypeName: String, CaseIterable { case runtime, agent }

    init(_ fields: Fields) {
        let scopes = fields.optionalStrings("scopes", countMax: 100)
        for (index, scope) in (scopes ?? []).enumerated() where KeyScope(scope) == nil {
            fields.report("scopes[\(index)]", "is not a scope; GET /sdk/scopes lists them")
        }
        if let scopes, scopes.isEmpty { fields.report("scopes", "must name at least one scope, or be left out") }
        let cidrAllowlist = fields.optionalStrings("cidr_allowlist", countMax: 100, length: 1...64)
        if let cidrAllowlist, cidrAllowlist.isEmpty {
            fields.report("cidr_allowlist", "must name at least one range, or be left out")
        }
        for (index, range) in (cidrAllowlist ?? []).enumerated() where IPRange(range) == nil {
            fields.report("cidr_allowlist[\(index)]", "must be an address or a CIDR range")
        }
        self.init(
            name: fields.string("name", length: 1...200), scopes: scopes,
            keyType: fields.optionalChoice("key_type", TypeName.self) == .agent ? .agent : .runtime,
            cidrAllowlist: cidrAllowlist,
            rateLimitPerMinute: fields.optionalInteger("rate_limit_rpm", in: 1...1_000_000),
            expiresAt: fields.optionalInstant("expires_at"))
    }
}

extension APIKeyRecord {
    var json: JSONObject {
        [
            "id": id.json, "name": .string(name), "key_prefix": .string(prefix),
            "key_type": keyType == .agent ? "agent" : "runtime",
            "scopes": .strings(scopes), "scope_version": .integer(KeyScopeCatalog.version),
            "cidr_allowlist": cidrAllowlist.map { JSON.strings($0) } ?? .null,
            "rate_limit_rpm": rateLimitPerMinute.map { .integer($0) } ?? .null,
            "created_at": .string(createdAt.rfc3339),
            "expires_at": .optional(expiresAt), "deprecated_at": .optional(deprecatedAt),
            "grace_ends_at": .optional(graceEndsAt),
            "revoked_at": .optional(revokedAt),
        ]
    }
}

extension MintedKey {
    fileprivate var json: JSONObject {
        var object = record.json
        object["api_key"] = .string(key.revealed())  // plaintext leaves here
        return object
    }
}

extension Answer {
    static func json(_ value: JSONObject) -> Answer { json(.object(value)) }
}
