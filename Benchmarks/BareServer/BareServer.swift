import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

// The least that a server of this framework can do: it reads a request and answers the same JSON again. The bench suite holds
// the vault against it, so its listener is set up as the vault's own. No router: a table of routes is work of its own.

@main
struct BareServer {
    /// The vault's, of bodies of SDK calls.
    private static let bodyBytesMax = 1 << 20
    private static let idleSeconds: Int64 = 30

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let port = Int(arguments[1]),
            let answer = FileManager.default.contents(atPath: arguments[2])
        else {
            print("usage: BareServer PORT FILE    answers /json with the contents of the file")
            exit(2)
        }
        let body = ByteBuffer(bytes: answer)
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in
                guard request.uri.path == "/json" else { return Response(status: .notFound) }
                _ = try await request.body.collect(upTo: bodyBytesMax)
                var headers = HTTPFields()
                headers[.contentType] = "application/json"
                return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: body))
            },
            server: .http1(configuration: HTTP1Channel.Configuration(idleTimeout: .seconds(idleSeconds))),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: port), serverName: nil),
            onServerRunning: { channel in
                let line = "listening on http://127.0.0.1:\(channel.localAddress?.port ?? port)\n"
                FileHandle.standardOutput.write(Data(line.utf8))
            },
            logger: Logger(label: "bare-server") { _ in SwiftLogNoOpLogHandler() })
        try await application.runService()
    }
}
