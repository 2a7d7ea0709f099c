import VaultAPI

// Reading the document of a policy: which members there are, what each may hold, and the form in which it is stored.

enum PolicyDocument {
    /// Ten years; longer terms are typing errors, and sums stay far from overflow.
    private static let ttlRange: ClosedRange<Int64> = 1...315_360_000
    /// Each use inside the window is a row.
    private static let requestsRange: ClosedRange<Int64> = 1...100_000
    /// A month.
    private static let windowRange: ClosedRange<Int64> = 1...2_678_400

    static func read(_ fields: Fields) -> (json: JSONObject, rules: [PolicyRule]) {
        var json = JSONObject()
        var rules: [PolicyRule] = []
        if let groups = fields.optionalStrings("allowed_groups", length: 1...255) {
            json["allowed_groups"] = .strings(groups)
            rules.append(.allowedGroups(NameSet(groups)))
        }
        if let roles = fields.optionalStrings("allowed_roles", length: 1...255) {
            json["allowed_roles"] = .strings(roles)
            rules.append(.allowedRoles(NameSet(roles)))
        }
        if let time = fields.optionalFields("time").flatMap(TimeRule.init) {
            json["time"] = .object(time.json)
            rules.append(.time(time))
        }
        if let texts = fields.optionalStrings("ip_allowlist", length: 1...64) {
            json["ip_allowlist"] = .strings(texts)
            let ranges = texts.enumerated().compactMap { index, text -> IPRange? in
                let range = IPRange(text)
                if range == nil { fields.report("ip_allowlist[\(index)]", "must be an address or a CIDR range") }
                return range
            }
            rules.append(.ipAllowlist(ranges))
        }
        if let methods = methods(fields) {
            json["methods"] = .strings(methods)
            rules.append(.methods(Set(methods)))
        }
        if let paths = paths(fields) {
            json["paths"] = .strings(paths)
            rules.append(.paths(paths.map(PathPattern.init)))
        }
        readTerm(fields, &json, &rules)
        readApproval(fields, &json, &rules)
        readRate(fields, &json, &rules)
        return (json, rules)
    }

    private static func methods(_ fields: Fields) -> [String]? {
        let methods = fields.optionalStrings("methods", length: 1...20)?.map { $0.uppercased() }
        for (index, method) in (methods ?? []).enumerated() where !HeaderField.isToken(method) {
            fields.report("methods[\(index)]", "must be an HTTP method")
        }
        return methods
    }

    private static func paths(_ fields: Fields) -> [String]? {
        let paths = fields.optionalStrings("paths", length: 1...512)
        for (index, path) in (paths ?? []).enumerated() where !path.hasPrefix("/") {
            fields.report("paths[\(index)]", "must begin with a slash")
        }
        for (index, path) in (paths ?? []).enumerated() {
            let lower = path.lowercased()
            if path.contains("?") || path.contains("#") {
                fields.report("paths[\(index)]", "must be a path alone: queries are not looked at")
            } else if path.contains(";") || ["%2a", "%2e", "%2f", "%3b", "%5c"].contains(where: lower.contains) {
                fields.report("paths[\(index)]", "must not hold a semicolon, or an encoded star, dot or separator")
            }
        }
        return paths
    }

    private static func readTerm(_ fields: Fields, _ json: inout JSONObject, _ rules: inout [PolicyRule]) {
        guard let term = fields.optionalFields("grant_ttl") else { return }
        let ttl = GrantTTL(
            defaultSeconds: term.optionalInteger("default_seconds", in: ttlRange),
            maxSeconds: term.optionalInteger("max_seconds", in: ttlRange))
        if !term.has("default_seconds"), !term.has("max_seconds") {
            fields.report("grant_ttl", "must have default_seconds, max_seconds, or both")
        }
        var object = JSONObject()
        object["default_seconds"] = ttl.defaultSeconds.map { .integer($0) }
        object["max_seconds"] = ttl.maxSeconds.map { .integer($0) }
        json["grant_ttl"] = .object(object)
        rules.append(.grantTTL(ttl))
    }

    private static func readApproval(_ fields: Fields, _ json: inout JSONObject, _ rules: inout [PolicyRule]) {
        guard let approval = fields.optionalFields("require_approval") else { return }
        let methods = methods(approval)
        let paths = paths(approval)
        let approvers = approval.optionalChoice("approvers", ApprovalRule.Approvers.self) ?? .user
        var object = JSONObject()
        object["methods"] = methods.map(JSON.strings)
        object["paths"] = paths.map(JSON.strings)
        object["approvers"] = .string(approvers.rawValue)
        json["require_approval"] = .object(object)
        rules.append(
            .requireApproval(
                ApprovalRule(
                    methods: methods.map(Set.init), paths: paths?.map(PathPattern.init), approvers: approvers)))
    }

    private static func readRate(_ fields: Fields, _ json: inout JSONObject, _ rules: inout [PolicyRule]) {
        guard let rate = fields.optionalFields("rate_limit") else { return }
        for name in ["requests", "per_seconds"] where !rate.has(name) { rate.report(name, "is required") }
        let limit = RateLimit(
            requests: rate.optionalInteger("requests", in: requestsRange) ?? 1,
            seconds: rate.optionalInteger("per_seconds", in: windowRange) ?? 1,
            per: rate.optionalChoice("per", RateLimit.Subject.self) ?? .grant)
        json["rate_limit"] = [
            "requests": .integer(limit.requests), "per_seconds": .integer(limit.seconds),
            "per": .string(limit.per.rawValue),
        ]
        rules.append(.rateLimit(limit))
    }
}
