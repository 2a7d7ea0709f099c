import Foundation
import Synchronization

// Figures for Prometheus (text format 0.0.4). Labels are of a fixed vocabulary: no tenant, no person, nothing that a caller
// chooses.

package final class VaultMetrics: Sendable {
    /// Seconds, upper bounds.
    private static let buckets: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    private struct Series: Hashable {
        let family: Family
        let labels: [String]
    }

    private enum Family: String, CaseIterable {
        case requests = "sallyport_http_requests_total"
        case decisions = "sallyport_decisions_total"
        case refreshes = "sallyport_token_refreshes_total"
        case webhookEvents = "sallyport_webhook_events_total"
        case streamBatches = "sallyport_audit_stream_batches_total"

        var help: String {
            switch self {
            case .requests: "Requests answered, by route template."
            case .decisions: "Decisions on uses of credentials; code is empty when allowed."
            case .refreshes: "Refreshes of OAuth tokens by outcome."
            case .webhookEvents: "Lifecycle events and refused deliveries by outcome."
            case .streamBatches: "Batches of audit records sent, by outcome."
            }
        }

        var labels: [String] {
            switch self {
            case .requests: ["method", "route", "status"]
            case .decisions: ["mode", "decision", "code"]
            case .refreshes, .webhookEvents: ["outcome"]
            case .streamBatches: ["kind", "outcome"]
            }
        }
    }

    private struct Histogram {
        /// One for each bucket, and one for what is slower than all.
        var counts = [Int](repeating: 0, count: buckets.count + 1)
        var sum = 0.0

        mutating func observe(_ seconds: Double) {
            counts[buckets.firstIndex { seconds <= $0 } ?? buckets.count] += 1
            sum += seconds
        }
    }

    private struct State {
        var counters: [Series: Int] = [:]
        var durations: [String: Histogram] = [:]
    }

    private let state = Mutex(State())
    private let startedAt = Date().timeIntervalSince1970

    init() {}

    private func count(_ family: Family, _ labels: [String]) {
        state.withLock { $0.counters[Series(family: family, labels: labels), default: 0] += 1 }
    }

    /// - Parameter route: the template, never the path; `nil` when nothing is there.
    package func countRequest(method: String, route: String?, status: Int, seconds: Double) {
        let labels = [route == nil ? "other" : method, route ?? "none", String(status)]
        state.withLock { state in
            state.counters[Series(family: .requests, labels: labels), default: 0] += 1
            state.durations[route ?? "none", default: Histogram()].observe(seconds)
        }
    }

    func countDecision(mode: String, code: String?) {
        count(.decisions, [mode, code == nil ? "allow" : "deny", code ?? ""])
    }

    func countRefresh(_ outcome: String) { count(.refreshes, [outcome]) }
    func countWebhookEvent(_ outcome: String) { count(.webhookEvents, [outcome]) }
    func countStreamBatch(kind: String, isTaken: Bool) { count(.streamBatches, [kind, isTaken ? "taken" : "failed"]) }

    /// - Parameter depths: what waits in each queue now.
    package func text(queueDepths depths: [(queue: String, depth: Int64)]) -> String {
        let (counters, durations) = state.withLock { ($0.counters, $0.durations) }
        var lines: [String] = []
        for family in Family.allCases {
            lines += ["# HELP \(family.rawValue) \(family.help)", "# TYPE \(family.rawValue) counter"]
            let series = counters.filter { $0.key.family == family }.sorted {
                $0.key.labels.lexicographicallyPrecedes($1.key.labels)
            }
            lines += series.map { "\(family.rawValue){\(Self.labels(family.labels, $0.key.labels))} \($0.value)" }
        }
        lines += Self.durationLines(durations)
        lines += ["# HELP sallyport_queue_depth Work that waits.", "# TYPE sallyport_queue_depth gauge"]
        lines += depths.map { "sallyport_queue_depth{queue=\"\($0.queue)\"} \($0.depth)" }
        lines += processLines()
        return lines.joined(separator: "\n") + "\n"
    }

    private static func durationLines(_ durations: [String: Histogram]) -> [String] {
        let name = "sallyport_http_request_duration_seconds"
        var lines = ["# HELP \(name) Time from the request to its answer.", "# TYPE \(name) histogram"]
        for (route, histogram) in durations.sorted(by: { $0.key < $1.key }) {
            let label = labels(["route"], [route])
            var total = 0
            for (bound, count) in zip(buckets, histogram.counts) {
                total += count
                lines.append("\(name)_bucket{\(label),le=\"\(bound)\"} \(total)")
            }
            total += histogram.counts[buckets.count]
            lines += [
                "\(name)_bucket{\(label),le=\"+Inf\"} \(total)", "\(name)_sum{\(label)} \(histogram.sum)",
                "\(name)_count{\(label)} \(total)",
            ]
        }
        return lines
    }

    private static func labels(_ names: [String], _ values: [String]) -> String {
        zip(names, values).map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\(name)=\"\(escaped)\""
        }.joined(separator: ",")
    }

    /// The usual names of client libraries. What the system does not tell is left out.
    private func processLines() -> [String] {
        var lines = [
            "# TYPE process_start_time_seconds gauge", "process_start_time_seconds \(startedAt)",
        ]
        var time = timespec()
        if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
            let seconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000
            lines += ["# TYPE process_cpu_seconds_total counter", "process_cpu_seconds_total \(seconds)"]
        }
        if let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = statm.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        {
            lines += [
                "# TYPE process_resident_memory_bytes gauge",
                "process_resident_memory_bytes \(pages * sysconf(Int32(_SC_PAGESIZE)))",
            ]
        }
        if let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            lines += ["# TYPE process_open_fds gauge", "process_open_fds \(descriptors.count)"]
        }
        return lines
    }
}
