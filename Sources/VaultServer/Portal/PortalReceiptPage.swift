import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService

/// The receipt of a deprovisioned user: what it states in words, and the signed text itself.
struct ReceiptPage: Sendable {
    let appID: AppID
    let user: User
    let receipt: DeprovisioningReceipt
    let now: Instant

    private var path: String { SitePath.portalApp(appID.text, "users/" + user.id.text).path }

    /// Read from what was just signed here, so not held against a key.
    private var claims: JSONObject {
        let parts = receipt.receipt.split(separator: ".")
        guard parts.count == 3, let bytes = Base64URL.decode(parts[1]) else { return [:] }
        return (try? JSON(parsing: bytes))?.object ?? [:]
    }

    var html: HTML {
        let claims = claims
        return """
            <div class="page-head"><h1>Receipt for \(user.shownName)</h1>
            <p class="actions"><a class="button" href="\(path)/receipt.jws" download>Download</a>
            <a class="button plain" href="\(path)">The user</a></p></div>
            <section class="panel" aria-labelledby="facts">
            <h2 id="facts">What it states</h2>
            \(facts(claims))
            </section>
            <section aria-labelledby="grants">
            <h2 id="grants">Grants revoked</h2>
            \(grants(claims))
            </section>
            <section aria-labelledby="tokens">
            <h2 id="tokens">Tokens destroyed</h2>
            \(tokens(claims))
            </section>
            <section class="panel" aria-labelledby="signed">
            <h2 id="signed">The signed receipt</h2>
            <p>Anybody can hold it against the published keys, without this server:</p>
            \(CopyBlock(id: "verify", label: "How to check it", text: "sallyport receipt verify receipt.jws --keys jwks.json").html)
            <p>The keys are at <code>/.well-known/jwks.json</code>. On this installation’s own machine <code>--keys</code> is not needed. When an outcome at a provider changes, the receipt is signed again under the next version; the earlier one keeps saying what was true then.</p>
            \(CopyBlock(id: "receipt", label: "Receipt (compact JWS)", text: receipt.receipt).html)
            </section>
            """
    }

    private func facts(_ claims: JSONObject) -> HTML {
        let trigger = claims["trigger"]
        let user = claims["user"]
        let reason: HTML? = trigger?["reason"]?.string.map { "\($0)" }
        return Facts([
            (name: "Version", value: "\(String(receipt.version))"),
            (name: "Deprovisioned", value: time(claims["deprovisioned_at"])),
            (name: "Event time", value: time(claims["event_at"])),
            (name: "Trigger", value: "\(Self.words(of: trigger))"), (name: "Reason", value: reason),
            (name: "Delivery", value: Self.code(trigger?["delivery_id"])),
            (name: "Subject", value: Self.code(user?["subject"])), (name: "Issuer", value: Self.code(user?["issuer"])),
            (name: "Data key", value: key(claims["data_key"])),
            (name: "Audit record", value: Self.code(claims["audit_event_id"])),
        ]).html
    }

    private static func code(_ value: JSON?) -> HTML? { value?.string.map { Code($0).html } }

    private func time(_ value: JSON?) -> HTML? {
        value?.string.flatMap { Instant(rfc3339: $0) }.map { TimeText(instant: $0, now: now).html }
    }

    private static func words(of value: JSON?) -> String {
        switch value?["type"]?.string {
        case "webhook": "an event of the identity provider (\(value?["event_type"]?.string ?? "unknown"))"
        case "operator": "an operator (\(value?["operator_id"]?.string ?? "unknown"))"
        default: "the installation itself"
        }
    }

    private func key(_ value: JSON?) -> HTML {
        guard let id = value?["id"]?.string else { return "there was none" }
        let end: HTML = time(value?["destroyed_at"]).map { "destroyed \($0)" } ?? "being destroyed"
        return "\(Code(id).html) \(end)"
    }

    private func grants(_ claims: JSONObject) -> HTML {
        let grants = claims["grants_revoked"]?.array ?? []
        guard !grants.isEmpty else { return "<p class=\"quiet\">There was no grant to revoke.</p>" }
        return DataTable(
            label: "Grants revoked", columns: [.init("Provider"), .init("Grant")],
            rows: grants.map { grant in
                let id = grant["grant_id"]?.string ?? ""
                return [
                    "\(grant["provider_id"]?.string ?? "")",
                    "<a href=\"\(SitePath.portalApp(appID.text, "grants/" + id).path)\"><code>\(id)</code></a>",
                ]
            }
        ).html
    }

    private func tokens(_ claims: JSONObject) -> HTML {
        let tokens = claims["tokens_destroyed"]?.array ?? []
        guard !tokens.isEmpty else { return "<p class=\"quiet\">There was no token to destroy.</p>" }
        return DataTable(
            label: "Tokens destroyed",
            columns: [.init("Token"), .init("Provider"), .init("At the provider"), .init("When"), .init("Detail")],
            rows: tokens.map { token in
                let outcome = token["provider_revocation"]
                let held: HTML? = time(outcome?["held_until"]).map { "kept for further attempts until \($0)" }
                let settled: HTML = time(outcome?["settled_at"]) ?? held ?? ""
                return [
                    "\(RevocationWords.token(token["token_type"]?.string ?? ""))",
                    "\(token["provider_id"]?.string ?? "")",
                    RevocationWords.badge(outcome?["outcome"]?.string ?? "").html,
                    settled, "\(outcome?["detail"]?.string ?? "")",
                ]
            }
        ).html
    }
}

/// What became of a token at its provider, in words.
enum RevocationWords {
    static func token(_ type: String) -> String {
        switch type {
        case "access_token": "access token"
        case "refresh_token": "refresh token"
        default: type
        }
    }

    static func badge(_ status: String) -> Badge {
        switch status {
        case "done": Badge("revoked there", .good)
        case "pending": Badge("being revoked", .warn)
        case "failed": Badge("could not be revoked", .bad)
        case "unsupported": Badge("provider has no revocation")
        default: Badge(status)
        }
    }
}
