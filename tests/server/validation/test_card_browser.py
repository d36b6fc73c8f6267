"""A model card as a person sees it, at night and on a phone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamplighter_server.validation import card
from lamplighter_server.validation.gates import judge
from lamplighter_server.validation.measure import measure
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.results import Evidence, Validation
from lamplighter_server.validation.spec import read_gates

pytestmark = pytest.mark.browser
Make = Callable[..., Predictions]

#: The relative luminance of a colour, by the Web Content Accessibility Guidelines 2.2.
CONTRAST = """element => {
  const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const style = getComputedStyle(element);
  const ink = light(channels(element.closest("svg") ? style.fill : style.color));
  const paper = light(channels(getComputedStyle(document.body).backgroundColor));
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}"""


@pytest.fixture
def page_file(classified: Make, tmp_path: Path) -> Path:
    p = classified(600, classes=3, groups=4)
    measured = measure(p, seed=1, resamples=50)
    gates = {
        "metrics": {"accuracy": {"min": 0.5}, "f1": {"min": 0.999}},
        "fairness": {"site": {"equalized_odds_difference": {"max": 0.1}}},
        "max_latency_ms": 3,
    }
    results = judge(read_gates(gates), measured, incumbent=None, size_bytes=None, latency_ms=None)
    evidence = Evidence(
        model="a-model-with-a-long-name-that-still-fits-on-every-screen",
        release=12,
        bundle_sha256="0123456789abcdef" * 4,
        validation=Validation(measured=measured, gates=results),
    )
    path = tmp_path / "card.html"
    path.write_text(card.html(evidence))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
async def test_a_card_fits_and_can_be_read(
    page_file: Path, require_program: Callable[..., str], scheme: Any, width: int
) -> None:
    from playwright.async_api import async_playwright

    chromium = require_program("chromium", "chromium-browser", "google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        await page.goto(page_file.as_uri())
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for kind in ("h1", "p", "th", "td", "td.passed", "td.failed", "td.unknown", "svg text"):
            for element in (await page.locator(kind).all())[:3]:
                assert await element.evaluate(CONTRAST) >= 4.5, kind
        await browser.close()
