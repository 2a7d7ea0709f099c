import VaultAPI

package enum UserStatus: String, Sendable, CaseIterable { case active, suspended, deprovisioned }

/// An end user of one app, known by (app, issuer, value of the user-id claim).
package struct User: Sendable {
    package var id: UserID
    package var appID: AppID
    package var issuer: String
    /// Value of the mapped user-id claim: what the app knows the person by.
    package var externalSubjectID: String
    /// The `sub`: what lifecycle events name.
    package var subject: String
    package var email: String?
    package var displayName: String?
    package var status: UserStatus
    /// Grows whenever everything that was allowed before must end.
    package var epoch: Int64
    package var groups: [String]
    package var roles: [String]
    package var firstSeenAt: Instant
    package var lastSeenAt: Instant?

    package init(
        id: UserID, appID: AppID, issuer: String, externalSubjectID: String, subject: String, email: String? = nil,
        displayName: String? = nil, status: UserStatus, epoch: Int64 = 1, groups: [String] = [], roles: [String] = [],
        firstSeenAt: Instant, lastSeenAt: Instant? = nil
    ) {
        self.id = id
        self.appID = appID
        self.issuer = issuer
        self.externalSubjectID = externalSubjectID
        self.subject = subject
        self.email = email
        self.displayName = displayName
        self.status = status
        self.epoch = epoch
        self.groups = groups
        self.roles = roles
        self.firstSeenAt = firstSeenAt
        self.lastSeenAt = lastSeenAt
    }

    /// Whether profile, groups and roles are the same byte by byte. To Swift's `==` two Unicode forms of one text are equal,
    /// and a change between them would go unseen.
    package func hasSameFacts(as other: User) -> Bool {
        func bytes(_ texts: [String?]) -> [[UInt8]?] { texts.map { $0.map { Array($0.utf8) } } }
        return bytes([email, displayName]) == bytes([other.email, other.displayName])
            && bytes(groups) == bytes(other.groups) && bytes(roles) == bytes(other.roles)
    }
}
