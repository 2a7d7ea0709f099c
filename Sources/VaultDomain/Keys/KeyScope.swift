import VaultAPI

/// What an API key may do: `resource:verb[:instance]` (wire contract §4.11).
///
/// Within one resource `admin` implies `write` implies `read`; action verbs imply only themselves. A scope without
/// instance covers every instance.
package struct KeyScope: Hashable, Sendable, CustomStringConvertible {
    package let resource: String
    package let verb: String
    package let instance: String?

    private static let crudVerbs = ["read", "write", "admin"]

    /// `nil` when the text is not a scope of the catalogue.
    package init?(_ text: String) {
        if let known = KeyScopeCatalog.scopes[text] {
            self = known
            return
        }
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
            .compactMap { String($0) }
        guard parts.count >= 2, KeyScopeCatalog.verbs[parts[0]]?.contains(parts[1]) == true else { return nil }
        if parts.count == 3, parts[2].isEmpty || parts[2].utf8.count > 255 { return nil }
        resource = parts[0]
        verb = parts[1]
        instance = parts.count == 3 ? parts[2] : nil
    }

    package var description: String { [resource, verb, instance].compactMap(\.self).joined(separator: ":") }

    fileprivate var wholeResource: KeyScope { KeyScope(resource: resource, verb: verb, instance: nil) }

    fileprivate init(resource: String, verb: String, instance: String?) {
        self.resource = resource
        self.verb = verb
        self.instance = instance
    }

    package func implies(_ other: KeyScope) -> Bool {
        guard resource == other.resource, instance == nil || instance == other.instance else { return false }
        guard let mine = Self.crudVerbs.firstIndex(of: verb), let theirs = Self.crudVerbs.firstIndex(of: other.verb)
        else { return verb == other.verb }
        return mine >= theirs
    }
}

/// Every scope there is, as `GET /sdk/scopes` answers it.
package enum KeyScopeCatalog {
    /// Raised whenever the meaning of a scope changes.
    package static let version = 1

    package static let verbs: [String: [String]] = [
        "agents": ["read", "write", "admin"],
        "approvals": ["read"],
        "audit": ["emit"],
        "connect": ["initiate"],
        "grants": ["read", "write", "admin"],
        "idp_users": ["read", "write"],
        "keys": ["derive", "admin"],
        "providers": ["read"],
        "proxy": ["execute"],
        "secrets": ["read", "write"],
        "spans": ["emit"],
        "tokens": ["retrieve"],
    ]

    /// All of them without instance, by their texts.
    fileprivate static let scopes = Dictionary(
        uniqueKeysWithValues: verbs.flatMap { resource, names in
            names.map { ("\(resource):\($0)", KeyScope(resource: resource, verb: $0, instance: nil)) }
        })

    /// The scopes that are neither read, write nor admin, whole.
    package static let actionVerbs = verbs.flatMap { resource, names in
        names.filter { !["read", "write", "admin"].contains($0) }.map { "\(resource):\($0)" }
    }.sorted()

    /// What a key gets when none are named: all that an app does at run time, and no key administration.
    package static let runtimeDefaults: [String] = [
        "agents:read", "agents:write", "approvals:read", "audit:emit", "connect:initiate", "grants:read",
        "grants:write", "idp_users:read", "idp_users:write", "keys:derive", "providers:read", "proxy:execute",
        "secrets:read", "secrets:write", "spans:emit", "tokens:retrieve",
    ]
}

/// The scopes in force for one request.
package struct GrantedScopes: Sendable {
    package let scopes: [KeyScope]

    package init(_ scopes: [KeyScope]) { self.scopes = scopes }

    package func allows(_ needed: KeyScope) -> Bool { scopes.contains { $0.implies(needed) } }

    /// Whether any instance of `resource:verb` is in force; which one is decided when it is known.
    package func allowsSome(_ text: String) -> Bool {
        guard let needed = KeyScope(text) else { return false }
        return scopes.contains { $0.wholeResource.implies(needed) }
    }

    /// Whether the scope is in force for one of the names that an instance has.
    package func allows(_ text: String, anyOf instances: [String]) -> Bool {
        guard let whole = KeyScope(text) else { return false }
        return allows(whole) || instances.compactMap { KeyScope("\(text):\($0)") }.contains(where: allows)
    }

    /// The narrower set, or `nil` when it asks for more than there is (wire contract §2.6, attenuation).
    package func narrowed(to constraints: [String]) -> GrantedScopes? {
        let wanted = constraints.map(KeyScope.init)
        var narrower: [KeyScope] = []
        for scope in wanted {
            guard let scope, allows(scope) else { return nil }
            narrower.append(scope)
        }
        return GrantedScopes(narrower)
    }
}
