import VaultAPI
import VaultService

/// Where identity providers push lifecycle events. 204 means that the effect is durable.
struct WebhookRoutes: Sendable {
    let vault: Vault

    var routes: [Route<Visitor>] {
        [
            Route("POST", "/webhooks/idp/{endpoint_id}", "Receive lifecycle events", status: 204) { _, exchange in
                try await vault.receive(exchange.delivery)
                return .noContent
            }
            .admitting { try vault.admit($0.delivery) }
        ]
    }
}

extension Exchange {
    fileprivate var delivery: WebhookDelivery {
        WebhookDelivery(endpointID: parameter("endpoint_id"), headers: headers, body: body, origin: origin)
    }
}
