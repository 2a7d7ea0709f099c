// What a token says, once its signature is known to be the issuer's: whether it is for this app and for now, who the user
// is, and which facts about the user it carries (RFC 7519 §4.1, OpenID Connect Core 1.0 §2, RFC 8725). Pure: the time comes
// in. TokenVerifier checks the signature before; the sync of users reads the result.

import VaultAPI

/// Why the claims are refused. Names claims, never what they hold.
package enum TokenClaimsError: Error, Equatable, Sendable {
    case otherPurpose
    case issuer
    case audienceMalformed, audienceMissing, audienceDiffers
    case timeMalformed(String)
    case expiryMissing, expired, notYetValid, issuedInFuture
    case subject
    case userID
    case groups, roles

    /// Safe for the caller, as the end of “The token was refused: …”.
    package var reason: String {
        switch self {
        case .otherPurpose: "it reports events and is not for signing in"
        case .issuer: "its issuer is not the app's identity provider"
        case .audienceMalformed: "its audience is neither a text nor a list of texts"
        case .audienceMissing: "it has no audience and the app expects one"
        case .audienceDiffers: "it is meant for another audience"
        case .timeMalformed(let name): "its \(name) is not a time in seconds"
        case .expiryMissing: "it has no expiry"
        case .expired: "it has expired"
        case .notYetValid: "it is not valid yet"
        case .issuedInFuture: "it was issued in the future"
        case .subject: "its subject is not a text of 1 to 255 characters without blanks around it"
        case .userID: "its user id claim is not a text of 1 to 255 characters without blanks around it"
        case .groups: "its group claim is malformed"
        case .roles: "its role claim is malformed"
        }
    }
}

package struct TokenClaims: Sendable, Equatable {
    package static let leewaySeconds: Int64 = 60
    package static let identifierLengthMax = 255
    package static let valuesMax = 1000
    /// 9999-12-31T23:59:59Z. Milliseconds in place of seconds lie beyond it.
    private static let secondsMax: Int64 = 253_402_300_799

    package let issuer: String
    /// The `sub`: what lifecycle events name.
    package let subject: String
    /// The value of the mapped claim: what the user is known by.
    package let userID: String
    package let audiences: [String]
    package let issuedAt: Instant?
    package let notBefore: Instant?
    package let expiresAt: Instant
    private let profile: UserProfile
    package var email: String? { profile.email }
    package var displayName: String? { profile.displayName }
    /// `nil` when the token has no such claim, which says nothing about memberships; empty when it says there are none.
    package let groups: [String]?
    package let roles: [String]?

    /// `audience` is what the operator asked for; `signInClientID` is accepted in its place, because ID tokens carry it.
    package init(
        claims: JSONObject, mapping: ClaimMapping, expectedIssuer: String, audience: String?, signInClientID: String?,
        now: Instant
    ) throws(TokenClaimsError) {
        // RFC 8417 §2.2: the mark of logout tokens and security events, which carry a `sub` as well.
        guard claims["events"] == nil else { throw .otherPurpose }
        guard let issuer = claims["iss"]?.string, Self.isSame(issuer, expectedIssuer) else { throw .issuer }
        self.issuer = issuer
        audiences = try Self.audiences(claims["aud"])
        try Self.checkAudience(audiences, isPresent: claims["aud"] != nil, audience, signInClientID)

        guard let expiresAt = try Self.time(claims, "exp") else { throw .expiryMissing }
        // RFC 7519 §4.1.4: not accepted on or after this time. The leeway is for clocks that run ahead of ours, which
        // would refuse a fresh token; an old one needs none.
        guard now < expiresAt else { throw .expired }
        let latest = now.adding(seconds: Self.leewaySeconds)
        notBefore = try Self.time(claims, "nbf")
        if let notBefore, notBefore > latest { throw .notYetValid }
        issuedAt = try Self.time(claims, "iat")
        if let issuedAt, issuedAt > latest { throw .issuedInFuture }
        self.expiresAt = expiresAt

        guard let subject = Self.identifier(claims["sub"]) else { throw .subject }
        guard let userID = Self.identifier(Self.claim(mapping.userID, in: claims)) else { throw .userID }
        self.subject = subject
        self.userID = userID
        guard let groups = Self.values(of: mapping.group, in: claims) else { throw .groups }
        guard let roles = Self.values(of: mapping.role, in: claims) else { throw .roles }
        self.groups = groups.stated
        self.roles = roles.stated
        profile = UserProfile(email: claims["email"]?.string, displayName: claims["name"]?.string)
    }

    // MARK: Issuer, audience, time

    /// Byte by byte: to Swift's `==` the Kelvin sign is a K.
    private static func isSame(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }

    private static func audiences(_ value: JSON?) throws(TokenClaimsError) -> [String] {
        switch value {
        case nil: return []
        case .string(let text)?: return [text]
        case .array(let elements)?:
            let texts = elements.compactMap(\.string)
            guard texts.count == elements.count else { throw .audienceMalformed }
            return texts
        default: throw .audienceMalformed
        }
    }

    private static func checkAudience(
        _ audiences: [String], isPresent: Bool, _ expected: String?, _ signInClientID: String?
    ) throws(TokenClaimsError) {
        guard let expected else { return }
        guard isPresent else { throw .audienceMissing }
        let accepted = [expected] + (signInClientID.map { [$0] } ?? [])
        guard audiences.contains(where: { audience in accepted.contains { isSame($0, audience) } }) else {
            throw .audienceDiffers
        }
    }

    /// RFC 7519 §2 NumericDate: seconds, possibly with a fraction.
    private static func time(_ claims: JSONObject, _ name: String) throws(TokenClaimsError) -> Instant? {
        guard let value = claims[name] else { return nil }
        guard let number = value.number else { throw .timeMalformed(name) }
        if let seconds = number.integer {
            guard (0...secondsMax).contains(seconds) else { throw .timeMalformed(name) }
            return Instant(seconds: seconds)
        }
        guard let seconds = number.double, seconds >= 0, seconds <= Double(secondsMax) else {
            throw .timeMalformed(name)
        }
        return Instant(milliseconds: Int64(seconds * 1000))
    }

    // MARK: Identity

    /// A text that can be a key: as it is, or not at all. Blanks at the ends and control characters are what two systems
    /// trim differently, and then two people are one.
    private static func identifier(_ value: JSON?) -> String? {
        guard let text = value?.string else { return nil }
        if isPlain(text), text.utf8.first != 0x20, text.utf8.last != 0x20 { return text }
        guard let first = text.unicodeScalars.first, let last = text.unicodeScalars.last,
            text.unicodeScalars.count <= identifierLengthMax, !first.properties.isWhitespace,
            !last.properties.isWhitespace, !text.unicodeScalars.contains(where: isControl)
        else { return nil }
        return text
    }

    /// Whether it is one of 1 to 255 characters of ASCII, none of them a control character: so most are.
    private static func isPlain(_ text: String) -> Bool {
        (1...identifierLengthMax).contains(text.utf8.count) && text.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    }

    static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }

    /// The claim of this literal name (Auth0's are URLs with dots), or else the member at the end of a dotted path.
    private static func claim(_ name: String, in claims: JSONObject) -> JSON? {
        if let value = member(name, of: claims) { return value }
        let steps = name.split(separator: ".", omittingEmptySubsequences: false)
        guard steps.count > 1 else { return nil }
        var value = JSON.object(claims)
        for step in steps {
            guard let object = value.object, let next = member(String(step), of: object) else { return nil }
            value = next
        }
        return value
    }

    private static func member(_ name: String, of object: JSONObject) -> JSON? {
        object.members.first { isSame($0.name, name) }?.value
    }

    // MARK: Groups and roles

    private struct Statement {
        /// `nil` when the token says nothing.
        var stated: [String]?
    }

    /// `nil` when the claim is there and malformed. `null` is no statement, as if the claim were missing.
    private static func values(of name: String?, in claims: JSONObject) -> Statement? {
        guard let name else { return Statement() }
        guard let value = claim(name, in: claims) ?? clerkEquivalent(of: name, in: claims), !value.isNull else {
            return Statement()
        }
        guard let texts = texts(value), texts.count <= valuesMax else { return nil }
        var seen: Set<[UInt8]> = []
        var values: [String] = []
        for text in texts where !text.isEmpty && seen.insert(Array(text.utf8)).inserted {
            let scalars = text.unicodeScalars
            guard isPlain(text) || scalars.count <= identifierLengthMax && !scalars.contains(where: isControl) else {
                return nil
            }
            values.append(text)
        }
        return Statement(stated: values)
    }

    private static func texts(_ value: JSON) -> [String]? {
        switch value {
        case .string(let text): return [text]
        case .array(let elements):
            let texts = elements.compactMap(\.string)
            return texts.count == elements.count ? texts : nil
        case .object(let object): return clerkOrganizations(object)
        default: return nil
        }
    }

    /// Clerk's forms: the active organization `{"id":"org_…","rol":…,"slg":…}` of session tokens since version 2, and all
    /// of them as `{"org_…":"<role>", …}`, which is what its template word `user.organizations` writes.
    private static func clerkOrganizations(_ object: JSONObject) -> [String]? {
        if let id = object["id"] { return id.string.map { [$0] } }
        return object.members.allSatisfy { $0.value.string != nil } ? object.names : nil
    }

    /// Version 1 of Clerk's session tokens has `org_id`, `org_role` and `org_slug`; version 2 has them inside `o`.
    private static func clerkEquivalent(of name: String, in claims: JSONObject) -> JSON? {
        switch name {
        case "org_id": claims["o"]?["id"]
        case "org_role": claims["o"]?["rol"]
        case "org_slug": claims["o"]?["slg"]
        default: nil
        }
    }
}
