/// Every bound of the service, with its reason.
package enum Limits {
    /// Wire contract §9.1 allows the largest SDK body, a proxied one, to be what a provider takes; 10 MiB covers JSON APIs.
    package static let requestBodyBytesMax = 10 * 1024 * 1024
    /// Bodies of the Management API and of SDK calls that carry no provider's body.
    package static let documentBytesMax = 1024 * 1024
    /// Forms of pages that everybody reaches: a few short fields.
    package static let formBytesMax = 16 * 1024
    /// Forms of the Portal: long lists of addresses, and logos of 100 kB.
    package static let operatorFormBytesMax = 256 * 1024
    /// Seconds for a client to send its whole body: ends slow-drip connections.
    package static let bodySecondsMax = 15
    /// A signed request is fresh this long, either way (wire contract §2.6).
    package static let signatureWindowSeconds: Int64 = 300
    /// Twice the window, so that no nonce can be forgotten while its timestamp is still accepted.
    package static let nonceLifeSeconds: Int64 = 600
    /// Rows of one transaction of housekeeping: no other write waits long for it.
    static let rowsForgottenAtOnce = 5000
    /// Nonces of one such transaction, the ones that stay included: it shares its commit with uses.
    static let noncesAtOnce = 1000
    /// How long whoever ended something waits for the answers to uses of before.
    static let usesUnderWaySecondsMax: Int64 = 1
    /// Between two checkpoints of a chain that grows.
    static let checkpointSeconds: Int64 = 3600
    /// A day to a hundred years.
    package static let auditRetentionDays: ClosedRange<Int64> = 1...36_500
    /// Records read at a time where all of them are.
    static let auditPage = 500
    /// Records that a page of the Portal looks at where an index does not find what is asked for: some five milliseconds.
    static let auditLookedAtMax = 5000
    /// By how much records may be out of the order of their times, where they are looked for by time.
    static let auditSlackSeconds: Int64 = 3600
    /// Records whose uses are counted in one transaction, and the pause before the next ones: no other write waits long.
    static let usageRecordsAtOnce = 2000
    static let usagePause = Duration.milliseconds(20)
    /// How long figures of use are kept: the same month of the year before can be looked at.
    static let usageLifeSeconds: Int64 = 400 * 86_400
    /// Audit streams: of one app, records of one message, seconds for it, and the longest pause after failures.
    static let auditStreamsMax = 10
    static let auditStreamBatch = 100
    static let auditStreamSeconds = 10
    static let auditStreamPauseSecondsMax: Int64 = 300
    /// Records that a replay reads, and calls that it names; the rest is counted.
    static let replayRecordsMax = 1_000_000
    static let replayChangesShown = 1000
    /// Clocks of nodes may differ by this much before one counts as set back.
    static let clockToleranceSeconds: Int64 = 60
    /// Connect sessions and one visit to a provider's consent page.
    package static let connectSessionSeconds: Int64 = 600
    /// A management query; no list has more than a dozen parameters.
    package static let queryItemsMax = 50
    /// A browser sign-in, from its opening to the last poll (behaviour contract, “Browser sign-in”).
    package static let signInSessionSeconds: Int64 = 600
    /// A session of the Wallet: a working day, whatever happens in it.
    package static let walletSessionSeconds: Int64 = 43_200
    /// Beside the connections that are there.
    static let endedConnectionsShown = 50
    /// A longer term is offered when it adds this much at least: time runs while one looks at the page.
    static let extensionSecondsMin: Int64 = 60
    /// A page of a user's activity, and the records read for it at most: a filter may fit none of a million.
    static let activityPage = 50
    static let activityScan = 2000
    /// A user's export: its rows, and the records read for it.
    package static let activityExportRows = 10_000
    static let activityExportScan = 100_000
    /// Records are written within this time of what they tell; calls take a while.
    static let activityDelaySeconds: Int64 = 3600
    /// The one-time address for the first operator (behaviour contract, “First operator”).
    static let setupAddressSeconds: Int64 = 1800
    static let invitationSeconds: Int64 = 7 * 86_400
    /// Of an organization: all of them stand on its page.
    package static let invitationsOpenMax = 100
    /// A session of the Portal: half a day, and two hours without a page.
    package static let portalSessionSeconds: Int64 = 43_200
    static let portalIdleSeconds: Int64 = 7200
    /// How often it is noted that a session or token is used: a write for every page would be many.
    static let portalSeenSeconds: Int64 = 60
    /// After this long without another one, failed sign-ins are forgotten.
    static let signInFailureLifeSeconds: Int64 = 86_400
    /// Of a password. The upper bound only ends what is none (NIST SP 800-63B asks for 64 at least).
    package static let passwordCharacters = 12...1000
    /// Passwords that wait to be worked on, 0.2 s each.
    static let passwordsWaitingMax = 30
    static let passwordsWaitingOfNetworkMax = 6
    /// The way through the identity provider's sign-out and back, good for a reload.
    package static let logoutStateSeconds: Int64 = 3600
    /// The longest that a poll is held (wire contract §4.8), and how often a held one looks.
    package static let signInWaitMillisecondsMax: Int64 = 30_000
    static let signInPollPause = Duration.milliseconds(200)
    /// Before a provider that failed is asked again who has consented.
    package static let identificationPauses: [Duration] = [.milliseconds(200), .milliseconds(800)]
    /// A user token on identity calls (wire contract §7), and the life of an assertion.
    package static let identityTokenBytesMax = 8192
    package static let assertionSeconds: ClosedRange<Int64> = 10...300
    package static let assertionSecondsDefault: Int64 = 120
    /// Management lists.
    package static let pageDefault = 100
    package static let pageMax = 1000
    /// A user with more than this many candidates for one provider gets a truncated list in `ambiguous_grant`.
    package static let ambiguousCandidatesMax = 20
    /// The final address of a proxied call (wire contract §4.4).
    package static let proxyURLCharactersMax = 65_536
    /// The part of a provider's answer that is relayed; the rest is cut and flagged.
    package static let proxyResponseBytesMax = 8 * 1024 * 1024
    /// Header fields of a provider's answer that are relayed.
    package static let proxyAnswerHeadersMax = 200
    /// Below the SDK's own 30 s, so that a slow provider yields an answer and not a client timeout.
    package static let proxySecondsMax = 25
    /// A call under way longer than this was cut off: the time limit is past, and the commits after it as well.
    package static let openUseSecondsMax: Int64 = 120
    /// Waiting for somebody else's refresh (behaviour contract, “Refresh”).
    package static let refreshWaitSeconds = 10
    static let usersLookedAtOnce = 1000
    /// Longer than a token call and its storing take: whoever has the turn after that is not heard of any more.
    static let turnSecondsMax: Int64 = 60
    /// Between two looks whether another node is done.
    static let turnPause = Duration.milliseconds(50)
    /// A key that was made and is in no row after this belongs to a transaction that never committed.
    static let unusedKeySecondsMax: Int64 = 600
    /// After a failed refresh, before the next one.
    package static let refreshPauseSeconds: Int64 = 2
    /// Before storing a renewed pair is tried again, when the database is away.
    package static let refreshStorePauses: [Duration] = [.milliseconds(100), .milliseconds(500), .seconds(2)]
    /// A pair that could not be stored for good.
    package static let lostPairPauseSeconds: Int64 = 300
    /// How often a use follows a credential that somebody else renews meanwhile.
    package static let releaseAttemptsMax = 3
    /// A token for the provider-side revocation is kept at most this long (behaviour contract, “Lifecycle”).
    package static let revocationLifeSeconds: Int64 = 86_400
    /// Longest pause between two attempts of one revocation.
    package static let revocationPauseSecondsMax: Int64 = 3600
    /// Providers told at the same time; each hears one call after the other.
    static let revocationProvidersAtOnce = 32
    /// How long the log keeps deliveries that did nothing.
    static let ignoredDeliveryLifeSeconds: Int64 = 30 * 86_400
    /// Authentic deliveries that are worked on at the same time, and those of one address: a flood waits, where it costs the
    /// requests and the deliveries of others nothing. Four keep three quarters of the throughput of sixty-four.
    static let webhooksAtOnce = 4
    static let webhooksAtOncePerAddress = 3
    /// Events applied in one transaction: a batch of thousands must not keep every other write waiting.
    package static let webhookEventsPerTransaction = 50
    /// Items of one delivery that are no event and are logged one by one.
    static let webhookInvalidItemsLogged = 20
    /// Bodies of provider calls kept in audit reports (wire contract §9.1).
    package static let auditBodyBytesMax = 10_000
    /// Header fields kept in audit reports: as many as a request here may have.
    package static let auditHeadersMax = 100
    /// Characters of a reason that a record keeps; agents write essays.
    package static let reasonCharactersMax = 2000
    /// The latest deliveries beside the state of webhooks: enough to see what a test delivery did.
    package static let webhookDeliveriesShown = 50
}
