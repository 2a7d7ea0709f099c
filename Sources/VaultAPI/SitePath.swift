import Foundation

/// Every address of this installation that is written into answers, pages and redirects.
package enum SitePath: Sendable {
    case connectPage(String)
    case oauthCallback
    case signIn(String)
    case sdkSignInCallback
    case walletSignInCallback
    case walletSignIn
    case walletStart
    case walletConnections
    case walletRevoke(String)
    case walletSignOut
    case identityProviderWebhook(String)
    case stylesheet

    package var path: String {
        switch self {
        case .connectPage(let reference): "/connect/" + reference
        case .oauthCallback: "/oauth/callback"
        case .signIn(let reference): "/sign-in/" + reference
        case .sdkSignInCallback: "/sdk/auth/callback"
        case .walletSignInCallback: "/wallet/api/auth/callback"
        case .walletSignIn: "/wallet/sign-in"
        case .walletStart: "/wallet/sign-in/start"
        case .walletConnections: "/wallet/connections"
        case .walletRevoke(let grantID): "/wallet/connections/" + grantID + "/revoke"
        case .walletSignOut: "/wallet/sign-out"
        case .identityProviderWebhook(let endpointID): "/webhooks/idp/" + endpointID
        case .stylesheet: "/assets/sallyport.css"
        }
    }
}
