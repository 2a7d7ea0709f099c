import Dispatch
import Synchronization

/// A database engine: the two that there are differ in how they open, lock, commit and erase, and in nothing else.
protocol Engine: Sendable {
    /// Runs `body` on one committed state. Blocks the calling thread.
    func read<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result

    /// The first row of one statement that reads: that is a transaction already.
    func readRow(_ sql: String, _ arguments: [SQLValue]) throws -> Row?

    /// Runs `body` on one committed state, except that what earlier ones read may stand for rows that nobody has changed since, as far as this process
    /// knows: for a first look at what a transaction that writes decides.
    func recall<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result

    /// What `recall` sees from now on; `nil` where nothing is remembered.
    var recordView: RecordMemory.View? { get }

    /// Without a limit on its time.
    func readAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result

    /// Runs `body` in a transaction of its own, beside which nothing changes in `scope`, and returns once it is durable.
    ///
    /// - Parameter recalls: whether what earlier ones read may stand for rows that have not changed since.
    func write<Result: Sendable>(
        _ scope: WriteScope, recalls: Bool, _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result

    /// The same on the calling thread and in everything: for start-up and for the key store, where nothing else waits.
    func writeNow<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result

    /// The same without a limit on its time.
    func writeAtLength<Result: Sendable>(_ body: (Transaction) throws -> Result) throws -> Result

    /// A write after which no file of the engine that it can reach holds what was overwritten or deleted.
    func writeAndErase(_ body: @escaping @Sendable (Transaction) throws -> Void) async throws

    /// Erases what earlier writes have overwritten or deleted, as far as the engine can.
    func erase() async throws

    /// The tables that there are, whoever made them.
    func tables() throws -> [String]

    /// Which database it is, however its address is spelt.
    func place() throws -> String

    /// Applies, in order, the migrations that this database has not seen, and runs `body`, all in one transaction.
    func migrate<Result: Sendable>(_ migrations: [Schema.Migration], then body: (Transaction) throws -> Result) throws
        -> Result

    /// Facts for the start-up log and the tests.
    func settings() throws -> [String: String]

    /// Where tasks run that read: threads that may be blocked. `nil` where a read takes microseconds.
    var executor: BlockingExecutor? { get }

    /// What one of the processes that work on the database does at a time.
    var leases: Leases { get }

    /// Whether other processes serve from the same database.
    var isShared: Bool { get }

    func close() throws
}

extension Engine {
    func migrate(_ migrations: [Schema.Migration]) throws { try migrate(migrations) { _ in } }

    /// Whether it has no schema of ours yet.
    func isNew() throws -> Bool { try !tables().contains("schema_migrations") }
}

// MARK: - Group commit

/// Thrown by a job that wants to change what lies outside its scope: it is run again with everything.
struct ScopeExceeded: Error {}

/// A job of a batch failed after it had changed something, and there was no savepoint to go back to; or an answer was not what it
/// was taken for. The batch is run again, with savepoints and every answer waited for.
struct JobHasToBeUndone: Error {}

/// One caller's transaction, waiting for the commit that carries it.
protocol PendingCommit: Sendable {
    var scope: WriteScope { get }
    func run(by statements: any StatementRunner, heads: PendingHeads)
    /// Answers the caller; `false` when the job has to be run again instead.
    func finish(commitError: (any Error)?) -> Bool
}

final class CommitJob<Outcome: Sendable>: PendingCommit {
    private struct State {
        var scope: WriteScope
        var outcome: Result<Outcome, any Error>?
    }

    private let recalls: Bool
    private let body: @Sendable (Transaction) throws -> Outcome
    private let continuation: UnsafeContinuation<Outcome, any Error>
    private let state: Mutex<State>

    init(
        scope: WriteScope, recalls: Bool, body: @escaping @Sendable (Transaction) throws -> Outcome,
        continuation: UnsafeContinuation<Outcome, any Error>
    ) {
        self.recalls = recalls
        self.body = body
        self.continuation = continuation
        state = Mutex(State(scope: scope))
    }

    var scope: WriteScope { state.withLock { $0.scope } }

    func run(by statements: any StatementRunner, heads: PendingHeads) {
        let transaction = Transaction(statements: statements, scope: scope, heads: heads, recalls: recalls)
        heads.mark()
        let outcome = Result {
            var value: Outcome?
            try statements.savepoint { value = try body(transaction) }
            guard let value else { throw StoreError.unavailable("savepoint without a result") }
            return value
        }
        if case .failure = outcome { heads.undo() }
        state.withLock { $0.outcome = outcome }
    }

    func finish(commitError: (any Error)?) -> Bool {
        let outcome = state.withLock { $0.outcome } ?? .failure(StoreError.unavailable("the transaction did not run"))
        if let commitError {
            continuation.resume(throwing: commitError)
        } else if case .failure(is ScopeExceeded) = outcome, scope != .everything {
            state.withLock { $0.scope = .everything }
            return false
        } else {
            continuation.resume(with: outcome)
        }
        return true
    }
}

/// Runs what arrived meanwhile as one transaction with a savepoint each, commits once, then answers everybody.
final class CommitQueue: Sendable {
    private struct State {
        var jobs: [any PendingCommit] = []
        var isDraining = false
    }

    /// Jobs of one commit: bounds how long the first waits for the last.
    private static let batchMax = 256

    /// A commit that fails after this time takes along those who wait for the next.
    private static let patience = Duration.seconds(2)

    let queue: DispatchQueue
    private let commit: @Sendable ([any PendingCommit]) throws -> Void
    private let state = Mutex(State())

    /// - Parameter commit: runs the jobs in one transaction; when it throws, none of them has happened.
    init(label: String, commit: @escaping @Sendable ([any PendingCommit]) throws -> Void) {
        queue = DispatchQueue(label: label, qos: .userInitiated)
        self.commit = commit
    }

    func run<Result: Sendable>(
        _ scope: WriteScope, recalls: Bool = false, _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws -> Result {
        try await withUnsafeThrowingContinuation { continuation in
            enqueue(CommitJob(scope: scope, recalls: recalls, body: body, continuation: continuation))
        }
    }

    /// Runs `work` between two commits.
    func between(_ work: @escaping @Sendable () throws -> Void) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            queue.async { continuation.resume(with: Result { try work() }) }
        }
    }

    private func enqueue(_ job: any PendingCommit) {
        let mustStart = state.withLock { state in
            state.jobs.append(job)
            defer { state.isDraining = true }
            return !state.isDraining
        }
        if mustStart { queue.async { self.drain() } }
    }

    /// One batch, then whatever else waits for the writer: a checkpoint must not starve under load.
    private func drain() {
        var batch = nextBatch()
        var commitError: (any Error)?
        let began = ContinuousClock.now
        do { try commit(batch) } catch {
            commitError = error
            // Who came meanwhile would wait for the same once more.
            if began.duration(to: .now) >= Self.patience { batch += takeWaiting() }
        }
        let again = batch.filter { !$0.finish(commitError: commitError) }
        let isDraining = state.withLock { state in
            state.jobs.insert(contentsOf: again, at: 0)
            state.isDraining = !state.jobs.isEmpty
            return state.isDraining
        }
        if isDraining { queue.async { self.drain() } }
    }

    private func takeWaiting() -> [any PendingCommit] {
        state.withLock { state in
            defer { state.jobs = [] }
            return state.jobs
        }
    }

    private func nextBatch() -> [any PendingCommit] {
        state.withLock { state in
            let batch = Array(state.jobs.prefix(Self.batchMax))
            state.jobs.removeFirst(batch.count)
            return batch
        }
    }
}
