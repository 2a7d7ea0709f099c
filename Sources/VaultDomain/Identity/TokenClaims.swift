import VaultAPI

package enum TokenClaimsError: Error, Sendable, Equatable {
    case wrongIssuer, wrongAudience, expired, noExpiry, notYetValid, malformed(String), wrongPurpose

    /// Safe to show: names claims, never their values.
    package var reason: String {
        switch self {
        case .wrongIssuer: "it comes from another issuer"
        case .wrongAudience: "it is for another audience"
        case .expired: "it has expired"
        case .noExpiry: "it has no expiry"
        case .notYetValid: "it is not valid yet"
        case .malformed(let claim): "its claim \(claim) is missing or malformed"
        case .wrongPurpose: "it was made for another purpose"
        }
    }
}

/// The facts of a verified token (RFC 7519 §4.1, behaviour contract “Identity providers”).
package struct TokenClaims: Sendable, Equatable {
    package let subject: String
    /// Value of the mapped user-id claim.
    package let userID: String
    package let issuedAt: Instant?
    package let email: String?
    package let displayName: String?
    /// `nil`: the claim is missing, memberships stay. Empty: they are cleared.
    package let groups: [String]?
    package let roles: [String]?

    /// Tolerance for `nbf` and `iat`; `exp` has none.
    package static let leewaySeconds: Int64 = 60
    private static let listMax = 1000

    package init(
        claims: JSONObject, mapping: ClaimMapping, expectedIssuer: String, audience: String?, signInClientID: String?,
        now: Instant
    ) throws(TokenClaimsError) {
        guard claims["iss"]?.string == expectedIssuer else { throw .wrongIssuer }
        try Self.checkAudience(
            claims["aud"], accepted: [audience, signInClientID].compactMap(\.self), isRequired: audience != nil)
        guard claims["events"] == nil else { throw .wrongPurpose }
        issuedAt = try Self.checkTimes(claims, now: now)
        subject = try Self.identifier(claims["sub"], "sub")
        userID = try Self.identifier(Self.value(at: mapping.userID, in: claims), mapping.userID)
        email = Self.profileText(claims["email"], lengthMax: 320)
        displayName = Self.profileText(claims["name"], lengthMax: 200)
        groups = try mapping.group.flatMap { name throws(TokenClaimsError) in try Self.list(at: name, in: claims) }
        roles = try mapping.role.flatMap { name throws(TokenClaimsError) in try Self.list(at: name, in: claims) }
    }

    private static func checkAudience(_ claim: JSON?, accepted: [String], isRequired: Bool) throws(TokenClaimsError) {
        var audiences: [String] = []
        switch claim {
        case nil: break
        case .string(let text)?: audiences = [text]
        case .array(let values)?:
            audiences = values.compactMap(\.string)
            guard audiences.count == values.count else { throw .malformed("aud") }
        default: throw .malformed("aud")
        }
        if isRequired, !audiences.contains(where: accepted.contains) { throw .wrongAudience }
    }

    /// The time of issue, when every time holds.
    private static func checkTimes(_ claims: JSONObject, now: Instant) throws(TokenClaimsError) -> Instant? {
        guard claims["exp"] != nil else { throw .noExpiry }
        guard try instant(claims["exp"], "exp") ?? now > now else { throw .expired }
        let latest = now.adding(seconds: leewaySeconds)
        if let notBefore = try instant(claims["nbf"], "nbf"), notBefore > latest { throw .notYetValid }
        let issuedAt = try instant(claims["iat"], "iat")
        if let issuedAt, issuedAt > latest { throw .notYetValid }
        return issuedAt
    }

    /// NumericDate may have a fraction (RFC 7519 §2). Year 9999 bounds it.
    private static func instant(_ claim: JSON?, _ name: String) throws(TokenClaimsError) -> Instant? {
        guard let claim else { return nil }
        guard let seconds = claim.number?.double, seconds >= 0, seconds < 253_402_300_800 else {
            throw .malformed(name)
        }
        return Instant(milliseconds: Int64(seconds * 1000))
    }

    /// A value that identifies a person: compared byte for byte later, so that nothing about it may be ambiguous.
    private static func identifier(_ claim: JSON?, _ name: String) throws(TokenClaimsError) -> String {
        guard let text = claim?.string, isPlain(text, lengthMax: 255), let first = text.unicodeScalars.first,
            let last = text.unicodeScalars.last, !first.properties.isWhitespace, !last.properties.isWhitespace
        else { throw .malformed(name) }
        return text
    }

    private static func isPlain(_ text: String, lengthMax: Int) -> Bool {
        (1...lengthMax).contains(text.unicodeScalars.count)
            && !text.unicodeScalars.contains {
                $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || (0x202A...0x202E).contains($0.value)
                    || (0x2066...0x2069).contains($0.value)
            }
    }

    private static func profileText(_ claim: JSON?, lengthMax: Int) -> String? {
        claim?.string.flatMap { isPlain($0, lengthMax: lengthMax) ? $0 : nil }
    }

    /// A literal name first (namespaced claims are addresses with dots), then a dotted path.
    private static func value(at name: String, in claims: JSONObject) -> JSON? {
        if let literal = claims[name] { return literal }
        return name.split(separator: ".").reduce(.object(claims) as JSON?) { $0?[String($1)] }
    }

    /// A string, an array of strings, or an object whose names are the groups (Clerk's organizations).
    private static func list(at name: String, in claims: JSONObject) throws(TokenClaimsError) -> [String]? {
        let values: [String]
        switch value(at: name, in: claims) {
        case nil, .null?: return nil
        case .string(let text)?: values = text.isEmpty ? [] : [text]
        case .array(let items)?:
            values = items.compactMap(\.string)
            guard values.count == items.count else { throw .malformed(name) }
        case .object(let object)?: values = object.names
        default: throw .malformed(name)
        }
        guard values.count <= listMax, values.allSatisfy({ isPlain($0, lengthMax: 255) }) else {
            throw .malformed(name)
        }
        return values
    }
}
