import Testing
import VaultAPI
import VaultDomain

@Suite("An app's colour and logo")
struct AccentColorTests {
    @Test("only #rrggbb is a colour: it is written into a style sheet")
    func grammar() {
        #expect(AccentColor("#1f5f5b")?.text == "#1f5f5b")
        #expect(AccentColor("#ABCDEF")?.text == "#abcdef")
        for text in [
            "", "#", "1f5f5b", "#1f5f5", "#1f5f5b0", "#1f5f5g", "red", "#1f5f5b;", "#１f5f5b", " #1f5f5b", "#12\u{0}456",
            "#fff", "url(#aaaaaa)",
        ] {
            #expect(AccentColor(text) == nil, "\(text)")
        }
    }

    @Test("contrast is that of WCAG: 21 for black on white, 1 for itself, either way round")
    func contrast() {
        #expect(abs(AccentColor.black.contrast(with: .white) - 21) < 0.000_1)
        #expect(AccentColor.white.contrast(with: .white) == 1)
        let gray = AccentColor(red: 0x76, green: 0x76, blue: 0x76)
        #expect(abs(gray.contrast(with: .white) - 4.54) < 0.01)
        #expect(gray.contrast(with: .white) == AccentColor.white.contrast(with: gray))
    }

    /// Every sixth step of each channel, black and white among them.
    private static let colors: [AccentColor] = {
        let steps: [UInt8] = [0, 51, 102, 153, 204, 255]
        return steps.flatMap { red in
            steps.flatMap { green in steps.map { AccentColor(red: red, green: green, blue: $0) } }
        }
    }()

    @Test(
        "whatever an app chooses, text and edges stay readable in both themes", arguments: AccentPalette.Theme.allCases)
    func palette(_ theme: AccentPalette.Theme) {
        for color in Self.colors {
            let palette = AccentPalette(color, theme)
            #expect(palette.accentInk.contrast(with: palette.accent) >= 4.5, "ink, \(color.text)")
            for ground in theme.grounds {
                #expect(palette.link.contrast(with: ground) >= 4.5, "link, \(color.text)")
                #expect(palette.accent.contrast(with: ground) >= 3, "edge, \(color.text)")
            }
            #expect(palette.link.contrast(with: palette.accentSoft) >= 4.5, "link on soft, \(color.text)")
        }
    }

    @Test("a colour that is readable as it is stays as it is")
    func untouched() {
        let color = AccentColor(red: 0x1F, green: 0x5F, blue: 0x5B)
        #expect(AccentPalette(color, .light).accent == color)
        #expect(AccentPalette(color, .light).link == color)
        #expect(AccentPalette(color, .dark).accent != color)
    }

    @Test("the style sheet holds the four colours of both themes and nothing else")
    func styleSheet() {
        let sheet = AccentColor(red: 255, green: 0, blue: 0).styleSheet
        #expect(sheet.hasPrefix(":root{--accent:#"))
        #expect(sheet.contains("@media (prefers-color-scheme: dark){:root{--accent:#"))
        #expect(sheet.count { $0 == "#" } == 8)
        let expected = Set("abcdefghijklmnopqrstuvwxyz0123456789:#;-{}()@ \n")
        #expect(sheet.allSatisfy { expected.contains($0) })
    }

    @Test("a logo is known by its first bytes, and SVG and HTML are none")
    func logos() {
        #expect(LogoFormat([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 1]) == .png)
        #expect(LogoFormat([0xFF, 0xD8, 0xFF, 0xE0]) == .jpeg)
        #expect(LogoFormat(Array("GIF89a…".utf8)) == .gif)
        #expect(LogoFormat(Array("RIFF\u{1}\u{2}\u{3}\u{4}WEBPVP8 ".utf8)) == .webp)
        for bytes in [
            [], Array("<svg xmlns".utf8), Array("<!doctype html>".utf8), Array("RIFF____WAVE".utf8), Array("RIFF".utf8),
            Array("GIF88a".utf8), [0x89, 0x50, 0x4E],
        ] as [[UInt8]] {
            #expect(LogoFormat(bytes) == nil)
        }
    }
}
