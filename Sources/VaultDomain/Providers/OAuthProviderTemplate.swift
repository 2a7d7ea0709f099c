// What the vault knows about an OAuth service before any operator has entered a client: addresses, identity paths,
// scopes and deviations. A template owns facts of the provider; it does not own a client id, a secret or a choice of
// scopes (those are the operator's), and it makes no request. Connect, refresh, revocation, the proxy and both catalogue
// endpoints read it. A custom provider is the same type filled in by an operator.

/// One permission a provider can be asked for.
package struct ScopeTemplate: Sendable, Equatable {
    package let name: String
    package let description: String
    /// Asked for when the operator chose nothing.
    package let isDefault: Bool

    package init(_ name: String, _ description: String, isDefault: Bool = false) {
        self.name = name
        self.description = description
        self.isDefault = isDefault
    }
}

/// A header the provider's API expects beside the bearer token.
package struct ProviderHeader: Sendable, Equatable {
    package let name: String
    /// `nil`: any value that names the caller will do, so the one our client or the app sends is kept.
    package let value: String?
    package let isRequired: Bool

    package init(_ name: String, _ value: String?, isRequired: Bool) {
        self.name = name
        self.value = value
        self.isRequired = isRequired
    }
}

package struct OAuthProviderTemplate: Sendable {
    /// How a token is named to its provider's revocation address.
    package enum RevocationStyle: Sendable, Equatable {
        /// RFC 7009 §2.1: a form with `token` and `token_type_hint`, authenticated as at the token address.
        case rfc7009
        /// JSON with `token`, authenticated as at the token address, with the headers of the provider's API.
        case json
        /// The access token authenticates a POST without a body, which ends the refresh token as well.
        case bearer
        /// `DELETE <address>/<client id>/token` with the client's credentials (Basic) and JSON with `access_token`.
        case deletedToken
    }

    /// How a connection can be ended at the provider.
    package enum Revocation: Sendable, Equatable {
        case endpoint(RevocationStyle, String)
        /// The provider says that it has none; only the person can remove the app in the account's settings.
        case unsupported
        /// No address, or no shape of its request, has been confirmed by the provider's own text.
        case notKnown

        package static func rfc7009(_ address: String) -> Revocation { .endpoint(.rfc7009, address) }

        package var address: String? { if case .endpoint(_, let address) = self { address } else { nil } }
    }

    /// Proof Key for Code Exchange (RFC 7636), always with S256.
    package enum PKCE: String, Sendable, CaseIterable {
        case required, supported, unsupported, unknown

        /// A challenge is sent unless the provider is known to choke on it: a server must ignore parameters that it
        /// does not know (RFC 6749 §3.1, §3.2), and one that does know them is the safer for it.
        package var sendsChallenge: Bool { self != .unsupported }
    }

    /// Where the client's credentials go at the token address (RFC 6749 §2.3.1).
    package enum TokenAuthentication: String, Sendable, CaseIterable {
        /// `Authorization: Basic`, both parts form-encoded first.
        case basic
        /// `client_id` and `client_secret` in the body.
        case post
    }

    package enum TokenRequestBody: String, Sendable, CaseIterable {
        case form, json
    }

    /// What happens to the refresh token when it is used. Whatever stands here, a refresh token in an answer replaces
    /// the stored one.
    package enum RefreshTokenRotation: String, Sendable, CaseIterable {
        /// Every answer brings a new one and the old one is spent.
        case always
        /// The provider issues none.
        case notApplicable
        case unknown
    }

    /// Lower-case; the `provider_id` of both APIs.
    package let id: String
    package var displayName: String
    package let category: String
    package let description: String
    package let documentationURL: String
    package let authorizationURL: String
    package let tokenURL: String
    package let revocation: Revocation
    /// Answers a GET with the bearer token; `nil` when there is no such address, and then a connection cannot name its
    /// account.
    package let userinfoURL: String?
    /// Dotted paths into the answer of `userinfoURL`; `[n]` selects an element of an array.
    package let accountIDPath: String?
    package let emailPath: String?
    package let displayNamePath: String?
    /// Empty: the provider takes no scope parameter, or grants what the client was registered with when it is left out.
    package var scopes: [ScopeTemplate]
    package let scopeSeparator: String
    /// Constant parameters of the authorization address.
    package let extraAuthorizationParameters: [(name: String, value: String)]
    package let pkce: PKCE
    package let tokenAuthentication: TokenAuthentication
    package let tokenRequestBody: TokenRequestBody
    package let supportsRefresh: Bool
    package let refreshTokenRotation: RefreshTokenRotation
    /// The only hosts the token may be sent to: exact names.
    package let apiHosts: [String]
    package let apiHeaders: [ProviderHeader]

    package var defaultScopes: [String] { scopes.filter(\.isDefault).map(\.name) }
    package var identifiesAccount: Bool { userinfoURL != nil && accountIDPath != nil }

    package init(
        id: String, displayName: String, category: String, description: String, documentationURL: String,
        authorizationURL: String, tokenURL: String, revocation: Revocation = .notKnown, userinfoURL: String? = nil,
        accountIDPath: String? = nil, emailPath: String? = nil, displayNamePath: String? = nil,
        scopes: [ScopeTemplate] = [], scopeSeparator: String = " ",
        extraAuthorizationParameters: [(name: String, value: String)] = [], pkce: PKCE = .unknown,
        tokenAuthentication: TokenAuthentication, tokenRequestBody: TokenRequestBody = .form,
        supportsRefresh: Bool = true, refreshTokenRotation: RefreshTokenRotation = .unknown, apiHosts: [String],
        apiHeaders: [ProviderHeader] = []
    ) {
        self.id = id
        self.displayName = displayName
        self.category = category
        self.description = description
        self.documentationURL = documentationURL
        self.authorizationURL = authorizationURL
        self.tokenURL = tokenURL
        self.revocation = revocation
        self.userinfoURL = userinfoURL
        self.accountIDPath = accountIDPath
        self.emailPath = emailPath
        self.displayNamePath = displayNamePath
        self.scopes = scopes
        self.scopeSeparator = scopeSeparator
        self.extraAuthorizationParameters = extraAuthorizationParameters
        self.pkce = pkce
        self.tokenAuthentication = tokenAuthentication
        self.tokenRequestBody = tokenRequestBody
        self.supportsRefresh = supportsRefresh
        self.refreshTokenRotation = refreshTokenRotation
        self.apiHosts = apiHosts
        self.apiHeaders = apiHeaders
    }
}
