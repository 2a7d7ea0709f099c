import Foundation
import VaultAPI
import VaultCrypto
import VaultDomain
import VaultStore

// Figures that no request shows: what one decision costs, how many signatures are verified in a second, and a data folder
// with a long trail to verify.
// docs/BENCHMARKS.md says how to run them.

@main
struct VaultBenchmarks {
    static func main() async throws {
        switch Array(CommandLine.arguments.dropFirst()) {
        case ["decisions"]: try Decisions.run()
        case ["signatures"]: try Signatures.run()
        case let arguments where arguments.count == 3 && arguments[0] == "trail":
            guard let count = Int(arguments[2]) else { fallthrough }
            try await Trail.fill(folder: arguments[1], records: count)
        default: print("usage: VaultBenchmarks decisions | signatures | trail DATA_FOLDER RECORDS")
        }
    }
}

private enum Decisions {
    /// Calls timed together: one alone is shorter than the clock is fine.
    private static let batch = 200
    private static let batches = 2000

    private static func user() -> User {
        User(
            id: UserID(), appID: AppID(), issuer: "https://id.example", externalSubjectID: "ada", subject: "ada",
            status: .active, groups: ["sales", "support", "eng"], roles: ["reader"],
            firstSeenAt: Instant(seconds: 1_700_000_000))
    }

    private static func layer(_ layer: PolicyLayer, _ document: JSONObject) -> LayeredPolicy {
        LayeredPolicy(layer: layer, policy: AccessPolicy(stored: document), rate: .free)
    }

    /// Every kind of rule in four layers, and lists that hold a hundred entries between them, of which the last ones fit.
    private static func policies() -> [LayeredPolicy] {
        let groups = (1...19).map { "group-\($0)" } + ["eng"]
        let addresses = (1...29).map { "198.51.\($0).0/24" } + ["203.0.113.0/24"]
        let paths = (1...49).map { "/v\($0 + 1)/*/items/**" } + ["/v1/**"]
        let time: JSON = [
            "weekdays_only": true, "timezone": "America/New_York", "windows": [["start": "00:00", "end": "24:00"]],
        ]
        return [
            layer(.app, ["allowed_groups": .strings(groups), "time": time]),
            layer(
                .provider, ["ip_allowlist": .strings(addresses), "methods": ["GET", "POST"], "paths": .strings(paths)]),
            layer(.grant, ["grant_ttl": ["max_seconds": 86_400], "time": time]),
            layer(
                .key,
                [
                    "allowed_roles": ["reader"], "require_approval": ["methods": ["DELETE"]],
                    "rate_limit": ["requests": 60, "per_seconds": 60],
                ]),
        ]
    }

    static func run() throws {
        let user = user()
        let now = Instant(seconds: 1_750_100_000)
        let credential = Credential(
            id: CredentialID(), appID: user.appID, userID: user.id, dataKeyID: DataKeyID(), version: 1,
            tokenGeneration: "g", hasRefreshToken: true, scopes: [], accessExpiresAt: nil, diedAt: nil)
        let grant = Grant(
            id: GrantID(), appID: user.appID, kind: .oauth, providerID: "workbench", credentialID: credential.id,
            principalType: .user, userID: user.id, createdAt: now)
        guard let host = HostRule("api.example.com") else { return }
        let facts = ReleaseFacts(
            mode: .proxy, grant: grant, credential: credential, user: user, hasUserToken: true, allowedHosts: [host],
            method: "GET", address: try WebAddress("https://api.example.com/v1/customers/42/items"),
            peer: IPAddress("203.0.113.7"), policies: policies(), requestRule: nil, now: now)
        let decision = ReleaseDecision.decide(facts)
        guard decision.isAllowed else { return print("the decision is not the one that was meant: \(decision.rules)") }
        var times: [Double] = []
        for _ in 0..<batches {
            let started = ContinuousClock.now
            for _ in 0..<batch where !ReleaseDecision.decide(facts).isAllowed { return }
            times.append((ContinuousClock.now - started) / .microseconds(1) / Double(batch))
        }
        times.sort()
        func at(_ share: Double) -> String { String(format: "%.2f", times[Int(Double(times.count - 1) * share)]) }
        print(
            "decision, \(decision.rules.count) rules with 100 entries: median \(at(0.5)) µs, p95 \(at(0.95)) µs, "
                + "max \(at(1)) µs")
    }
}

private enum Trail {
    /// Records in one transaction.
    private static let batch = 2000

    /// Appends uses as the server records them to the chain of one app, with the keys of the data folder.
    static func fill(folder: String, records: Int) async throws {
        let text = try String(contentsOfFile: folder + "/master.key", encoding: .utf8)
        guard let bytes = Data(base64Encoded: text.trimmingCharacters(in: .whitespacesAndNewlines)),
            let masterKey = MasterKey(Array(bytes))
        else { return print("\(folder) has no master key") }
        let store = try Store(.sqlite(path: folder + "/sallyport.db"))
        let keys = try KeyStore(.sqlite(path: folder + "/keys.db"), masterKey: masterKey)
        let auditKey = DigestKey(try keys.systemKey("audit"))
        let appID = AppID()
        let keyID = APIKeyID()
        var written = 0
        while written < records {
            let start = written
            let count = min(batch, records - written)
            try await store.write { transaction in
                for number in start..<(start + count) {
                    try transaction.appendAudit(entry(number, appID: appID, keyID: keyID), key: auditKey)
                }
            }
            written += count
        }
        try store.close()
        try keys.close()
    }

    private static func entry(_ number: Int, appID: AppID, keyID: APIKeyID) -> AuditEntry {
        AuditEntry(
            event: "credential.retrieved", decision: .allow,
            principal: .app(keyID: keyID, keyPrefix: "alter_rk_a", actorID: nil, caller: "billing-cron"),
            occurredAt: Instant(seconds: 1_700_000_000 + Int64(number)), requestID: UUID().uuidString.lowercased(),
            appID: appID, userID: UserID(), grantID: GrantID(), providerID: "workbench", method: "GET",
            url: "https://api.example.com/v1/customers/\(number)/items?limit=100", reason: "nightly invoice run",
            peer: "203.0.113.7",
            details: [
                "rules": [
                    [
                        "rule": "allowed_groups", "layer": "app", "result": "allow",
                        "reason": "member of an allowed group",
                    ]
                ], "token_generation": .string(UUID().uuidString.lowercased()),
            ])
    }
}
