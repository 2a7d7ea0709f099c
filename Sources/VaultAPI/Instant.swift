/// A point in time in whole milliseconds since 1970-01-01T00:00:00Z, the unit that rows, tokens and events share. What lies
/// outside of the years 0000 to 9999, which are those of RFC 3339, becomes their first or last millisecond.
package struct Instant: Sendable, Hashable, Comparable {
    package let milliseconds: Int64

    private static let millisecondsMin: Int64 = -62_167_219_200_000
    private static let millisecondsMax: Int64 = 253_402_300_799_999

    package init(milliseconds: Int64) {
        self.milliseconds = min(max(milliseconds, Self.millisecondsMin), Self.millisecondsMax)
    }

    package init(seconds: Int64) { self = Instant(milliseconds: 0).adding(seconds: seconds) }

    /// Whole seconds since the epoch, rounded down (the unit of RFC 7519 NumericDate).
    package var seconds: Int64 { milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000 }

    package func adding(seconds: Int64) -> Instant {
        let (delta, isTooFar) = seconds.multipliedReportingOverflow(by: 1000)
        return adding(milliseconds: isTooFar ? (seconds < 0 ? .min : .max) : delta)
    }

    package func adding(milliseconds delta: Int64) -> Instant {
        let (sum, isTooFar) = milliseconds.addingReportingOverflow(delta)
        return Instant(milliseconds: isTooFar ? (delta < 0 ? .min : .max) : sum)
    }

    package static func < (left: Instant, right: Instant) -> Bool { left.milliseconds < right.milliseconds }
}

// MARK: - RFC 9110

extension Instant {
    private static let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Mon, 23 Nov 2026 14:00:00 GMT` (RFC 9110 §5.6.7).
    package var httpDate: String {
        let (days, secondOfDay) = (daysSinceEpoch, secondOfDay)
        let (year, month, day) = Self.civilDate(days: days)
        func digits(_ number: some BinaryInteger, _ count: Int = 2) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
        }
        let clock = [secondOfDay / 3600, secondOfDay / 60 % 60, secondOfDay % 60].map { digits($0) }
        return "\(Self.weekdays[Int((days % 7 + 7) % 7)]), \(digits(day)) \(Self.months[month - 1]) \(digits(year, 4)) "
            + clock.joined(separator: ":") + " GMT"
    }

    private var daysSinceEpoch: Int64 { seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400 }
    private var secondOfDay: Int { Int(seconds - daysSinceEpoch * 86400) }
}

// MARK: - RFC 3339

extension Instant {
    /// `2026-11-23T14:00:00Z`, with three decimals only when there are milliseconds.
    package var rfc3339: String {
        let secondOfDay = secondOfDay
        let (year, month, day) = Self.civilDate(days: daysSinceEpoch)
        let fraction = Int(milliseconds - seconds * 1000)
        return String(unsafeUninitializedCapacity: 24) { text in
            var end = 0
            func append(_ character: Unicode.Scalar) {
                text[end] = UInt8(ascii: character)
                end += 1
            }
            func append(_ number: Int, digits: Int) {
                var rest = number
                for place in (0..<digits).reversed() {
                    text[end + place] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                end += digits
            }
            append(Int(year), digits: 4)
            append("-")
            append(month, digits: 2)
            append("-")
            append(day, digits: 2)
            append("T")
            append(secondOfDay / 3600, digits: 2)
            append(":")
            append(secondOfDay / 60 % 60, digits: 2)
            append(":")
            append(secondOfDay % 60, digits: 2)
            if fraction != 0 {
                append(".")
                append(fraction, digits: 3)
            }
            append("Z")
            return end
        }
    }

    /// Reads an RFC 3339 date-time. The zone is mandatory; digits past the millisecond are dropped.
    package init?(rfc3339 text: String) {
        var scanner = DigitScanner(text)
        guard let year = scanner.digits(4), scanner.skip("-"), let month = scanner.digits(2), scanner.skip("-"),
            let day = scanner.digits(2), scanner.skip("T") || scanner.skip("t"), let hour = scanner.digits(2),
            scanner.skip(":"), let minute = scanner.digits(2), scanner.skip(":"), let second = scanner.digits(2),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var fraction: Int64 = 0
        if scanner.skip(".") {
            guard let parsed = scanner.fractionInMilliseconds() else { return nil }
            fraction = parsed
        }
        var offsetMinutes: Int64 = 0
        if !(scanner.skip("Z") || scanner.skip("z")) {
            let isNegative = scanner.skip("-")
            guard isNegative || scanner.skip("+"), let hours = scanner.digits(2), scanner.skip(":"),
                let minutes = scanner.digits(2), hours < 24, minutes < 60
            else { return nil }
            offsetMinutes = (hours * 60 + minutes) * (isNegative ? -1 : 1)
        }
        guard scanner.isAtEnd else { return nil }
        let days = Self.daysFromCivil(year: year, month: month, day: day)
        guard Self.civilDate(days: days) == (year, Int(month), Int(day)) else { return nil }
        let total = days * 86400 + hour * 3600 + minute * 60 + second - offsetMinutes * 60
        self.init(milliseconds: total * 1000 + fraction)
    }

    /// Days since the epoch of a proleptic Gregorian date, counted in 400-year eras that begin in March.
    private static func daysFromCivil(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let era = (marchYear >= 0 ? marchYear : marchYear - 399) / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func civilDate(days: Int64) -> (year: Int64, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), Int(month),
            Int(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
        )
    }
}

private struct DigitScanner {
    private var rest: Substring.UTF8View

    init(_ text: String) { rest = text[...].utf8 }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard let first = rest.first, UInt32(first) == character.value else { return false }
        rest.removeFirst()
        return true
    }

    mutating func digits(_ count: Int) -> Int64? {
        var value: Int64 = 0
        for _ in 0..<count {
            guard let byte = rest.first, byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int64(byte - 0x30)
            rest.removeFirst()
        }
        return value
    }

    mutating func fractionInMilliseconds() -> Int64? {
        var value: Int64 = 0
        var count = 0
        while let byte = rest.first, byte >= 0x30, byte <= 0x39 {
            if count < 3 { value = value * 10 + Int64(byte - 0x30) }
            count += 1
            rest.removeFirst()
        }
        guard (1...9).contains(count) else { return nil }
        for _ in 0..<max(0, 3 - count) { value *= 10 }
        return value
    }
}
