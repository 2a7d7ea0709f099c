import Foundation
import NIOSSL
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

/// The settings of one server process, checked as a whole.
package struct ServerSettings: Sendable {
    package var listenHost: String
    package var listenPort: Int
    package var publicURL: String?
    package var dataDirectory: String
    package var database: DatabaseAddress
    package var keyStore: DatabaseAddress
    package var masterKeyFile: String
    package var masterKeyCommand: String?
    package var tlsCertificate: String?
    package var tlsKey: String?
    package var trustedProxies: [IPRange]
    /// Where `/metrics` is answered, when not beside everything else.
    package var metricsListen: (host: String, port: Int)?
    /// Where operators sign in beside their passwords.
    package var operatorSignIn: OperatorSignInSettings?
    package var isDevelopment: Bool

    /// What was given, by flag or environment; absent means the default.
    package struct Input: Sendable {
        package var listen: String?
        package var publicURL: String?
        package var database: String?
        package var keyStore: String?
        package var dataDirectory: String?
        package var masterKeyFile: String?
        package var masterKeyCommand: String?
        package var tlsCertificate: String?
        package var tlsKey: String?
        package var trustedProxies: String?
        package var metricsListen: String?
        package var operatorIssuer: String?
        package var operatorClientID: String?
        package var operatorClientSecretFile: String?
        package var isDevelopment = false

        package init() {}

        /// The environment's part of the settings.
        package init(environment all: [String: String]) {
            // An empty variable is how many tools say “not set”.
            let environment = all.filter { !$0.value.isEmpty }
            listen = environment["SALLYPORT_LISTEN"]
            publicURL = environment["SALLYPORT_PUBLIC_URL"]
            database = environment["SALLYPORT_DATABASE"]
            keyStore = environment["SALLYPORT_KEY_STORE"]
            dataDirectory = environment["SALLYPORT_DATA_DIR"]
            masterKeyFile = environment["SALLYPORT_MASTER_KEY_FILE"]
            masterKeyCommand = environment["SALLYPORT_MASTER_KEY_COMMAND"]
            tlsCertificate = environment["SALLYPORT_TLS_CERTIFICATE"]
            tlsKey = environment["SALLYPORT_TLS_KEY"]
            trustedProxies = environment["SALLYPORT_TRUSTED_PROXIES"]
            metricsListen = environment["SALLYPORT_METRICS_LISTEN"]
            operatorIssuer = environment["SALLYPORT_OPERATOR_ISSUER"]
            operatorClientID = environment["SALLYPORT_OPERATOR_CLIENT_ID"]
            operatorClientSecretFile = environment["SALLYPORT_OPERATOR_CLIENT_SECRET_FILE"]
        }
    }

    /// Every problem of the settings, one sentence each.
    package struct Invalid: Error {
        package let problems: [String]
    }

    package init(_ input: Input) throws(Invalid) {
        var problems: [String] = []
        (listenHost, listenPort) = Self.listenAddress(
            input.listen ?? "127.0.0.1:8787", named: "listen", &problems)
        dataDirectory = input.dataDirectory ?? FileManager.default.currentDirectoryPath + "/sallyport-data"
        database = Self.database(
            input.database, named: "database", default: .sqlite(path: dataDirectory + "/sallyport.db"), &problems)
        let keysBesideDatabase: DatabaseAddress
        switch database {
        case .sqlite: keysBesideDatabase = .sqlite(path: dataDirectory + "/keys.db")
        case .postgresql: keysBesideDatabase = database
        }
        keyStore = Self.database(input.keyStore, named: "key store", default: keysBesideDatabase, &problems)
        masterKeyFile = input.masterKeyFile ?? dataDirectory + "/master.key"
        masterKeyCommand = input.masterKeyCommand
        if input.masterKeyFile != nil, input.masterKeyCommand != nil {
            problems.append("master key: give SALLYPORT_MASTER_KEY_FILE or SALLYPORT_MASTER_KEY_COMMAND, not both")
        }
        tlsCertificate = input.tlsCertificate
        tlsKey = input.tlsKey
        if (input.tlsCertificate == nil) != (input.tlsKey == nil) {
            problems.append("tls: --tls-certificate and --tls-key belong together")
        }
        if let path = input.tlsCertificate, (try? NIOSSLCertificate.fromPEMFile(path))?.isEmpty != false {
            problems.append("tls: \(path) holds no certificate in PEM form that can be read")
        }
        if let path = input.tlsKey, (try? NIOSSLPrivateKey(file: path, format: .pem)) == nil {
            problems.append("tls: \(path) holds no private key in PEM form that can be read")
        }
        trustedProxies = []
        for text in (input.trustedProxies ?? "").split(separator: ",").map({ $0.trimmingCharacters(in: .whitespaces) })
        where !text.isEmpty {
            guard let range = IPRange(text) else {
                problems.append("trusted proxies: \(text) is not an address or CIDR range")
                continue
            }
            trustedProxies.append(range)
        }
        metricsListen = input.metricsListen.map { Self.listenAddress($0, named: "metrics listen", &problems) }
        operatorSignIn = Self.operatorSignIn(input, &problems)
        isDevelopment = input.isDevelopment
        if isDevelopment, !Self.isLoopback(listenHost) {
            problems.append(
                "development: only with a loopback listener, because it lets the vault call private addresses")
        }
        publicURL = Self.publicURL(input.publicURL, &problems)
        if input.publicURL == nil, IPAddress(listenHost)?.isUnspecified == true {
            problems.append("public url: is needed when the listener takes every address")
        }
        guard problems.isEmpty else { throw Invalid(problems: problems) }
    }

    private static func database(
        _ text: String?, named name: String, default assumed: DatabaseAddress, _ problems: inout [String]
    ) -> DatabaseAddress {
        guard let text else { return assumed }
        guard let address = DatabaseAddress(text) else {
            // Never the value: it may hold a password.
            problems.append("\(name): must be sqlite:<path> or a postgresql:// URI")
            return assumed
        }
        return address
    }

    private static func listenAddress(_ text: String, named name: String, _ problems: inout [String]) -> (
        host: String, port: Int
    ) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else {
            problems.append("\(name): must be host:port, for example 127.0.0.1:8787")
            return ("127.0.0.1", 0)
        }
        let host = String(text[..<colon]).trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        if IPAddress(host) == nil, host != "localhost" {
            problems.append("\(name): the host must be an IP address or localhost")
        }
        return (host, port)
    }

    /// An origin: pages and redirect addresses are appended to it as they are.
    private static func publicURL(_ text: String?, _ problems: inout [String]) -> String? {
        guard let text else { return nil }
        do {
            let address = try WebAddress(text)
            guard address.path == "/", address.query == nil else {
                problems.append("public url: must be an origin without a path, for example https://vault.example.com")
                return nil
            }
            let isLocal = address.host == "localhost" || address.ipAddress?.isLoopback == true
            if address.scheme == "http", !isLocal {
                problems.append("public url: must be https unless it is on loopback")
            }
            return address.origin
        } catch {
            problems.append("public url: \(error.reason)")
            return nil
        }
    }

    private static func operatorSignIn(_ input: Input, _ problems: inout [String]) -> OperatorSignInSettings? {
        let given = [input.operatorIssuer, input.operatorClientID, input.operatorClientSecretFile]
        guard given.contains(where: { $0 != nil }) else { return nil }
        guard let issuer = input.operatorIssuer, let clientID = input.operatorClientID,
            let file = input.operatorClientSecretFile
        else {
            problems.append(
                "operator sign-in: SALLYPORT_OPERATOR_ISSUER, _CLIENT_ID and _CLIENT_SECRET_FILE belong together")
            return nil
        }
        guard
            let text = try? String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(
                in: .whitespacesAndNewlines),
            !text.isEmpty
        else {
            problems.append("operator sign-in: \(file) holds no client secret that can be read")
            return nil
        }
        if (try? WebAddress(issuer)) == nil { problems.append("operator sign-in: the issuer must be an address") }
        return OperatorSignInSettings(issuerURL: issuer, clientID: clientID, clientSecret: Secret(text))
    }

    private static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || IPAddress(host)?.isLoopback == true
    }

    package var isPublicURLSecure: Bool { publicURL?.hasPrefix("https://") ?? false }

    package func isTrustedProxy(_ address: IPAddress) -> Bool { trustedProxies.contains { $0.contains(address) } }
}
