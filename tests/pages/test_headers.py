"""Every response has the headers. That the pages work under them is seen in the browser."""

import base64
import hashlib
import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from pages.ui.frame.headers import SecurityHeaders, security_headers
from pages.ui.frame.server import page

EXPECTED = security_headers(page())


async def _answer(request):
    return PlainTextResponse("here", headers={"X-Frame-Options": "ALLOWALL"})


async def _fail(request):
    raise RuntimeError("broken")


async def _echo(websocket):
    await websocket.accept(subprotocol=websocket.scope["subprotocols"][0])
    await websocket.send_bytes(await websocket.receive_bytes())
    await websocket.close()


@pytest.fixture
def client():
    routes = [Route("/", _answer), Route("/fail", _fail), WebSocketRoute("/stream", _echo)]
    app = Starlette(routes=routes, middleware=[Middleware(SecurityHeaders, html=page())])
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/nothing", 404), ("/fail", 500), ("/stream", 404)]
)
def test_every_response_has_the_headers_once(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert {name: answer.headers.get_list(name) for name in EXPECTED} == {
        name: [value] for name, value in EXPECTED.items()
    }


def test_a_websocket_is_opened_as_before(client):
    with client.websocket_connect("/stream", subprotocols=["streamlit", "token"]) as stream:
        assert stream.accepted_subprotocol == "streamlit"
        stream.send_bytes(b"message")
        assert stream.receive_bytes() == b"message"


def test_of_inline_scripts_only_those_of_the_html_may_run():
    policy = EXPECTED["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    scripts = re.findall(r"<script>(.*?)</script>", page(), re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert len(digests) == 4
    assert {word for word in rules["script-src"].split() if word.startswith("'sha256-")} == {
        f"'sha256-{digest}'" for digest in digests
    }
    assert "unsafe-inline" not in rules["script-src"]
    assert "'unsafe-eval'" not in policy
    assert rules["frame-ancestors"] == "'none'"
    assert "*" not in policy
