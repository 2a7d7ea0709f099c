"""The web site of an app, on an origin of its own: a page with a button that opens Connect by the vault's script."""

from .local_http import Answer, LocalServer, Request

PAGE = """<!doctype html>
<html lang="en">
<title>The app</title>
<button id="connect">Connect an account</button>
<script src="%(vault)s/connect.js"></script>
<script>
// What was told by the widget, in order, and every message that reached this page at all.
const told = [], heard = [];
const note = (name) => (data) => told.push([name, data === undefined ? null : data]);
const token = new URLSearchParams(location.search).get("token");
const widget = AlterConnect.create();
for (const event of ["connect_opened", "success", "error", "exit"]) widget.on(event, note("bus " + event));
addEventListener("message", (message) => heard.push(message.data));
document.getElementById("connect").addEventListener("click", () => widget.open({
  token, onSuccess: note("success"), onError: note("error"), onExit: note("exit"),
  onEvent: (name, data) => told.push(["event " + name, data]),
}));
</script>
</html>
"""


class AppSite(LocalServer):
    def __init__(self, vault_url: str) -> None:
        super().__init__()
        self._vault = vault_url

    def answer(self, request: Request) -> Answer:
        page = PAGE % {"vault": self._vault} if request.path == "/" else f"<title>{request.path}</title>"
        return Answer(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})
