"""What the application adds to Streamlit's web server. That a page opened by its address asks for
nothing that is not there is seen in the browser."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit import config

from pages.ui.server import page_routes
from pages.ui.shell import ADDRESSES


@pytest.fixture(params=["", "fan"])
def below(request):
    """The path that the server is told to serve below."""
    config.set_option("server.baseUrlPath", request.param)
    yield f"/{request.param}".rstrip("/")
    config.set_option("server.baseUrlPath", "")


def test_every_page_is_told_where_its_server_is_before_a_script_looks_for_it(below):
    client = TestClient(Starlette(routes=page_routes()))
    for address in ADDRESSES:
        answer = client.get(f"{below}/{address}?horizon=8")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        told = answer.text.index('BACKEND_BASE_URL: new URL(".", location.href).href')
        assert told < answer.text.index("<script type=")
    assert client.get(f"{below}/nobody").status_code == 404
