import DevelopmentPeers
import Foundation
import Testing
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultUpstream

/// A browser and client of the development peers: follows no redirect, so that a test sees each step.
struct PeerBrowser {
    struct Answer {
        let response: OutgoingResponse

        var status: Int { response.status }
        var text: String { String(decoding: response.body, as: UTF8.self) }

        func header(_ name: String) -> String? { response.header(name) }
        func json() throws -> JSON { try JSON(parsing: response.body) }

        /// The parameters of the redirect back to the app.
        func callback() throws -> [String: String] {
            let location = try #require(header("location"))
            try #require(location.hasPrefix(PeerFlow.redirectURI))
            let items = URLComponents(string: location)?.queryItems ?? []
            return Dictionary(items.map { ($0.name, $0.value ?? "") }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// One for the whole run, because its connections must be ended by hand.
    private static let client = GuardedClient(allowsPrivateAddresses: true)

    func send(
        _ method: String, _ address: String, headers: [(String, String)] = [], body: [UInt8] = []
    ) async throws -> Answer {
        let request = OutgoingRequest(
            method: method, address: try WebAddress(address), headers: headers.map { (name: $0.0, value: $0.1) },
            body: body.isEmpty ? nil : body)
        return Answer(response: try await Self.client.send(request))
    }

    func get(_ address: String, bearer: String? = nil) async throws -> Answer {
        try await send("GET", address, headers: bearer.map { [("authorization", "Bearer " + $0)] } ?? [])
    }

    func post(
        _ address: String, _ fields: [(String, String)], basic: DevelopmentClient? = nil
    ) async throws -> Answer {
        var headers = [("content-type", "application/x-www-form-urlencoded")]
        if let basic {
            // RFC 6749 §2.3.1: form-encoded first.
            let pair = FormText.encode(basic.id) + ":" + FormText.encode(basic.secret.revealed())
            headers.append(("authorization", "Basic " + Data(pair.utf8).base64EncodedString()))
        }
        return try await send("POST", address, headers: headers, body: Array(FormText.encode(fields).utf8))
    }
}
