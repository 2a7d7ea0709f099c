import Synchronization

/// Carries a step's result out of its closure.
final class Slot<Value: Sendable>: Sendable {
    private let value = Mutex<Value?>(nil)

    func put(_ value: Value) { self.value.withLock { $0 = value } }

    func take() throws -> Value {
        guard let value = value.withLock({ $0 }) else { throw DemoFailure("the step left nothing behind") }
        return value
    }
}
