import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Secrets of the app itself: an API key of a service, a bearer token, a password. Each has an app-wide grant at once.

package enum ManagedCredentialType: String, Sendable, CaseIterable {
    case bearer
    case apiKey = "api_key"
    case basic
}

package struct ManagedSecretSettings: Sendable {
    package var slug: String
    package var name: String
    package var type: ManagedCredentialType
    package var value: Secret
    package var allowedHosts: [String]
    package var injection: CredentialInjection

    package init(
        slug: String, name: String, type: ManagedCredentialType, value: Secret, allowedHosts: [String],
        injection: CredentialInjection
    ) {
        self.slug = slug
        self.name = name
        self.type = type
        self.value = value
        self.allowedHosts = allowedHosts
        self.injection = injection
    }
}

extension ManagedCredentialType {
    /// The value as one text, as it is injected; problems are reported to `fields`.
    package func value(_ fields: Fields) -> Secret {
        let length = 1...8192
        switch self {
        case .bearer: return Self.checked(fields.string("token", length: length), "token", fields)
        case .apiKey: return Self.checked(fields.string("key", length: length), "key", fields)
        case .basic:
            let username = fields.string("username", length: 1...1024)
            // RFC 7617 §2: the first colon ends the user name.
            if username.contains(":") { fields.report("username", "must not contain a colon") }
            let pair = username + ":" + fields.string("password", length: 1...4096)
            return Secret(Data(pair.utf8).base64EncodedString())
        }
    }

    private static func checked(_ text: String, _ name: String, _ fields: Fields) -> Secret {
        if text.utf8.contains(where: { $0 < 0x21 || $0 > 0x7E }) {
            fields.report(name, "must be printable ASCII without blanks")
        }
        return Secret(text)
    }

    package var defaultInjection: CredentialInjection {
        switch self {
        case .bearer: .bearer
        case .apiKey: CredentialInjection(header: "X-API-Key", format: "{token}", additional: [])
        case .basic: .basic
        }
    }
}

package struct ManagedSecretDetails: Sendable {
    package let record: ManagedSecretRecord
    package let grantID: GrantID?
}

extension Vault {
    package func createManagedSecret(_ caller: OperatorCaller, appID: String, _ settings: ManagedSecretSettings)
        async throws -> ManagedSecretDetails
    {
        let app = try app(caller, appID, toWrite: true)
        let time = now()
        let secret = ManagedSecretRecord(
            id: ManagedSecretID(), appID: app.id, slug: settings.slug, name: settings.name,
            credentialType: settings.type.rawValue, allowedHosts: settings.allowedHosts,
            injection: settings.injection.json,
            createdAt: time)
        let credential = try sealed(settings.value, secret: secret, app: app, id: CredentialID(), version: 1)
        let grant = Grant(
            id: GrantID(), appID: app.id, kind: .managedSecret, providerID: secret.slug,
            credentialID: credential.credential.id,
            managedSecretID: secret.id, principalType: .system, userID: nil, createdAt: time)
        try await record(
            caller, "managed_secret.created", app: app, grantID: grant.id, providerID: secret.slug
        ) { transaction in
            guard try transaction.managedSecret(slug: secret.slug, appID: app.id) == nil,
                try transaction.oauthProvider(secret.slug, appID: app.id) == nil
            else { throw VaultError(.conflict, "The app has a secret or provider of this name.") }
            try transaction.insertManagedSecret(secret)
            try transaction.insertCredential(credential, now: time)
            try transaction.insertGrant(grant, accountID: nil)
        }
        return ManagedSecretDetails(record: secret, grantID: grant.id)
    }

    private func sealed(_ value: Secret, secret: ManagedSecretRecord, app: AppRecord, id: CredentialID, version: Int64)
        throws -> CredentialRecord
    {
        let credential = Credential(
            id: id, appID: app.id, userID: nil, dataKeyID: app.dataKeyID, version: version,
            tokenGeneration: Identifier<CredentialNoun>().text, hasRefreshToken: false, scopes: [],
            accessExpiresAt: nil, diedAt: nil)
        let key = try dataKey(app.dataKeyID)
        return CredentialRecord(
            credential: credential, providerID: secret.slug, managedSecretID: secret.id, accountID: nil,
            accessToken: try seal(value, for: credential, purpose: Self.accessPurpose, with: key), refreshToken: nil)
    }

    package func managedSecrets(_ caller: OperatorCaller, appID: String, after: PagePosition, limit: Int) throws
        -> [ManagedSecretDetails]
    {
        let app = try app(caller, appID)
        return try read { transaction in
            try transaction.managedSecrets(appID: app.id, after: after, limit: limit).map {
                try details(of: $0, in: transaction)
            }
        }
    }

    private func details(of secret: ManagedSecretRecord, in transaction: Transaction) throws -> ManagedSecretDetails {
        let grants = try transaction.candidateGrants(
            appID: secret.appID, providerID: secret.slug, principalType: .system, userID: nil, account: nil,
            label: nil, limit: 1)
        return ManagedSecretDetails(record: secret, grantID: grants.first?.grant.id)
    }

    /// One secret, with its app-wide grant.
    package func managedSecretDetails(_ caller: OperatorCaller, appID: String, _ id: String) throws
        -> ManagedSecretDetails
    {
        let secret = try managedSecret(caller, appID: appID, id)
        return try read { try details(of: secret, in: $0) }
    }

    package func managedSecret(_ caller: OperatorCaller, appID: String, _ id: String) throws -> ManagedSecretRecord {
        let app = try app(caller, appID)
        guard let secretID = ManagedSecretID(id),
            let secret = try read({ try $0.managedSecret(secretID, appID: app.id) })
        else { throw Self.notFound }
        return secret
    }

    /// Replaces the value in place: grants and their ids stay.
    package func replaceManagedSecretValue(_ caller: OperatorCaller, appID: String, _ id: String, value: Secret)
        async throws
    {
        let app = try app(caller, appID, toWrite: true)
        let secret = try managedSecret(caller, appID: appID, id)
        guard let old = try read({ try $0.credential(managedSecretID: secret.id) }) else { throw Self.notFound }
        let replacement = try sealed(
            value, secret: secret, app: app, id: old.credential.id, version: old.credential.version + 1)
        let time = now()
        try await record(caller, "managed_secret.value_replaced", app: app, providerID: secret.slug) {
            guard try $0.updateCredential(replacement, expectedVersion: old.credential.version, now: time) else {
                throw VaultError(.conflict, "The value was changed meanwhile.")
            }
        }
    }

    package func deleteManagedSecret(_ caller: OperatorCaller, appID: String, _ id: String) async throws {
        let app = try app(caller, appID, toWrite: true)
        let secret = try managedSecret(caller, appID: appID, id)
        try await record(caller, "managed_secret.deleted", app: app, providerID: secret.slug) {
            try $0.deleteManagedSecret(secret.id)
        }
        await emptyDatabaseLog()
    }
}
