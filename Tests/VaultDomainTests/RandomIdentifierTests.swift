import Foundation
import Testing
import VaultAPI

struct RandomIdentifierTests {
    @Test("a fresh id is a random UUID in its canonical form, and no two are the same")
    func fresh() throws {
        let ids = (0..<2000).map { _ in GrantID().text }
        #expect(Set(ids).count == ids.count)
        for id in ids {
            let uuid = try #require(UUID(uuidString: id))
            #expect(uuid.uuidString.lowercased() == id)
            #expect(uuid.uuid.6 >> 4 == 4 && uuid.uuid.8 >> 6 == 0b10)
            #expect(GrantID(id) != nil)
        }
        // Each free bit is set in about half of them.
        let bytes = try ids.map { try #require(UUID(uuidString: $0)).uuid }
        #expect((800...1200).contains(bytes.count { $0.0 & 1 == 1 }))
        #expect((800...1200).contains(bytes.count { $0.15 & 1 == 1 }))
    }

    @Test(
        "only the canonical form is an id",
        arguments: [
            "", "00000000-0000-4000-8000-00000000000", "00000000-0000-4000-8000-0000000000000",
            "00000000-0000-4000-8000-00000000000G", "00000000-0000-4000-8000-00000000000A",
            "0000000000000-4000-8000-000000000000", "00000000-0000-4000-8000-0000000000é",
        ])
    func malformed(text: String) {
        #expect(GrantID(text) == nil)
    }
}
