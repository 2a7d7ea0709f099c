extension OAuthProviderCatalog {
    static let entriesAToD: [OAuthProviderTemplate] = [
        airtable, asana, atlassian, attio, bitbucket, box, calendly, discord, dropbox,
    ]

    private static let airtable = OAuthProviderTemplate(
        id: "airtable", displayName: "Airtable", category: "database",
        description: "Reads and changes the records and tables of the bases a person shares.",
        documentationURL: "https://airtable.com/developers/web/api/oauth-reference",
        authorizationURL: "https://airtable.com/oauth2/v1/authorize",
        tokenURL: "https://airtable.com/oauth2/v1/token",
        revocation: .unsupported,
        userinfoURL: "https://api.airtable.com/v0/meta/whoami", accountIDPath: "id", emailPath: "email",
        scopes: [
            ScopeTemplate("user.email:read", "See the account's e-mail address", isDefault: true),
            ScopeTemplate("data.records:read", "Read records", isDefault: true),
            ScopeTemplate("data.records:write", "Create, change and delete records"),
            ScopeTemplate("schema.bases:read", "See tables and fields"),
        ],
        pkce: .required, tokenAuthentication: .basic, refreshTokenRotation: .always,
        apiHosts: ["api.airtable.com"])

    private static let asana = OAuthProviderTemplate(
        id: "asana", displayName: "Asana", category: "project-management",
        description: "Works with a person's tasks and projects.",
        documentationURL: "https://developers.asana.com/docs/oauth",
        authorizationURL: "https://app.asana.com/-/oauth_authorize",
        tokenURL: "https://app.asana.com/-/oauth_token",
        revocation: .rfc7009("https://app.asana.com/-/oauth_revoke"),
        userinfoURL: "https://app.asana.com/api/1.0/users/me", accountIDPath: "data.gid", emailPath: "data.email",
        displayNamePath: "data.name",
        scopes: [
            ScopeTemplate("users:read", "See people's profiles", isDefault: true),
            ScopeTemplate("tasks:read", "Read tasks", isDefault: true),
            ScopeTemplate("openid", "Sign-in identifier"),
            ScopeTemplate("email", "See the account's e-mail address"),
            ScopeTemplate("default", "Everything, for apps registered with full permissions; stands alone"),
        ],
        tokenAuthentication: .post,
        apiHosts: ["app.asana.com"])

    /// Every site of a customer is reached through one gateway host; the site's own address refuses the token.
    private static let atlassian = OAuthProviderTemplate(
        id: "atlassian", displayName: "Atlassian Cloud", category: "project-management",
        description: "Reaches Jira and Confluence through the Atlassian gateway.",
        documentationURL: "https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens",
        authorizationURL: "https://auth.atlassian.com/authorize",
        tokenURL: "https://auth.atlassian.com/oauth/token",
        revocation: .unsupported,
        userinfoURL: "https://api.atlassian.com/me", accountIDPath: "account_id", emailPath: "email",
        displayNamePath: "name",
        scopes: [
            ScopeTemplate("offline_access", "Stay connected while the person is away", isDefault: true),
            ScopeTemplate("read:me", "See the person's profile", isDefault: true),
            ScopeTemplate("read:jira-work", "Read Jira projects and issues"),
            ScopeTemplate("read:jira-user", "See Jira users"),
        ],
        extraAuthorizationParameters: [
            (name: "audience", value: "api.atlassian.com"), (name: "prompt", value: "consent"),
        ],
        tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["api.atlassian.com"])

    /// The token belongs to a workspace, lives until it is revoked, and carries the scopes ticked in the app's settings.
    private static let attio = OAuthProviderTemplate(
        id: "attio", displayName: "Attio", category: "crm",
        description: "Works with the customer records of an Attio workspace.",
        documentationURL: "https://docs.attio.com/rest-api/guides/authentication",
        authorizationURL: "https://app.attio.com/authorize",
        tokenURL: "https://app.attio.com/oauth/token",
        revocation: .rfc7009("https://app.attio.com/oauth/revoke"),
        userinfoURL: "https://api.attio.com/v2/self", accountIDPath: "workspace_id",
        tokenAuthentication: .post, supportsRefresh: false, refreshTokenRotation: .notApplicable,
        apiHosts: ["api.attio.com"])

    /// The permissions are those of the registered consumer. Not the Atlassian server above: neither audience nor
    /// `offline_access`.
    private static let bitbucket = OAuthProviderTemplate(
        id: "bitbucket", displayName: "Bitbucket Cloud", category: "developer-tools",
        description: "Works with repositories and pull requests on Bitbucket Cloud.",
        documentationURL: "https://developer.atlassian.com/cloud/bitbucket/oauth-2",
        authorizationURL: "https://bitbucket.org/site/oauth2/authorize",
        tokenURL: "https://bitbucket.org/site/oauth2/access_token",
        userinfoURL: "https://api.bitbucket.org/2.0/user", accountIDPath: "uuid", displayNamePath: "display_name",
        tokenAuthentication: .basic,
        apiHosts: ["api.bitbucket.org"])

    /// Downloads are redirected to other hosts, which never get the token.
    private static let box = OAuthProviderTemplate(
        id: "box", displayName: "Box", category: "storage",
        description: "Reads and stores a person's files in Box.",
        documentationURL:
            "https://github.com/box/developer.box.com/blob/main/content/guides/authentication/tokens/refresh.md",
        authorizationURL: "https://account.box.com/api/oauth2/authorize",
        tokenURL: "https://api.box.com/oauth2/token",
        revocation: .rfc7009("https://api.box.com/oauth2/revoke"),
        userinfoURL: "https://api.box.com/2.0/users/me", accountIDPath: "id", displayNamePath: "name",
        tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["api.box.com"])

    private static let calendly = OAuthProviderTemplate(
        id: "calendly", displayName: "Calendly", category: "scheduling",
        description: "Reads a person's event types and booked meetings.",
        documentationURL:
            "https://developer.calendly.com/how-to-access-calendly-data-on-behalf-of-authenticated-users",
        authorizationURL: "https://auth.calendly.com/oauth/authorize",
        tokenURL: "https://auth.calendly.com/oauth/token",
        revocation: .rfc7009("https://auth.calendly.com/oauth/revoke"),
        userinfoURL: "https://api.calendly.com/users/me", accountIDPath: "resource.uri", emailPath: "resource.email",
        displayNamePath: "resource.name",
        scopes: [
            ScopeTemplate("users:read", "See the person's profile", isDefault: true),
            ScopeTemplate("scheduled_events:read", "Read booked meetings", isDefault: true),
            ScopeTemplate("event_types:read", "Read event types"),
            ScopeTemplate("webhooks:write", "Create and delete webhooks"),
        ],
        pkce: .supported, tokenAuthentication: .post, refreshTokenRotation: .always,
        apiHosts: ["api.calendly.com"])

    private static let discord = OAuthProviderTemplate(
        id: "discord", displayName: "Discord", category: "communication",
        description: "Sees a person's Discord profile and servers.",
        documentationURL: "https://discord.com/developers/docs/topics/oauth2",
        authorizationURL: "https://discord.com/oauth2/authorize",
        tokenURL: "https://discord.com/api/oauth2/token",
        revocation: .rfc7009("https://discord.com/api/oauth2/token/revoke"),
        userinfoURL: "https://discord.com/api/users/@me", accountIDPath: "id", emailPath: "email",
        displayNamePath: "global_name",
        scopes: [
            ScopeTemplate("identify", "See the person's profile", isDefault: true),
            ScopeTemplate("email", "See the account's e-mail address", isDefault: true),
            ScopeTemplate("guilds", "List the person's servers"),
        ],
        tokenAuthentication: .post,
        apiHosts: ["discord.com"])

    /// The account is told by a POST only. Without a scope parameter the app's own permissions apply.
    private static let dropbox = OAuthProviderTemplate(
        id: "dropbox", displayName: "Dropbox", category: "storage",
        description: "Reads and stores a person's files in Dropbox.",
        documentationURL: "https://developers.dropbox.com/oauth-guide",
        authorizationURL: "https://www.dropbox.com/oauth2/authorize",
        tokenURL: "https://api.dropboxapi.com/oauth2/token",
        revocation: .endpoint(.bearer, "https://api.dropboxapi.com/2/auth/token/revoke"),
        extraAuthorizationParameters: [(name: "token_access_type", value: "offline")],
        tokenAuthentication: .post,
        apiHosts: ["api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com"])
}
