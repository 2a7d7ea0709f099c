import Synchronization
import VaultAPI
import VaultStore

/// The nonce of one signed request. It is durable before the request is answered: by itself, or in the transaction that the
/// verb commits anyway, so that a use costs one commit.
final class RequestNonce: Sendable {
    private let text: String
    private let keyID: APIKeyID
    private let expiresAt: Instant
    private let burned = Mutex(false)

    init(_ text: String, keyID: APIKeyID, expiresAt: Instant) {
        self.text = text
        self.keyID = keyID
        self.expiresAt = expiresAt
    }

    var isBurned: Bool { burned.withLock { $0 } }

    /// Joins the transaction. Throws where the request was seen before, on whatever node, and where the key is gone: its app
    /// was deleted while the request was under way.
    func burn(in transaction: Transaction) throws {
        guard try !isBurned && !transaction.insertNonce(text, keyID: keyID, expiresAt: expiresAt) else { return }
        guard try transaction.hasKey(keyID) else {
            throw VaultError(.invalidKey, "The API key is missing or unknown.")
        }
        throw VaultError(.nonceReplayed, "This signed request was seen before.")
    }

    /// The transaction was committed.
    func noteBurned() { burned.withLock { $0 = true } }
}
