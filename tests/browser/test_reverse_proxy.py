"""The examples of docs/deployment.md in front of the real server: nginx and Caddy, with TLS."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import ipaddress
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http import cookies
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.browser.conftest import ROOT, Server, _free_port, open_page, wait_for_fan

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(480)]
GUIDE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "assets/samples/BTCUSD_30m.csv"


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


def _example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


def _changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


def _nginx(folder: Path, server: Server, port: int) -> list[str]:
    certificate, private = _certificate(folder)
    live = "/etc/letsencrypt/live/fan.example.org"
    example = _changed(
        _example("nginx"),
        ("listen 80;", f"listen 127.0.0.1:{_free_port()};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"{live}/fullchain.pem", str(certificate)),
        (f"{live}/privkey.pem", str(private)),
        ("server 127.0.0.1:8501;", f"server {server.url.removeprefix('http://')};"),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    file = folder / "nginx.conf"
    file.write_text(
        f"pid {folder}/pid;\nerror_log {folder}/error.log;\ndaemon off;\nuser root;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{folders}{example}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(file)]


def _caddy(folder: Path, server: Server, port: int) -> list[str]:
    certificate, private = _certificate(folder)
    example = _changed(
        _example("caddyfile"),
        ("fan.example.org {", f"https://127.0.0.1:{port} {{\n\ttls {certificate} {private}"),
        ("127.0.0.1:8501", server.url.removeprefix("http://")),
    )
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + example)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


@pytest.fixture(scope="module", params=[_nginx, _caddy], ids=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    name = request.param.__name__.removeprefix("_")
    if shutil.which(name) is None and not Path(f"/usr/sbin/{name}").exists():
        pytest.skip(f"{name} is not installed on this machine")
    folder, port = tmp_path_factory.mktemp(name), _free_port()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            request.param(folder, server, port), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield Proxy(name, port)
    finally:
        process.terminate()
        process.wait(20)


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _stream(proxy: Proxy, origin: str = "") -> ClientConnection:
    return connect(
        f"wss://127.0.0.1:{proxy.port}/_stcore/stream", ssl=_trusting(), max_size=None,
        subprotocols=["streamlit"], origin=origin or proxy.url,
    )  # fmt: skip


def _ask(
    proxy: Proxy,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, context=_trusting())
    # What a proxy refuses it may not have read to the end: its answer is there all the same.
    with contextlib.suppress(OSError):
        connection.request(method, path, body, headers or {})
    return connection.getresponse()


def test_pages_forecasts_and_uploads_pass_through(proxy: Proxy, browser: Browser):
    """A fan needs the WebSocket; an upload needs the address, the cookies and the body."""
    context = browser.new_context(ignore_https_errors=True)
    seen = open_page(context, f"{proxy.url}/?data=My+own+CSV+file")
    page = seen.page
    page.get_by_test_id("stFileUploaderDropzoneInput").first.set_input_files(SAMPLE)
    page.get_by_role("button", name="Run").first.click()
    wait_for_fan(page)
    assert not seen.complaints
    assert all(cookie["secure"] for cookie in context.cookies())
    assert context.cookies()
    context.close()


def test_limits_and_headers_hold(proxy: Proxy):
    answer = _ask(proxy, "GET", "/compare")
    assert answer.status == 200
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
    assert len(answer.headers.get_all("Content-Security-Policy")) == 1
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert _ask(proxy, "GET", "/_stcore/metrics").status == 404
    assert _ask(proxy, "GET", "/_stcore/health").read() == b"ok"


@pytest.mark.parametrize(("n_bytes", "statuses"), [(1_000_000, {204}), (27_000_000, {413})])
def test_an_upload_above_the_limit_is_refused(proxy: Proxy, n_bytes: int, statuses: set[int]):
    token = cookies.SimpleCookie(_ask(proxy, "GET", "/_stcore/health").headers["Set-Cookie"])
    xsrf = token["_streamlit_xsrf"].value
    with _stream(proxy) as stream:
        message = BackMsg()
        message.rerun_script.page_name = "models"
        stream.send(message.SerializeToString())
        answer = ForwardMsg()
        while answer.WhichOneof("type") != "new_session":
            answer.ParseFromString(stream.recv(60))
        session = answer.new_session.initialize.session_id
        body = b"--x\r\nContent-Disposition: form-data; name=f; filename=f.csv\r\n\r\n"
        body += bytes(n_bytes) + b"\r\n--x--\r\n"
        headers = {
            "Content-Type": "multipart/form-data; boundary=x",
            "Cookie": f"_streamlit_xsrf={xsrf}",
            "X-Xsrftoken": xsrf,
        }
        path = f"/_stcore/upload_file/{session}/00000000-0000-0000-0000-000000000001"
        assert _ask(proxy, "PUT", path, body, headers).status in statuses


def test_another_origin_opens_no_stream(proxy: Proxy):
    with pytest.raises(InvalidStatus):
        _stream(proxy, "https://evil.example")


def test_one_address_opens_no_more_streams_than_the_limit(proxy: Proxy):
    if proxy.name != "nginx":
        pytest.skip("Caddy's own build has no limit of connections")
    with ExitStack() as streams:
        for _ in range(20):
            streams.enter_context(_stream(proxy))
        with pytest.raises(InvalidStatus) as refused:
            _stream(proxy)
    assert refused.value.response.status_code == 429
