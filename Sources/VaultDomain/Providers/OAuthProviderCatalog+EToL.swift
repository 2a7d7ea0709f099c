extension OAuthProviderCatalog {
    static let entriesEToL: [OAuthProviderTemplate] = [github, gitlab, google, hubspot, linear]

    /// Tokens of OAuth Apps neither expire nor refresh; user tokens of GitHub Apps do both. The answer is form-encoded
    /// unless JSON is asked for, errors arrive with status 200, and granted scopes are listed with commas.
    private static let github = OAuthProviderTemplate(
        id: "github", displayName: "GitHub", category: "developer-tools",
        description: "Works with repositories, issues and pull requests on GitHub.",
        documentationURL: "https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps",
        authorizationURL: "https://github.com/login/oauth/authorize",
        tokenURL: "https://github.com/login/oauth/access_token",
        revocation: .endpoint(.deletedToken, "https://api.github.com/applications"),
        userinfoURL: "https://api.github.com/user", accountIDPath: "id", emailPath: "email", displayNamePath: "name",
        scopes: [
            ScopeTemplate("read:user", "See the person's profile", isDefault: true),
            ScopeTemplate("user:email", "See the account's e-mail addresses", isDefault: true),
            ScopeTemplate("repo", "Full control of repositories, private ones too"),
            ScopeTemplate("read:org", "See organizations and teams"),
        ],
        pkce: .unknown, tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["api.github.com", "uploads.github.com"],
        apiHeaders: [
            ProviderHeader("User-Agent", nil, isRequired: true),
            ProviderHeader("Accept", "application/vnd.github+json", isRequired: false),
        ])

    /// gitlab.com; a self-managed instance is a custom provider. A refresh ends the access token before it as well.
    private static let gitlab = OAuthProviderTemplate(
        id: "gitlab", displayName: "GitLab", category: "developer-tools",
        description: "Works with projects, issues and merge requests on GitLab.com.",
        documentationURL: "https://docs.gitlab.com/api/oauth2/",
        authorizationURL: "https://gitlab.com/oauth/authorize",
        tokenURL: "https://gitlab.com/oauth/token",
        revocation: .rfc7009("https://gitlab.com/oauth/revoke"),
        userinfoURL: "https://gitlab.com/api/v4/user", accountIDPath: "id", emailPath: "email",
        displayNamePath: "name",
        scopes: [
            ScopeTemplate("read_user", "See the person's profile", isDefault: true),
            ScopeTemplate("read_api", "Read everything through the API"),
            ScopeTemplate("api", "Read and change everything through the API"),
            ScopeTemplate("read_repository", "Read repositories"),
        ],
        pkce: .supported, tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["gitlab.com"])

    /// A refresh token comes only with `access_type=offline` and, after the first consent, `prompt=consent`. Single
    /// scopes can be unticked by the person. Revoking either token ends the whole grant of that person.
    private static let google = OAuthProviderTemplate(
        id: "google", displayName: "Google", category: "productivity",
        description: "Reaches a person's Gmail, Calendar, Drive and other Google services.",
        documentationURL: "https://developers.google.com/identity/protocols/oauth2/web-server",
        authorizationURL: "https://accounts.google.com/o/oauth2/v2/auth",
        tokenURL: "https://oauth2.googleapis.com/token",
        revocation: .rfc7009("https://oauth2.googleapis.com/revoke"),
        userinfoURL: "https://openidconnect.googleapis.com/v1/userinfo", accountIDPath: "sub", emailPath: "email",
        displayNamePath: "name",
        scopes: [
            ScopeTemplate("openid", "Sign-in identifier", isDefault: true),
            ScopeTemplate("email", "See the account's e-mail address", isDefault: true),
            ScopeTemplate("profile", "See the person's name and picture", isDefault: true),
            ScopeTemplate("https://www.googleapis.com/auth/calendar.readonly", "Read calendars and events"),
            ScopeTemplate("https://www.googleapis.com/auth/gmail.readonly", "Read mail"),
            ScopeTemplate("https://www.googleapis.com/auth/drive.file", "Work with the files opened in this app"),
        ],
        extraAuthorizationParameters: [
            (name: "access_type", value: "offline"), (name: "prompt", value: "consent"),
            (name: "include_granted_scopes", value: "true"),
        ],
        tokenAuthentication: .post,
        apiHosts: [
            "www.googleapis.com", "openidconnect.googleapis.com", "docs.googleapis.com", "gmail.googleapis.com",
            "people.googleapis.com", "sheets.googleapis.com", "slides.googleapis.com", "tasks.googleapis.com",
        ])

    /// The address carries the date of its version. The account is the portal, not the person.
    private static let hubspot = OAuthProviderTemplate(
        id: "hubspot", displayName: "HubSpot", category: "crm",
        description: "Works with the contacts and deals of a HubSpot portal.",
        documentationURL: "https://developers.hubspot.com/docs/api-reference/auth-oauth-v3/guide",
        authorizationURL: "https://app.hubspot.com/oauth/authorize",
        tokenURL: "https://api.hubapi.com/oauth/2026-03/token",
        revocation: .rfc7009("https://api.hubapi.com/oauth/2026-03/token/revoke"),
        userinfoURL: "https://api.hubapi.com/account-info/v3/details", accountIDPath: "portalId",
        scopes: [
            ScopeTemplate("oauth", "Basic access, needed by every app", isDefault: true),
            ScopeTemplate("crm.objects.contacts.read", "Read contacts"),
        ],
        pkce: .supported, tokenAuthentication: .post,
        apiHosts: ["api.hubapi.com"])

    /// The account is told by a GraphQL POST only.
    private static let linear = OAuthProviderTemplate(
        id: "linear", displayName: "Linear", category: "project-management",
        description: "Works with the issues and comments of a Linear workspace.",
        documentationURL: "https://linear.app/developers/oauth-2-0-authentication",
        authorizationURL: "https://linear.app/oauth/authorize",
        tokenURL: "https://api.linear.app/oauth/token",
        revocation: .rfc7009("https://api.linear.app/oauth/revoke"),
        scopes: [
            ScopeTemplate("read", "Read everything the person can see", isDefault: true),
            ScopeTemplate("write", "Change everything the person can change"),
            ScopeTemplate("issues:create", "Create issues"),
            ScopeTemplate("comments:create", "Create comments"),
        ],
        scopeSeparator: ",", extraAuthorizationParameters: [(name: "prompt", value: "consent")],
        pkce: .unknown, tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["api.linear.app"])
}
