import Testing
import VaultAPI
import VaultDomain

struct LifecycleEventTests {
    private static func auth0(_ body: String) throws -> [LifecycleEvent] {
        try Auth0LogStream.events(body: Array(body.utf8))
    }

    private static func item(_ type: String, _ more: String = "") -> String {
        #"{"log_id":"log-1","data":{"type":"\#(type)","date":"2026-11-23T14:00:00.000Z","user_id":"auth0|ada"\#(more)}}"#
    }

    @Test(
        "Auth0 events do what the documentation says",
        arguments: [
            ("sdu", LifecycleAction.deprovision), ("ublkdu", .suspend), ("ubuu", .restore), ("sul", .ignore),
            ("limit_sul", .ignore),
            ("user.deleted", .deprovision), ("user.suspended", .suspend), ("user.unsuspended", .restore),
            ("nonsense", .ignore),
        ])
    func auth0Types(type: String, action: LifecycleAction) throws {
        let event = try #require(try Self.auth0(Self.item(type)).first)
        #expect(event.action == action)
        #expect(event.subject == "auth0|ada")
        #expect(event.occurredAt == Instant(rfc3339: "2026-11-23T14:00:00Z"))
    }

    @Test(
        "attack 48: a block that the record itself calls released restores",
        arguments: [#","description":"User login block RELEASED""#, #","details":{"title":"Account unblocked"}"#])
    func released(more: String) throws {
        let event = try #require(try Self.auth0(Self.item("ublkdu", more)).first)
        #expect(event.action == .restore)
        #expect(event.note != nil)
    }

    @Test(
        "attack 48: an administrator's API call names its subject in the path, and the administrator is never touched")
    func managementAPI() throws {
        func event(_ method: String, _ path: String, _ body: String, _ status: Int) throws -> LifecycleEvent {
            let more =
                #","details":{"request":{"method":"\#(method)","path":"\#(path)","body":\#(body)},"response":{"statusCode":\#(status)}}"#
            return try #require(try Self.auth0(Self.item("sapi", more)).first)
        }
        let blocked = try event("patch", "/api/v2/users/auth0%7Cgrace", #"{"blocked":true}"#, 200)
        #expect(blocked.action == .suspend)
        #expect(blocked.subject == "auth0|grace")
        #expect(try event("PATCH", "/api/v2/users/auth0%7Cgrace", #"{"blocked":false}"#, 200).action == .restore)
        #expect(try event("delete", "/api/v2/users/auth0%7Cgrace", "{}", 204).action == .deprovision)
        #expect(try event("PATCH", "/api/v2/users/auth0%7Cgrace", #"{"blocked":true}"#, 403).action == .ignore)
        #expect(try event("PATCH", "/api/v2/users/auth0%7Cgrace/roles", #"{"blocked":true}"#, 200).action == .ignore)
        #expect(try event("PATCH", "/api/v2/clients/x", #"{"blocked":true}"#, 200).action == .ignore)
        #expect(try event("PATCH", "/api/v2/clients/x", #"{"blocked":true}"#, 200).subject == nil)
    }

    @Test("attack 47: a batch comes as array, as one object, as lines, wrapped or bare")
    func shapes() throws {
        let one = Self.item("sdu")
        let two = Self.item("ubuu").replacing("log-1", with: "log-2")
        #expect(try Self.auth0("[\(one),\(two)]").count == 2)
        #expect(try Self.auth0(one).count == 1)
        #expect(try Self.auth0(one + "\n" + two + "\n").count == 2)
        #expect(try Self.auth0(#"{"log_id":"x","type":"sdu","user_id":"ada"}"#).first?.action == .deprovision)
    }

    @Test("attack 47: one bad item among good ones is left out; none good is an error")
    func badItems() throws {
        #expect(try Self.auth0("[1,\(Self.item("sdu")),{}]").count == 1)
        for body in ["", "[]", "{}", "null", "[[[", "\u{FEFF}[]", #"[{"log_id":"x"}]"#] {
            #expect(throws: LifecycleParsingError.noValidEvent) { try Self.auth0(body) }
        }
    }

    @Test(
        "Clerk events: deletion ends a user, a ban or lock suspends, its end restores",
        arguments: [
            (#"{"type":"user.deleted","data":{"id":"user_1","deleted":true}}"#, LifecycleAction.deprovision),
            (#"{"type":"user.updated","data":{"id":"user_1","banned":true,"locked":false}}"#, .suspend),
            (#"{"type":"user.updated","data":{"id":"user_1","banned":false,"locked":true}}"#, .suspend),
            (#"{"type":"user.updated","data":{"id":"user_1","banned":false,"locked":false}}"#, .restore),
            (#"{"type":"user.updated","data":{"id":"user_1"}}"#, .ignore),
            (#"{"type":"session.created","data":{"id":"sess_1"}}"#, .ignore),
        ])
    func clerk(body: String, action: LifecycleAction) throws {
        let event = try ClerkWebhook.event(body: Array(body.utf8), messageID: "msg_1")
        #expect(event.action == action)
        #expect(event.deliveryID == "msg_1")
    }

    @Test("Clerk times come in seconds and in milliseconds")
    func clerkTimes() throws {
        let seconds = try ClerkWebhook.event(
            body: Array(#"{"type":"user.deleted","timestamp":1716883200,"data":{}}"#.utf8), messageID: "m")
        #expect(seconds.occurredAt == Instant(seconds: 1_716_883_200))
        let milliseconds = try ClerkWebhook.event(
            body: Array(#"{"type":"user.deleted","timestamp":1744276393644,"data":{}}"#.utf8), messageID: "m")
        #expect(milliseconds.occurredAt == Instant(milliseconds: 1_744_276_393_644))
    }
}
