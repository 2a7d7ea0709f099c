"""What the conformance tests stand on: the server under test, the peers around it, and the clients that use it."""
