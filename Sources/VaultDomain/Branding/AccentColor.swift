import Foundation

// The colour that an app chose for the pages of its users, and what is made of it so that everything stays readable: WCAG
// 2.2 asks for 4.5:1 between text and what is behind it (1.4.3), and for 3:1 at the edge of a control (1.4.11). An app's
// colour may be anything; the pages never show one that fails.

package struct AccentColor: Sendable, Equatable {
    package let red: UInt8
    package let green: UInt8
    package let blue: UInt8

    package init(red: UInt8, green: UInt8, blue: UInt8) {
        self.red = red
        self.green = green
        self.blue = blue
    }

    /// `#rrggbb` in either case, and nothing else: it is written into a style sheet.
    package init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 7, digits[0] == UInt8(ascii: "#") else { return nil }
        let values = digits.dropFirst().compactMap(Self.value)
        guard values.count == 6 else { return nil }
        self.init(
            red: values[0] << 4 | values[1], green: values[2] << 4 | values[3], blue: values[4] << 4 | values[5])
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// `#rrggbb` in lower case.
    package var text: String {
        let digits = Array("0123456789abcdef")
        return "#" + [red, green, blue].map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
    }

    package static let white = AccentColor(red: 255, green: 255, blue: 255)
    package static let black = AccentColor(red: 0, green: 0, blue: 0)

    // MARK: Contrast

    /// Relative luminance (WCAG 2.2).
    package var luminance: Double {
        func linear(_ channel: UInt8) -> Double {
            let share = Double(channel) / 255
            return share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    /// From 1 to 21.
    package func contrast(with other: AccentColor) -> Double {
        let (left, right) = (luminance, other.luminance)
        return (max(left, right) + 0.05) / (min(left, right) + 0.05)
    }

    /// `share` of the other colour, the rest of this one.
    func mixed(with other: AccentColor, _ share: Double) -> AccentColor {
        func channel(_ own: UInt8, _ its: UInt8) -> UInt8 {
            UInt8((Double(own) + (Double(its) - Double(own)) * share).rounded())
        }
        return AccentColor(
            red: channel(red, other.red), green: channel(green, other.green), blue: channel(blue, other.blue))
    }

    /// The nearest colour on the way to `end` that stands out from all of `grounds`.
    func moved(to end: AccentColor, against grounds: [AccentColor], contrast wanted: Double) -> AccentColor {
        let steps = 64
        for step in 0..<steps {
            let color = mixed(with: end, Double(step) / Double(steps))
            if grounds.allSatisfy({ color.contrast(with: $0) >= wanted }) { return color }
        }
        return end
    }
}

/// What the style sheet takes from an app's colour, for one of its two themes.
package struct AccentPalette: Sendable, Equatable {
    /// Buttons and the frame of what has the focus.
    package let accent: AccentColor
    /// Text on it.
    package let accentInk: AccentColor
    /// Behind notices and the chosen entry of a menu.
    package let accentSoft: AccentColor
    /// Links, on every ground and on `accentSoft`.
    package let link: AccentColor

    package enum Theme: Sendable, CaseIterable {
        case light, dark

        /// What text stands on: cards, the page and what is sunken into it, as in `sallyport.css`.
        package var grounds: [AccentColor] {
            switch self {
            case .light:
                [
                    AccentColor(red: 0xFF, green: 0xFF, blue: 0xFF), AccentColor(red: 0xF6, green: 0xF5, blue: 0xF1),
                    AccentColor(red: 0xFA, green: 0xF9, blue: 0xF6),
                ]
            case .dark:
                [
                    AccentColor(red: 0x1C, green: 0x22, blue: 0x29), AccentColor(red: 0x14, green: 0x18, blue: 0x1D),
                    AccentColor(red: 0x18, green: 0x1D, blue: 0x23),
                ]
            }
        }

        /// The first ground is that of cards.
        var card: AccentColor { grounds[0] }
        /// Away from the grounds.
        var end: AccentColor { self == .light ? .black : .white }
        /// How much of the colour the soft one has: dark grounds need more for it to be seen.
        var softShare: Double { self == .light ? 0.12 : 0.18 }
    }

    package static let textContrast = 4.5
    package static let edgeContrast = 3.0

    package init(_ color: AccentColor, _ theme: Theme) {
        accent = color.moved(to: theme.end, against: theme.grounds, contrast: Self.edgeContrast)
        // One of the two always suffices: where white has less than 4.5, black has more than 4.6.
        accentInk = accent.contrast(with: .white) >= Self.textContrast ? .white : .black
        accentSoft = theme.card.mixed(with: color, theme.softShare)
        link = accent.moved(to: theme.end, against: theme.grounds + [accentSoft], contrast: Self.textContrast)
    }

    var declarations: String {
        "--accent:\(accent.text);--accent-ink:\(accentInk.text);--accent-soft:\(accentSoft.text);--link:\(link.text)"
    }
}

extension AccentColor {
    /// The style sheet of an app: both themes, and nothing but these four colours.
    package var styleSheet: String {
        let light = AccentPalette(self, .light).declarations
        let dark = AccentPalette(self, .dark).declarations
        return ":root{\(light)}\n@media (prefers-color-scheme: dark){:root{\(dark)}}\n"
    }
}
