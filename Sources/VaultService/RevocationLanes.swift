import VaultStore

/// The providers whose revocations somebody works off right now.
actor RevocationLanes {
    private var taken: Set<ProviderOfApp> = []

    /// Whether the caller is the one who works off this provider until `leave`.
    func enter(_ provider: ProviderOfApp) -> Bool { taken.insert(provider).inserted }

    func leave(_ provider: ProviderOfApp) { taken.remove(provider) }
}
