import Testing
import VaultDomain

@Suite("IP addresses")
struct IPAddressTests {
    @Test(
        "are read strictly and written in one form",
        arguments: [
            ("1.2.3.4", "1.2.3.4"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"),
            ("::1", "::1"), ("1::", "1::"), ("2001:DB8::1", "2001:db8::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("0:0:0:0:0:0:0:1", "::1"),
            ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"), ("::ffff:7f00:1", "::ffff:127.0.0.1"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ])
    func text(_ input: String, _ canonical: String) throws {
        let address = try #require(IPAddress(input))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
        #expect(IPAddress(bytes: address.bytes) == address)
        #expect(address.bytes.count == (address.isV4 ? 4 : 16))
    }

    @Test(
        "row 22 and 84: short, octal, hexadecimal, padded and zoned forms are none",
        arguments: [
            "", ".", "127.1", "0", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.1.",
            ".127.0.0.1",
            "127.0.0.256", "127.0.0.1/8", "127.0.0.-1", "+1.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3", "1.2.3.4.5",
            "1..2.3",
            "1.2.3.٤", "１.2.3.4", "fe80::1%eth0", "fe80::1%25eth0", ":", ":::", "1:", ":1", "1::2::3", "::1::",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::12345", "::g", "[::1]", "::1.2.3", "::1.2.3.4:5", "1.2.3.4::",
            "::ffff:127.1", "::ffff:0177.0.0.1", "1:2:3:4:5:6:7:1.2.3.4", "::1 ",
            "::0000000000000000000000000000000000000000000001",
        ])
    func refusedText(_ input: String) { #expect(IPAddress(input) == nil) }

    @Test("are made of four or sixteen bytes")
    func bytes() {
        #expect(IPAddress(bytes: [127, 0, 0, 1])?.description == "127.0.0.1")
        for count in [0, 3, 5, 15, 17] { #expect(IPAddress(bytes: Array(repeating: 1, count: count)) == nil) }
    }

    @Test("unmap only ::ffff:0:0/96")
    func unmapping() throws {
        #expect(IPAddress("::ffff:10.0.0.1")?.unmapped == IPAddress("10.0.0.1"))
        for text in ["::10.0.0.1", "::fffe:10.0.0.1", "1::ffff:10.0.0.1", "10.0.0.1"] {
            let address = try #require(IPAddress(text))
            #expect(address.unmapped == address)
        }
    }

    @Test(
        "row 22: every private, local, reserved, tunnelled and metadata address is not public",
        arguments: [
            "127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.0",
            "100.127.255.255",
            "100.100.100.200", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "::127.0.0.1", "::8.8.8.8",
            "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1", "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "febf::1",
            "fec0::1", "ff02::1",
            "4000::1", "1fff::1",
        ])
    func notPublic(_ text: String) throws { #expect(try !#require(IPAddress(text)).isPubliclyRoutable) }

    @Test(
        "of the public internet are public, mapped ones too",
        arguments: [
            "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450:4001::1", "2001:200::1",
        ])
    func isPublic(_ text: String) throws { #expect(try #require(IPAddress(text)).isPubliclyRoutable) }

    @Test("on development servers may be loopback and private, but never link-local or metadata")
    func development() throws {
        for text in [
            "127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "172.20.0.2", "fd12::1", "::ffff:127.0.0.1", "8.8.8.8",
            "100.64.1.1",
        ] {
            #expect(try #require(IPAddress(text)).isReachableInDevelopment, "\(text)")
        }
        for text in [
            "169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "100.100.100.200", "168.63.129.16",
            "0.0.0.0", "::",
            "224.0.0.1", "64:ff9b::7f00:1",
        ] {
            #expect(try !#require(IPAddress(text)).isReachableInDevelopment, "\(text)")
        }
        #expect(try #require(IPAddress("127.8.8.8")).isLoopback)
        #expect(try #require(IPAddress("::ffff:127.0.0.1")).isLoopback)
        #expect(try !#require(IPAddress("::2")).isLoopback)
        #expect(try #require(IPAddress("::ffff:10.0.0.1")).isPrivate)
    }
}

@Suite("IP ranges")
struct IPRangeTests {
    @Test(
        "hold what they should",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.5", false), ("1.2.3.4/32", "1.2.3.4", true), ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false), ("::/0", "2001:db8::1", true), ("::/0", "1.2.3.4", false),
            ("::/0", "::ffff:1.2.3.4", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true), ("::ffff:10.0.0.0/104", "10.9.9.9", true),
            ("::ffff:0:0/96", "9.9.9.9", true),
            ("::ffff:1.2.3.4", "1.2.3.4", true), ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::/65", "2001:db8::7fff:0:0:1", true), ("2001:db8::/65", "2001:db8::8000:0:0:1", false),
            ("2001:db8::1", "2001:db8::1", true), ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.128/25", "192.0.2.128", true),
            ("192.0.2.2/31", "192.0.2.3", true), ("192.0.2.2/31", "192.0.2.4", false),
        ])
    func contains(_ range: String, _ address: String, _ isInside: Bool) throws {
        #expect(try #require(IPRange(range)).contains(#require(IPAddress(address))) == isInside)
    }

    @Test(
        "row 84: with host bits, over-long prefixes, zones or signs are none",
        arguments: [
            "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0 /8", "10.0.0.0/ 8", "10/8", "010.0.0.0/8", "::/129", "2001:db8::1/32", "fe80::1%eth0/64",
            "::ffff:10.0.0.1/104",
            "10.0.0.0/1e1", "*", "localhost", "10.0.0.0/0x8",
        ])
    func refused(_ text: String) { #expect(IPRange(text) == nil) }

    @Test("say what they are")
    func descriptions() {
        #expect(IPRange("::FFFF:10.0.0.0/104")?.description == "10.0.0.0/8")
        #expect(IPRange("2001:DB8::/32")?.description == "2001:db8::/32")
        #expect(IPRange("1.2.3.4")?.description == "1.2.3.4/32")
    }
}

@Suite("Addresses from outside")
struct WebAddressTests {
    @Test(
        "are read into what will be called",
        arguments: [
            ("https://api.example.com", "https://api.example.com/", "api.example.com", 443),
            ("HTTPS://API.Example.COM/Path?Q=1", "https://api.example.com/Path?Q=1", "api.example.com", 443),
            ("http://localhost:8080/x", "http://localhost:8080/x", "localhost", 8080),
            ("https://example.com:443/", "https://example.com/", "example.com", 443),
            ("http://example.com:443/", "http://example.com:443/", "example.com", 443),
            ("https://example.com?a=b", "https://example.com/?a=b", "example.com", 443),
            ("https://example.com/?", "https://example.com/?", "example.com", 443),
            ("https://example.com/a?b?c/d@e:f", "https://example.com/a?b?c/d@e:f", "example.com", 443),
            ("https://xn--mnchen-3ya.de/", "https://xn--mnchen-3ya.de/", "xn--mnchen-3ya.de", 443),
            ("https://192.0.2.1:65535/", "https://192.0.2.1:65535/", "192.0.2.1", 65_535),
            ("https://[2001:DB8:0::1]:8443/x", "https://[2001:db8::1]:8443/x", "[2001:db8::1]", 8443),
            ("https://[::1]", "https://[::1]/", "[::1]", 443),
            ("https://1password.com/", "https://1password.com/", "1password.com", 443),
            ("https://a.0xyz/", "https://a.0xyz/", "a.0xyz", 443),
            ("https://h/a/../b//c/%2e%2E;p=1", "https://h/a/../b//c/%2e%2E;p=1", "h", 443),
            ("https://h/x?page[size]=2", "https://h/x?page%5Bsize%5D=2", "h", 443),
            ("https://h/~!$&'()*+,;=:@-._", "https://h/~!$&'()*+,;=:@-._", "h", 443),
        ])
    func accepted(_ input: String, _ text: String, _ host: String, _ port: Int) throws {
        let address = try WebAddress(input)
        #expect(address.text == text)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(try WebAddress(address.text) == address)
        #expect(address.text == address.origin + address.target)
    }

    @Test(
        "row 21, 22, 74: what two readers could read differently is refused, with the reason",
        arguments: [
            ("", .notHTTP), ("example.com", .notHTTP), ("//example.com", .notHTTP), ("file:///etc/passwd", .notHTTP),
            ("ftp://example.com", .notHTTP), ("gopher://example.com", .notHTTP), ("data:text/html,x", .notHTTP),
            ("unix:/run/x", .notHTTP),
            ("http+unix://%2Frun%2Fx/", .notHTTP), ("https:/example.com", .notHTTP), ("https:example.com", .notHTTP),
            ("javascript:alert(1)", .notHTTP), ("wss://example.com", .notHTTP),
            ("https://user@example.com/", .userInfo), ("https://user:pass@example.com/", .userInfo),
            ("https://@example.com/", .userInfo),
            ("https://api.x@evil.com", .userInfo), ("https://api.x%40evil.com/", .host),
            ("https://good.com\\@evil.com/", .characters), ("https://good.com\\.evil.com/", .characters),
            ("https://example.com/a b", .characters),
            (" https://example.com/", .characters), ("https://example.com/\t", .characters),
            ("https://exam\nple.com/", .characters),
            ("https://example.com/\r\nX: y", .characters), ("https://example.com/\u{0}", .characters),
            ("https://münchen.de/", .characters),
            ("https://１２７.０.０.１/", .characters), ("https://ⓔxample.com/", .characters),
            ("https://example.com/é", .characters),
            ("https://example.com/<x>", .characters), ("https://example.com/\"", .characters),
            ("https://example.com/{a}|b^c`", .characters),
            ("https:///path", .host), ("https://", .host), ("https://?x", .host), ("https://example.com./", .host),
            ("https://localhost./", .host),
            ("https://.example.com/", .host), ("https://a..b/", .host), ("https://-a.com/", .host),
            ("https://a-.com/", .host),
            ("https://a_b.com/", .host), ("https://exam%70le.com/", .host), ("https://localhost%00.evil.com/", .host),
            ("https://a,b/", .host),
            ("https://127.1/", .host), ("https://0/", .host), ("https://2130706433/", .host),
            ("https://0x7f000001/", .host), ("https://0x7f.1/", .host),
            ("https://127.0.0.0x1/", .host), ("https://0x/", .host), ("https://0177.0.0.1/", .host),
            ("https://127.0.0.1./", .host),
            ("https://127.0.0.256/", .host), ("https://1.2.3.4.5/", .host), ("https://foo.123/", .host),
            ("https://[::1/", .host),
            ("https://[::1]x/", .host), ("https://::1/", .host), ("https://[fe80::1%25eth0]/", .host),
            ("https://[127.0.0.1]/", .host), ("https://[]/", .host),
            ("https://[v1.x]/", .host), ("https://*.example.com/", .host),
            ("https://example.com:/", .port), ("https://example.com:0/", .port), ("https://example.com:00443/", .port),
            ("https://example.com:0443/", .port), ("https://example.com:+443/", .port),
            ("https://example.com:65536/", .port),
            ("https://example.com:99999/", .port), ("https://example.com:443:443/", .port),
            ("https://example.com:4x/", .port),
            ("https://example.com/%", .percentEncoding), ("https://example.com/%4", .percentEncoding),
            ("https://example.com/%zz", .percentEncoding),
            ("https://example.com/%00", .percentEncoding), ("https://example.com/?a=%0d%0aX", .percentEncoding),
            ("https://example.com/%0D", .percentEncoding),
            ("https://example.com/?%0A", .percentEncoding), ("https://example.com/#top", .fragment),
            ("https://example.com#", .fragment),
            ("https://example.com/" + String(repeating: "a", count: 65_536), .tooLong),
            ("https://" + String(repeating: "a", count: 64) + ".com", .host),
            ("https://" + String(repeating: "a.", count: 127) + "com", .host),
        ] as [(String, WebAddressError)])
    func refused(_ input: String, _ reason: WebAddressError) {
        #expect(throws: reason) { try WebAddress(input) }
    }

    @Test(
        "are taken as HTTP clients take them where calls come from apps: the target is encoded, the fragment is not sent",
        arguments: [
            ("https://h/me?$filter=from eq 'x'", "https://h/me?$filter=from%20eq%20'x'"),
            ("https://h/ü|\"<>^`{}", "https://h/%C3%BC%7C%22%3C%3E%5E%60%7B%7D"), ("https://h/a#b?c", "https://h/a"),
            ("https://h?q=☃", "https://h/?q=%E2%98%83"), ("https://h/%41%2F", "https://h/%41%2F"),
        ])
    func encodedByClients(_ input: String, _ expected: String) throws {
        #expect(try WebAddress(encoding: input).text == expected)
    }

    @Test(
        "row 74: encoding mends neither host nor backslash, control character or broken sequence",
        arguments: [
            "https://good.example\\@evil.example/", "https://h/a\\b", "https://h/a\tb", "https://h/a\r\nX: y",
            "https://hé/", "https:// h/", "https://u:p@h/", "https://h/%0d%0a", "https://h/%", "ftp://h/", "h/a", "",
            "https://h /",
        ])
    func notMended(_ input: String) {
        #expect(throws: WebAddressError.self) { try WebAddress(encoding: input) }
    }

    @Test("lose query items by name, whatever their encoding")
    func removing() throws {
        let address = try WebAddress("https://h/p?key=1&k%65y=2&b=3&key")
        #expect(try address.removingQuery(["key"]).text == "https://h/p?b=3")
        #expect(try address.removingQuery(["key", "b"]).text == "https://h/p")
        #expect(try address.removingQuery([]) == address)
    }

    @Test("explain a refusal without repeating the text")
    func reasons() { #expect(Set(WebAddressError.allCases.map(\.reason)).count == WebAddressError.allCases.count) }

    @Test("name origin, target and whether the port is the scheme's own")
    func parts() throws {
        let address = try WebAddress("http://Example.com:8080/a/b?c=d")
        #expect(address.scheme == "http" && !address.isSecure && !address.isDefaultPort)
        #expect(address.origin == "http://example.com:8080")
        #expect(address.path == "/a/b" && address.query == "c=d" && address.target == "/a/b?c=d")
        #expect(address.ipAddress == nil)
        #expect(try WebAddress("https://[::1]/").ipAddress == IPAddress("::1"))
        #expect(try WebAddress("https://192.0.2.7/").ipAddress == IPAddress("192.0.2.7"))
        #expect(try WebAddress("https://example.com/").query == nil)
    }

    @Test(
        "take more query items behind those they have",
        arguments: [
            ("https://h/", "https://h/?a=1&b=x%20y%26z"), ("https://h/?", "https://h/?a=1&b=x%20y%26z"),
            ("https://h/p?q=%41", "https://h/p?q=%41&a=1&b=x%20y%26z"),
        ])
    func appending(_ input: String, _ expected: String) throws {
        #expect(try WebAddress(input).appendingQuery([("a", "1"), ("b", "x y&z")]).text == expected)
        #expect(try WebAddress(input).appendingQuery([]) == WebAddress(input))
    }

    @Test("encode query items so that none can end its value")
    func encoding() throws {
        let text = try WebAddress("https://h/").appendingQuery([("ü=&?#", "+/%~-._é☃")]).text
        #expect(text == "https://h/?%C3%BC%3D%26%3F%23=%2B%2F%25~-._%C3%A9%E2%98%83")
        #expect(try WebAddress("https://h/").appendingQuery([("a", "x\r\ny")]).text == "https://h/?a=x%0D%0Ay")
        #expect(throws: WebAddressError.percentEncoding) {
            try WebAddress("https://h/").appendingQuery([("a", "x\0y")])
        }
        #expect(throws: WebAddressError.tooLong) {
            try WebAddress("https://h/").appendingQuery([("a", String(repeating: "x", count: 65_536))])
        }
    }

    @Test("decode forms, and nothing that is broken")
    func decoding() throws {
        let pairs = try #require(FormEncoding.decode(Array("a=1&b=x+y%20z&&c&=d&e==".utf8)))
        #expect(pairs.map(\.name) == ["a", "b", "c", "", "e"])
        #expect(pairs.map(\.value) == ["1", "x y z", "", "d", "="])
        for text in ["a=%", "a=%4", "%zz=1", "a=%ff"] {
            #expect(FormEncoding.decode(Array(text.utf8)) == nil, "\(text)")
        }
    }
}

@Suite("Host rules")
struct HostRuleTests {
    @Test(
        "row 73: match exactly the hosts they name",
        arguments: [
            ("api.example.com", "https://api.example.com/x", true),
            ("API.Example.com", "https://api.example.com/", true),
            ("api.example.com", "https://API.EXAMPLE.COM/", true), ("api.example.com", "https://example.com/", false),
            ("www.googleapis.com", "https://gmail.googleapis.com/", false),
            ("example.com", "https://evilexample.com/", false),
            ("example.com", "https://example.com.evil.com/", false),
            ("api.example.com", "https://api.example.com:8443/", false),
            ("api.example.com", "http://api.example.com/", true),
            ("api.example.com:8443", "https://api.example.com:8443/", true),
            ("api.example.com:8443", "https://api.example.com/", false),
            ("api.example.com:443", "https://api.example.com/", true),
            ("*.example.com", "https://a.example.com/", true), ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false), ("*.example.com", "https://evilexample.com/", false),
            ("*.example.com", "https://a.example.com:444/", false),
            ("*.example.com:444", "https://a.example.com:444/", true),
            ("192.0.2.1", "https://192.0.2.1/", true), ("[2001:DB8::1]", "https://[2001:db8:0::1]/", true),
            ("[::1]:8080", "http://[::1]:8080/", true), ("127.0.0.1:9000", "http://127.0.0.1:9000/", true),
        ])
    func matches(_ rule: String, _ address: String, _ isMatch: Bool) throws {
        #expect(try #require(HostRule(rule)).matches(WebAddress(address)) == isMatch)
    }

    @Test(
        "are one host each and no pattern",
        arguments: [
            "", "*", "*.", "*.com", "*.localhost", "a.*.com", "**.example.com", "*example.com", "*.*.example.com",
            "example.com.",
            "https://example.com", "example.com/", "example.com/path", "user@example.com", "example.com:",
            "example.com:0",
            "example.com:*", "a b.com", "münchen.de", "*.192.0.2.1", "*.[::1]", "127.1", "0x7f.1", "::1",
            ".example.com", "a_b.com",
        ])
    func refused(_ text: String) { #expect(HostRule(text) == nil) }

    @Test("keep their text in lower case")
    func text() {
        #expect(HostRule("*.Example.COM:8443")?.text == "*.example.com:8443")
        #expect(HostRule("[2001:DB8:0::1]")?.text == "[2001:db8::1]")
    }
}
