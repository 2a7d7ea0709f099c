import VaultDomain

/// How the Portal says what a key may do. What has no words here yet is shown by its name.
enum KeyScopeWords {
    private static let resources = [
        "agents": "Agents", "approvals": "Approvals", "audit": "Audit reports", "connect": "Connect sessions",
        "grants": "Grants", "idp_users": "Users", "keys": "API keys", "providers": "OAuth providers",
        "proxy": "Proxied calls", "secrets": "Managed secrets", "spans": "Trace spans", "tokens": "Tokens of grants",
    ]
    private static let verbs = [
        "read": "Read", "write": "Change", "admin": "Manage", "derive": "Derive", "emit": "Send", "execute": "Make",
        "initiate": "Open", "retrieve": "Retrieve",
    ]

    static func resource(_ name: String) -> String { resources[name] ?? name }
    static func verb(_ name: String) -> String { verbs[name] ?? name }

    /// `Grants: change, only slack`
    static func phrase(_ text: String) -> String {
        guard let scope = KeyScope(text) else { return text }
        return resource(scope.resource) + ": " + verb(scope.verb).lowercased()
            + (scope.instance.map { ", only " + $0 } ?? "")
    }

    static func summary(_ scopes: [String]) -> String {
        if Set(scopes) == Set(KeyScopeCatalog.runtimeDefaults) { return "All runtime scopes" }
        return scopes.count == 1 ? phrase(scopes[0]) : "\(scopes.count) scopes"
    }
}
