import VaultAPI

/// Where a caller's own trace was when it asked (W3C Trace Context §3.2). Kept, so that records are found from traces.
package struct TraceContext: Sendable, Equatable {
    /// 32 and 16 lower-case hexadecimal digits, neither all zeros.
    package let traceID: String
    package let spanID: String

    /// Reads `traceparent`: `00-<trace id>-<parent id>-<flags>`. Of later versions the part that is common to all.
    package init?(traceparent: String) {
        let parts = traceparent.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard parts.count >= 4, Self.isHex(parts[0], 2), parts[0] != "ff", parts[0] != "00" || parts.count == 4,
            Self.isHex(parts[3], 2)
        else { return nil }
        self.init(traceID: parts[1], spanID: parts[2])
    }

    /// From a record that was written.
    package init?(recorded: JSONObject) {
        guard let traceID = recorded["trace_id"]?.string, let spanID = recorded["span_id"]?.string else { return nil }
        self.init(traceID: traceID, spanID: spanID)
    }

    private init?(traceID: String, spanID: String) {
        guard Self.isHex(traceID, 32), Self.isHex(spanID, 16), !Self.isZero(traceID), !Self.isZero(spanID) else {
            return nil
        }
        self.traceID = traceID
        self.spanID = spanID
    }

    private static func isHex(_ text: String, _ count: Int) -> Bool {
        text.utf8.count == count
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private static func isZero(_ text: String) -> Bool { text.utf8.allSatisfy { $0 == 0x30 } }
}
