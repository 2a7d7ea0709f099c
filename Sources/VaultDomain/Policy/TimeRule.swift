import Foundation
import VaultAPI

/// When uses are allowed, on the clocks of one time zone.
///
/// Business hours are 09:00 inclusive to 17:00 exclusive, weekdays Monday to Friday. A window names the days on which it
/// starts and may run past midnight; windows are or-ed, then and-ed with the other two (behaviour contract, “Policies”).
/// A time that clocks show twice, when summer time ends, is judged the same both times.
package struct TimeRule: Sendable, CustomStringConvertible {
    private enum Day: String, CaseIterable { case sun, mon, tue, wed, thu, fri, sat }

    private struct Window: Sendable {
        /// One bit a day, Sunday first.
        let days: UInt8
        /// Seconds of the day; an end of 24:00 is the start of the next day.
        let start: Int64
        let end: Int64

        func contains(day: Int64, second: Int64) -> Bool {
            func startsOn(_ day: Int64) -> Bool { days & (1 << UInt8(day)) != 0 }
            if start < end { return startsOn(day) && start <= second && second < end }
            return (startsOn(day) && start <= second) || (startsOn((day + 6) % 7) && second < end)
        }
    }

    package let json: JSONObject
    package let description: String
    private let isBusinessHoursOnly: Bool
    private let isWeekdaysOnly: Bool
    private let windows: [Window]?
    /// `nil` when the system does not know the zone (any more).
    private let zone: TimeZone?

    /// Reads the object and reports what is wrong with it to `fields`.
    init?(_ fields: Fields) {
        isBusinessHoursOnly = fields.optionalBool("business_hours_only") ?? false
        isWeekdaysOnly = fields.optionalBool("weekdays_only") ?? false
        let zoneName = fields.optionalString("timezone", length: 1...64)
        zone = Self.zone(zoneName ?? "UTC")
        if zone == nil { fields.report("timezone", "must be a time zone of the IANA database, such as Europe/Berlin") }
        var object = JSONObject()
        if isBusinessHoursOnly { object["business_hours_only"] = true }
        if isWeekdaysOnly { object["weekdays_only"] = true }
        object["timezone"] = zoneName.map(JSON.string)
        var texts: [String] = []
        if isBusinessHoursOnly { texts.append("09:00 to 17:00") }
        if isWeekdaysOnly { texts.append("Monday to Friday") }
        if let listed = fields.optionalFieldsList("windows", countMax: 50) {
            if listed.isEmpty { fields.report("windows", "must name at least one window, or be left out") }
            let read = listed.map(Self.window)
            windows = read.map(\.window)
            object["windows"] = .array(read.map { .object($0.json) })
            texts.append(read.map(\.text).joined(separator: " or "))
        } else {
            windows = nil
        }
        json = object
        description = texts.joined(separator: ", and ") + " (\(zoneName ?? "UTC"))"
    }

    /// Names only: offsets and abbreviations mean different things to different systems.
    private static func zone(_ name: String) -> TimeZone? {
        if name == "UTC" { return TimeZone(identifier: "UTC") }
        let isPlain = name.utf8.allSatisfy {
            (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || (0x30...0x39).contains($0)
                || "/_+-".utf8.contains($0)
        }
        guard isPlain, name.contains("/") else { return nil }
        return TimeZone(identifier: name)
    }

    private static func window(_ fields: Fields) -> (window: Window, json: JSONObject, text: String) {
        let names = fields.optionalStrings("days", countMax: 7, length: 1...9)
        var days: UInt8 = 0
        for (index, name) in (names ?? []).enumerated() {
            guard let day = Day.allCases.firstIndex(where: { $0.rawValue == name }) else {
                fields.report("days[\(index)]", "must be one of mon, tue, wed, thu, fri, sat, sun")
                continue
            }
            days |= 1 << UInt8(day)
        }
        if names?.isEmpty == true { fields.report("days", "must name at least one day, or be left out") }
        let startText = fields.string("start", length: 1...5)
        let endText = fields.string("end", length: 1...5)
        let start = seconds(startText, max: 86_400 - 60)
        let end = seconds(endText, max: 86_400)
        if !startText.isEmpty, start == nil { fields.report("start", "must be a time from 00:00 to 23:59") }
        if !endText.isEmpty, end == nil { fields.report("end", "must be a time from 00:00 to 24:00") }
        if let start, start == end { fields.report("end", "must not be the start; a whole day is 00:00 to 24:00") }
        var json = JSONObject()
        json["days"] = names.map(JSON.strings)
        json["start"] = .string(startText)
        json["end"] = .string(endText)
        return (
            // Without days it starts on every one.
            Window(days: names == nil ? 0x7F : days, start: start ?? 0, end: end ?? 0), json,
            "\(names?.joined(separator: " ") ?? "daily") \(startText) to \(endText)"
        )
    }

    private static func seconds(_ text: String, max: Int64) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 5, bytes[2] == UInt8(ascii: ":"),
            [0, 1, 3, 4].allSatisfy({ (0x30...0x39).contains(bytes[$0]) }), let hour = Int64(text.prefix(2)),
            let minute = Int64(text.suffix(2)), minute < 60
        else { return nil }
        let seconds = hour * 3600 + minute * 60
        return seconds <= max ? seconds : nil
    }

    /// `nil` when it cannot be decided.
    package func allows(_ now: Instant) -> Bool? {
        guard let zone else { return nil }
        let seconds = now.seconds
        let local = seconds + Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(seconds))))
        let days = local >= 0 ? local / 86_400 : (local - 86_399) / 86_400
        let second = local - days * 86_400
        // 1970-01-01 was a Thursday.
        let day = ((days + 4) % 7 + 7) % 7
        if isBusinessHoursOnly, !(9 * 3600..<17 * 3600).contains(second) { return false }
        if isWeekdaysOnly, day == 0 || day == 6 { return false }
        return windows?.contains { $0.contains(day: day, second: second) } ?? true
    }
}
