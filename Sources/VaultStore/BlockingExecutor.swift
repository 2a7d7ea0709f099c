import Dispatch
import Foundation
import Synchronization

/// Threads for tasks that wait for a database: they may be blocked, and the few that all other tasks share are not.
package final class BlockingExecutor: TaskExecutor {
    private let jobs = Mutex<[UnownedJob]>([])
    private let available = DispatchSemaphore(value: 0)

    /// Starts the threads; they end with `stop`.
    init(name: String, threads: Int) {
        for number in 1...threads {
            let thread = Thread { self.work() }
            thread.name = "\(name)-\(number)"
            thread.start()
        }
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        jobs.withLock { $0.append(unowned) }
        available.signal()
    }

    private func work() {
        while true {
            available.wait()
            let job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            guard let job else { break }
            job.runSynchronously(on: asUnownedTaskExecutor())
        }
        // Whoever waits beside this thread ends as well.
        available.signal()
    }

    /// Ends the threads once what was enqueued has run.
    func stop() { available.signal() }
}
