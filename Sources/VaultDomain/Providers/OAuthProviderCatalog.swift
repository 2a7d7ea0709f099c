// The services the vault knows out of the box. Each value stands in the provider's own documentation; what could not be
// confirmed there is left out (`nil`, `.unknown`, `.notKnown`), and a provider that the generic flow cannot serve whole
// (token hosts per tenant, tokens nested in the answer, parameters of its own) is not listed: an operator can enter
// it as a custom provider. The entries are in files by first letter; this one looks them up.

package enum OAuthProviderCatalog {
    /// By id, ascending.
    package static let all: [OAuthProviderTemplate] = entriesAToD + entriesEToL + entriesMToZ

    private static let byID: [String: OAuthProviderTemplate] =
        Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })

    package static func template(_ id: String) -> OAuthProviderTemplate? { byID[id] }
}
