"""Every page of the navigation: for people who see little, and for people without a mouse.

The pages are those that the navigation shows, so a new page is covered by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import PATIENCE_MS, Server, Visit, open_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(480)]
expect.set_options(timeout=PATIENCE_MS)

Look = tuple[str, int]
DAYLIGHT: Look = ("light", 1400)
LOOKS = [DAYLIGHT, ("dark", 390)]
# In every look, and by keyboard; the other pages, and the other looks, come in the slow tests.
LOOKED_INTO = ("Forecast", "Watchlist")
OTHER_LOOKS = [("dark", 1400), ("light", 390)]
GRAVE = {"serious", "critical"}
# In Streamlit's own menu of a narrow page a section is a div between the list and its links, whose
# markup is not ours: there, and there alone, these two rules are left out.
MENU = '[data-testid="stSidebarNavItems"]'
NOT_OF_MENU = {"list": {"enabled": False}, "listitem": {"enabled": False}}
MOST_TABS = 150
# The part of a page that scrolls takes the focus, so that arrow keys scroll it; tables are drawn on
# a canvas, and so is the frame around the cell in focus.
SHOWN_OTHERWISE = "main, canvas, canvas *"

# Notes when the page last changed, from now on.
WATCH = """() => {
    window.changed = performance.now();
    if (window.watcher) return;
    window.watcher = new MutationObserver(() => { window.changed = performance.now(); });
    window.watcher.observe(document,
        { subtree: true, childList: true, attributes: true, characterData: true });
}"""

FADES = 'document.getAnimations().some(each => each.playState === "running")'

# Nothing is computed any more, nothing fades, and for 250 ms nothing has changed.
IS_READY = f"""() => {{
    const busy = document.querySelector(
        '[data-testid="stSkeleton"], [data-testid="stProgress"], [data-testid="stSpinner"]');
    const state = document.querySelector("[data-test-script-state]")?.dataset.testScriptState;
    if (busy || {FADES} || state !== "notRunning")
        window.changed = performance.now();
    return performance.now() - window.changed >= 250;
}}"""

HAS_SCHEME = """scheme =>
    getComputedStyle(document.querySelector(".stApp")).colorScheme === scheme"""

# How an element and what is around it look. Some controls show their focus on the frame around
# them, others on what is drawn beside them.
AROUND = """
    const shown = ["outlineStyle", "outlineWidth", "outlineColor", "boxShadow", "borderColor",
        "backgroundColor", "color", "opacity"];
    const looks = element => {
        const style = getComputedStyle(element);
        return shown.map(name => style[name]).join();
    };
    const around = element => {
        const frames = [];
        for (let e = element; e && frames.length < 4; e = e.parentElement) frames.push(e);
        const beside = [...(element.parentElement?.querySelectorAll("*") ?? [])].slice(0, 20);
        return [...frames, ...beside].map(looks).join(";");
    };
"""

# Role and name of the element in focus; the element is kept, with its looks.
STEP = f"""() => {{
    {AROUND}
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    window.trail.push({{ element, looks: around(element) }});
    element.dataset.visited = "yes";
    const role = element.getAttribute("role") || element.tagName.toLowerCase();
    const name = element.getAttribute("aria-label") || element.innerText || element.type || "";
    return `${{role}}: ${{name.split("\\n").filter(Boolean).join(" ").slice(0, 60)}}`;
}}"""

# Which elements of the trail look in focus as they do without it. Those that seem to are looked at
# again with time enough: frames fade in, and a busy machine draws them late.
UNSEEN = f"""async () => {{
    {AROUND}
    const pause = () => new Promise(resolve => setTimeout(resolve, 100));
    const atRest = async element => {{
        let last;
        do {{
            last = around(element);
            await pause();
        }} while ({FADES} || around(element) !== last);
        return last;
    }};
    const unseen = [];
    for (const [i, {{ element, looks }}] of window.trail.entries()) {{
        if (element.matches("{SHOWN_OTHERWISE}")) continue;
        if (!element.isConnected || around(element) !== looks) continue;
        document.activeElement.blur();
        const unfocused = await atRest(element);
        element.focus();
        const end = performance.now() + 5000;
        while (around(element) === unfocused && performance.now() < end) await pause();
        if (around(element) === unfocused) unseen.push(i);
    }}
    return unseen;
}}"""

# What can be clicked and was not reached. Of a group of buttons or tabs one is enough: arrow keys
# lead to the others.
MISSED = """() => {
    const controls = document.querySelectorAll(
        '.stApp :is(button, input, select, textarea, summary, a[href], [role="tab"])');
    return [...controls]
        .filter(e => e.checkVisibility({ visibilityProperty: true }))
        .filter(e => !e.dataset.visited && !e.disabled && e.tabIndex >= 0)
        .filter(e => !["radio", "tab"].includes(e.getAttribute("role") || e.type))
        .filter(e => !e.closest('[data-testid="stButtonGroup"]')?.querySelector("[data-visited]"))
        .map(e => e.outerHTML.slice(0, 160));
}"""


class Tour:
    """One tab that goes from page to page by the navigation, as a visitor does.

    A tab of its own for each page would load and compile the same scripts again.
    """

    def __init__(self, seen: Visit) -> None:
        self.seen, self.page = seen, seen.page
        self._links = self.page.get_by_test_id(
            re.compile("st(TopNav|TopNavDropdown|SidebarNav)Link$")
        )
        expect(self._links.first).to_be_visible()
        self._open_section()
        self.titles: list[str] = self._links.all_inner_texts()
        assert {"Forecast", "Models"} <= set(self.titles)
        self.page.keyboard.press("Escape")

    def go(self, title: str) -> Page:
        """Opens a page of the navigation, and everything folded on it."""
        self.page.bring_to_front()  # a tab behind another is drawn late
        self.page.set_viewport_size({"width": 1400, "height": 1100})
        # The links of a narrow page go once the bar is there; until then they are found as well.
        self.page.get_by_test_id("stTopNavSection").first.wait_for()
        expect(self.page.get_by_test_id("stSidebarNavLink")).to_have_count(0)
        link = self._links.filter(has_text=re.compile(f"^{title}$"))
        if not link.count():
            self._open_section()
        address = link.get_attribute("href")
        link.click()
        self.page.mouse.move(700, 1090)  # what the mouse is over looks as in focus
        expect(self.page).to_have_url(re.compile(f"{address}(\\?|$)"))
        settle(self.page)
        assert self.page.get_by_test_id("stException").count() == 0, f"{title} ended in an error"
        bring_out(title, self.page)
        return self.page

    def _open_section(self) -> None:
        """Open the menu of the navigation, whose links are there only then."""
        # A bar that was narrow just now shows another menu, of what has no room.
        section = self.page.get_by_test_id("stTopNavSection").filter(has_text=re.compile("^More$"))
        section.click()
        self.page.get_by_test_id("stTopNavDropdownLink").first.wait_for()


@pytest.fixture(scope="module")
def tour(window: BrowserContext, server: Server) -> Iterator[Tour]:
    """Every page of the navigation, one after the other; the watchlist's lines are short."""
    seen = open_page(window, f"{server.url}/watchlist?list_horizon=3&list_paths=10")
    settle(seen.page)
    yield Tour(seen)
    seen.page.close()


def settle(page: Page) -> None:
    """Until the page is complete and at rest."""
    page.evaluate(WATCH)
    page.wait_for_function(IS_READY, polling=100)


def bring_out(title: str, page: Page) -> None:
    """Open what is folded, and have the page say something: alerts have colours of their own."""
    page.evaluate(
        "document.querySelectorAll('details:not([open]) > summary').forEach(e => e.click())"
    )
    if title == "Forecast":
        set_horizon(page, 6)
        page.get_by_text("Settings changed: press Run.").wait_for()
    elif title == "Models":
        page.get_by_role("button", name="Download 32 MB").click()
        page.get_by_text("The model could not be downloaded.").wait_for()
    settle(page)


def set_horizon(page: Page, bars: int) -> None:
    page.locator(".st-key-chip_horizon button").click()
    field = page.get_by_label("Horizon (bars)", exact=True)
    field.fill(str(bars))
    field.press("Enter")
    page.keyboard.press("Escape")


def look(page: Page, scheme: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1100})
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(HAS_SCHEME, arg=scheme)
    settle(page)


FAINT_LABELS = """() => {
    const light = (text) => {
        const parts = text.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
        const line = parts.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * line[0] + 0.7152 * line[1] + 0.0722 * line[2] + 0.05;
    };
    const ground = light(getComputedStyle(document.querySelector(".stApp")).backgroundColor);
    return [...document.querySelectorAll(".js-plotly-plot :is(.xtick, .ytick) text")]
        .map((label) => [label.textContent, light(getComputedStyle(label).fill) / ground])
        .filter(([, ratio]) => Math.max(ratio, 1 / ratio) < 4.5)
        .map(([text, ratio]) => `label of an axis, contrast ${ratio}: ${text}`);
}"""
"""Axe leaves out the text of a picture. Labels of axes have the page for their ground."""


def grave_violations(page: Page, *, colours_alone: bool = False) -> list[str]:
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if colours_alone:
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    if not page.locator(MENU).count():
        found = Axe().run(page, options=options).response["violations"]
    else:
        found = Axe().run(page, {"exclude": [[MENU]]}, options).response["violations"]
        if not colours_alone:
            options["rules"] = NOT_OF_MENU
        found += Axe().run(page, MENU, options).response["violations"]
    return page.evaluate(FAINT_LABELS) + [
        f"{rule['impact']} {rule['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def go_to_top(page: Page) -> None:
    """Let the next Tab lead to the first control, whatever was in focus before."""
    page.evaluate("""() => {
        const start = document.createElement("span");
        start.tabIndex = -1;
        document.body.prepend(start);
        start.focus();
        window.trail = [];
    }""")


def walk(page: Page) -> list[str]:
    """Tab from the top to the end of the page: what was in focus."""
    go_to_top(page)
    names: list[str] = []
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        name = page.evaluate(STEP)
        if name is None:
            return names
        names.append(name)
    raise AssertionError(f"{MOST_TABS} times Tab never left the page; last were {names[-10:]}")


def flaws(page: Page, picture: Path, scheme: str, width: int) -> list[str]:
    """What is wrong with a page in one of its looks, of which a picture is taken."""
    look(page, scheme, width)
    page.screenshot(path=f"{picture}_{width}_{scheme}.png")
    # The dark look has the same elements as the light one, in other colours.
    problems = grave_violations(page, colours_alone=scheme == "dark")
    if not page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"):
        problems.append("the page is wider than the screen")
    problems += [
        f"a chart from {box['x']:.0f} to {box['x'] + box['width']:.0f} pixels"
        for chart in page.locator(".js-plotly-plot").all()
        if (box := chart.bounding_box()) and not 0 <= box["x"] <= width - box["width"]
    ]
    return [f"{scheme}, {width} pixels: {problem}" for problem in problems]


def missed_by_tab(page: Page) -> list[str]:
    """Controls that Tab does not reach, or that look in focus as they do without it."""
    names = walk(page)
    missed = [f"Tab misses {html}" for html in page.evaluate(MISSED)]
    return missed + [f"the focus on {names[i]} is not shown" for i in page.evaluate(UNSEEN)]


def visit_all(tour: Tour, screenshots: Path, looks_of: Callable[[str], Sequence[Look]]) -> None:
    """Every page once, in one look or several, because opening it is most of what that takes."""
    broken: dict[str, list[str]] = {}
    last = DAYLIGHT
    for title in tour.titles:
        page = tour.go(title)
        found = []
        # The look that the page before was left in comes first: changing it draws a page anew.
        looks = sorted(looks_of(title), key=last.__ne__)
        for last in looks:
            scheme, width = last
            found += flaws(page, screenshots / title.lower(), scheme, width)
            if last == DAYLIGHT and title in LOOKED_INTO:
                found += missed_by_tab(page)
        if found:
            broken[title] = found
    look(tour.page, *DAYLIGHT)
    assert not broken, "\n".join(f"{where}\n  " + "\n  ".join(p) for where, p in broken.items())


def test_every_page_is_for_everybody(tour, screenshots):
    visit_all(tour, screenshots, lambda title: LOOKS if title in LOOKED_INTO else LOOKS[:1])


@pytest.mark.slow
@pytest.mark.parametrize("other", [*LOOKS[1:], *OTHER_LOOKS])
def test_every_page_is_for_everybody_in_every_look(tour, screenshots, other):
    visit_all(tour, screenshots, lambda title: [other])


@pytest.mark.slow
def test_every_control_of_every_page_is_reached_by_tab(tour):
    for title in tour.titles:
        page = tour.go(title)
        look(page, *DAYLIGHT)
        assert missed_by_tab(page) == [], title


@pytest.mark.slow
def test_the_controls_of_a_narrow_page_are_found_without_a_mouse(tour):
    page = tour.go("Forecast")
    look(page, "light", 390)
    names = walk(page)
    assert "button: Expand sidebar" in names, names
    look(page, *DAYLIGHT)


@pytest.mark.slow
def test_the_glossary_is_opened_read_and_closed(tour, screenshots):
    page = tour.go("Models")
    page.get_by_role("button", name="Glossary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Forecast quality").click()
    page.get_by_text("Continuous ranked probability score").wait_for()
    settle(page)
    page.screenshot(path=screenshots / "glossary.png")
    assert grave_violations(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_text("Continuous ranked probability score")).to_have_count(0)


def test_run_is_reached_and_pressed_without_a_mouse(tour):
    page = tour.go("Forecast")
    go_to_top(page)
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        # The page itself takes the focus too, where it scrolls.
        button = page.evaluate("document.activeElement.closest('button')?.innerText || ''")
        if "Run" in button.split("\n"):
            break
    else:
        raise AssertionError("Run was never in focus")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("next 6 bars")


def test_nothing_was_complained_about(tour):
    assert not tour.seen.complaints
