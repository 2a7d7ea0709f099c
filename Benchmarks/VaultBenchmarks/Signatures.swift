import VaultAPI
import VaultCrypto

/// What first sights of user tokens cannot be faster than: signatures that one thread verifies in a second.
enum Signatures {
    /// Verified together: reading the clock must cost nothing.
    private static let batch = 200
    private static let measured = Duration.seconds(1)

    /// Prints a JSON object: verifications in a second, by algorithm.
    static func run() throws {
        let es256 = Int(try perSecond(.es256))
        let rs256 = Int(try perSecond(.rs256))
        print("{\"ES256\": \(es256), \"RS256\": \(rs256)}")
    }

    private static func perSecond(_ algorithm: SignatureAlgorithm) throws -> Double {
        let key = try SigningKey.generate(algorithm, keyID: "bench")
        let keySet = try JSONWebKeySet(parsing: .object(["keys": .array([key.publicJWK])]))
        let claims: JSONObject = [
            "iss": "https://id.example", "sub": "ada", "email": "ada@corp.example", "iat": 1_750_000_000,
            "exp": 1_750_000_600, "jti": "5b0c1c4ab5c94b0f8fb0a7e0d2f6a1ce",
        ]
        let token = try JSONWebSignature(compact: try key.sign(claims: .object(claims)))
        // The first ones fill caches.
        for _ in 0..<batch { try token.verify(with: keySet) }
        var verified = 0
        let started = ContinuousClock.now
        while ContinuousClock.now - started < measured {
            for _ in 0..<batch { try token.verify(with: keySet) }
            verified += batch
        }
        return Double(verified) / ((ContinuousClock.now - started) / .seconds(1))
    }
}
