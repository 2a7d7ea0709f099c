import VaultDomain

/// Code for the official Python SDK, with the values of this installation filled in.
struct PythonSnippet: Sendable {
    /// The SDK takes the address from nowhere but this variable, when a client is made.
    let publicURL: String

    /// A first look with a new key.
    func opening(_ keyType: APIKeyGrammar.KeyType) -> String {
        switch keyType {
        case .runtime: program(client: "App", "print(await vault.scopes.list())")
        case .agent: program(client: "Agent", "print(await vault.list_grants())")
        }
    }

    /// A call with a managed secret.
    func using(slug: String, grantID: String?, host: String) -> String {
        let reachable = host.hasPrefix("*.") ? "api" + String(host.dropFirst()) : host
        let byGrant = grantID.map { "\n        # The same by its grant: grant_id=\(Self.text($0))" } ?? ""
        return program(
            client: "App",
            """
            answer = await vault.request("GET", \(Self.text("https://\(reachable)/")), provider=\(Self.text(slug)))
                    print(answer.status_code)
            """ + byGrant)
    }

    private func program(client: String, _ body: String) -> String {
        """
        import asyncio
        import os

        from alter_sdk import \(client)

        os.environ["ALTER_BASE_URL"] = \(Self.text(publicURL))


        async def main():
            async with \(client)(api_key=os.environ["ALTER_API_KEY"]) as vault:
                \(body)


        asyncio.run(main())
        """
    }

    /// A literal of Python.
    private static func text(_ value: String) -> String {
        "\"" + value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
