import VaultAPI
import VaultService

/// What everybody may ask: whether the process is up and can serve, and its public keys.
struct HealthRoutes: Sendable {
    let vault: Vault

    var routes: [Route<Visitor>] {
        [
            Route("GET", "/healthz", "The process is up") { _, _ in .json(["status": "ok"]) },
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
