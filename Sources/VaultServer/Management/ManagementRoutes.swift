import VaultService

// The Management API: the same verbs that the command line and the pages use, as JSON. Addresses and shapes are fixed by
// the management contract.

struct ManagementRoutes: Sendable {
    let vault: Vault

    static let apps = "/api/v1/apps"
    static let app = "/api/v1/apps/{app_id}"

    var routes: [Route<OperatorCaller>] {
        appRoutes + appBrandingRoutes + keyRoutes + identityProviderRoutes + oauthProviderRoutes + managedSecretRoutes
            + policyRoutes + userRoutes + grantManagementRoutes + auditRoutes + auditStreamRoutes + organizationRoutes
            + tokenRoutes
    }
}

extension Exchange {
    var appID: String { parameter("app_id") }
}
