import VaultAPI
import VaultService
import VaultStore

// Pictures of what an app did, drawn here as SVG: no script, no inline style. Each has a table with the same numbers.

/// The axis of a chart: from nought to a round number that no value is above, in round steps.
struct ChartScale: Sendable, Equatable {
    let step: Int64
    let top: Int64

    /// Steps of 1, 2 or 5 times a power of ten; `stepsMax` of them at most.
    init(maximum: Int64, stepsMax: Int64 = 4) {
        // The bounds keep the arithmetic from overflowing; a quintillion of calls is none that was counted.
        let maximum = min(max(1, maximum), 1_000_000_000_000_000_000)
        let needed = Self.divided(maximum, by: stepsMax)
        var power: Int64 = 1
        while power <= needed / 10 { power *= 10 }
        var step = power
        for factor: Int64 in [2, 5, 10] where step < needed { step = power * factor }
        self.step = step
        top = step * Self.divided(maximum, by: step)
    }

    private static func divided(_ value: Int64, by divisor: Int64) -> Int64 {
        value / divisor + (value % divisor == 0 ? 0 : 1)
    }

    var ticks: [Int64] { Array(stride(from: 0, through: top, by: Int(step))) }

    /// How long a value is drawn on an axis of `length`.
    func length(_ value: Int64, of length: Double) -> Double { length * Double(value) / Double(top) }
}

/// A piece of a column or bar.
struct ChartPiece: Sendable, Equatable {
    let outcome: UsageOutcome
    let offset: Double
    let length: Double
}

extension ChartScale {
    /// What is there is seen, however small it is beside the rest.
    static let pieceLengthMin = 2.0

    /// The pieces of one column, the first at the axis.
    func pieces(_ totals: UsageTotals, of length: Double) -> [ChartPiece] {
        var offset = 0.0
        var pieces: [ChartPiece] = []
        for outcome in UsageOutcome.drawn where totals[outcome] > 0 {
            let own = max(Self.pieceLengthMin, self.length(totals[outcome], of: length))
            pieces.append(ChartPiece(outcome: outcome, offset: offset, length: own))
            offset += own
        }
        return pieces
    }
}

extension UsageOutcome {
    static func columns(_ first: String) -> [DataTable.Column] {
        [DataTable.Column(first)] + drawn.map { DataTable.Column($0.title, isNumber: true) }
    }

    /// In the order in which they are stacked and listed.
    static let drawn: [UsageOutcome] = [.call, .refusal, .refresh]

    var title: String {
        switch self {
        case .call: "Calls"
        case .refusal: "Refusals"
        case .refresh: "Refreshes"
        }
    }
}

extension UsageTotals {
    /// `12 calls, 1 refusal`, of what there is.
    var words: String {
        let parts = [(calls, "call", "calls"), (refusals, "refusal", "refusals"), (refreshes, "refresh", "refreshes")]
        let said = parts.filter { $0.0 > 0 }.map { CappedCount.grouped($0.0) + " " + ($0.0 == 1 ? $0.1 : $0.2) }
        return said.isEmpty ? "nothing" : said.joined(separator: ", ")
    }

    /// One row of a table, after what names it.
    func cells(_ name: String) -> [HTML] {
        let first: HTML = "\(name)"
        return [first] + UsageOutcome.drawn.map { outcome -> HTML in "\(CappedCount.grouped(self[outcome]))" }
    }
}

enum ChartText {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `24 Nov`
    static func day(_ instant: Instant) -> String {
        let parts = instant.rfc3339.prefix(10).split(separator: "-")
        guard parts.count == 3, let month = Int(parts[1]), let day = Int(parts[2]), months.indices.contains(month - 1)
        else { return instant.rfc3339 }
        return "\(day) \(months[month - 1])"
    }

    /// `14:00`
    static func time(_ instant: Instant) -> String { String(instant.rfc3339.dropFirst(11).prefix(5)) }

    /// A slot as tables name it.
    static func slot(_ start: Instant, _ range: UsageRange) -> String {
        range == .month ? day(start) : day(start) + ", " + time(start)
    }

    /// A slot under the axis, where there is room for one.
    static func label(_ index: Int, _ start: Instant, _ range: UsageRange) -> String? {
        switch range {
        case .day: index % 4 == 0 ? time(start) : nil
        case .week: time(start) == "00:00" ? day(start) : nil
        case .month: index % 5 == 0 ? day(start) : nil
        }
    }

    /// A number of drawing units, to a tenth.
    static func units(_ value: Double) -> String { String((value * 10).rounded() / 10) }

    static func shortened(_ text: String) -> String { text.count > 22 ? String(text.prefix(21)) + "…" : text }
}

/// Columns over time, stacked by outcome.
struct UsageColumns: Sendable {
    let report: UsageReport

    private static let width = 720.0
    private static let height = 220.0
    private static let left = 60.0
    private static let right = 8.0
    private static let top = 14.0
    private static let bottom = 26.0

    private var scale: ChartScale { ChartScale(maximum: report.slots.map(\.totals.sum).max() ?? 0) }
    private var plotHeight: Double { Self.height - Self.top - Self.bottom }
    private var slotWidth: Double { (Self.width - Self.left - Self.right) / Double(max(1, report.slots.count)) }

    var html: HTML {
        """
        <div class="chart-frame" role="region" aria-label="Chart of use over time" tabindex="0">
        <svg class="chart" viewBox="0 0 \(ChartText.units(Self.width)) \(ChartText.units(Self.height))" role="img" \
        aria-labelledby="over-time-title over-time-words">
        <title id="over-time-title">Calls, refusals and refreshes over time</title>
        <desc id="over-time-words">\(report.total.words) in the \(report.range.title). The table below has the numbers.</desc>
        \(scale.ticks.map(rule))
        \(report.slots.enumerated().map { column($0.offset, $0.element) })
        </svg>
        </div>
        <details><summary>Use over time as a table</summary>
        \(table)
        </details>
        """
    }

    private func rule(_ value: Int64) -> HTML {
        let y = ChartText.units(Self.height - Self.bottom - scale.length(value, of: plotHeight))
        return """
            <line class="rule" x1="\(ChartText.units(Self.left))" x2="\(ChartText.units(Self.width - Self.right))" \
            y1="\(y)" y2="\(y)"/>\
            <text x="\(ChartText.units(Self.left - 8))" y="\(y)" dy="4" text-anchor="end">\(CappedCount.grouped(value))</text>

            """
    }

    private func column(_ index: Int, _ slot: UsageSlot) -> HTML {
        let begin = Self.left + Double(index) * slotWidth
        let x = ChartText.units(begin + slotWidth * 0.15)
        let width = ChartText.units(slotWidth * 0.7)
        let base = Self.height - Self.bottom
        let pieces = scale.pieces(slot.totals, of: plotHeight).map { piece -> HTML in
            """
            <rect class="\(piece.outcome.rawValue)" x="\(x)" y="\(ChartText.units(base - piece.offset - piece.length))" \
            width="\(width)" height="\(ChartText.units(piece.length))"/>
            """
        }
        let label: HTML? = ChartText.label(index, slot.start, report.range).map {
            """
            <text x="\(ChartText.units(begin + slotWidth / 2))" y="\(ChartText.units(Self.height - 8))" \
            text-anchor="middle">\($0)</text>
            """
        }
        return """
            <g><title>\(ChartText.slot(slot.start, report.range)): \(slot.totals.words)</title>\(pieces)\(label)</g>

            """
    }

    private var table: HTML {
        DataTable(
            label: "Use over time",
            columns: UsageOutcome.columns("From (UTC)"),
            rows: report.slots.map { $0.totals.cells(ChartText.slot($0.start, report.range)) }
        ).html
    }
}

/// A bar for each provider, split by outcome.
struct UsageBars: Sendable {
    let report: UsageReport

    /// Bars drawn; the table has the rest.
    private static let shown = 8
    private static let width = 720.0
    private static let left = 170.0
    private static let right = 90.0
    private static let row = 28.0

    private var providers: [UsageOfProvider] { Array(report.providers.prefix(Self.shown)) }
    private var scale: ChartScale { ChartScale(maximum: report.providers.map(\.totals.sum).max() ?? 0) }

    static func name(_ provider: UsageOfProvider) -> String {
        provider.providerID.isEmpty ? "no provider named" : provider.providerID
    }

    var html: HTML {
        """
        <div class="chart-frame" role="region" aria-label="Chart of use by provider" tabindex="0">
        <svg class="chart" viewBox="0 0 \(ChartText.units(Self.width)) \(ChartText.units(height))" role="img" \
        aria-labelledby="by-provider-title by-provider-words">
        <title id="by-provider-title">Calls, refusals and refreshes by provider</title>
        <desc id="by-provider-words">\(words).</desc>
        \(providers.enumerated().map { bar($0.offset, $0.element) })
        </svg>
        </div>
        <details><summary>Use by provider as a table</summary>
        \(table)
        </details>
        """
    }

    private var words: String {
        providers.map { "\(Self.name($0)): \($0.totals.words)" }.joined(separator: "; ")
    }

    private var height: Double { Double(providers.count) * Self.row + 8 }

    private func bar(_ index: Int, _ provider: UsageOfProvider) -> HTML {
        let y = 4 + Double(index) * Self.row
        let pieces = scale.pieces(provider.totals, of: Self.width - Self.left - Self.right)
        let rects = pieces.map { piece -> HTML in
            """
            <rect class="\(piece.outcome.rawValue)" x="\(ChartText.units(Self.left + piece.offset))" \
            y="\(ChartText.units(y + 4))" width="\(ChartText.units(piece.length))" \
            height="\(ChartText.units(Self.row - 8))"/>
            """
        }
        let end = Self.left + (pieces.last.map { $0.offset + $0.length } ?? 0)
        let middle = ChartText.units(y + Self.row / 2)
        return """
            <g><title>\(Self.name(provider)): \(provider.totals.words)</title>\
            <text x="\(ChartText.units(Self.left - 10))" y="\(middle)" dy="4" text-anchor="end">\
            \(ChartText.shortened(Self.name(provider)))</text>\(rects)\
            <text x="\(ChartText.units(end + 8))" y="\(middle)" dy="4">\(CappedCount.grouped(provider.totals.sum))</text></g>

            """
    }

    private var table: HTML {
        DataTable(
            label: "Use by provider",
            columns: UsageOutcome.columns("Provider"),
            rows: report.providers.map { $0.totals.cells(Self.name($0)) }
        ).html
    }
}

extension UsageRange {
    /// As in “in the last 24 hours”.
    var title: String {
        switch self {
        case .day: "last 24 hours"
        case .week: "last 7 days"
        case .month: "last 30 days"
        }
    }

    var label: String {
        switch self {
        case .day: "24 hours"
        case .week: "7 days"
        case .month: "30 days"
        }
    }
}
