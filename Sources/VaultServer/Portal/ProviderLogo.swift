/// The mark of a provider: a letter on a tint of its own, which is the same on every page and every node.
struct ProviderLogo: Sendable {
    let id: String
    let name: String

    private static let tints: UInt32 = 8

    /// FNV-1a: Swift's own hashes differ from start to start.
    private var tint: UInt32 {
        id.utf8.reduce(2_166_136_261 as UInt32) { ($0 ^ UInt32($1)) &* 16_777_619 } % Self.tints
    }

    var html: HTML {
        let letter = name.first.map { String($0).uppercased() } ?? "·"
        return "<span class=\"letter tint-\(String(tint))\" aria-hidden=\"true\">\(letter)</span>"
    }
}
