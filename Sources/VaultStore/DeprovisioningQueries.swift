import VaultAPI
import VaultDomain

// What ended when a user ended, for the receipt; and the keys whose destruction was decided.

package struct DeprovisioningRecord: Sendable {
    package let id: DeprovisioningID
    package let userID: UserID
    /// What was true when it happened; never changed afterwards.
    package let facts: JSONObject
    /// `nil` when the user had no key.
    package let dataKeyID: DataKeyID?
    package let keyDestroyedAt: Instant?
    package let createdAt: Instant
    /// 0 until a receipt was signed.
    package let version: Int64
    /// What the signed receipt states, without what differs at each signing.
    package let statement: JSONObject?
    /// The receipt, a compact JWS.
    package let receipt: String?

    package init(
        id: DeprovisioningID, userID: UserID, facts: JSONObject, dataKeyID: DataKeyID?, createdAt: Instant
    ) {
        self.id = id
        self.userID = userID
        self.facts = facts
        self.dataKeyID = dataKeyID
        keyDestroyedAt = nil
        self.createdAt = createdAt
        version = 0
        statement = nil
        receipt = nil
    }

    init(_ row: Row) throws {
        id = try row.id("id")
        userID = try row.id("user_id")
        facts = try row.object("facts", comesAgain: false)
        dataKeyID = try row.optionalID("data_key_id")
        keyDestroyedAt = try row.optionalInstant("key_destroyed_at")
        createdAt = try row.instant("created_at")
        version = try row.integer("version")
        statement = try row.optionalJSON("statement", comesAgain: false)?.object
        receipt = try row.optionalText("receipt")
    }
}

extension Transaction {
    package func insertDeprovisioning(_ record: DeprovisioningRecord, appID: AppID) throws {
        try execute(
            """
            INSERT INTO deprovisionings (id, app_id, user_id, facts, data_key_id, created_at, version)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)
            """, record.id, appID, record.userID, JSON.object(record.facts), record.dataKeyID, record.createdAt)
    }

    /// The user's latest.
    package func deprovisioning(userID: UserID) throws -> DeprovisioningRecord? {
        try row("SELECT * FROM deprovisionings WHERE user_id = ?1 ORDER BY created_at DESC, id LIMIT 1", userID)
            .map(DeprovisioningRecord.init)
    }

    /// The one that a deprovisioned user is in.
    package func openDeprovisioning(userID: UserID) throws -> DeprovisioningID? {
        try row(
            """
            SELECT deprovisionings.id FROM deprovisionings JOIN users ON users.id = deprovisionings.user_id
            WHERE users.id = ?1 AND users.status = 'deprovisioned'
            ORDER BY deprovisionings.created_at DESC, deprovisionings.id LIMIT 1
            """, userID
        )?.id("id")
    }

    /// Whether the receipt is now this one: of two who sign the same version at once, one is kept.
    package func setReceipt(_ id: DeprovisioningID, version: Int64, statement: JSONObject, receipt: String) throws
        -> Bool
    {
        try execute(
            "UPDATE deprovisionings SET version = ?2, statement = ?3, receipt = ?4 WHERE id = ?1 AND version = ?2 - 1",
            id, version, JSON.object(statement), receipt) == 1
    }

    // MARK: What the key store is to carry out

    package func insertKeyDestruction(_ id: DataKeyID, now: Instant) throws {
        try execute(
            "INSERT INTO key_destructions (data_key_id, created_at) VALUES (?1, ?2) ON CONFLICT (data_key_id) DO NOTHING",
            id, now)
    }

    package func insertUserEnding(_ user: User, now: Instant) throws {
        try execute(
            """
            INSERT INTO user_endings (user_id, epoch, created_at) VALUES (?1, ?2, ?3)
            ON CONFLICT (user_id) DO UPDATE SET epoch = excluded.epoch, created_at = excluded.created_at
            """, user.id, user.epoch, now)
    }

    package func pendingDestructions() throws -> PendingDestructions {
        PendingDestructions(
            keys: try rows("SELECT data_key_id FROM key_destructions ORDER BY created_at, data_key_id").map {
                try $0.id("data_key_id")
            },
            users: try rows(
                """
                SELECT users.id, app_id, issuer, external_subject_id, user_endings.epoch, user_endings.created_at
                FROM user_endings JOIN users ON users.id = user_endings.user_id ORDER BY user_endings.created_at, users.id
                """
            ).map { try EndedUser($0, subjects: subjects(of: $0.id("id"))) })
    }

    private func subjects(of userID: UserID) throws -> [String] {
        try rows("SELECT subject FROM user_subjects WHERE user_id = ?1 ORDER BY subject", userID).map {
            try $0.text("subject")
        }
    }

    /// Forgets the intents: they were carried out at the time.
    package func finishDestructions(_ destructions: PendingDestructions, at time: Instant) throws {
        for id in destructions.keys {
            try execute("DELETE FROM key_destructions WHERE data_key_id = ?1", id)
            try execute(
                "UPDATE deprovisionings SET key_destroyed_at = ?2 WHERE data_key_id = ?1 AND key_destroyed_at IS NULL",
                id, time)
        }
        for user in destructions.users {
            try execute("DELETE FROM user_endings WHERE user_id = ?1 AND epoch = ?2", user.id, user.epoch)
        }
    }
}

/// What a committed transaction decided and the key store has not carried out yet.
package struct PendingDestructions: Sendable {
    package let keys: [DataKeyID]
    package let users: [EndedUser]

    package var isEmpty: Bool { keys.isEmpty && users.isEmpty }

    package init(keys: [DataKeyID], users: [EndedUser]) {
        self.keys = keys
        self.users = users
    }

    package func removing(_ others: [PendingDestructions]) -> PendingDestructions {
        guard !others.isEmpty else { return self }
        let doneKeys = Set(others.flatMap(\.keys))
        let doneUsers = Set(others.flatMap(\.users))
        return PendingDestructions(
            keys: keys.filter { !doneKeys.contains($0) }, users: users.filter { !doneUsers.contains($0) })
    }
}

/// A user who was ended, as the key store remembers it: whatever copy of the database stands beside it later, this user stays
/// ended in every epoch before this one.
package struct EndedUser: Sendable, Hashable {
    package let id: UserID
    package let appID: AppID
    package let issuer: String
    package let externalSubjectID: String
    package let subjects: [String]
    /// The user's epoch since the end.
    package let epoch: Int64
    package let endedAt: Instant

    init(_ row: Row, subjects: [String]) throws {
        id = try row.id("id")
        appID = try row.id("app_id")
        issuer = try row.text("issuer")
        externalSubjectID = try row.text("external_subject_id")
        self.subjects = subjects
        epoch = try row.integer("epoch")
        endedAt = try row.instant("created_at")
    }
}
