import VaultAPI

/// What a token or an event says of a person that is shown only, and decides nothing: cleaned rather than refused.
package struct UserProfile: Sendable, Equatable {
    private static let emailLengthMax = 320
    private static let nameLengthMax = 200

    package let email: String?
    package let displayName: String?

    package init(email: String? = nil, displayName: String? = nil) {
        self.email = email.flatMap(Self.cleaned).flatMap {
            $0.unicodeScalars.count <= Self.emailLengthMax ? $0 : nil
        }
        self.displayName = displayName.flatMap(Self.cleaned).map { Self.prefix($0, Self.nameLengthMax) }
    }

    /// Without control characters, and without blanks at both ends; `nil` when nothing is left.
    private static func cleaned(_ text: String) -> String? {
        // Most addresses are visible ASCII throughout.
        guard !text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return text.isEmpty ? nil : text }
        var scalars = String.UnicodeScalarView()
        scalars.append(
            contentsOf: text.unicodeScalars.filter { !TokenClaims.isControl($0) }.drop { $0.properties.isWhitespace })
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return scalars.isEmpty ? nil : String(scalars)
    }

    private static func prefix(_ text: String, _ length: Int) -> String {
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: text.unicodeScalars.prefix(length))
        return String(scalars)
    }
}
