"""What a person did with a class outlives a reload, another page, a log-out and a lost connection."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from serving.settings import PredictorSettings
from tests.serving.pages.conftest import at_an_address
from tests.serving.pages.rosters import csv_of, students

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def class_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of 12, of whom one cannot be forecast."""
    frame = students(12)
    frame.loc[3, "ParentalSupport"] = "Medium"
    path = tmp_path_factory.mktemp("kept") / "8B.csv"
    path.write_bytes(csv_of(frame))
    return path


def upload(page: Page, file: Path) -> None:
    page.locator("#file").set_input_files(file)
    page.get_by_role("button", name="Show the class").click()
    expect(page.locator("table.roster")).to_be_visible()
    expect(page.locator(".apply")).to_be_hidden()


def open_first(page: Page) -> None:
    page.locator("tr.more summary").first.click()
    expect(page.get_by_role("heading", name="Why this forecast").first).to_be_visible()


def test_a_list_its_ticks_and_its_notes_outlive_a_reload_and_another_page(
    visit: Visit, class_file: Path
) -> None:
    page = visit("/roster", fresh=True)
    upload(page, class_file)
    page.get_by_label("I can see").fill("3")
    last = page.locator("table.roster > tbody").last
    number = last.get_attribute("data-row")
    last.get_by_role("checkbox").check()
    expect(page.locator("#counts")).to_contain_text("4 on your list.")
    open_first(page)
    page.get_by_label("Why").first.fill("She was ill in spring.")
    page.reload()
    expect(page.locator(".apply")).to_be_hidden()
    expect(page.locator("tbody.listed")).to_have_count(4)
    expect(page.locator(f"#row-{number} [name=on]")).to_be_checked()
    expect(page.get_by_label("Why").first).to_have_value("She was ill in spring.")
    page.get_by_role("link", name="About the model").click()
    page.go_back()
    expect(page.locator("tbody.listed")).to_have_count(4)
    page.goto(page.url.replace("/roster", "/"))
    page.get_by_label("Pages").get_by_role("link", name="A class").click()
    page.get_by_role("button", name="Go back to it").click()
    expect(page.locator("tbody.listed")).to_have_count(4)


def test_back_leads_from_a_class_to_where_it_was_chosen(visit: Visit, class_file: Path) -> None:
    page = visit("/roster", fresh=True)
    upload(page, class_file)
    page.go_back()
    expect(page.get_by_role("button", name="Show the class")).to_be_visible()
    page.go_forward()
    expect(page.locator("table.roster")).to_be_visible()


def test_what_is_typed_and_open_stays_while_the_list_changes(visit: Visit, class_file: Path) -> None:
    page = visit("/roster", fresh=True)
    upload(page, class_file)
    open_first(page)
    why = page.get_by_label("Why").first
    why.fill("She was ill.")
    page.get_by_label("I can see").fill("4")
    page.get_by_label("Sort by").select_option("name")
    page.get_by_label("Sort by").select_option("risk")
    expect(why).to_have_value("She was ill.")
    why.press("Enter")
    expect(why).to_be_focused()
    expect(page.get_by_text("To keep it, press")).to_be_visible()
    page.get_by_role("button", name="I disagree").first.click()
    expect(page.get_by_text("Kept: you disagree.")).to_be_visible()


def test_a_list_is_the_same_whatever_is_sorted_searched_and_filtered(visit: Visit, class_file: Path) -> None:
    page = visit("/roster", fresh=True)
    upload(page, class_file)
    page.get_by_label("I can see").fill("3")
    expect(page.locator("tbody.listed")).to_have_count(3)

    def listed() -> set[str]:
        page.get_by_label("Show").select_option("listed")
        rows = {body.get_attribute("data-row") or "" for body in page.locator("tbody.listed").all()}
        page.get_by_label("Show").select_option("all")
        return rows

    expect(page.locator("#counts")).to_contain_text("3 on your list.")
    first, said = listed(), page.locator("#counts").inner_text()
    page.get_by_role("button", name="Student", exact=True).click()
    assert listed() == first
    page.get_by_label("Find").fill("ada")
    assert listed() < first
    page.get_by_label("Find").fill("")
    page.get_by_label("Sort by").select_option("file")
    assert listed() == first
    assert page.locator("#counts").inner_text() == said


def test_without_a_connection_the_page_says_so_and_loses_nothing(visit: Visit, class_file: Path) -> None:
    page = visit("/roster", fresh=True)
    upload(page, class_file)
    open_first(page)
    page.get_by_label("Why").first.fill("She was ill.")
    page.route("**/overrides", lambda route: route.fulfill(status=503, body=""))
    page.get_by_role("button", name="I agree").first.click()
    expect(page.get_by_text("This could not be kept. Try again in a moment.")).to_be_visible()
    expect(page.get_by_label("Why").first).to_have_value("She was ill.")
    page.unroute("**/overrides")
    page.get_by_role("button", name="I agree").first.click()
    expect(page.get_by_text("Kept: you agree.")).to_be_visible()


def test_whoever_is_logged_out_logs_in_in_another_tab_and_goes_on(
    visit: Visit,
    class_file: Path,
    synced: PredictorSettings,
    settings_for: Callable[..., PredictorSettings],
) -> None:
    def log_in(page: Page) -> None:
        page.get_by_label(re.compile("key", re.IGNORECASE)).fill("school key")
        page.get_by_role("button", name="Log in").click()

    with at_an_address(settings_for(GRADECAST_HOME=synced.home, GRADECAST_API_KEY="school key")) as address:
        page = visit("/roster", at=address, fresh=True)
        log_in(page)
        upload(page, class_file)
        open_first(page)
        page.get_by_label("Why").first.fill("She was ill.")
        page.context.clear_cookies()
        page.get_by_role("button", name="I agree").first.click()
        expect(page.get_by_role("alert")).to_contain_text("your class stays here")
        with page.context.expect_page() as opened:
            page.get_by_role("alert").get_by_role("link", name="Log in").click()
        log_in(opened.value)
        expect(opened.value.get_by_label("Key")).to_have_count(0)
        page.get_by_role("button", name="I agree").first.click()
        expect(page.get_by_text("Kept: you agree.")).to_be_visible()
        page.context.close()


def test_what_a_cell_and_a_heading_mean_is_remembered_for_the_next_file(
    visit: Visit, class_file: Path, tmp_path: Path
) -> None:
    page = visit("/roster", fresh=True)
    upload(page, class_file)
    page.get_by_text("What is wrong, and put it right here").click()
    expect(page.get_by_label("Parents' support")).to_have_value("Moderate")
    page.get_by_role("button", name="Use these and forecast again").click()
    expect(page.get_by_text("12\xa0students forecast")).to_be_visible()
    other = tmp_path / "9A.csv"
    other.write_bytes(csv_of(students(12).rename(columns={"Absences": "Fehltage"})))
    for asked in (True, False):
        page.get_by_role("link", name="Choose another file").click()
        page.locator("#file").set_input_files(other)
        page.get_by_role("button", name="Show the class").click()
        if asked:
            page.get_by_label("Absences").select_option("Fehltage")
            page.get_by_role("button", name="Use these").click()
        expect(page.get_by_text("9A: 12\xa0students forecast")).to_be_visible()
    page.get_by_role("link", name="Choose another file").click()
    upload(page, class_file)
    expect(page.get_by_text("8B: 12\xa0students forecast")).to_be_visible()
