import VaultAPI

// When the installation's own signing keys sign, and when they are followed. Pure: the keys and the time come in.

/// One of the installation's keys for signing documents of its own.
package struct SigningKeyRecord: Sendable, Equatable {
    /// The `kid`.
    package let id: String
    /// The public half (RFC 7517), as the key set lists it.
    package let publicKey: JSONObject
    /// Published from its creation, used from here on: whoever keeps a copy of the key set has it by then.
    package let signsFrom: Instant
    /// The private half was destroyed. The public one stays, because what it signed may still be checked.
    package let isRetired: Bool

    package init(id: String, publicKey: JSONObject, signsFrom: Instant, isRetired: Bool) {
        self.id = id
        self.publicKey = publicKey
        self.signsFrom = signsFrom
        self.isRetired = isRetired
    }
}

package enum SigningKeySchedule {
    /// How long a key signs before its successor does.
    package static let lifeSeconds: Int64 = 90 * 86_400
    /// A successor is published this long before it signs.
    package static let publishedAheadSeconds: Int64 = 86_400
    /// A key that was followed is kept this long, for what is under way.
    package static let keptAfterSeconds: Int64 = 86_400

    /// The newest key whose time has come; before any has, the first.
    package static func signer(_ keys: [SigningKeyRecord], now: Instant) -> SigningKeyRecord? {
        let usable = keys.filter { !$0.isRetired }
        return usable.filter { $0.signsFrom <= now }.max { $0.signsFrom < $1.signsFrom }
            ?? usable.min { $0.signsFrom < $1.signsFrom }
    }

    /// When a key that is made now begins to sign, or `nil` when none is needed.
    package static func successor(_ keys: [SigningKeyRecord], now: Instant) -> Instant? {
        guard let newest = keys.filter({ !$0.isRetired }).map(\.signsFrom).max() else { return now }
        let due = newest.adding(seconds: lifeSeconds)
        return due.adding(seconds: -publishedAheadSeconds) <= now
            ? max(due, now.adding(seconds: publishedAheadSeconds)) : nil
    }

    /// Keys that others have followed for long enough.
    package static func followed(_ keys: [SigningKeyRecord], now: Instant) -> [SigningKeyRecord] {
        guard let signer = signer(keys, now: now), signer.signsFrom.adding(seconds: keptAfterSeconds) <= now else {
            return []
        }
        return keys.filter { !$0.isRetired && $0.signsFrom < signer.signsFrom }
    }
}
