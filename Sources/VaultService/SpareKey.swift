import Synchronization
import VaultAPI
import VaultCrypto
import VaultDomain

/// One data key that was made ahead of its use. Whoever takes it is the only one who has it.
final class SpareKey: Sendable {
    private let spare = Mutex<(id: DataKeyID, key: DataKey)?>(nil)

    func take() -> (id: DataKeyID, key: DataKey)? {
        spare.withLock { spare in
            defer { spare = nil }
            return spare
        }
    }

    /// Makes one unless there is one.
    func fill(_ make: () throws -> (id: DataKeyID, key: DataKey)) rethrows {
        guard spare.withLock({ $0 == nil }) else { return }
        let made = try make()
        spare.withLock { $0 = made }
    }
}
