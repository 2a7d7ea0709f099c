/// Lets a few in at a time, fewer of each kind, and those who wait in turn: first come, first served within a kind, one after
/// the other between kinds.
actor Turnstile<Kind: Hashable & Sendable> {
    private struct Line {
        var inside = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
        /// Where the line begins; those before it were let in.
        var first = 0

        var isWaiting: Bool { first < waiting.count }
    }

    private let limit: Int
    private let limitPerKind: Int
    private var inside = 0
    private var lines: [Kind: Line] = [:]
    /// Kinds with somebody waiting, the next one first.
    private var turns: [Kind] = []

    init(limit: Int, perKind: Int) {
        self.limit = limit
        limitPerKind = perKind
    }

    func pass<Result: Sendable>(_ kind: Kind, _ body: @Sendable () async throws -> Result) async rethrows -> Result {
        await enter(kind)
        defer { leave(kind) }
        return try await body()
    }

    private func enter(_ kind: Kind) async {
        var line = lines[kind] ?? Line()
        if inside < limit, line.inside < limitPerKind, !line.isWaiting {
            inside += 1
            line.inside += 1
            lines[kind] = line
            return
        }
        if !line.isWaiting { turns.append(kind) }
        lines[kind] = line
        await withCheckedContinuation { lines[kind]?.waiting.append($0) }
    }

    private func leave(_ kind: Kind) {
        inside -= 1
        lines[kind]?.inside -= 1
        if let line = lines[kind], line.inside == 0, !line.isWaiting { lines[kind] = nil }
        letIn()
    }

    private func letIn() {
        var index = 0
        while inside < limit, index < turns.count {
            let kind = turns[index]
            guard var line = lines[kind], line.inside < limitPerKind, line.isWaiting else {
                index += 1
                continue
            }
            inside += 1
            line.inside += 1
            line.waiting[line.first].resume()
            line.first += 1
            turns.remove(at: index)
            if line.isWaiting {
                turns.append(kind)
            } else {
                line.waiting = []
                line.first = 0
            }
            lines[kind] = line
        }
    }
}
