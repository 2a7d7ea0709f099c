/// What somebody works off right now, so that nobody else does: the revocations at one provider, the records of one stream.
actor Lanes<Key: Hashable & Sendable> {
    private var taken: Set<Key> = []

    /// Whether the caller is the one who works this off until `leave`.
    func enter(_ key: Key) -> Bool { taken.insert(key).inserted }

    func leave(_ key: Key) { taken.remove(key) }
}
