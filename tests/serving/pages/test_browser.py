"""What a person does with the pages, in a browser, with and without scripts."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from data.cohorts.grades import generate
from serving.settings import PredictorSettings
from tests.serving.pages.conftest import at_an_address
from tests.serving.pages.rosters import csv_of, students

PHONE, DESK = {"width": 320, "height": 640}, {"width": 1280, "height": 900}
MOST_BYTES = 100_000

Visit = Callable[..., Page]
Violations = Callable[[Page], list[str]]


def forecast(page: Page) -> None:
    page.get_by_role("button", name="Forecast").click()
    expect(page.get_by_role("heading", name="Why this forecast")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_student_is_forecast_and_a_suggestion_tried(visit: Visit, scripts: bool) -> None:
    page = visit("/?example", java_script_enabled=scripts)
    page.get_by_label("Absences").first.fill("13")
    forecast(page)
    expect(page.locator("#forecast")).to_contain_text(re.compile("likel"))
    page.get_by_role("button", name=re.compile("Try it")).first.click()
    expect(page.get_by_text("With these values")).to_be_visible()
    assert page.url.endswith("/#result" if scripts else "/try#tried")


def test_the_forecast_moves_with_the_slider_and_one_that_gets_no_answer_says_so(visit: Visit) -> None:
    page = visit("/?example")
    page.get_by_label("Absences").first.fill("13")
    forecast(page)
    slider = page.get_by_role("slider", name="Study time")
    slider.fill("19")
    expect(page.get_by_text("With these values")).to_be_visible()
    before = page.locator(".compare .big").last.inner_text()
    slider.fill("0")
    expect(page.locator(".compare .big").last).not_to_have_text(before)
    expect(page.locator(".levers input[type=number]").first).to_have_value("0")
    expect(page.get_by_role("status")).to_contain_text("At risk")
    page.route("**/try", lambda route: route.fulfill(status=200, body="no JSON"))
    slider.fill("3")
    expect(page.get_by_text("The difference cannot be shown now")).to_be_visible()


def test_the_whole_journey_can_be_made_with_the_keyboard(visit: Visit) -> None:
    page = visit("/?example")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in ("Empty the form", "Who is it about?"):
        page.keyboard.press("Tab")
    expect(page.get_by_label("Who is it about?")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What might help")).to_be_visible()


def test_the_log_in_is_passed_once_and_axe_finds_nothing_at_it(
    visit: Visit,
    violations: Violations,
    synced: PredictorSettings,
    settings_for: Callable[..., PredictorSettings],
) -> None:
    with at_an_address(settings_for(GRADECAST_HOME=synced.home, GRADECAST_API_KEY="school key")) as address:
        page = visit("/model/card", at=address, fresh=True)
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
    expect(page.get_by_role("heading", name="Students")).to_be_attached()
    page.wait_for_load_state()  # to its last row


def names(page: Page) -> list[str]:
    return page.locator("[data-is=name]").all_inner_texts()


def apply(page: Page) -> None:
    """Press what a browser without scripts needs pressed."""
    button = page.get_by_role("button", name="Apply")
    if button.is_visible():
        button.click()
        page.wait_for_load_state()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_class_is_listed_put_in_order_noted_and_downloaded(
    visit: Visit, class_file: Path, scripts: bool
) -> None:
    page = visit("/roster", java_script_enabled=scripts)
    upload(page, class_file)
    if scripts:
        expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    before = sorted(names(page), key=str.casefold)
    assert len(before) == 28
    order_by_head(page, before)
    narrow(page)
    note(page)
    page.get_by_text("What is wrong, and put it right here").click()
    expect(page.locator(".mend")).to_contain_text("“many” is not a number.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "forecasts.csv"
    text = download.value.path().read_text()
    assert text.count(",yes,") == 2
    assert "disagree" in text


def order_by_head(page: Page, before: list[str]) -> None:
    for way, order in (("ascending", before), ("descending", before[::-1])):
        page.get_by_role("button", name="Student", exact=True).click()
        expect(page.locator(f"th[aria-sort={way}]")).to_contain_text("Student")
        assert names(page) == order
    page.get_by_label("I can see").fill("2")
    page.get_by_role("button", name="Make the list").click()
    expect(page.locator("#counts")).to_contain_text("2 on your list.")
    expect(page.locator("tbody.listed")).to_have_count(2)
    assert names(page) == before[::-1]
    page.get_by_label("Sort by").select_option("risk")
    apply(page)
    expect(page.locator("tbody.listed").first).to_have_attribute("data-row", re.compile("."))
    assert page.locator("table.roster > tbody").nth(1).get_attribute("class") == "listed"


def narrow(page: Page) -> None:
    page.get_by_label("Sort by").select_option("file")
    apply(page)
    expect(page.locator("[data-is=id]").first).to_have_text("1001")
    page.get_by_label("Find").fill("nobody at all")
    apply(page)
    expect(page.get_by_text("Nobody fits these filters")).to_be_visible()
    page.get_by_label("Find").fill("")
    page.get_by_label("Show").select_option("at-risk")
    apply(page)
    expect(page.locator("#shown")).not_to_contain_text("28 of 28")
    assert 0 < len(names(page)) < 28


def note(page: Page) -> None:
    row = page.locator("table.roster > tbody").nth(2)
    number = row.get_attribute("data-row")
    row.get_by_text("Details").click()
    expect(row.get_by_role("heading", name="Why this forecast")).to_be_visible()
    row.get_by_label("Why").fill("She was ill.")
    row.get_by_role("button", name="I disagree").click()
    expect(page.locator(f"#row-{number} .said-so")).to_have_text("You disagree")


def test_a_row_drawn_by_the_script_is_the_one_of_the_server(visit: Visit, class_file: Path) -> None:
    page = visit("/roster")
    upload(page, class_file)
    rows = page.locator("tr.student")
    drawn = rows.all_inner_texts()
    expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    page.evaluate("state.rows.clear()")  # so that each is made anew
    page.get_by_label("Sort by").select_option("file")
    page.get_by_label("Sort by").select_option("risk")
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
    expect(page.get_by_role("heading", name="Students")).to_be_attached()


def opened_student(page: Page, violations: Violations) -> None:
    """A forecast with all that it can open, and then what is wrong, reached from the list of faults."""
    forecast(page)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    page.get_by_role("slider", name="Study time").fill("3")
    expect(page.get_by_text("With these values")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("Absences").first.fill("99")
    page.get_by_role("button", name="Forecast").click()
    page.get_by_role("alert").get_by_role("link", name="Absences").click()
    expect(page.get_by_label("Absences")).to_be_focused()


def opened_class(page: Page, class_file: Path) -> None:
    """A class with its list, an open row and the rows that could not be read."""
    upload(page, class_file)
    page.get_by_label("I can see").fill("6")
    expect(page.locator("#counts")).to_contain_text("6 on your list.")
    page.get_by_text("What is wrong, and put it right here").click()
    page.locator("summary", has_text="Details").first.click()
    expect(page.get_by_role("heading", name="Why this forecast")).to_be_visible()


@pytest.mark.parametrize(
    ("size", "colours"), [(DESK, "light"), (PHONE, "dark")], ids=["desktop", "phone, dark"]
)
@pytest.mark.parametrize("path", ["/", "/model/card", "/roster"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    visit: Visit,
    violations: Violations,
    class_file: Path,
    path: str,
    size: dict[str, int],
    colours: str,
) -> None:
    page = visit(path, viewport=size, color_scheme=colours)
    assert violations(page) == []
    if path == "/":
        page.goto(page.url + "?example")
        opened_student(page, violations)
    elif path == "/roster":
        opened_class(page, class_file)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.mark.parametrize("width", [1280, 320])
def test_the_apis_documents_come_in_groups_and_axe_finds_nothing_in_them(
    visit: Visit, violations: Violations, width: int
) -> None:
    page = visit("/docs", viewport={"width": width, "height": 900})
    expect(page.locator(".opblock-tag a span")).to_have_text(
        ["Forecasts", "Outcomes", "The model", "Operations"]
    )
    assert violations(page) == []


def test_a_school_of_ten_thousand_is_shown_and_put_in_order(visit: Visit, school_file: Path) -> None:
    page = visit("/roster")
    upload(page, school_file)
    expect(page.get_by_text("Page 1 of 400")).to_be_visible()
    expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    page.get_by_label("Sort by").select_option("file")
    expect(page.locator("[data-is=name]").first).to_have_text("1001")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("[data-is=name]").first).to_have_text("1026")
    page.get_by_label("I can see").fill("300")
    expect(page.locator("#counts")).to_contain_text("300")
    page.locator("summary", has_text="Details").first.click()
    expect(page.get_by_role("heading", name="Why this forecast")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "scripts"), [("/", True), ("/model/card", True), ("/roster", True), ("/roster", False)]
)
def test_a_page_with_all_it_needs_is_small(visit: Visit, school_file: Path, path: str, scripts: bool) -> None:
    page = visit("/static/mark.svg", java_script_enabled=scripts, fresh=True)
    sizes: dict[str, int] = {}
    page.on("requestfinished", lambda asked: sizes.update({asked.url: asked.sizes()["responseBodySize"]}))
    page.goto(page.url.replace("/static/mark.svg", path))
    if path == "/":
        page.goto(page.url + "?example")
        forecast(page)
    elif path == "/roster":
        upload(page, school_file)
    page.wait_for_load_state("networkidle")
    if path == "/roster" and scripts:
        expect(page.get_by_role("button", name="Apply")).to_be_hidden()
        table = sizes.pop(next(address for address in sizes if address.endswith("/roster/data")))
        assert table <= 3 * MOST_BYTES, "the students, fetched apart"
    assert sum(sizes.values()) <= MOST_BYTES
    if not scripts:  # and a school travels with it
        page.get_by_label("Sort by").select_option("gain")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_label("Sort by")).to_have_value("gain")
        expect(page.get_by_text("Page 1 of 400")).to_be_visible()
