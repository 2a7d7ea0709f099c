import Testing
import VaultCrypto

@Suite("Passwords are stored so that a copy of the database is of little use")
struct PasswordHashTests {
    @Test("A password matches its own hash and no other, and every hash has a salt of its own")
    func matchesItself() throws {
        let hash = try PasswordHash(Secret("correct horse battery staple"))
        #expect(try hash.matches(Secret("correct horse battery staple")))
        #expect(try !hash.matches(Secret("correct horse battery stapl")))
        #expect(try !hash.matches(Secret("")))
        #expect(try PasswordHash(Secret("correct horse battery staple")) != hash)
        #expect(hash.text.hasPrefix("$scrypt$ln=15,r=8,p=3$"))
        #expect(!hash.text.contains("horse"))
    }

    /// RFC 7914 §12: P="pleaseletmein", S="SodiumChloride", N=16384, r=8, p=1, of which the first 32 bytes.
    @Test("The derivation is scrypt as RFC 7914 has it, and older costs still verify")
    func knowsTheVector() throws {
        let salt = Base64URL.encode(Array("SodiumChloride".utf8))
        let bytes: [UInt8] = [
            0x70, 0x23, 0xbd, 0xcb, 0x3a, 0xfd, 0x73, 0x48, 0x46, 0x1c, 0x06, 0xcd, 0x81, 0xfd, 0x38, 0xeb, 0xfd, 0xa8,
            0xfb, 0xba, 0x90, 0x4f, 0x8e, 0x3e, 0xa9, 0xb5, 0x43, 0xf6, 0x54, 0x5d, 0xa1, 0xf2,
        ]
        let hash = PasswordHash(stored: "$scrypt$ln=14,r=8,p=1$\(salt)$\(Base64URL.encode(bytes))")
        #expect(try hash.matches(Secret("pleaseletmein")))
        #expect(try !hash.matches(Secret("pleaseletmeout")))
    }

    @Test(
        "What is no hash matches nothing",
        arguments: ["", "$scrypt$", "plain", "$scrypt$ln=30,r=8,p=1$AA$AA", "$scrypt$ln=14,r=8$AA$AA", "$bcrypt$a$b$c"])
    func refusesOthers(text: String) throws {
        #expect(try !PasswordHash(stored: text).matches(Secret("pleaseletmein")))
    }

    @Test("Nobody's hash takes the same work and matches nothing")
    func nobodyMatchesNothing() throws {
        for password in ["", "password", "\0"] { #expect(try !PasswordHash.ofNobody.matches(Secret(password))) }
    }
}
