"""Sign-in at a provider, in the real browser, on a public server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS, Server, start_server, stop_server, wait_until_idle
from tests.loopback_oidc import LoopbackProvider

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(480)]
expect.set_options(timeout=PATIENCE_MS)
ANN = {"sub": "7", "email": "ann@example.com", "email_verified": True}
REFUSAL = "Downloads, deletions and tests of models are not offered"


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture(scope="module")
def public_server(
    provider: LoopbackProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    file = home / "secrets.toml"
    own = '\n[kronos]\npublic = true\nadministrators = ["ann@example.com"]\n'
    file.write_text(provider.secrets_toml() + own + 'administrator_role = "fan-admin"\n')
    server, process = start_server(home, ("streamlit", "run", "app.py", f"--secrets.files={file}"))
    yield server
    stop_server(process)


def _signed_in(seen: Any, server: Server) -> Any:
    page = seen.page
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Signed in as").wait_for()
    page.goto(f"{server.url}/models")
    page.get_by_role("heading", name="All models").wait_for()
    wait_until_idle(page)
    return page


@pytest.mark.parametrize(
    ("claims", "is_administrator"),
    [
        (ANN, True),
        ({"sub": "8", "name": "Bob", "roles": ["reader", "fan-admin"]}, True),
        ({"sub": "9", "email": "cy@example.com", "email_verified": True}, False),
        (ANN | {"email_verified": False}, False),
    ],
)
def test_administrators_sign_in_and_out(
    claims, is_administrator, provider, public_server, stranger
):
    provider.claims = claims
    seen = stranger(f"{public_server.url}/models")
    expect(seen.page.get_by_text(REFUSAL)).to_be_visible()
    assert not seen.page.get_by_role("button", name="Self-test").count()

    page = _signed_in(seen, public_server)
    expect(page.get_by_role("button", name="Self-test")).to_have_count(int(is_administrator))
    expect(page.get_by_text(REFUSAL)).to_have_count(int(not is_administrator))
    role = ", administrator" if is_administrator else ""
    expect(page.get_by_text(re.compile("Signed in as"))).to_contain_text(f"{role}.")
    assert provider.refused == []

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    page.goto(f"{public_server.url}/models")
    expect(page.get_by_text(REFUSAL)).to_be_visible()
    assert not page.get_by_role("button", name="Self-test").count()
    assert not [each for each in seen.complaints if "Security" in each]


def test_who_is_taken_off_the_list_loses_the_role_without_a_restart(
    provider, public_server, stranger
):
    provider.claims = ANN
    page = _signed_in(stranger(f"{public_server.url}/models"), public_server)
    expect(page.get_by_role("button", name="Self-test")).to_have_count(1)
    file = public_server.log.parent / "secrets.toml"
    before = file.read_text()
    file.write_text(before.replace("ann@example.com", "somebody.else@example.com"))
    try:
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while page.get_by_role("button", name="Self-test").count() and time.monotonic() < deadline:
            page.reload()
            page.get_by_role("heading", name="All models").wait_for()
            wait_until_idle(page)
        expect(page.get_by_text(REFUSAL)).to_be_visible()
        expect(page.get_by_text("Signed in as")).not_to_contain_text("administrator")
    finally:
        file.write_text(before)


def test_a_token_of_a_key_that_the_provider_does_not_have_signs_nobody_in(
    provider, public_server, stranger
):
    provider.claims, provider.forges = ANN, True
    try:
        seen = stranger(f"{public_server.url}/models")
        seen.page.get_by_role("button", name="Sign in").click()
        seen.page.wait_for_timeout(3000)
        seen.page.goto(f"{public_server.url}/models")
        expect(seen.page.get_by_text(REFUSAL)).to_be_visible()
        assert not seen.page.get_by_text("Signed in as").count()
    finally:
        provider.forges = False
