import DevelopmentPeers
import Foundation
import VaultCrypto

/// The client's half of a code flow at a development peer.
struct PeerFlow {
    static let redirectURI = "http://127.0.0.1:9/callback"

    let baseURL: String
    let client: DevelopmentClient
    let redirectURI: String
    let extra: [(String, String)]
    let state = RandomBytes.token() + " <&\""
    let verifier = RandomBytes.token()

    init(
        _ baseURL: String, _ client: DevelopmentClient, redirectURI: String = PeerFlow.redirectURI,
        extra: [(String, String)] = []
    ) {
        self.baseURL = baseURL
        self.client = client
        self.redirectURI = redirectURI
        self.extra = extra
    }

    var authorizationFields: [(String, String)] {
        [
            ("response_type", "code"), ("client_id", client.id), ("redirect_uri", redirectURI), ("state", state),
            ("code_challenge", Base64URL.encode(Digest.sha256(verifier))), ("code_challenge_method", "S256"),
        ] + extra
    }

    var authorizationURL: String { baseURL + "/authorize?" + FormText.encode(authorizationFields) }

    private var credentials: [(String, String)] {
        [("client_id", client.id), ("client_secret", client.secret.revealed())]
    }

    func exchange(_ code: String, replacing: (String, String)? = nil) -> [(String, String)] {
        let fields =
            [
                ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirectURI),
                ("code_verifier", verifier),
            ] + credentials
        return fields.map { $0.0 == replacing?.0 ? ($0.0, replacing?.1 ?? "") : $0 }
    }

    func refresh(_ refreshToken: String) -> [(String, String)] {
        [("grant_type", "refresh_token"), ("refresh_token", refreshToken)] + credentials
    }

    func revoke(_ token: String) -> [(String, String)] { [("token", token)] + credentials }
}

enum FormText {
    private static let unreserved = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    static func encode(_ fields: [(String, String)]) -> String {
        fields.map { encode($0.0) + "=" + encode($0.1) }.joined(separator: "&")
    }

    static func encode(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "" }
}
