import VaultCrypto

/// A secret in the answer to the form that made it. No other page shows one.
struct ShownOnce: Sendable {
    let id: String
    let label: String
    let value: Secret
    var warning: HTML = "Copy it now. It is shown this once, and nobody can read it again."

    var html: HTML {
        """
        \(Notice(warning, .warn).html)
        \(CopyField(id: id, label: label, value: value.revealed()).html)
        """  // plaintext leaves here
    }
}
