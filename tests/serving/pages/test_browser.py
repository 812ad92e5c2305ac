"""What a person does with the pages, in a browser, with and without scripts."""

import re
from collections.abc import Callable
from functools import partial

import pytest
from playwright.sync_api import Page, Response, expect

from serving.settings import Settings
from tests.serving.pages.conftest import at_an_address

PHONE, DESK = (390, 844), (1280, 900)
MOST_BYTES = 100_000

Visit = Callable[..., Page]
Violations = Callable[[Page], list[str]]


def forecast(page: Page) -> None:
    page.get_by_role("button", name="Forecast").click()
    expect(page.get_by_role("heading", name="What it rests on")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_student_is_forecast_and_a_suggestion_tried(visit: Visit, scripts: bool) -> None:
    page = visit("/", java_script_enabled=scripts)
    page.get_by_label("Absences").first.fill("24")
    forecast(page)
    expect(page.locator("#forecast")).to_contain_text(re.compile("likel"))
    page.get_by_role("button", name=re.compile("Try it")).first.click()
    expect(page.get_by_text("With these values")).to_be_visible()
    assert page.url.endswith("/#result" if scripts else "/try#tried")


def test_the_forecast_moves_with_the_slider(visit: Visit) -> None:
    page = visit("/")
    page.get_by_label("Absences").first.fill("24")
    forecast(page)
    slider = page.get_by_role("slider", name="Absences")
    slider.fill("20")
    expect(page.get_by_text("With these values")).to_be_visible()
    before = page.locator(".compare .big").last.inner_text()
    slider.fill("0")
    expect(page.locator(".compare .big").last).not_to_have_text(before)
    expect(page.locator(".levers input[type=number]").last).to_have_value("0")
    expect(page.get_by_role("status")).to_contain_text("At risk")


def test_a_slider_that_gets_no_answer_says_so(visit: Visit) -> None:
    page = visit("/")
    forecast(page)
    page.route("**/try", lambda route: route.fulfill(status=200, body="no JSON"))
    page.get_by_role("slider", name="Absences").fill("3")
    expect(page.get_by_text("The difference cannot be shown now")).to_be_visible()


def test_what_is_wrong_is_reached_from_the_list_of_faults(visit: Visit) -> None:
    page = visit("/")
    page.get_by_label("Absences").fill("99")
    page.get_by_role("button", name="Forecast").click()
    page.get_by_role("alert").get_by_role("link", name="Absences").click()
    expect(page.get_by_label("Absences")).to_be_focused()


def test_the_whole_journey_can_be_made_with_the_keyboard(visit: Visit) -> None:
    page = visit("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Study time")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What might help")).to_be_visible()


@pytest.mark.parametrize(("size", "colours"), [(DESK, "light"), (PHONE, "dark")])
@pytest.mark.parametrize("path", ["/", "/model/card"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    visit: Visit, violations: Violations, path: str, size: tuple[int, int], colours: str
) -> None:
    page = visit(path, size=size, color_scheme=colours)
    assert violations(page) == []
    if path == "/":
        forecast(page)
        page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        page.get_by_role("slider", name="Absences").fill("3")
        expect(page.get_by_text("With these values")).to_be_visible()
        assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_axe_finds_nothing_in_what_goes_wrong(visit: Visit, violations: Violations) -> None:
    page = visit("/")
    page.get_by_label("Absences").fill("99")
    page.get_by_role("button", name="Forecast").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_the_door_is_passed_once_and_axe_finds_nothing_at_it(
    visit: Visit, violations: Violations, synced: Settings, settings_for: Callable[..., Settings]
) -> None:
    with at_an_address(settings_for(GRADECAST_HOME=synced.home, GRADECAST_API_KEY="school key")) as address:
        page = visit("/model/card", at=address)
        page.get_by_label("Key").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("That is not the key")
        assert violations(page) == []
        page.get_by_label("Key").fill("school key")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="About the model")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.context.close()


def add_size(sizes: list[int], answer: Response) -> None:
    sizes.append(len(answer.body()))


def test_a_page_with_all_it_needs_is_small(visit: Visit) -> None:
    for path in ("/", "/model/card"):
        page, sizes = visit("/static/mark.svg"), list[int]()
        page.on("response", partial(add_size, sizes))
        page.goto(page.url.replace("/static/mark.svg", path))
        if path == "/":
            forecast(page)
        page.wait_for_load_state("networkidle")
        assert sum(sizes) <= MOST_BYTES, path
