"""Signing in and approving, in a real browser: keyboard, phone, dark mode."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from argon2 import PasswordHasher
from playwright.async_api import Browser, Page, async_playwright, expect

from lamplighter_server.people import service
from lamplighter_server.people.access import Caller, Role
from lamplighter_server.rollouts import service as rollouts
from lamplighter_server.rollouts.policy import Policy

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
PEOPLE = {"anna": Role.OPERATOR, "bert": Role.APPROVER}
CUT_OFF = """[...document.querySelectorAll("main *, header *")]
  .filter((element) => !element.closest(".unseen"))
  .filter((element) => element.getBoundingClientRect().right > innerWidth)
  .map((element) => element.outerHTML.slice(0, 80))"""


@pytest.fixture
async def chromium(require_program: Callable[..., str]) -> AsyncIterator[Browser]:
    path = require_program("chromium", "chromium-browser", "google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def people_of_the_house(stage: Any) -> None:
    encoded = PasswordHasher(1, 8, 1).hash(PASSWORD)
    async with stage.context.database.transaction() as session:
        for name, role in PEOPLE.items():
            await service.add(
                session, name, role=role, labels={}, password_hash=encoded, now_utc=stage.now
            )


async def sign_in(page: Page, name: str) -> None:
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type(name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#connection")).to_have_text("Live")


@pytest.mark.usefixtures("people_of_the_house")
async def test_a_person_signs_in_by_keyboard_and_out(chromium: Browser, console_url: str) -> None:
    page = await chromium.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    await page.goto(console_url)
    await sign_in(page, "anna")
    await expect(page.locator(".who")).to_contain_text("anna")
    await page.click(".who a")
    await expect(page.get_by_role("heading", name="API tokens")).to_be_visible()
    await page.fill("#purpose", "nightly reports")
    await page.get_by_role("button", name="Make a token").click()
    await expect(page.locator(".secret")).to_contain_text("lamp_")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert complaints == []
    await page.goto(f"{console_url}/account")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.usefixtures("people_of_the_house")
async def test_a_failure_says_what_to_do(chromium: Browser, console_url: str) -> None:
    page = await chromium.new_page()
    await page.goto(f"{console_url}/sign-in")
    await page.fill("#name", "anna")
    await page.fill("#password", "wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong.")
    await expect(page.get_by_label("Name")).to_have_value("anna")
    await expect(page.get_by_label("Password")).to_be_focused()
    await expect(page.get_by_label("Password")).to_have_value("")


@pytest.mark.usefixtures("people_of_the_house")
async def test_somebody_else_approves(stage: Any, chromium: Browser, console_url: str) -> None:
    await stage.add_device("cam-1", site="mill")
    await stage.add_release("digits", 1)
    own = stage.context.settings.model_copy(update={"require_approval": True})
    anna = Caller(stage.admin.actor, "anna", Role.OPERATOR)
    async with stage.context.database.transaction() as session:
        await rollouts.create(
            *(replace(stage.context, settings=own), session, anna),
            model="digits",
            release=1,
            policy=Policy(),
        )
    for name in ("anna", "bert"):
        context = await chromium.new_context()
        page = await context.new_page()
        await page.goto(console_url)
        await sign_in(page, name)
        await expect(page.locator(".rollout")).to_contain_text(
            "Waits for approval by somebody else than anna"
        )
        await page.get_by_role("link", name="Look at the plan").click()
        button = page.get_by_role("button", name="Approve this plan")
        if name == "anna":
            await expect(page.locator(".note")).to_contain_text("You have planned it")
            await expect(button).to_have_count(0)
        else:
            await button.click()
            await expect(page.locator("dl")).to_contain_text("by bert")
        await context.close()


@pytest.mark.parametrize("path", ["sign-in", "account", ""])
@pytest.mark.usefixtures("people_of_the_house")
async def test_a_phone_needs_no_horizontal_scrolling(
    chromium: Browser, console_url: str, path: str
) -> None:
    page = await chromium.new_page(viewport={"width": 360, "height": 760})
    await page.goto(f"{console_url}/sign-in")
    if path != "sign-in":
        await sign_in(page, "anna")
        await page.goto(f"{console_url}/{path}")
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await page.evaluate(CUT_OFF) == []
