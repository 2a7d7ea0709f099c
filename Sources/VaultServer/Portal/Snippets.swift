import VaultAPI
import VaultService

/// A first call in code, with the addresses of this installation and what the app has. Keys and tokens of users are read from
/// the environment: nothing secret stands in a snippet.
struct Snippets: Sendable {
    let baseURL: String
    let call: SampleCall

    /// - Parameter call: `nil` before the app has a provider: then one that most people know stands for it.
    init(baseURL: String, call: SampleCall?) {
        self.baseURL = baseURL
        self.call = call ?? .asUser(providerID: "github", host: "api.github.com")
    }

    /// JSON's strings are those of Python and Swift for what addresses and names of ours hold.
    private func literal(_ text: String) -> String { JSON.string(text).text }

    private var host: String {
        switch call {
        case .asUser(_, let host), .asApp(_, let host): host
        }
    }

    private var address: String { literal("https://\(host)/") }

    /// The official SDK takes its address from the environment alone, when a client is made.
    var python: String {
        let named =
            switch call {
            case .asUser(let providerID, _):
                """
                provider=\(literal(providerID)),
                            user_token=os.environ["USER_TOKEN"],  # the user's JWT of your identity provider
                """
            case .asApp(let grantID, _): "grant_id=\(literal(grantID.text)),"
            }
        return """
            # pip install alter-sdk
            import asyncio
            import os

            from alter_sdk import App

            os.environ["ALTER_BASE_URL"] = \(literal(baseURL))


            async def main() -> None:
                async with App(os.environ["ALTER_API_KEY"]) as app:
                    response = await app.request(
                        "GET",
                        \(address),
                        \(named)
                    )
                    print(response.status_code, response.text)


            asyncio.run(main())

            """
    }

    /// Signs the request itself: HMAC-SHA256 over six lines, with a key derived from the API key.
    var swift: String {
        let named =
            switch call {
            case .asUser(let providerID, _):
                """
                "provider_id": \(literal(providerID)),
                    "user_token": environment["USER_TOKEN"] ?? "",  // the user's JWT of your identity provider
                """
            case .asApp(let grantID, _): "\"grant_id\": \(literal(grantID.text)),"
            }
        return """
            import Crypto  // swift-crypto; CryptoKit on Apple's platforms
            import Foundation
            #if canImport(FoundationNetworking)
            import FoundationNetworking
            #endif

            let vault = \(literal(baseURL))
            let environment = ProcessInfo.processInfo.environment
            let apiKey = environment["ALTER_API_KEY"] ?? ""

            func hex(_ bytes: some Sequence<UInt8>) -> String {
                bytes.map { String(format: "%02x", $0) }.joined()
            }

            func signed(_ path: String, _ body: Data) throws -> URLRequest {
                guard let url = URL(string: vault + path) else { throw URLError(.badURL) }
                let time = String(Int(Date().timeIntervalSince1970))
                let nonce = hex((0..<16).map { _ in UInt8.random(in: .min ... .max) })
                let digest = hex(SHA256.hash(data: body))
                let key = HMAC<SHA256>.authenticationCode(
                    for: Data("alter-signing-v1".utf8), using: SymmetricKey(data: Data(apiKey.utf8)))
                let text = ["POST", path, time, nonce, digest, ""].joined(separator: "\\n")
                let signature = HMAC<SHA256>.authenticationCode(
                    for: Data(text.utf8), using: SymmetricKey(data: Data(key)))
                var request = URLRequest(url: url)
                request.httpMethod = "POST"
                request.httpBody = body
                for (name, value) in [
                    "Content-Type": "application/json", "x-api-key": apiKey, "X-Alter-Timestamp": time,
                    "X-Alter-Nonce": nonce, "X-Alter-Content-SHA256": digest, "X-Alter-Signature": hex(signature),
                ] { request.setValue(value, forHTTPHeaderField: name) }
                return request
            }

            // The vault makes the call; the credential never leaves it.
            let call = [
                "method": "GET", "url": \(address),
                \(named)
            ]
            let request = try signed("/sdk/proxy", JSONEncoder().encode(call))
            let (answer, _) = try await URLSession.shared.data(for: request)
            print(String(decoding: answer, as: UTF8.self))

            """
    }
}
