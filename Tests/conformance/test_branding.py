"""An app's colour and logo on the pages of its users: what may be set, what is made of it, and how it is served."""

import base64
import re

import pytest
import requests

from harness.browser import Browser
from harness.management import ManagementError
from harness.world import World

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture" * 10
JPEG = b"\xff\xd8\xff\xe0" + b"a picture" * 10
GIF = b"GIF89a" + b"a picture" * 10
WEBP = b"RIFF\x01\x02\x03\x04WEBPVP8 " + b"a picture" * 10
PATH = "/branding"


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def brand(world: World, **changes: str | None) -> dict:
    return world.management.call("PATCH", world.path + PATH, changes)


def refused_fields(world: World, **changes: str | None) -> set[str]:
    with pytest.raises(ManagementError) as refusal:
        brand(world, **changes)
    assert refusal.value.status == 422
    return {each["field"] for each in refusal.value.body["details"]["fields"]}


def fetch(world: World, path: str) -> requests.Response:
    return requests.get(world.server.url + path, timeout=10)


def luminance(color: str) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def themes(css: str) -> list[dict[str, str]]:
    """The colours of the light and the dark theme of a style sheet."""
    blocks = re.findall(r":root\s*{([^}]*)}", css)
    return [dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", block)) for block in blocks[:2]]


def test_the_colours_of_an_app_stay_readable_on_the_grounds_of_our_own_style_sheet(world):
    page = fetch(world, f"/wallet/sign-in?appId={world.app_id}").text
    own = themes(fetch(world, re.search(r'href="(/assets/sallyport\.css[^"]*)"', page)[1]).text)
    for color in ("#000000", "#ffffff", "#808080", "#ff0000", "#00ff00", "#ffff00", "#0000ff", "#777777", "#1F5F5B"):
        assert brand(world, accent_color=color)["accent_color"] == color.lower()
        sheet = fetch(world, f"/branding/{world.app_id}/style.css")
        assert sheet.headers["Content-Type"].startswith("text/css")
        app = themes(sheet.text)
        assert len(app) == 2 and all(theme.keys() == {"accent", "accent-ink", "accent-soft", "link"} for theme in app)
        for theme, ours in zip(app, own, strict=True):
            assert contrast(theme["accent-ink"], theme["accent"]) >= 4.5, (color, theme)
            for ground in (ours["card"], ours["ground"], ours["sunken"], theme["accent-soft"]):
                assert contrast(theme["link"], ground) >= 4.5, (color, theme, ground)
            assert contrast(ours["ink"], theme["accent-soft"]) >= 4.5, (color, theme)


def test_the_wallet_carries_name_colour_and_logo_of_its_app_and_of_no_other(world, foreign_world):
    world.management.call("PATCH", world.path, {"name": 'Atlas "& Co"'})
    brand(world, accent_color="#336699", logo=encoded(PNG))
    page = Browser().open(f"{world.server.url}/wallet/sign-in?appId={world.app_id}").text
    sheet = re.search(r'<link rel="stylesheet" href="(/branding/[^"]+)">', page)[1]
    logo = re.search(r'<img class="app-logo" src="(/branding/[^"]+)" alt="Atlas &quot;&amp; Co&quot;">', page)[1]
    for address in (sheet, logo):
        answer = fetch(world, address)
        assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]
    assert fetch(world, logo).content == PNG
    other = fetch(world, f"/wallet/sign-in?appId={foreign_world.app_id}").text
    assert "/branding/" not in other
    # What changed has another address, so that nobody sees the old one.
    brand(world, accent_color="#663399", logo=encoded(GIF))
    changed = fetch(world, f"/wallet/sign-in?appId={world.app_id}").text
    assert sheet not in changed and logo not in changed and "/branding/" in changed
    brand(world, accent_color=None, logo=None)
    assert "/branding/" not in fetch(world, f"/wallet/sign-in?appId={world.app_id}").text


@pytest.mark.parametrize(
    ("picture", "media_type"), [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")]
)
def test_a_logo_is_served_as_the_picture_that_it_is_and_as_nothing_else(world, picture, media_type):
    brand(world, logo=encoded(picture))
    answer = fetch(world, f"/branding/{world.app_id}/logo")
    assert answer.content == picture and answer.headers["Content-Type"] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
    assert "immutable" not in answer.headers["Cache-Control"], "without its version it may change"


@pytest.mark.parametrize(
    "upload",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<?xml version='1.0'?><svg/>",
        b"<!doctype html><script>alert(1)</script>",
        b"RIFF\x01\x02\x03\x04WAVEfmt ",
        b"BM" + b"\0" * 60,
        b"GIF88a" + b"\0" * 20,
        b"\x89PN",
        PNG[:8] + b"\0" * 100_000,
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(world, upload):
    assert refused_fields(world, logo=encoded(upload)) == {"logo"}
    assert fetch(world, f"/branding/{world.app_id}/logo").status_code == 404


@pytest.mark.parametrize("color", ["red", "#fff", "1f5f5b", "#1f5f5b;}", "#1f5f5g", "url(x)", "#1f5f5b ", "#１f5f5b"])
def test_only_a_colour_is_a_colour(world, color):
    assert refused_fields(world, accent_color=color) == {"accent_color"}
    assert fetch(world, f"/branding/{world.app_id}/style.css").status_code == 404


def test_both_problems_are_told_at_once_and_neither_half_is_stored(world):
    assert refused_fields(world, accent_color="red", logo=encoded(b"<svg/>")) == {"accent_color", "logo"}
    assert refused_fields(world, accent_color="#112233", logo="%%%") == {"logo"}
    assert world.management.get(world.path + PATH) == {"accent_color": None, "logo_url": None}


def test_an_app_that_is_not_there_has_no_files(world):
    brand(world, accent_color="#336699", logo=encoded(PNG))
    nobody = "00000000-0000-4000-8000-000000000000"
    for app in (nobody, "nonsense", world.app_id.upper()):
        for file in ("style.css", "logo"):
            assert fetch(world, f"/branding/{app}/{file}").status_code == 404
    world.management.post(f"{world.path}/archive")
    assert fetch(world, f"/branding/{world.app_id}/logo").status_code == 404
    assert fetch(world, f"/branding/{world.app_id}/style.css").status_code == 404


def test_changing_it_is_on_record(world):
    brand(world, accent_color="#336699", logo=encoded(PNG))
    brand(world, logo=None)
    latest, first = world.audit(event="app.branding_changed")
    assert first["details"] == {"accent_color": "#336699", "logo": "image/png"}
    assert latest["details"] == {"logo": "removed"}
