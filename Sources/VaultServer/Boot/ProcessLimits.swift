import Foundation

/// What this process may take from the machine, and what it must not leave behind.
package enum ProcessLimits {
    /// Descriptors kept back for the database, providers, logs: accepting connections must never use the last one,
    /// because the runtime traps when it cannot open a file.
    private static let descriptorReserve = 256

    /// Raises the descriptor limit to what is allowed; answers how many connections may be open at once.
    package static func connectionsMax() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 64 }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let descriptors = Int(min(limit.rlim_cur, 1_000_000))
        return max(8, descriptors - min(descriptorReserve, descriptors / 2))
    }

    /// No core files: they would hold keys and tokens.
    package static func forbidCoreFiles() {
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    }

    /// The runtime's back-traces print memory that registers point at. They can only be switched off before the process
    /// starts, so that it replaces itself once.
    package static func replaceProcessWithoutBacktraces() {
        guard ProcessInfo.processInfo.environment["SWIFT_BACKTRACE"] != "enable=no" else { return }
        setenv("SWIFT_BACKTRACE", "enable=no", 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", &arguments)
        // Only a failure returns: the server then runs with back-traces, which is better than not at all.
        for argument in arguments { free(argument) }
    }
}
