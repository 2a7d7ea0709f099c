import Foundation

/// Every address of this installation that is written into answers, pages and redirects.
package enum SitePath: Sendable {
    case connectPage(String)
    case oauthCallback
    case signIn(String)
    case sdkSignInCallback
    case walletSignInCallback
    case walletSignIn
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
        case .identityProviderWebhook(let endpointID): "/webhooks/idp/" + endpointID
        case .stylesheet: "/assets/sallyport.css"
        }
    }
}
