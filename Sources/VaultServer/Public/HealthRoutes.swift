import VaultAPI
import VaultService

/// What everybody may ask: whether the process is up and can serve, and its public keys.
struct HealthRoutes: Sendable {
    static let livePath = "/healthz"

    let vault: Vault
    /// Unless they have a listener of their own.
    let showsMetrics: Bool

    var routes: [Route<Visitor>] { health + (showsMetrics ? [metrics] : []) }

    private var metrics: Route<Visitor> {
        Route("GET", "/metrics", "Figures for Prometheus") { _, _ in Self.metricsAnswer(vault) }
    }

    static func metricsAnswer(_ vault: Vault) -> Answer {
        Answer(
            status: 200, headers: [(name: "Content-Type", value: "text/plain; version=0.0.4; charset=utf-8")],
            body: Array(vault.metricsText().utf8))
    }

    private var health: [Route<Visitor>] {
        [
            Route("GET", Self.livePath, "The process is up") { _, _ in .json(["status": "ok"]) },
            Route("GET", "/readyz", "Database and keys are usable") { _, _ in
                guard vault.isReady() else {
                    throw VaultError(.serviceUnavailable, "Database or keys are not usable.", retryAfterSeconds: 2)
                }
                return .json(["status": "ready"])
            },
            Route("GET", "/.well-known/jwks.json", "The public keys of what this installation signs") { _, _ in
                var answer = Answer.json(try vault.publishedKeySet())
                // Shorter than a new key is published before it signs.
                answer.headers.append((name: "Cache-Control", value: "public, max-age=3600"))
                return answer
            },
        ]
    }
}
