import VaultAPI

// What an app's pages look like: its colour stands with the app, its logo in a table of its own, so that reading an app
// does not read a picture.

package struct AppLogoRecord: Sendable {
    package let mediaType: String
    package let bytes: [UInt8]
    /// Changes with the bytes.
    package let version: String

    package init(mediaType: String, bytes: [UInt8], version: String) {
        self.mediaType = mediaType
        self.bytes = bytes
        self.version = version
    }
}

extension Transaction {
    package func setAccentColor(_ color: String?, appID: AppID) throws {
        try execute("UPDATE apps SET accent_color = ?2 WHERE id = ?1", appID, color)
    }

    package func upsertAppLogo(_ logo: AppLogoRecord, appID: AppID) throws {
        try execute(
            """
            INSERT INTO app_logos (app_id, media_type, bytes, version) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (app_id) DO UPDATE SET media_type = excluded.media_type, bytes = excluded.bytes,
                version = excluded.version
            """, appID, logo.mediaType, logo.bytes, logo.version)
    }

    package func deleteAppLogo(appID: AppID) throws {
        try execute("DELETE FROM app_logos WHERE app_id = ?1", appID)
    }

    package func appLogo(appID: AppID) throws -> AppLogoRecord? {
        try row("SELECT media_type, bytes, version FROM app_logos WHERE app_id = ?1", appID).map {
            AppLogoRecord(
                mediaType: try $0.text("media_type"), bytes: try $0.blob("bytes"), version: try $0.text("version"))
        }
    }

    package func appLogoVersion(appID: AppID) throws -> String? {
        try row("SELECT version FROM app_logos WHERE app_id = ?1", appID)?.text("version")
    }
}
