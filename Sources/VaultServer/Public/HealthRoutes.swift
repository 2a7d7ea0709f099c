import VaultAPI
import VaultService

/// Whether the process is up, and whether it can serve.
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
        ]
    }
}
