import Foundation

/// Every address of this installation that is written into answers, pages and redirects.
package enum SitePath: Sendable {
    case connectPage(String)
    case connectScript
    case oauthCallback
    case signIn(String)
    case sdkSignInCallback
    case walletSignInCallback
    case walletSignIn
    case walletStart
    case walletConnections
    case walletRevoke(String)
    case walletExtend(String)
    case walletActivity
    case walletActivityFile
    case walletSignOut
    case identityProviderWebhook(String)
    case asset(String)
    case portal
    case portalSetup(String)
    case portalSignIn
    case portalSignInStart
    case portalSignInCallback
    case portalSignOut
    case portalInvitation(String)
    case portalAccount
    case portalOrganizations
    case portalOrganization(String)
    case portalApps
    /// A page of an app: `""` is its overview.
    case portalApp(String, String)
    case appStyle(String)
    case appLogo(String)

    package var path: String {
        switch self {
        case .connectPage(let reference): "/connect/" + reference
        case .connectScript: "/connect.js"
        case .oauthCallback: "/oauth/callback"
        case .signIn(let reference): "/sign-in/" + reference
        case .sdkSignInCallback: "/sdk/auth/callback"
        case .walletSignInCallback: "/wallet/api/auth/callback"
        case .walletSignIn: "/wallet/sign-in"
        case .walletStart: "/wallet/sign-in/start"
        case .walletConnections: "/wallet/connections"
        case .walletRevoke(let grantID): "/wallet/connections/" + grantID + "/revoke"
        case .walletExtend(let grantID): "/wallet/connections/" + grantID + "/extend"
        case .walletActivity: "/wallet/activity"
        case .walletActivityFile: "/wallet/activity.csv"
        case .walletSignOut: "/wallet/sign-out"
        case .identityProviderWebhook(let endpointID): "/webhooks/idp/" + endpointID
        case .asset(let name): "/assets/" + name
        case .portal: "/portal"
        case .portalSetup(let token): "/portal/setup/" + token
        case .portalSignIn: "/portal/sign-in"
        case .portalSignInStart: "/portal/sign-in/start"
        case .portalSignInCallback: "/portal/sign-in/callback"
        case .portalSignOut: "/portal/sign-out"
        case .portalInvitation(let token): "/portal/invitations/" + token
        case .portalAccount: "/portal/account"
        case .portalOrganizations: "/portal/organizations"
        case .portalOrganization(let id): "/portal/organizations/" + id
        case .portalApps: "/portal/apps"
        case .portalApp(let id, let page): "/portal/apps/" + id + (page.isEmpty ? "" : "/" + page)
        case .appStyle(let appID): "/branding/" + appID + "/style.css"
        case .appLogo(let appID): "/branding/" + appID + "/logo"
        }
    }
}
