/// Every bound of the service, with its reason.
package enum Limits {
    /// Wire contract §9.1 allows the largest SDK body, a proxied one, to be what a provider takes; 10 MiB covers JSON APIs.
    package static let requestBodyBytesMax = 10 * 1024 * 1024
    /// Seconds for a client to send its whole body: ends slow-drip connections.
    package static let bodySecondsMax = 15
    /// A signed request is fresh this long, either way (wire contract §2.6).
    package static let signatureWindowSeconds: Int64 = 300
    /// Twice the window, so that no nonce can be forgotten while its timestamp is still accepted.
    package static let nonceLifeSeconds: Int64 = 600
    /// Connect sessions and one visit to a provider's consent page.
    package static let connectSessionSeconds: Int64 = 600
    /// Management lists.
    package static let pageDefault = 100
    package static let pageMax = 1000
    /// A user with more than this many candidates for one provider gets a truncated list in `ambiguous_grant`.
    package static let ambiguousCandidatesMax = 20
    /// The final address of a proxied call (wire contract §4.4).
    package static let proxyURLCharactersMax = 65_536
    /// The part of a provider's answer that is relayed; the rest is cut and flagged.
    package static let proxyResponseBytesMax = 8 * 1024 * 1024
    /// Below the SDK's own 30 s, so that a slow provider yields an answer and not a client timeout.
    package static let proxySecondsMax = 25
    /// Waiting for somebody else's refresh (behaviour contract, “Refresh”).
    package static let refreshWaitSeconds = 10
    /// A token for the provider-side revocation is kept at most this long (behaviour contract, “Lifecycle”).
    package static let revocationLifeSeconds: Int64 = 86_400
    /// Longest pause between two attempts of one revocation.
    package static let revocationPauseSecondsMax: Int64 = 3600
    package static let revocationsPerRound = 32
    /// Bodies of provider calls kept in audit reports (wire contract §9.1).
    package static let auditBodyBytesMax = 10_000
    /// Fewer than any organization's directory has, more than any person is in.
    package static let webhookDeliveriesShown = 50
}
