"""The bench suite: servers under load, and what each request costs them. `scripts/bench` runs it."""
