import VaultAPI
import VaultCrypto
import VaultStore

// What a moved installation is held against: the one that it was copied from.

extension Vault {
    /// Opens stored credentials here and there, at most `limit` of them; how many were the same. Throws at the first that is not.
    package func compareCredentials(with original: Vault, limit: Int) throws -> Int {
        // Ids are random, so that the first ones are of every age.
        let ids = try read { try $0.credentialIDs(limit: limit) }
        for id in ids {
            guard try openedToken(id) == original.openedToken(id) else {
                throw VaultError(.internalError, "A credential does not open as it did before.", cause: "\(id)")
            }
        }
        return ids.count
    }

    /// `nil` where nothing is to be opened any more.
    private func openedToken(_ id: CredentialID) throws -> Secret? {
        do { return try openAccessToken(storedCredential(id)) } catch is CredentialGone { return nil }
    }
}
