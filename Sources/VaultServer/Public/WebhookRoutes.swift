import VaultAPI
import VaultService

/// Where identity providers push lifecycle events. 204 means that the effect is durable.
struct WebhookRoutes: Sendable {
    let vault: Vault

    var routes: [Route<Visitor>] {
        [
            Route("POST", "/webhooks/idp/{endpoint_id}", "Receive lifecycle events", status: 204) { _, exchange in
                let head = WebhookHead(
                    endpointID: exchange.parameter("endpoint_id"), headers: exchange.headers, origin: exchange.origin)
                try await vault.receive(head) { try await exchange.lateBody?.bytes() ?? [] }
                return .noContent
            }
            .readingBodyLate()
        ]
    }
}
