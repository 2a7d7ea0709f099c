extension OAuthProviderCatalog {
    static let entriesMToZ: [OAuthProviderTemplate] = [microsoft, miro, notion, reddit, spotify, twitter, zoom]

    /// The `common` authority admits accounts of every organization and personal ones; an app registered for a single
    /// tenant is a custom provider with that tenant in both addresses.
    private static let microsoft = OAuthProviderTemplate(
        id: "microsoft", displayName: "Microsoft", category: "productivity",
        description: "Reaches mail, calendar and files through Microsoft Graph.",
        documentationURL: "https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow",
        authorizationURL: "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        tokenURL: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        revocation: .unsupported,
        userinfoURL: "https://graph.microsoft.com/v1.0/me", accountIDPath: "id", emailPath: "mail",
        displayNamePath: "displayName",
        scopes: [
            ScopeTemplate("offline_access", "Stay connected while the person is away", isDefault: true),
            ScopeTemplate("openid", "Sign-in identifier", isDefault: true),
            ScopeTemplate("User.Read", "See the person's profile", isDefault: true),
            ScopeTemplate("Mail.Read", "Read mail"),
            ScopeTemplate("Calendars.Read", "Read calendars"),
            ScopeTemplate("Files.Read", "Read files"),
        ],
        extraAuthorizationParameters: [(name: "response_mode", value: "query")],
        pkce: .unknown, tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["graph.microsoft.com"])

    /// Scopes are chosen in the app's settings, where `identity:read` is needed to name the account.
    private static let miro = OAuthProviderTemplate(
        id: "miro", displayName: "Miro", category: "collaboration",
        description: "Works with the boards of a Miro team.",
        documentationURL: "https://developers.miro.com/reference/oauth-20-authorization-v2",
        authorizationURL: "https://miro.com/oauth/authorize",
        tokenURL: "https://api.miro.com/v1/oauth/token",
        userinfoURL: "https://api.miro.com/v1/users/me", accountIDPath: "id", emailPath: "email",
        displayNamePath: "name",
        tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["api.miro.com"])

    /// No scopes: the person picks pages. The user address describes the bot, whose owner is the person.
    private static let notion = OAuthProviderTemplate(
        id: "notion", displayName: "Notion", category: "productivity",
        description: "Reads and changes the pages and databases a person shares.",
        documentationURL: "https://developers.notion.com/guides/get-started/authorization",
        authorizationURL: "https://api.notion.com/v1/oauth/authorize",
        tokenURL: "https://api.notion.com/v1/oauth/token",
        revocation: .endpoint(.json, "https://api.notion.com/v1/oauth/revoke"),
        userinfoURL: "https://api.notion.com/v1/users/me", accountIDPath: "bot.owner.user.id",
        emailPath: "bot.owner.user.person.email", displayNamePath: "bot.owner.user.name",
        extraAuthorizationParameters: [(name: "owner", value: "user")],
        tokenAuthentication: .basic, tokenRequestBody: .json, refreshTokenRotation: .always,
        apiHosts: ["api.notion.com"],
        apiHeaders: [ProviderHeader("Notion-Version", "2022-06-28", isRequired: true)])

    /// Errors of the token address can arrive with status 200.
    private static let reddit = OAuthProviderTemplate(
        id: "reddit", displayName: "Reddit", category: "social",
        description: "Reads and posts on Reddit as a person.",
        documentationURL: "https://github.com/reddit-archive/reddit/wiki/OAuth2",
        authorizationURL: "https://www.reddit.com/api/v1/authorize",
        tokenURL: "https://www.reddit.com/api/v1/access_token",
        userinfoURL: "https://oauth.reddit.com/api/v1/me", accountIDPath: "id", displayNamePath: "name",
        scopes: [
            ScopeTemplate("identity", "See the person's profile", isDefault: true),
            ScopeTemplate("read", "Read posts and comments"),
            ScopeTemplate("mysubreddits", "List the communities the person follows"),
            ScopeTemplate("submit", "Post and comment"),
        ],
        extraAuthorizationParameters: [(name: "duration", value: "permanent")],
        tokenAuthentication: .basic,
        apiHosts: ["oauth.reddit.com"],
        apiHeaders: [ProviderHeader("User-Agent", nil, isRequired: true)])

    /// A refresh token ends six months after the consent, used or not.
    private static let spotify = OAuthProviderTemplate(
        id: "spotify", displayName: "Spotify", category: "media",
        description: "Sees a person's Spotify profile and playlists.",
        documentationURL: "https://developer.spotify.com/documentation/web-api/tutorials/refreshing-tokens",
        authorizationURL: "https://accounts.spotify.com/authorize",
        tokenURL: "https://accounts.spotify.com/api/token",
        userinfoURL: "https://api.spotify.com/v1/me", accountIDPath: "id", emailPath: "email",
        displayNamePath: "display_name",
        scopes: [
            ScopeTemplate("user-read-email", "See the account's e-mail address", isDefault: true),
            ScopeTemplate("user-read-private", "See country and plan", isDefault: true),
            ScopeTemplate("playlist-read-private", "Read private playlists"),
            ScopeTemplate("playlist-modify-private", "Change private playlists"),
        ],
        pkce: .supported, tokenAuthentication: .basic,
        apiHosts: ["api.spotify.com"])

    /// The code lives 30 seconds.
    private static let twitter = OAuthProviderTemplate(
        id: "twitter", displayName: "X (Twitter)", category: "social",
        description: "Reads and posts on X as a person.",
        documentationURL: "https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code",
        authorizationURL: "https://x.com/i/oauth2/authorize",
        tokenURL: "https://api.x.com/2/oauth2/token",
        userinfoURL: "https://api.x.com/2/users/me", accountIDPath: "data.id", displayNamePath: "data.name",
        scopes: [
            ScopeTemplate("users.read", "See profiles", isDefault: true),
            ScopeTemplate("tweet.read", "Read posts", isDefault: true),
            ScopeTemplate("offline.access", "Stay connected while the person is away", isDefault: true),
            ScopeTemplate("tweet.write", "Write posts"),
            ScopeTemplate("users.email", "See the account's e-mail address"),
        ],
        pkce: .required, tokenAuthentication: .basic,
        apiHosts: ["api.x.com", "api.twitter.com"])

    /// Scopes come from the app's settings.
    private static let zoom = OAuthProviderTemplate(
        id: "zoom", displayName: "Zoom", category: "communication",
        description: "Works with a person's Zoom meetings and recordings.",
        documentationURL: "https://developers.zoom.us/docs/integrations/oauth/",
        authorizationURL: "https://zoom.us/oauth/authorize",
        tokenURL: "https://zoom.us/oauth/token",
        userinfoURL: "https://api.zoom.us/v2/users/me", accountIDPath: "id", emailPath: "email",
        displayNamePath: "display_name",
        pkce: .supported, tokenAuthentication: .basic, refreshTokenRotation: .always,
        apiHosts: ["api.zoom.us"])
}
