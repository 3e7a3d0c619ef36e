"""Links: every parameter is in the table, and no text of one raises an error."""

import ast
import fnmatch
from typing import get_args

import pytest

from benchmarks.gates.links import HOSTILE, visits
from pages.ui.chart.scene import Window
from pages.ui.chart.view import LAYER_LABELS, SHAPE_LABELS, VIEW_LABELS, WINDOW_LABELS
from pages.ui.compare.view import ARRANGEMENTS
from pages.ui.fan.calibration import FANS
from pages.ui.frame.parameters import PARAMETERS, RENAMED, find, is_readable
from tests.pages.app_driver import new_session, press, run_until, words
from tests.pages.test_forecast_page import has_forecast
from tests.source_tree import ROOT, python_files

PAGES = sorted({page for each in PARAMETERS.values() for page in each.pages})
NUMBERS = ("number", "numbers", "level")


def bound_keys(file):
    """Key expressions of the controls of a file that are bound to the address."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if "bind" in given:
                yield given["key"]


def patterns(key):
    """The names that a key can have; * stands for what is not written in the code."""
    if isinstance(key, ast.Constant):
        return [key.value]
    if isinstance(key, ast.IfExp):
        return [*patterns(key.body), *patterns(key.orelse)]
    if isinstance(key, ast.JoinedStr):
        parts = (each.value if isinstance(each, ast.Constant) else "*" for each in key.values)
        return ["".join(parts)]
    return ["*"]


def test_every_control_of_a_link_is_in_the_table():
    written = [
        pattern
        for file in python_files("pages")
        for key in bound_keys(file)
        for pattern in patterns(key)
    ]
    assert len(written) > 60
    missing = [name for name in written if "*" not in name and find(name) is None]
    missing += [
        name
        for name in written
        if "*" in name and name.strip("*") and not fnmatch.filter(PARAMETERS, name)
    ]
    assert not missing


def test_a_link_of_an_earlier_version_chooses_the_option_by_its_name_of_today():
    for before, now in RENAMED["data"].items():
        app = new_session("forecast", data=before).run()
        assert not app.exception
        assert app.selectbox(key="data").value == now
        assert "not available here" not in words(app)
        app.selectbox(key="data").set_value(app.selectbox(key="data").options[2]).run()
        assert app.selectbox(key="data").value == app.selectbox(key="data").options[2]


@pytest.mark.parametrize("page", ["forecast", "compare"])
def test_a_link_that_somebody_types_names_options_in_short_and_in_any_case(page):
    link = {"shape": "line", "view": "log", "window": "3m", "arrangement": "Overlay"}
    link = {name: text for name, text in link.items() if page in find(name).pages}
    app = new_session(page, paths=10, horizon=4, **link).run()
    wanted = {"shape": "line", "view": "log", "window": "3M", "arrangement": "overlay"}
    assert {name: app.session_state[name] for name in link} == {n: wanted[n] for n in link}
    assert "not available here" not in words(app)


def test_a_link_to_a_tab_of_earlier_versions_opens_what_it_had():
    app = run_until(new_session(details="Python", horizon=4, paths=10).run(), has_forecast)
    assert "import kronos" in app.code[0].value
    assert "not available here" not in words(app)


@pytest.mark.parametrize("page", [*PAGES, "models"])
def test_options_that_no_page_reads_are_named_with_what_was_probably_meant(page):
    app = new_session(page, horizn=5, utm_source="mail").run()
    assert not app.exception
    assert "No page reads these options of the link: horizn (horizon?), utm_source." in words(app)
    assert "No page reads" not in words(new_session(page).run())


def test_the_warning_of_unknown_options_goes_with_a_press_of_run():
    app = run_until(new_session(horizn=5, horizon=4, paths=10).run(), has_forecast)
    assert "No page reads" in words(app)
    assert app.number_input(key="horizon").value == 4
    assert "No page reads" not in words(press(app, "run"))


def test_every_option_of_the_look_has_its_short_name_in_the_table():
    shown = {"shape": SHAPE_LABELS, "view": VIEW_LABELS, "layers": LAYER_LABELS,
             "arrangement": ARRANGEMENTS, "fan_kind": FANS}  # fmt: skip
    for name, labels in shown.items():
        assert RENAMED[name] == labels, name
    windows = {each.casefold(): WINDOW_LABELS.get(each, each) for each in get_args(Window)}
    assert RENAMED["window"] == windows | {"near": "Near"}
    assert all(text == text.casefold() for texts in RENAMED.values() for text in texts)


def test_the_table_names_pages_that_there_are():
    assert set(PAGES) <= {file.stem for file in (ROOT / "pages").glob("*.py")}


@pytest.mark.parametrize("name", [n for n, each in PARAMETERS.items() if each.kind in NUMBERS])
def test_numbers_that_no_control_can_hold_are_not_readable(name):
    name = name.replace("*", "24")
    assert not [
        text for text in ("inf", "-inf", "nan", "1e309", "9" * 400) if is_readable(name, text)
    ]
    assert all(is_readable(name, text) for text in ("24", "-1", "0.5", "1e3", "text", ""))


def test_words_that_are_numbers_too_stay_readable():
    assert is_readable("symbol", "NAN")
    assert is_readable("symbols", "INF, NAN")
    assert is_readable("no parameter of ours", "inf")
    assert not is_readable("symbols", "x" * 1_000_000)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_reader_takes_any_text_for_any_parameter(text):
    assert {is_readable(name.replace("*", "24"), text) for name in PARAMETERS} <= {True, False}


def test_the_gate_visits_every_page_with_every_parameter():
    tried = {(visit.page, name) for visit in visits() for name in visit.link}
    wanted = {(page, name) for name, each in PARAMETERS.items() for page in each.pages}
    assert {each for each in wanted if "*" not in each[1]} <= tried


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("text", ["inf", "9" * 400, "\x00\u0661\x1b"])
def test_a_page_takes_hostile_numbers_in_all_its_controls(page, text):
    names = [
        name.replace("*", "24")
        for name, each in PARAMETERS.items()
        if page in each.pages and each.kind in (*NUMBERS, "day", "time")
    ]
    app = new_session(page, **dict.fromkeys(names, text)).run()
    assert not app.exception, app.exception


def test_what_a_link_cannot_have_is_named():
    app = new_session("backtest", bt_horizon="inf", bt_seed=["1", "nan"], bt_buy="0.5").run()
    assert not app.exception
    assert "not available here: horizon inf; seed nan." in words(app)
    assert app.number_input(key="bt_buy").value == 0.5
    assert app.number_input(key="bt_horizon").value == 5
    assert "bt_horizon" not in app.query_params, "the address loses it"


def test_a_link_is_read_again_on_another_page_and_after_it_was_cleaned():
    app = new_session("synthetic", syn_bars="1e309").run()
    assert not app.exception
    app.query_params["syn_bars"] = "inf"
    app.run()
    assert not app.exception
    assert app.number_input(key="syn_bars").value == 300


@pytest.mark.parametrize("link", [{"view": ""}, {"window": ""}, {"view": ["", ""]}])
def test_an_option_that_is_required_is_not_emptied(link):
    app = new_session("forecast", **link).run()
    assert not app.exception
    assert app.session_state[next(iter(link))] in ("price", "auto")


def test_chips_say_what_their_controls_take_of_a_link_and_nothing_else():
    link = {"paths": 5000, "T": 9, "model": "Nothing", "origin": "2031-01-01", "horizon": 0}
    app = run_until(new_session("forecast", **link).run(), has_forecast)
    labels = [chip.proto.popover.label.replace("\\", "") for chip in app.get("popover")]
    assert {"Bundled", "24 bars", "300 paths", "T 1 · top-p 1"} <= set(labels)
    right = {"paths": 50, "T": 0.5, "origin": "2019-09-30", "horizon": 6}
    app = run_until(new_session("forecast", **right).run(), has_forecast)
    labels = [chip.proto.popover.label.replace("\\", "") for chip in app.get("popover")]
    assert {"6 bars from 2019-09-30", "50 paths", "T 0.5 · top-p 1"} <= set(labels)
