import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Opening and sealing what a credential holds.

extension Vault {
    private static func context(_ credential: Credential, purpose: String) -> SealContext {
        SealContext(
            purpose: purpose, app: credential.appID.text, record: credential.id.text, version: credential.version)
    }

    static let accessPurpose = "credential.access_token"
    static let refreshPurpose = "credential.refresh_token"

    func openAccessToken(_ record: CredentialRecord) throws -> Secret {
        try open(record.accessToken, of: record.credential, purpose: Self.accessPurpose, with: dataKey(of: record))
    }

    func openRefreshToken(_ record: CredentialRecord) throws -> Secret? {
        try record.refreshToken.map {
            try open($0, of: record.credential, purpose: Self.refreshPurpose, with: dataKey(of: record))
        }
    }

    func dataKey(of record: CredentialRecord) throws -> DataKey {
        do { return try dataKey(record.credential.dataKeyID) } catch KeyStoreError.keyDestroyed {
            throw CredentialGone()
        }
    }

    /// From the key store at every use: a destroyed key must not live on in memory.
    func dataKey(_ id: DataKeyID) throws -> DataKey {
        do { return try keys.dataKey(id) } catch let error as StoreError { throw Self.unavailable(error) }
    }

    func createDataKey(purpose: String, now: Instant) throws -> (id: DataKeyID, key: DataKey) {
        do { return try keys.createDataKey(purpose: purpose, now: now) } catch let error as StoreError {
            throw Self.unavailable(error)
        }
    }

    func open(_ sealed: [UInt8], of credential: Credential, purpose: String, with key: DataKey) throws -> Secret {
        do {
            return try key.open(sealed, Self.context(credential, purpose: purpose))
        } catch {
            throw VaultError(
                .internalError, "The stored credential cannot be opened.",
                cause: "credential \(credential.id) does not open")
        }
    }

    /// Seals tokens for the credential's version.
    func seal(_ token: Secret, for credential: Credential, purpose: String, with key: DataKey) throws -> [UInt8] {
        try key.seal(token, Self.context(credential, purpose: purpose))
    }
}
