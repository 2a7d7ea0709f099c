import VaultAPI
import VaultCrypto

/// What the installation states in signed form: receipts, checkpoints. Whoever has the published keys can hold it against
/// them.
enum SignedStatement {
    /// The claims, once the signature was held against a key set (RFC 7517 §5).
    static func claims(of statement: String, type: String, named name: String, keySet: JSON) throws(StatementError)
        -> JSONObject
    {
        let keys: JSONWebKeySet
        do { keys = try JSONWebKeySet(parsing: keySet) } catch { throw .keySet(error.reason) }
        do {
            let signature = try JSONWebSignature(compact: statement, purpose: .statement(type: type))
            try signature.verify(with: keys)
            return signature.claims
        } catch .unknownKey {
            throw .statement(name, "no key of the set has its key id")
        } catch {
            throw .statement(name, error.reason)
        }
    }
}

package enum StatementError: Error, Sendable, CustomStringConvertible {
    case keySet(String)
    /// Which statement it is, and what is wrong with it.
    case statement(String, String)

    package var description: String {
        switch self {
        case .keySet(let reason): "The key set cannot be used: \(reason)."
        case .statement(let name, let reason): "The \(name) does not hold: \(reason)."
        }
    }
}
