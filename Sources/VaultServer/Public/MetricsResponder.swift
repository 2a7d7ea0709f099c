import HTTPTypes
import Hummingbird
import NIOCore
import VaultService

/// `/metrics` on a listener of its own, where only who may look reaches it.
struct MetricsResponder: HTTPResponder {
    let vault: Vault

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        guard request.method == .get, request.uri.path == "/metrics" else { return Response(status: .notFound) }
        let answer = await withTaskExecutorPreference(vault.executor) { HealthRoutes.metricsAnswer(vault) }
        return Response(
            status: .ok, headers: [.contentType: answer.headers.first?.value ?? "text/plain"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
    }
}
