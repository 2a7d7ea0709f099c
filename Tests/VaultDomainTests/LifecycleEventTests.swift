import Testing
import VaultAPI
import VaultDomain

@Suite("Lifecycle events are read")
struct LifecycleEventTests {
    private static func batch(
        _ body: String, _ type: IdentityProviderType = .auth0, changes: JSONObject = [:]
    ) -> LifecycleBatch {
        LifecycleReader(type, map: LifecycleEventMap(type, changes: changes))
            .batch(body: Array(body.utf8), messageID: type == .clerk ? "msg_1" : nil)
    }

    private static func auth0(_ body: String) -> LifecycleEvent? { batch(body).events.first }
    private static func clerk(_ body: String) -> LifecycleEvent? { batch(body, .clerk).events.first }

    private static func item(_ type: String, _ more: String = "") -> String {
        #"{"log_id":"log-1","data":{"type":"\#(type)","date":"2026-11-23T14:00:00.000Z","user_id":"auth0|ada"\#(more)}}"#
    }

    @Test(
        "Auth0 events do what the documentation says",
        arguments: [
            ("sdu", LifecycleEffect.deprovision), ("ublkdu", .suspend), ("ubuu", .restore), ("sul", .ignore),
            ("limit_sul", .ignore),
            ("user.deleted", .deprovision), ("user.suspended", .suspend), ("user.unsuspended", .restore),
            ("nonsense", .ignore),
        ])
    func auth0Types(type: String, effect: LifecycleEffect) throws {
        let event = try #require(Self.auth0(Self.item(type)))
        #expect(event.effect == effect)
        #expect(event.subject == "auth0|ada" && event.deliveryID == "log-1")
        #expect(event.occurredAt == Instant(rfc3339: "2026-11-23T14:00:00Z"))
    }

    @Test(
        "row 48: a block that the record itself calls released restores",
        arguments: [#","description":"User login block RELEASED""#, #","details":{"title":"Account unblocked"}"#])
    func released(more: String) throws {
        let event = try #require(Self.auth0(Self.item("ublkdu", more)))
        #expect(event.effect == .restore)
        #expect(event.note != nil)
    }

    @Test("row 48: an administrator's API call names its subject in the path, and the administrator is never touched")
    func managementAPI() throws {
        func event(_ method: String, _ path: String, _ body: String, _ status: Int) throws -> LifecycleEvent {
            let more =
                #","details":{"request":{"method":"\#(method)","path":"\#(path)","body":\#(body)},"response":{"statusCode":\#(status)}}"#
            return try #require(Self.auth0(Self.item("sapi", more)))
        }
        let blocked = try event("patch", "/api/v2/users/auth0%7Cgrace", #"{"blocked":true}"#, 200)
        #expect(blocked.effect == .suspend)
        #expect(blocked.subject == "auth0|grace")
        #expect(try event("PATCH", "/api/v2/users/auth0%7Cgrace", #"{"blocked":false}"#, 200).effect == .restore)
        #expect(try event("delete", "/api/v2/users/auth0%7Cgrace", "{}", 204).effect == .deprovision)
        #expect(try event("PATCH", "/api/v2/users/auth0%7Cgrace", #"{"blocked":true}"#, 403).effect == .ignore)
        #expect(try event("PATCH", "/api/v2/users/auth0%7Cgrace/roles", #"{"blocked":true}"#, 200).effect == .ignore)
        #expect(try event("PATCH", "/api/v2/clients/x", #"{"blocked":true}"#, 200).effect == .ignore)
        #expect(try event("PATCH", "/api/v2/clients/x", #"{"blocked":true}"#, 200).subject == nil)
        #expect(try event("PATCH", "/api/v2/users/x?a=/#b", #"{"blocked":true}"#, 200).subject == "x")
    }

    @Test("row 47: a batch comes as array, as one object, as lines, wrapped or bare, with an id or without")
    func shapes() throws {
        let one = Self.item("sdu")
        let two = Self.item("ubuu").replacing("log-1", with: "log-2")
        #expect(Self.batch("[\(one),\(two)]").events.count == 2)
        #expect(Self.batch(one).events.count == 1)
        #expect(Self.batch(one + "\n" + two + "\r\n\r\n").events.count == 2)
        #expect(Self.batch(one + "\n" + two + "\r\n\r\n").invalid.isEmpty)
        #expect(Self.auth0(#"{"log_id":null,"data":{"type":"sdu","user_id":"ada"}}"#)?.deliveryID == nil)
        let bare = try #require(Self.auth0(#"{"type":"sdu","user_id":"ada"}"#))
        #expect(bare.effect == .deprovision && bare.deliveryID == nil)
    }

    @Test("row 47: bad items among good ones are told apart; nothing good is an empty batch")
    func badItems() {
        let mixed = Self.batch("[1,\(Self.item("sdu")),{}]")
        #expect(mixed.events.count == 1 && mixed.invalid == ["1", "{}"])
        let lines = Self.batch(Self.item("sdu") + "\nnonsense\n")
        #expect(lines.events.count == 1 && lines.invalid.count == 1)
        for body in [
            "", "[]", "{}", "null", "[[[", "\u{FEFF}[]", #"[{"log_id":"x"}]"#, #"{"log_id":7,"data":{"type":"sdu"}}"#,
            #"{"log_id":"a\u0000","data":{"type":"sdu"}}"#, #"{"data":{"type":"s\u0000du"}}"#,
            #"{"data":{"type":"sdu","type":"ubuu"}}"#,
        ] {
            #expect(Self.batch(body).events.isEmpty, "\(body)")
            #expect(Self.batch(body, .clerk).events.isEmpty, "\(body)")
        }
    }

    @Test(
        "row 55: Clerk events: deletion ends a user, a ban or lock suspends, its end restores",
        arguments: [
            (#"{"type":"user.deleted","data":{"id":"user_1","deleted":true}}"#, LifecycleEffect.deprovision),
            (
                #"{"type":"user.updated","data":{"id":"user_1","banned":true,"locked":false}}"#,
                .sync(UserProfile(), isBlocked: true)
            ),
            (
                #"{"type":"user.updated","data":{"id":"user_1","banned":false,"locked":true}}"#,
                .sync(UserProfile(), isBlocked: true)
            ),
            (
                #"{"type":"user.updated","data":{"id":"user_1","banned":false,"locked":false}}"#,
                .sync(UserProfile(), isBlocked: false)
            ),
            (#"{"type":"user.updated","data":{"id":"user_1"}}"#, .sync(UserProfile(), isBlocked: nil)),
            (#"{"type":"session.created","data":{"id":"sess_1"}}"#, .ignore),
        ])
    func clerk(body: String, effect: LifecycleEffect) throws {
        let event = try #require(Self.clerk(body))
        #expect(event.effect == effect)
        #expect(event.deliveryID == "msg_1")
    }

    @Test("a Clerk profile is the primary address and the name, or else the user name")
    func clerkProfile() throws {
        func profile(_ members: String) throws -> UserProfile? {
            let event = try #require(Self.clerk(#"{"type":"user.updated","data":{"id":"user_1",\#(members)}}"#))
            guard case .sync(let profile, _) = event.effect else { return nil }
            return profile
        }
        let addresses =
            #""email_addresses":[{"id":"a","email_address":"old@corp.test"},{"id":"b","email_address":"ada@corp.test"}]"#
        #expect(
            try profile(#""first_name":"Ada","last_name":"L.","primary_email_address_id":"b",\#(addresses)"#)
                == UserProfile(email: "ada@corp.test", displayName: "Ada L."))
        let odd = try profile(#""first_name":"a\u0000b\u2028","primary_email_address_id":"b",\#(addresses)"#)
        #expect(odd?.displayName == "ab")
        #expect(
            try profile(#""first_name":null,"username":"ada","primary_email_address_id":null,\#(addresses)"#)
                == UserProfile(displayName: "ada"))
    }

    @Test("row 55: the end of a Clerk membership names the person and the organization, and when it ended")
    func clerkMembership() throws {
        let event = try #require(
            Self.clerk(
                #"{"type":"organizationMembership.deleted","timestamp":1764028800000,"data":{"id":"orgmem_1","updated_at":1716883200000,"organization":{"id":"org_1","slug":"acme"},"public_user_data":{"user_id":"user_1"}}}"#
            ))
        #expect(event.subject == "user_1")
        #expect(event.effect == .removeMembership(names: ["org_1", "acme"]))
        #expect(event.occurredAt == Instant(milliseconds: 1_764_028_800_000))
    }

    @Test("Clerk times come in seconds and in milliseconds, and a user's own time weighs more than the message's")
    func clerkTimes() {
        let seconds = Self.clerk(#"{"type":"user.deleted","timestamp":1716883200,"data":{}}"#)
        #expect(seconds?.occurredAt == Instant(seconds: 1_716_883_200))
        let milliseconds = Self.clerk(#"{"type":"user.deleted","timestamp":1744276393644,"data":{}}"#)
        #expect(milliseconds?.occurredAt == Instant(milliseconds: 1_744_276_393_644))
        let own = Self.clerk(#"{"type":"user.updated","timestamp":1744276393644,"data":{"updated_at":1744276390000}}"#)
        #expect(own?.occurredAt == Instant(milliseconds: 1_744_276_390_000))
    }

    @Test(
        "what is kept of an event does the same when it is read again, and is only what decides",
        arguments: [
            (IdentityProviderType.auth0, Self.item("sdu", #","ip":"203.0.113.9","user_name":"ada@corp.test""#)),
            (.auth0, Self.item("ublkdu", #","details":{"title":"User login block released","query":{"a":1}}"#)),
            (
                .auth0,
                Self.item(
                    "sapi",
                    #","details":{"request":{"method":"patch","path":"/api/v2/users/x","body":{"blocked":true,"password":"p"},"ip":"203.0.113.9"},"response":{"statusCode":200,"body":{}}}"#
                )
            ),
            (
                .clerk,
                #"{"type":"user.updated","timestamp":1744276393644,"event_attributes":{"http_request":{"client_ip":"203.0.113.9"}},"data":{"id":"user_1","banned":true,"locked":false,"updated_at":1744276390000,"first_name":"Ada","primary_email_address_id":"b","email_addresses":[{"id":"b","email_address":"ada@corp.test","verification":{}}],"public_metadata":{"password":"p"}}}"#
            ),
            (
                .clerk,
                #"{"type":"organizationMembership.deleted","timestamp":1744276393644,"data":{"organization":{"id":"org_1","slug":"acme","password":"p"},"public_user_data":{"user_id":"user_1","identifier":"ada@corp.test"}}}"#
            ),
        ])
    func source(type: IdentityProviderType, body: String) throws {
        let event = try #require(Self.batch(body, type).events.first)
        let reader = LifecycleReader(type, map: LifecycleEventMap(type))
        let again = try #require(reader.event(event.source, messageID: event.deliveryID))
        if case .sync(_, let isBlocked) = event.effect {
            #expect(again.effect == .sync(UserProfile(), isBlocked: isBlocked))
        } else {
            #expect(again == event)
        }
        #expect(again.subject == event.subject && again.occurredAt == event.occurredAt)
        let kept = JSON.object(event.source).text
        for personal in ["203.0.113.9", "password", "corp.test", "Ada"] { #expect(!kept.contains(personal), "\(kept)") }
    }

    // MARK: The event map

    private static func problems(_ edit: JSONObject, _ type: IdentityProviderType = .auth0) -> [String] {
        var problems: [String] = []
        _ = LifecycleEventMap(type).edited(by: edit) { event, _ in problems.append(event) }
        return problems
    }

    @Test("an operator changes what an event does, adds one, and takes a change back")
    func edits() {
        let map = LifecycleEventMap(.auth0)
        let edited = map.edited(by: ["ublkdu": "ignore", "fui": "suspend"]) { _, _ in }
        #expect(
            edited.action("ublkdu") == .ignore && edited.action("fui") == .suspend
                && edited.action("sdu") == .deprovision)
        #expect(edited.json["fui"] == "suspend" && edited.json["ublkdu"] == "ignore")
        #expect(LifecycleEventMap(.auth0, changes: edited.changes) == edited)
        let back = edited.edited(by: ["ublkdu": nil, "fui": nil]) { _, _ in }
        #expect(back == map)
    }

    @Test("no plain action falls on the administrator whom a call of the Management API names")
    func protectedAdministrator() {
        for action in ["deprovision", "suspend", "restore"] {
            #expect(Self.problems(["sapi": .string(action)]) == ["sapi"])
        }
        #expect(Self.problems(["sapi": "ignore"]).isEmpty && Self.problems(["sapi": "by_operation"]).isEmpty)
    }

    @Test("actions that read what only one event has are refused for the others, and so is nonsense")
    func refusedEdits() {
        for action in ["sync", "remove_membership", "by_operation", "explode"] {
            #expect(Self.problems(["sdu": .string(action)]) == ["sdu"], "\(action)")
        }
        #expect(Self.problems(["sdu": 7]) == ["sdu"])
        #expect(Self.problems(["with blank": "suspend"]) == ["with blank"])
        #expect(Self.problems(["user.updated": "sync"], .clerk).isEmpty)
        let many = JSONObject.filled(count: LifecycleEventMap.changesMax + 1)
        #expect(Self.problems(many) == [""])
    }
}

extension JSONObject {
    fileprivate static func filled(count: Int) -> JSONObject {
        var object = JSONObject()
        for number in 0..<count { object["event-\(number)"] = "suspend" }
        return object
    }
}
