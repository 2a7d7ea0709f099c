import VaultAPI
import VaultCrypto
import VaultDomain
import VaultService
import VaultStore

/// How the trail of an app is kept, on one page: verification, retention, streams, checkpoints.
struct TrailPage: Sendable {
    enum Retention: Sendable {
        /// `nil` is for ever.
        case days(Int64?)
        case unreadable
    }

    let caller: PortalCaller
    let appID: String
    let role: MembershipRole
    let checkpoints: [AuditCheckpoint]
    let pager: Pager
    let retention: Retention
    let streams: [AuditStreamStatus]
    let outcome: TrailOutcome
    let now: Instant

    private var path: String { SitePath.portalApp(appID, "audit/trail").path }

    var html: HTML {
        """
        <p class="eyebrow"><a href="\(SitePath.portalApp(appID, "audit").path)">Audit</a></p>
        <div class="page-head"><h1>Integrity, retention and streams</h1></div>
        \(openedStream)
        <section class="panel" aria-labelledby="verify">
        <h2 id="verify">Does the trail hold?</h2>
        <p>Every record hangs on the one before it. Verifying reads all of them and holds them against their hashes, their \
        end, and what the key store knows of them.</p>
        \(outcome.verification.map(verified))
        \(ButtonForm(path: path + "/verify", csrfToken: caller.csrfToken, label: "Verify the trail", style: "plain").html)
        </section>
        <section class="panel" aria-labelledby="retention">
        <h2 id="retention">Retention</h2>
        \(retentionPart)
        </section>
        <section class="panel" aria-labelledby="streams">
        <h2 id="streams">Streams</h2>
        <p>Records are sent on as they are written, in order, until the other side takes them.</p>
        \(streamTable)
        \(role == .readOnly ? nil : streamForm)
        </section>
        <section class="panel" aria-labelledby="checkpoints">
        <h2 id="checkpoints">Signed checkpoints</h2>
        <p>Each states where the trail was. Save them where this installation cannot write: whatever is changed, cut or \
        rolled back later shows against them.</p>
        \(checkpointTable)
        \(pager.html)
        </section>
        """
    }

    private func verified(_ verification: AuditVerification) -> HTML {
        switch verification {
        case .intact(let records):
            Notice("The trail holds: \(CappedCount.grouped(records)) records, none missing or changed.", .good).html
        case .broken(_, let sequence, let reason):
            Notice(
                "The trail does not hold at record \(CappedCount.grouped(sequence)): \(reason).", .bad, isAlert: true
            )
            .html
        }
    }

    // MARK: Retention

    private var retentionPart: HTML {
        guard case .days(let days) = retention else {
            return Notice("How long records are kept cannot be read: verify the trail.", .bad).html
        }
        let kept = days.map { "Records are kept for \(TimeText.count($0, "day"))." } ?? "Records are kept for ever."
        guard role == .admin else { return "<p>\(kept) An admin of the organization can change that.</p>" }
        let state = outcome.retention
        return """
            <p>\(kept)</p>
            <form method="post" action="\(path)/retention">
            \(caller.csrfField)
            \(state.alert)
            \(Field(
                "days", "Days", state, kind: .number,
                hint: "Empty: for ever. What is older is removed for good, which is itself on record.",
                initial: days.map { String($0) } ?? "").html)
            <p class="actions"><button class="plain">Save retention</button></p>
            </form>
            """
    }

    // MARK: Streams

    private var openedStream: HTML? {
        guard let stream = outcome.stream, let secret = stream.signingSecret else { return nil }
        return """
            <section class="panel" aria-labelledby="opened">
            <h2 id="opened">The signing secret of the new stream</h2>
            \(ShownOnce(id: "secret", label: "Signing secret", value: secret).html)
            <p class="quiet">Messages to \(stream.status.stream.url) are signed with it, as Standard Webhooks describes.</p>
            </section>
            """
    }

    private var streamTable: HTML {
        guard !streams.isEmpty else { return "<p class=\"quiet\">Records are sent nowhere.</p>" }
        return DataTable(
            label: "Streams",
            columns: [
                .init("Address"), .init("Kind"), .init("Waiting", isNumber: true), .init("Last sent"), .init("State"),
                .init("Action"),
            ],
            rows: streams.map(row)
        ).html
    }

    private func row(_ status: AuditStreamStatus) -> [HTML] {
        let stream = status.stream
        let state: HTML =
            stream.lastError.map { "\(Badge("failing", .bad).html) \($0)" } ?? Badge("works", .good).html
        let deletion: HTML =
            role == .readOnly
            ? ""
            : ButtonForm(
                path: path + "/streams/" + stream.id.text + "/delete", csrfToken: caller.csrfToken, label: "Delete",
                style: "danger compact", accessibleLabel: "Delete the stream to \(stream.url)"
            ).html
        return [
            "\(stream.url)", stream.kind == .webhook ? "signed webhook" : "OTLP collector",
            "\(CappedCount.grouped(status.waiting))",
            stream.lastSentAt.map { TimeText(instant: $0, now: now).html } ?? "never", state, deletion,
        ]
    }

    private var streamForm: HTML {
        let state = outcome.streamForm
        // What a collector is told who sends is a secret, and not written back into a page.
        var hidden = state
        hidden.values = FormValues()
        let open: HTML? = state.isSent ? " open" : nil
        let kinds = [
            (value: "webhook", label: "Signed webhook"), (value: "otlp", label: "OTLP collector (logs, JSON)"),
        ]
        return """
            <details\(open)>
            <summary>New stream</summary>
            <form method="post" action="\(path)/streams">
            \(caller.csrfField)
            \(state.alert)
            \(Field("kind", "Kind", state, kind: .select(kinds)).html)
            \(Field("url", "Address", state, kind: .url, isRequired: true, placeholder: "https://siem.example.com/hook").html)
            \(Field(
                "headers", "Header fields", hidden, kind: .area(rows: 3),
                hint: "Only for a collector that wants to know who sends: one on each line, like Authorization: Bearer …"
            ).html)
            \(CheckBox(name: "from_start", value: "1", label: "Send the records of before, too", state: state).html)
            <p class="actions"><button>Create stream</button></p>
            </form>
            </details>
            """
    }

    // MARK: Checkpoints

    private var checkpointTable: HTML {
        guard !checkpoints.isEmpty else {
            return "<p class=\"quiet\">There is none. Nothing is signed over a trail that does not hold.</p>"
        }
        return DataTable(
            label: "Signed checkpoints",
            columns: [.init("Up to record", isNumber: true), .init("Signed"), .init("Statement")],
            rows: checkpoints.map { checkpoint in
                let number = CappedCount.grouped(checkpoint.sequence)
                return [
                    "\(number)", TimeText(instant: checkpoint.createdAt, now: now).html,
                    CopyField(
                        id: "checkpoint-\(checkpoint.sequence)", label: "Checkpoint at record \(number)",
                        value: checkpoint.statement
                    ).html,
                ]
            }
        ).html
    }
}
