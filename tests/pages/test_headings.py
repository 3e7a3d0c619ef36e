"""Every page keeps its title beside an input that cannot be used, and says what to do."""

import pandas as pd
import pytest

from kronos.system import asset_path
from pages.ui.backtest.controls import QLIB
from pages.ui.inputs.candles import UPLOAD
from tests.pages.app_driver import new_session, words

UNREADABLE = b"time,open,high,low,close\n2024-01-01,1,2,3,none\n"
WAYS_OUT = ("upload it again", "Remove", "Choose", "it needs the folders")


def with_file(page: str, content: bytes):
    app = new_session(page, data=UPLOAD).run()
    return app.file_uploader(key="upload").upload("own.csv", content, "text/csv").run()


def short_file() -> bytes:
    """Fewer bars than a forecast needs."""
    return pd.read_csv(asset_path("samples", "ETHUSD_1h.csv"), nrows=20).to_csv().encode()


def too_many_files(page: str):
    app = new_session(page).run()
    files = [(f"{i}.csv", b"time", "text/csv") for i in range(201)]
    return app.file_uploader(key="watch_files").set_value(files).run()


def no_qlib_folder(page: str):
    app = new_session(page).run()
    app.selectbox(key="bt_source").set_value(QLIB).run()
    return app.text_input(key="bt_qlib_folder").set_value("/nowhere").run()


CASES = {
    **{
        f"{page}, {kind}": (page, lambda page, content=content: with_file(page, content))
        for page in ("forecast", "compare", "what_if", "synthetic")
        for kind, content in (("unreadable", UNREADABLE), ("short", short_file()))
    },
    "watchlist, too many files": ("watchlist", too_many_files),
    "backtest, too many files": ("backtest", too_many_files),
    "backtest, no Qlib folder": ("backtest", no_qlib_folder),
}


@pytest.mark.parametrize("case", CASES)
def test_a_page_keeps_its_title_and_says_what_to_do(case):
    page, make = CASES[case]
    app = make(page)
    assert not app.exception
    assert [title.value for title in app.main.title] != [], "no title"
    said = [*app.main.error, *app.main.info, *app.main.warning, *app.main.caption]
    text = " ".join(each.value.replace("\\", "") for each in said)
    assert any(way in text for way in (*WAYS_OUT, "at least")), words(app)
