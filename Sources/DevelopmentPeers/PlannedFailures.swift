import VaultAPI

/// Failures that a test ordered in advance, by path.
struct PlannedFailures: Sendable {
    private var planned: [String: (count: Int, failure: PlannedFailure)] = [:]

    mutating func plan(next count: Int, on path: String, _ failure: PlannedFailure) {
        planned[path] = count > 0 ? (count, failure) : nil
    }

    mutating func take(_ path: String) -> PlannedFailure? {
        guard let (count, failure) = planned[path] else { return nil }
        planned[path] = count > 1 ? (count - 1, failure) : nil
        return failure
    }
}

package struct PlannedFailure: Sendable {
    package let status: Int
    package let retryAfterSeconds: Int?
    /// The request takes effect and only its answer is lost: how a rotated refresh token goes missing.
    package let happensAfterProcessing: Bool

    package init(status: Int = 503, retryAfterSeconds: Int? = nil, happensAfterProcessing: Bool = false) {
        self.status = status
        self.retryAfterSeconds = retryAfterSeconds
        self.happensAfterProcessing = happensAfterProcessing
    }

    var response: PeerResponse {
        var response = PeerResponse.json(status, ["error": "planned_failure"])
        if let retryAfterSeconds {
            response.headers.append((name: "retry-after", value: String(retryAfterSeconds)))
        }
        return response
    }
}
