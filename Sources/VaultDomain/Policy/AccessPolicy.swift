import VaultAPI

// Whether a use is allowed now. Pure: the facts come in as a value, the outcome explains itself, and the same words
// reach the audit record and the error. What a rule cannot decide it denies.

/// One layer's rules, as `PUT A/policies/{provider_id}` takes them.
package struct AccessPolicy: Sendable, Equatable {
    package var allowedGroups: [String]?
    package var allowedRoles: [String]?
    package var ipAllowlist: [String]?
    package var methods: [String]?
    package var paths: [String]?

    package init() {}

    /// Reads the document and reports what is wrong with it to `fields`.
    package init(_ fields: Fields) {
        allowedGroups = fields.optionalStrings("allowed_groups", length: 1...255)
        allowedRoles = fields.optionalStrings("allowed_roles", length: 1...255)
        ipAllowlist = fields.optionalStrings("ip_allowlist", length: 1...64)
        methods = fields.optionalStrings("methods", length: 1...20)?.map { $0.uppercased() }
        paths = fields.optionalStrings("paths", length: 1...512)
        for (index, range) in (ipAllowlist ?? []).enumerated() where IPRange(range) == nil {
            fields.report("ip_allowlist[\(index)]", "must be an address or a CIDR range")
        }
        for (index, path) in (paths ?? []).enumerated() where !path.hasPrefix("/") {
            fields.report("paths[\(index)]", "must begin with a slash")
        }
    }

    package var json: JSONObject {
        var object = JSONObject()
        object["allowed_groups"] = allowedGroups.map(JSON.strings)
        object["allowed_roles"] = allowedRoles.map(JSON.strings)
        object["ip_allowlist"] = ipAllowlist.map(JSON.strings)
        object["methods"] = methods.map(JSON.strings)
        object["paths"] = paths.map(JSON.strings)
        return object
    }

    /// Whether the credential must not leave: what the caller does with it could not be checked any more.
    package var restrictsRequests: Bool { methods != nil || paths != nil }
}

/// The facts that rules look at.
package struct PolicyFacts: Sendable {
    package var user: User?
    package var method: String?
    package var path: String?
    package var peer: IPAddress?

    package init(user: User?, method: String?, path: String?, peer: IPAddress?) {
        self.user = user
        self.method = method
        self.path = path
        self.peer = peer
    }
}

package struct RuleOutcome: Sendable, Equatable {
    package enum Result: String, Sendable { case allow, deny, notApplicable = "not_applicable" }

    package let rule: String
    /// `app`, `provider`, `grant` or `key`.
    package let layer: String
    package let result: Result
    package let reason: String

    package var json: JSON {
        ["rule": .string(rule), "layer": .string(layer), "result": .string(result.rawValue), "reason": .string(reason)]
    }
}

extension AccessPolicy {
    /// Every rule of this layer with its outcome; all must allow.
    package func evaluate(_ facts: PolicyFacts, layer: String) -> [RuleOutcome] {
        var outcomes: [RuleOutcome] = []
        func record(_ rule: String, _ isAllowed: Bool, _ reason: String) {
            outcomes.append(RuleOutcome(rule: rule, layer: layer, result: isAllowed ? .allow : .deny, reason: reason))
        }
        if let allowedGroups {
            switch facts.user {
            case nil: record("allowed_groups", false, "no user, so groups cannot be decided")
            case let user?:
                let isMember = Self.share(user.groups, allowedGroups)
                record(
                    "allowed_groups", isMember,
                    isMember ? "member of an allowed group" : "in none of the allowed groups")
            }
        }
        if let allowedRoles {
            switch facts.user {
            case nil: record("allowed_roles", false, "no user, so roles cannot be decided")
            case let user?:
                let holds = Self.share(user.roles, allowedRoles)
                record("allowed_roles", holds, holds ? "holds an allowed role" : "holds none of the allowed roles")
            }
        }
        if let ipAllowlist {
            let isListed = facts.peer.map { peer in ipAllowlist.contains { IPRange($0)?.contains(peer) == true } }
            record(
                "ip_allowlist", isListed == true,
                isListed == nil
                    ? "the caller's address is not known"
                    : isListed == true ? "address is listed" : "address is not listed")
        }
        if let methods {
            let isListed = facts.method.map { methods.contains($0.uppercased()) } ?? false
            record("methods", isListed, isListed ? "method is listed" : "method is not listed")
        }
        if let paths {
            let isListed = facts.path.map { path in paths.contains { PathPattern($0).matches(path) } } ?? false
            record("paths", isListed, isListed ? "path matches" : "path matches no pattern")
        }
        return outcomes
    }

    /// Byte by byte: Swift's `==` takes two Unicode forms of one text, or a Kelvin sign and a K, for the same.
    private static func share(_ left: [String], _ right: [String]) -> Bool {
        !Set(left.map { Array($0.utf8) }).isDisjoint(with: right.map { Array($0.utf8) })
    }
}

/// A path pattern: `*` is any run inside one segment, `**` any number of whole segments.
package struct PathPattern: Sendable {
    private let segments: [Substring]

    package init(_ text: String) { segments = text.split(separator: "/", omittingEmptySubsequences: true) }

    /// A path with dot segments, doubled slashes or encoded separators is read differently by different servers, so
    /// that no pattern matches it.
    package func matches(_ path: String) -> Bool {
        let lower = path.lowercased()
        guard path.hasPrefix("/"), !path.contains("//"), !lower.contains("%2f"), !lower.contains("%5c"),
            !lower.contains("%2e"), !path.contains(";")
        else { return false }
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        guard !parts.contains("."), !parts.contains("..") else { return false }
        return Self.matches(segments, parts, isWildcard: { $0 == "**" }) { pattern, part in
            Self.matches(Array(pattern.utf8), Array(part.utf8), isWildcard: { $0 == UInt8(ascii: "*") }, matchesOne: ==)
        }
    }

    /// A wildcard stands for any run. Greedy with one point of return, so that no pattern costs more than the product of
    /// the lengths, however many wildcards it has.
    private static func matches<Element>(
        _ pattern: [Element], _ text: [Element], isWildcard: (Element) -> Bool, matchesOne: (Element, Element) -> Bool
    ) -> Bool {
        var patternIndex = 0
        var textIndex = 0
        var wildcardIndex: Int?
        var wildcardTextIndex = 0
        while textIndex < text.count {
            if patternIndex < pattern.count, isWildcard(pattern[patternIndex]) {
                wildcardIndex = patternIndex
                wildcardTextIndex = textIndex
                patternIndex += 1
            } else if patternIndex < pattern.count, matchesOne(pattern[patternIndex], text[textIndex]) {
                patternIndex += 1
                textIndex += 1
            } else if let wildcard = wildcardIndex {
                patternIndex = wildcard + 1
                wildcardTextIndex += 1
                textIndex = wildcardTextIndex
            } else {
                return false
            }
        }
        return pattern[patternIndex...].allSatisfy(isWildcard)
    }
}
