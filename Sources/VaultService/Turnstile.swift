/// Lets a few in at a time, in the order of their coming.
actor Turnstile {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private var next = 0

    init(limit: Int) { free = limit }

    func pass<Result: Sendable>(_ body: @Sendable () async throws -> Result) async rethrows -> Result {
        await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        guard next < waiting.count else {
            waiting.removeAll(keepingCapacity: true)
            next = 0
            free += 1
            return
        }
        waiting[next].resume()
        next += 1
    }
}
