"""What a teacher does with a class, in a browser, with and without scripts."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from data.cohorts.grades import generate
from tests.serving.pages.rosters import csv_of, students

PHONE, DESK = (390, 844), (1280, 900)
MOST_BYTES = 100_000

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def class_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of 30, two of its rows wrong."""
    frame = students(30)
    frame.loc[3, "Absences"], frame.loc[9, "Age"] = "many", ""
    path = tmp_path_factory.mktemp("class") / "class.csv"
    path.write_bytes(csv_of(frame))
    return path


@pytest.fixture(scope="module")
def school_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand students, numbers with all their decimals."""
    path = tmp_path_factory.mktemp("school") / "school.csv"
    generate(10_000, seed=6).drop(columns=["GPA", "GradeClass"]).to_csv(path, index=False)
    return path


def upload(page: Page, file: Path) -> None:
    page.get_by_label(re.compile("Choose your class")).set_input_files(file)
    page.get_by_role("button", name="Show the class").click()
    expect(page.get_by_role("heading", name="Students")).to_be_visible()


def names(page: Page) -> list[str]:
    return page.locator("[data-is=name]").all_inner_texts()


@pytest.fixture(params=[True, False], ids=["with scripts", "without scripts"])
def page(request: pytest.FixtureRequest, visit: Visit, class_file: Path) -> Page:
    """A class that was uploaded."""
    page = visit("/roster", java_script_enabled=request.param)
    upload(page, class_file)
    if request.param:
        expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    return page


def apply(page: Page) -> None:
    """Press what a browser without scripts needs pressed."""
    button = page.get_by_role("button", name="Apply")
    if button.is_visible():
        button.click()


def test_a_list_is_made_and_says_what_to_expect(page: Page) -> None:
    page.get_by_label("I can see").fill("6")
    page.get_by_role("button", name="Make the list").click()
    expect(page.get_by_text("False alarms")).to_be_visible()
    expect(page.locator("tbody.listed")).to_have_count(6)
    expect(page.get_by_text("On your list").first).to_be_attached()


def test_the_order_and_the_filters_are_changed(page: Page) -> None:
    before = names(page)
    assert len(before) == 28
    page.get_by_text("as in the file").click()
    apply(page)
    expect(page.locator("[data-is=name]").first).to_have_text("1001")
    assert names(page) == sorted(before)
    page.get_by_label("Show").select_option("at-risk")
    apply(page)
    expect(page.locator("#shown")).not_to_contain_text("28 of 28")
    assert 0 < len(names(page)) < 28
    page.get_by_label("Find").fill("nobody at all")
    apply(page)
    expect(page.get_by_text("Nobody fits these filters")).to_be_visible()


def test_the_columns_are_put_in_order_by_their_heads(page: Page) -> None:
    before = sorted(names(page))
    page.get_by_role("button", name="Student number").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Student number")
    assert names(page) == before
    page.get_by_role("button", name="Student number").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Student number")
    assert names(page) == before[::-1]
    page.get_by_label("I can see").fill("2")
    page.get_by_role("button", name="Make the list").click()
    expect(page.locator("tbody.listed")).to_have_count(2)
    assert names(page) == before[::-1]


def test_a_row_opens_to_its_reasons_and_a_note_is_made_in_two_clicks(page: Page) -> None:
    row = page.locator("table.roster > tbody").nth(2)
    number = row.get_attribute("data-row")
    row.get_by_text("Details").click()
    expect(row.get_by_role("heading", name="What it rests on")).to_be_visible()
    row.get_by_role("button", name="I see it differently").click()
    expect(page.locator(f"#row-{number} .said-so")).to_have_text("You disagree")


def test_rows_that_could_not_be_read_are_told(page: Page) -> None:
    page.get_by_text("2 rows left out").click()
    expect(page.get_by_text("“many” is not a number.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("5 Absences"))).to_be_visible()


def test_the_list_is_downloaded(page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "forecasts.csv"
    assert len(download.value.path().read_text().splitlines()) == 29


def test_a_row_drawn_by_the_script_is_the_one_of_the_server(visit: Visit, class_file: Path) -> None:
    page = visit("/roster")
    upload(page, class_file)
    rows = page.locator("tr.student")
    drawn = rows.all_inner_texts()
    expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    page.get_by_text("as in the file").click()
    page.get_by_text("most at risk").click()
    assert rows.all_inner_texts() == drawn
    page.locator("summary", has_text="Details").first.click()
    expect(page.get_by_role("heading", name="How likely each is").first).to_be_visible()


def test_a_file_that_is_dropped_is_read(visit: Visit, class_file: Path) -> None:
    page = visit("/roster")
    text = class_file.read_text()
    data = page.evaluate_handle(
        "text => { const data = new DataTransfer();"
        " data.items.add(new File([text], 'class.csv', { type: 'text/csv' })); return data; }",
        text,
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": data})
    expect(page.get_by_role("heading", name="Students")).to_be_visible()


def test_a_file_that_is_no_class_says_what_is_missing(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("Name,Colour\nAda,blue\n")
    page = visit("/roster")
    page.get_by_label(re.compile("Choose your class")).set_input_files(tmp_path / "other.csv")
    page.get_by_role("button", name="Show the class").click()
    expect(page.get_by_role("alert")).to_contain_text("Absences")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    visit: Visit,
    violations: Callable[[Page], list[str]],
    class_file: Path,
    size: tuple[int, int],
    colours: str,
) -> None:
    page = visit("/roster", size=size, color_scheme=colours)
    assert violations(page) == []
    upload(page, class_file)
    page.get_by_label("I can see").fill("6")
    expect(page.get_by_text("False alarms")).to_be_visible()
    expect(page.locator("#counts[aria-busy]")).to_have_count(0)
    page.get_by_text("2 rows left out").click()
    page.locator("summary", has_text="Details").first.click()
    expect(page.get_by_role("heading", name="What it rests on")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_a_school_of_ten_thousand_is_shown_and_put_in_order(visit: Visit, school_file: Path) -> None:
    page = visit("/roster")
    upload(page, school_file)
    expect(page.get_by_text("Page 1 of 400")).to_be_visible()
    expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    page.get_by_text("as in the file").click()
    expect(page.locator("[data-is=name]").first).to_have_text("1001")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("[data-is=name]").first).to_have_text("1026")
    page.get_by_label("I can see").fill("300")
    expect(page.locator("#counts")).to_contain_text("300")
    page.locator("summary", has_text="Details").first.click()
    expect(page.get_by_role("heading", name="What it rests on")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_page_of_a_school_stays_small_with_all_it_needs(
    visit: Visit, school_file: Path, scripts: bool
) -> None:
    page = visit("/static/mark.svg", java_script_enabled=scripts)
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda asked: sizes.update({asked.url: asked.sizes()["responseBodySize"]}))
    page.goto(page.url.replace("/static/mark.svg", "/roster"))
    upload(page, school_file)
    if scripts:
        expect(page.get_by_role("button", name="Apply")).to_be_hidden()
        page.wait_for_load_state("networkidle")
        table = sizes.pop(next(address for address in sizes if address.endswith("/roster/data")))
        assert table <= 3 * MOST_BYTES, "the students, fetched apart"
    assert sum(sizes.values()) <= MOST_BYTES


def test_without_scripts_a_school_travels_with_its_page(visit: Visit, school_file: Path) -> None:
    page = visit("/roster", java_script_enabled=False)
    upload(page, school_file)
    page.get_by_text("with most to gain").click()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Page 1 of 400")).to_be_visible()
    expect(page.get_by_role("radio", name="with most to gain")).to_be_checked()
