"""axe in a page of Chromium: what of it some people could not use."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_axe = Axe()


LOOKS = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
"""The rules that depend on colours and on the width of the window."""


def violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """Each with the rule, where it is broken, and why. Folded parts are opened first, so that they are looked at too."""
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    options = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = _axe.run(page, options=options).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:160]}\n    {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
