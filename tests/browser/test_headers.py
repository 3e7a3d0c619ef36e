"""The pages work under the headers that bound them."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pages.ui.frame.headers import security_headers
from pages.ui.frame.plotly_script import script_name
from pages.ui.frame.server import page as html
from pages.ui.frame.shell import ADDRESSES
from tests.browser.conftest import PATIENCE_MS, wait_for_fan, wait_until_idle

pytestmark = [pytest.mark.browser, pytest.mark.timeout(480)]
expect.set_options(timeout=PATIENCE_MS)
SAMPLE = Path(__file__).parents[2] / "assets/samples/BTCUSD_30m.csv"
# The browser reports what the policy forbids, whoever listens to its console.
LISTEN = """
window.forbidden = [];
document.addEventListener("securitypolicyviolation", event =>
    window.forbidden.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


def test_responses_of_the_real_server_have_the_headers(server):
    expected = {name.lower(): value for name, value in security_headers(html()).items()}
    paths = ["", "compare", "_stcore/health", "_stcore/host-config", "nothing/here.js", "media/x"]
    for path in paths:
        try:
            answer = urllib.request.urlopen(f"{server.url}/{path}")
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
        assert found.items() >= expected.items(), path


@pytest.mark.slow
def test_no_page_does_what_the_policy_forbids(server, visit):
    for address in ["", *ADDRESSES]:
        seen = visit("about:blank")
        seen.page.add_init_script(LISTEN)
        seen.page.goto(f"{server.url}/{address}")
        seen.page.get_by_test_id("stHeading").first.wait_for()
        if address in {"", "forecast", "compare", "what_if"}:
            seen.page.locator(".js-plotly-plot .main-svg").first.wait_for()
        wait_until_idle(seen.page)
        assert seen.page.evaluate("window.forbidden") == [], address
        assert not seen.complaints, address
        seen.page.close()


@pytest.mark.slow
def test_uploads_and_downloads_work_under_the_policy(server, visit, tmp_path):
    seen = visit("about:blank")
    page = seen.page
    page.add_init_script(LISTEN)
    page.goto(f"{server.url}/?data=My+own+CSV+file&details=Download")
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(SAMPLE)
    page.get_by_role("button", name="Run").first.click()
    wait_for_fan(page)
    for label in ("Chart (PNG)", "Quantiles (CSV)", "Chart (HTML)", "Everything (JSON)"):
        with page.expect_download() as started:
            page.get_by_role("button", name=label).click()
        path = tmp_path / started.value.suggested_filename
        started.value.save_as(path)
        assert path.stat().st_size > 1000, label
    assert page.evaluate("window.forbidden") == []
    assert not seen.complaints


@pytest.mark.parametrize("address", ["/", "/forecast"])
def test_the_forecast_page_names_the_script_of_its_chart(server, address):
    with urllib.request.urlopen(server.url + address) as answer:
        assert f"<{script_name()}>; rel=preload" in answer.headers["Link"]
