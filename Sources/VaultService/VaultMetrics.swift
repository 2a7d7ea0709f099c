import Foundation
import Synchronization
import VaultAPI
import VaultStore

// Figures for Prometheus (text format 0.0.4). Labels are of a fixed vocabulary: no tenant, no person, nothing that a caller
// chooses.

package final class VaultMetrics: Sendable {
    /// Seconds, upper bounds.
    private static let buckets: [Double] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    private static let methods: Set<String> = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    private struct Series: Hashable {
        let family: Family
        let labels: [String]
    }

    private enum Family: String, CaseIterable {
        case requests = "sallyport_http_requests_total"
        case decisions = "sallyport_decisions_total"
        case refreshes = "sallyport_token_refreshes_total"
        case webhookEvents = "sallyport_webhook_events_total"
        case revocations = "sallyport_provider_revocations_total"
        case streamBatches = "sallyport_audit_stream_batches_total"

        var help: String {
            switch self {
            case .requests: "Requests answered, by route template."
            case .decisions: "Decisions on uses of credentials; code is empty when allowed."
            case .refreshes: "Refreshes of OAuth tokens by outcome."
            case .webhookEvents: "Lifecycle events by outcome; refused deliveries are unauthorized."
            case .revocations: "Revocations at providers that are over, by outcome."
            case .streamBatches: "Batches of audit records sent, by outcome."
            }
        }

        var labels: [String] {
            switch self {
            case .requests: ["method", "route", "status"]
            case .decisions: ["mode", "decision", "code"]
            case .refreshes, .webhookEvents, .revocations: ["outcome"]
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

    /// Known from the start, so that the first of them is seen as a rise.
    private static let zeros: [Series: Int] = {
        let outcomes: [(Family, [String])] = [
            (.refreshes, ["renewed", "dead", "failed", "throttled", "unreachable"]),
            (
                .webhookEvents,
                [
                    "deprovisioned", "suspended", "restored", "updated", "membership_removed", "unchanged", "ignored",
                    "stale", "duplicate",
                    "invalid", "unauthorized",
                ]
            ),
            (.revocations, ["done", "failed", "unsupported"]),
        ]
        let series = outcomes.flatMap { family, names in names.map { Series(family: family, labels: [$0]) } }
        return Dictionary(uniqueKeysWithValues: series.map { ($0, 0) })
    }()

    private struct State {
        var counters: [Series: Int] = zeros
        var durations: [String: Histogram] = [:]
        var brokenChains: Set<AuditChain> = []
    }

    private let state = Mutex(State())
    private let startedAt = Date().timeIntervalSince1970

    init() {}

    private func count(_ family: Family, _ labels: [String]) {
        state.withLock { $0.counters[Series(family: family, labels: labels), default: 0] += 1 }
    }

    /// - Parameter route: the template, never the path; `nil` when nothing is there.
    package func countRequest(method: String, route: String?, status: Int, seconds: Double) {
        let known = route != nil && Self.methods.contains(method)
        let labels = [known ? method : "other", route ?? "none", String(status)]
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
    func countRevocation(_ outcome: String) { count(.revocations, [outcome]) }
    func countStreamBatch(kind: String, isTaken: Bool) { count(.streamBatches, [kind, isTaken ? "taken" : "failed"]) }

    /// Of the audit trail, when its ends were last looked at. Whether that is news.
    @discardableResult
    func setBroken(_ chain: AuditChain, _ isBroken: Bool) -> Bool {
        state.withLock { state in
            isBroken ? state.brokenChains.insert(chain).inserted : state.brokenChains.remove(chain) != nil
        }
    }

    /// - Parameter queues: `nil` when the database does not answer.
    package func text(isReady: Bool, queues: QueueFigures?, now: Instant) -> String {
        let (counters, durations, brokenChains) = state.withLock { ($0.counters, $0.durations, $0.brokenChains.count) }
        var lines: [String] = []
        for family in Family.allCases {
            lines += Self.head(family.rawValue, family.help, "counter")
            let series = counters.filter { $0.key.family == family }.sorted {
                $0.key.labels.lexicographicallyPrecedes($1.key.labels)
            }
            lines += series.map { "\(family.rawValue){\(Self.labels(family.labels, $0.key.labels))} \($0.value)" }
        }
        lines += Self.durationLines(durations)
        lines += Self.gauge("sallyport_ready", "1 when database and keys are usable.", isReady ? 1 : 0)
        lines += Self.gauge(
            "sallyport_audit_chains_broken", "Chains of the audit trail whose ends do not hold.", brokenChains)
        if let queues { lines += Self.queueLines(queues, now: now) }
        lines += processLines()
        return lines.joined(separator: "\n") + "\n"
    }

    private static func head(_ name: String, _ help: String, _ type: String) -> [String] {
        ["# HELP \(name) \(help)", "# TYPE \(name) \(type)"]
    }

    private static func gauge(_ name: String, _ help: String, _ value: some CustomStringConvertible) -> [String] {
        head(name, help, "gauge") + ["\(name) \(value)"]
    }

    private static func queueLines(_ queues: QueueFigures, now: Instant) -> [String] {
        let oldest = queues.oldestRevocationAt.map { max(0, now.seconds - $0.seconds) } ?? 0
        return head("sallyport_queue_depth", "Work that waits.", "gauge")
            + queues.depths.map { "sallyport_queue_depth{queue=\"\($0.queue)\"} \($0.depth)" }
            + gauge(
                "sallyport_provider_revocation_oldest_seconds", "How long the longest-waiting revocation has waited.",
                oldest)
            + gauge(
                "sallyport_audit_stream_lag_records", "Records that the stream furthest behind has not sent.",
                queues.streamLagMax)
    }

    private static func durationLines(_ durations: [String: Histogram]) -> [String] {
        let name = "sallyport_http_request_duration_seconds"
        var lines = head(name, "Time from the request to its answer.", "histogram")
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
        var lines = Self.gauge("process_start_time_seconds", "Start of the process since the epoch.", startedAt)
        var time = timespec()
        if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
            let seconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000
            let name = "process_cpu_seconds_total"
            lines += Self.head(name, "CPU time of the process.", "counter") + ["\(name) \(seconds)"]
        }
        if let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = statm.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        {
            lines += Self.gauge(
                "process_resident_memory_bytes", "Memory of the process that is resident.",
                pages * sysconf(Int32(_SC_PAGESIZE)))
        }
        if let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            lines += Self.gauge("process_open_fds", "Open file descriptors.", descriptors.count)
        }
        let descriptorsMax = sysconf(Int32(_SC_OPEN_MAX))
        if descriptorsMax > 0 {
            lines += Self.gauge("process_max_fds", "File descriptors that may be open.", descriptorsMax)
        }
        return lines
    }
}
