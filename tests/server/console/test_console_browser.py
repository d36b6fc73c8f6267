"""What a person meets in a real browser."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from lamplighter_server.alerts import service as alerts

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
DEVICES = ".device:visible"
CUT_OFF = """[...document.querySelectorAll("main *")]
  .filter((element) => !element.closest(".unseen, thead"))
  .filter((element) => element.getBoundingClientRect().right > innerWidth)
  .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.fixture
async def open_page(
    sign_in_url: Callable[[], Awaitable[str]], require_program: Callable[..., str]
) -> AsyncIterator[OpenPage]:
    """Open the console; at the end no page may have complained about anything."""
    chromium = require_program("chromium", "chromium-browser", "google-chrome")
    complaints: list[str] = []

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )

        @asynccontextmanager
        async def opened(**options: Any) -> AsyncIterator[Page]:
            page = await browser.new_page(**options)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda said: complaints.append(said.text) if said.type != "log" else None,
            )
            await page.goto(await sign_in_url())
            await expect(page.locator("#connection")).to_have_text("Live")
            yield page
            await page.close()

        yield opened
        await browser.close()
    assert complaints == []


async def test_a_page_updates_itself_and_keeps_what_a_person_did(
    stage: Any, open_page: OpenPage
) -> None:
    await stage.add_device("cam-1", site="mill")
    await stage.add_device("cam-2", site="mill")
    async with open_page() as page:
        await page.evaluate("window.sameDocument = true")
        await page.click("#open-cam-1")
        await expect(page.locator("#more-cam-1")).to_contain_text("aarch64")
        await page.fill("#filter", "cam")
        await page.focus("#open-cam-1")
        await stage.add_device("cam-3", site="mill")
        await stage.add_device("cam-4", site="aaa")
        async with stage.context.database.transaction() as session:
            await alerts.open_alert(
                session,
                kind="drift",
                key="k",
                sentence="Sharpness has moved.",
                command="lamplighter drift report digits@1",
                details={},
                now=stage.now,
            )
        await expect(page.locator(DEVICES)).to_have_count(4)
        await expect(page.locator(".alert")).to_contain_text("Sharpness has moved.")
        await expect(page.locator("#news")).to_contain_text("Sharpness has moved.")
        await expect(page.locator("#more-cam-1")).to_contain_text("aarch64")
        await expect(page.locator("#open-cam-1")).to_have_attribute("aria-expanded", "true")
        await expect(page.locator("#open-cam-1")).to_be_focused()
        await expect(page.locator("#matches")).to_have_text("4 of 4 devices")
        headings = await page.locator("#sites h3").all_inner_texts()
        assert [heading.split()[0] for heading in headings] == ["aaa", "mill"]
        assert await page.evaluate("window.sameDocument")


async def test_the_keyboard_reaches_everything(
    add_fleet: Callable[[int], Awaitable[None]], open_page: OpenPage
) -> None:
    await add_fleet(50)
    async with open_page() as page:
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#content")).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.locator("#filter")).to_be_focused()
        await page.keyboard.type("site=site-3 offline")
        await expect(page.locator(DEVICES)).to_have_count(1)
        await expect(page.locator(".site:visible")).to_have_count(1)
        await expect(page.locator("#matches")).to_have_text("1 of 50 devices")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("#more-cam-028")).to_contain_text("has not reported yet")
        await page.keyboard.press("Enter")
        await expect(page.locator("#more-cam-028")).to_be_hidden()
        await page.keyboard.press("/")
        await page.keyboard.press("Escape")
        await expect(page.locator(DEVICES)).to_have_count(50)
        await page.click("[data-filter=offline]")
        await expect(page.locator(DEVICES)).to_have_count(8)


async def test_a_phone_needs_no_horizontal_scrolling(stage: Any, open_page: OpenPage) -> None:
    long = "x" * 63
    await stage.add_device(long, site=long, ring=long)
    await stage.add_release("digits", 1)
    async with stage.context.database.transaction() as session:
        await alerts.open_alert(
            session,
            kind="drift",
            key="k",
            sentence=long * 3,
            command=f"lamplighter drift report {long} --site {long}",
            details={},
            now=stage.now,
        )
    async with open_page(viewport={"width": 360, "height": 800}) as page:
        await page.click(".open")
        await expect(page.locator(".details")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        assert await page.evaluate(CUT_OFF) == []


async def test_the_command_of_an_alert_can_be_copied(stage: Any, open_page: OpenPage) -> None:
    command = "lamplighter rollout status digits-1-abc"
    async with stage.context.database.transaction() as session:
        await alerts.open_alert(
            session,
            kind="rollout-aborted",
            key="k",
            sentence="It was aborted.",
            command=command,
            details={},
            now=stage.now,
        )
    async with open_page(permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.get_by_role("button", name=f"Copy the command {command}").click()
        await expect(page.locator("#news")).to_contain_text("copied")
        assert await page.evaluate("navigator.clipboard.readText()") == command


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_texts_have_the_contrast_of_wcag_aa(scheme: str, open_page: OpenPage) -> None:
    names = ("ink", "muted", "accent", "info", "back", "bad", "paper", "surface", "bad-soft")
    async with open_page(color_scheme=scheme) as page:
        colours: dict[str, str] = await page.evaluate(
            """names => Object.fromEntries(names.map(name =>
              [name, getComputedStyle(document.documentElement).getPropertyValue("--" + name)]))""",
            names,
        )
    texts = ("ink", "muted", "accent", "info", "back", "bad")
    pairs = [
        *itertools.product(texts, ("paper", "surface")),
        ("ink", "bad-soft"),
        ("bad", "bad-soft"),
    ]
    weak = {
        pair: ratio
        for pair in pairs
        if (ratio := contrast(colours[pair[0]], colours[pair[1]])) < 4.5
    }
    assert weak == {}


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2, 1.4.3)."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


async def test_the_audit_log_is_read_by_keyboard_and_on_a_phone(
    stage: Any, console_url: str, open_page: OpenPage
) -> None:
    long = "x" * 63
    for name in (long, "cam-1", "cam-2"):
        await stage.add_device(name, site=long)
    async with open_page(viewport={"width": 360, "height": 800}) as page:
        await page.click("nav >> text=Audit")
        await expect(page.locator("h2")).to_have_text("Audit")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        assert await page.evaluate(CUT_OFF) == []
        await page.focus("[name=subject]")
        await page.keyboard.type("cam-1")
        await page.keyboard.press("Enter")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("tbody")).to_contain_text("device/cam-1")
        await page.click("text=Show all")
        await expect(page.locator("tbody tr")).to_have_count(5)
