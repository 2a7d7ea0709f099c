import Testing
import VaultAPI
import VaultService
import VaultStore

@testable import VaultServer

@Suite("Charts of use")
struct UsageChartTests {
    @Test(
        "an axis ends at a round number that no value is above, in at most four round steps",
        arguments: [
            (0, 1, 1), (1, 1, 1), (3, 1, 3), (4, 1, 4), (5, 2, 6), (7, 2, 8), (9, 5, 10), (12, 5, 15), (20, 5, 20),
            (21, 10, 30), (41, 20, 60), (99, 50, 100), (101, 50, 150), (1000, 500, 1000), (12_345, 5000, 15_000),
        ] as [(Int64, Int64, Int64)])
    func scale(maximum: Int64, step: Int64, top: Int64) {
        let scale = ChartScale(maximum: maximum)
        #expect(scale.step == step)
        #expect(scale.top == top)
        #expect(scale.ticks.first == 0 && scale.ticks.last == top)
    }

    @Test("no number is too large for an axis", arguments: [Int64.max, 999_999_999_999_999_999, 123_456_789_012])
    func large(maximum: Int64) {
        let scale = ChartScale(maximum: maximum)
        #expect(scale.top >= min(maximum, 1_000_000_000_000_000_000))
        #expect(scale.ticks.count <= 5)
    }

    @Test("pieces stand on one another, in proportion, and what is small is still to be seen")
    func pieces() {
        let scale = ChartScale(maximum: 1000)
        let pieces = scale.pieces(UsageTotals(calls: 500, refusals: 1, refreshes: 0), of: 200)
        #expect(
            pieces == [
                ChartPiece(outcome: .call, offset: 0, length: 100),
                ChartPiece(outcome: .refusal, offset: 100, length: 2),
            ])
        #expect(scale.pieces(UsageTotals(), of: 200).isEmpty)
    }

    @Test("totals are told in words, of what there is")
    func words() {
        #expect(UsageTotals(calls: 12_000, refusals: 1).words == "12,000 calls, 1 refusal")
        #expect(UsageTotals(calls: 1, refreshes: 2).words == "1 call, 2 refreshes")
        #expect(UsageTotals().words == "nothing")
    }

    @Test("slots end with the one that has not ended, and begin at full hours or days")
    func slots() throws {
        let now = try #require(Instant(rfc3339: "2026-03-01T14:37:05Z"))
        let day = UsageRange.day.slots(until: now)
        #expect(day.count == 24)
        #expect(day.first?.rfc3339 == "2026-02-28T15:00:00Z")
        #expect(day.last?.rfc3339 == "2026-03-01T14:00:00Z")
        let week = UsageRange.week.slots(until: now)
        #expect(week.count == 28)
        #expect(week.last?.rfc3339 == "2026-03-01T12:00:00Z")
        let month = UsageRange.month.slots(until: now)
        #expect(month.count == 30)
        #expect(month.first?.rfc3339 == "2026-01-31T00:00:00Z")
    }

    @Test("days and times are short")
    func labels() throws {
        let instant = try #require(Instant(rfc3339: "2026-11-04T06:00:00Z"))
        #expect(ChartText.slot(instant, .day) == "4 Nov, 06:00")
        #expect(ChartText.slot(instant, .month) == "4 Nov")
        #expect(ChartText.label(0, instant, .day) == "06:00")
        #expect(ChartText.label(1, instant, .day) == nil)
        #expect(ChartText.label(0, instant, .week) == nil)
        #expect(ChartText.units(12.34) == "12.3")
    }

    @Test("a chart and its table have the same numbers, and names are text")
    func table() throws {
        let slots = UsageRange.day.slots(until: Instant(seconds: 1_800_000_000)).enumerated().map { index, start in
            UsageSlot(start: start, totals: index == 3 ? UsageTotals(calls: 1234, refusals: 5) : UsageTotals())
        }
        let report = UsageReport(
            range: .day, slots: slots,
            providers: [UsageOfProvider(providerID: "<b>&", totals: UsageTotals(calls: 1234, refusals: 5))])
        #expect(report.total == UsageTotals(calls: 1234, refusals: 5))
        for html in [UsageColumns(report: report).html.text, UsageBars(report: report).html.text] {
            #expect(html.contains("1,234 calls, 5 refusals"))
            #expect(html.contains("<td class=\"number\">1,234</td><td class=\"number\">5</td>"))
            #expect(!html.contains("<b>"))
            #expect(!html.contains("style="))
        }
    }

    @Test("JSON for reading is the same JSON, and shows what pages would hide")
    func indented() throws {
        let value: JSON = ["text": "a\u{202E}b", "list": [1, ["deep": true]], "empty": [:]]
        let text = IndentedJSON.text(value)
        #expect(text.contains("\\u202e"))
        #expect(try JSON(parsing: text) == value)
        #expect(text.split(separator: "\n").count > 5)
    }
}
