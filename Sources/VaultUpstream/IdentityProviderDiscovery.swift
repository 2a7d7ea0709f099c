// Looking at an issuer before it is trusted: its metadata (OpenID Connect Discovery 1.0 §4), its key set, and what kind of
// provider it is. It saves nothing and decides nothing; the operator's verbs do. Whatever fails is named, because the
// person who typed the address has to mend it.

import VaultAPI
import VaultDomain

package struct DiscoveredProvider: Sendable {
    package let type: IdentityProviderType
    package let document: DiscoveryDocument
    package let suggestedClaims: ClaimMapping
    package let capabilities: IdentityProviderCapabilities

    init(document: DiscoveryDocument) {
        type = IdentityProviderType.detect(document)
        self.document = document
        suggestedClaims = type.suggestedClaims
        capabilities = IdentityProviderCapabilities(type: type, document: document)
    }
}

package enum DiscoveryFailure: Error, Equatable, Sendable {
    case notAnAddress(problem: String)
    case notHTTPS
    case addressRefused(String)
    case unreachable(String)
    case tls
    case timedOut
    case tooLarge
    case status(Int)
    case notJSON
    /// With the document's own form, when that is an address.
    case issuerDiffers(String?)
    case memberMissing(String)
    case memberMalformed(String, problem: String)
    case keySetUnusable(String)

    /// One word for scripts.
    package var code: String {
        switch self {
        case .notAnAddress: "not_an_address"
        case .notHTTPS: "not_https"
        case .addressRefused: "address_refused"
        case .unreachable: "unreachable"
        case .tls: "tls"
        case .timedOut: "timed_out"
        case .tooLarge: "too_large"
        case .status: "status"
        case .notJSON: "not_json"
        case .issuerDiffers: "issuer_differs"
        case .memberMissing: "member_missing"
        case .memberMalformed: "member_malformed"
        case .keySetUnusable: "key_set_unusable"
        }
    }

    /// A sentence for the operator.
    package var reason: String {
        switch self {
        case .notAnAddress(let problem): "The issuer is not an address: it \(problem)."
        case .notHTTPS: "The issuer must begin with https://."
        case .addressRefused(let problem): "The issuer's address is not one that this server calls: \(problem)."
        case .unreachable(let problem): "The issuer could not be reached: \(problem)."
        case .tls: "No trustworthy TLS connection to the issuer: its certificate or TLS version is not acceptable."
        case .timedOut: "The issuer did not answer in time."
        case .tooLarge: "The discovery document is larger than 1 MiB."
        case .status(let status) where (300..<400).contains(status):
            "The discovery document's address redirects (\(status)), and redirects are not followed: "
                + "enter the issuer exactly as its tokens name it."
        case .status(let status):
            "The discovery document's address, the issuer with \(IdentityProviderDiscovery.documentPath) after it, "
                + "answered with status \(status)."
        case .notJSON: "The discovery document is not a JSON object."
        case .issuerDiffers(let named):
            "The discovery document names another issuer"
                + (named.map { ": \($0). Enter that one if it is yours." } ?? ".")
        case .memberMissing(let name): "The discovery document has no \(name)."
        case .memberMalformed(let name, let problem): "The discovery document's \(name) \(problem)."
        case .keySetUnusable(let problem): "The issuer's key set (jwks_uri) cannot be used: \(problem)."
        }
    }
}

package struct IdentityProviderDiscovery: Sendable {
    static let documentPath = "/.well-known/openid-configuration"
    /// For the document and the key set together; the contract promises an answer within 10 s.
    private static let totalSeconds = 9
    private static let documentSecondsMax = 6
    private static let bytesMax = 1 << 20
    /// Of a foreign issuer's name in an answer of ours.
    private static let shownLengthMax = 200

    private let send: Send

    package init(send: @escaping Send) { self.send = send }

    package func discover(issuerURL: String) async throws(DiscoveryFailure) -> DiscoveredProvider {
        let started = ContinuousClock.now
        let issuer = try Self.issuerAddress(issuerURL)
        let json = try await document(of: issuer)
        try Self.checkIssuer(json, typed: issuerURL, address: issuer)
        let document: DiscoveryDocument
        do {
            document = try DiscoveryDocument(json)
        } catch {
            throw DiscoveryFailure(error)
        }
        let elapsedSeconds = Int((ContinuousClock.now - started) / .seconds(1)) + 1
        try await checkKeySet(document, timeoutSeconds: max(1, Self.totalSeconds - elapsedSeconds))
        return DiscoveredProvider(document: document)
    }

    // MARK: The issuer as it was typed

    private static func issuerAddress(_ text: String) throws(DiscoveryFailure) -> WebAddress {
        let address: WebAddress
        do {
            address = try WebAddress(text)
        } catch .notHTTP {
            throw .notHTTPS
        } catch {
            throw .notAnAddress(problem: error.reason)
        }
        guard address.query == nil else { throw .notAnAddress(problem: "must not have a query (?…)") }
        guard !address.path.contains("/.well-known/") else {
            throw .notAnAddress(problem: "must be the issuer itself, without /.well-known/… after it")
        }
        return address
    }

    private static func withoutFinalSlash(_ text: String) -> String {
        text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    /// OpenID Connect Discovery 1.0 §4.3, with one final slash forgiven: people leave it out, and Auth0 has it. Host and
    /// scheme may have been typed in another case; the document's form is the one that counts afterwards.
    private static func checkIssuer(_ json: JSON, typed: String, address: WebAddress) throws(DiscoveryFailure) {
        guard json.object != nil else { throw .notJSON }
        guard let member = json["issuer"], !member.isNull else { throw .memberMissing("issuer") }
        guard let named = member.string else { throw .memberMalformed("issuer", problem: "must be a text") }
        let accepted = [typed, address.text].map(withoutFinalSlash)
        guard accepted.contains(where: { $0.utf8.elementsEqual(withoutFinalSlash(named).utf8) }) else {
            let isShowable = named.utf8.count <= shownLengthMax && (try? WebAddress(named)) != nil
            throw .issuerDiffers(isShowable ? named : nil)
        }
    }

    // MARK: Fetching

    private func document(of issuer: WebAddress) async throws(DiscoveryFailure) -> JSON {
        let address: WebAddress
        do {
            address = try WebAddress(issuer.origin + Self.withoutFinalSlash(issuer.path) + Self.documentPath)
        } catch {
            throw .notAnAddress(problem: error.reason)
        }
        let response: OutgoingResponse
        do {
            response = try await send(
                OutgoingRequest(
                    method: "GET", address: address, headers: [(name: "Accept", value: "application/json")],
                    timeoutSeconds: Self.documentSecondsMax, responseBytesMax: Self.bytesMax, usesFreshConnection: true)
            )
        } catch {
            throw DiscoveryFailure(error, address: address)
        }
        guard response.status == 200 else { throw .status(response.status) }
        guard let json = try? JSON(parsing: response.body) else { throw .notJSON }
        return json
    }

    /// A set without a usable key would refuse every token later, without anybody near who could mend it.
    private func checkKeySet(_ document: DiscoveryDocument, timeoutSeconds: Int) async throws(DiscoveryFailure) {
        let address: WebAddress
        do {
            address = try WebAddress(document.jwksURI)
        } catch {
            throw .memberMalformed("jwks_uri", problem: error.reason)
        }
        do {
            _ = try await KeySetCache.fetch(address, send: send, timeoutSeconds: timeoutSeconds)
        } catch {
            throw .keySetUnusable(error.reason)
        }
    }
}

extension DiscoveryFailure {
    fileprivate init(_ error: DiscoveryDocumentError) {
        switch error {
        case .notAnObject: self = .notJSON
        case .memberMissing(let name): self = .memberMissing(name)
        case .memberMalformed(let name, let problem): self = .memberMalformed(name, problem: problem)
        }
    }

    fileprivate init(_ error: any Error, address: WebAddress) {
        guard let failure = error as? OutgoingFailure else {
            self = .unreachable("the call was not completed")
            return
        }
        switch failure {
        // Development servers call http; everywhere else that is what the refusal is about.
        case .addressRefused where !address.isSecure: self = .notHTTPS
        case .addressRefused(let reason): self = .addressRefused(reason)
        case .unresolvable, .unreachable, .malformed, .answerLost: self = .unreachable(failure.reason)
        case .tls: self = .tls
        case .timedOut: self = .timedOut
        case .tooLarge: self = .tooLarge
        }
    }
}
