"""What the product uses of other packages that they do not document, name by name, with the reason.

`CHECKS` is the whole list: a use that is not in it fails the first test, and a package that changes
what one of the names does fails the second, with the reason on screen.
"""

import ast
import inspect
import signal
import socket
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numba
import pytest
import streamlit as st
import torch
import uvicorn
from requests import Response
from starlette.applications import Starlette
from streamlit import config, file_util, runtime
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx
from streamlit.runtime.session_manager import SessionManager
from streamlit.runtime.state import SafeSessionState, SessionStateProxy
from streamlit.runtime.state.query_params import QueryParams
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from urllib3.connection import HTTPConnection, HTTPSConnection

from tests.source_tree import LIBRARIES, ROOT, SHELL, imports, python_files, syntax

OWN = {*LIBRARIES, "pages", "app"}
# Of NamedTuple, by its documentation.
DOCUMENTED = {"_asdict", "_fields", "_make", "_replace"}
STREAMLIT = {"streamlit", "streamlit.delta_generator.DeltaGenerator", "streamlit.starlette.App"}


def underscored(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(file: Path) -> set[str]:
    """Names of a file that stand for the project's own classes and functions."""
    tree = syntax(file)
    defined = {each.name for each in tree.body if isinstance(each, ast.ClassDef)}
    return defined | {
        found.name.rpartition(".")[2] for found in imports(file) if found.package in OWN
    }


def private_uses(file: Path) -> set[str]:
    """Each use of what another package does not document, as the module or expression it is."""
    found = set()
    for each in imports(file):
        is_internal = each.package == "streamlit" and each.name not in STREAMLIT
        if each.package not in {*OWN, "__future__"} and (
            is_internal or any(underscored(part) for part in each.name.split("."))
        ):
            found.add(each.name)
    bases = {
        id(call): {ast.unparse(base) for base in node.bases}
        for node in ast.walk(syntax(file)) if isinstance(node, ast.ClassDef)
        for call in ast.walk(node)
    }  # fmt: skip
    for node in ast.walk(syntax(file)):
        if isinstance(node, ast.Attribute) and underscored(node.attr):
            owner = ast.unparse(node.value)
            own_parent = bases.get(id(node)) and bases[id(node)] <= own_names(file)
            if not (
                owner in {"self", "cls"}
                or node.attr in DOCUMENTED
                or (owner == "super()" and own_parent)
            ):
                found.add(ast.unparse(node))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr"}:
            name = node.args[1]
            if isinstance(name, ast.Constant) and underscored(str(name.value)):
                found.add(f"{ast.unparse(node.args[0])}.{name.value}")
    return found


def version_of_a_parameter():
    weight = torch.nn.Parameter(torch.zeros(2))
    before = weight._version
    with torch.no_grad():
        weight.copy_(torch.ones(2))
    assert weight._version > before


def add_one(value):
    return value + 1


def cache_of_a_kernel():
    saved = []
    kernel = numba.njit(cache=True)(add_one)
    kernel._cache.save_overload = lambda *overload: saved.append(overload)
    kernel._cache.load_overload = lambda *overload: None
    assert kernel(1) == 2
    assert len(saved) == 1


def body_of_a_response():
    response = Response()
    response._content, response._content_consumed = b"bars", True
    assert response.content == b"bars"
    assert b"".join(response.iter_content(2)) == b"bars"


class Reached(Exception):
    pass


def connection_before_tls():
    def reached(self):
        raise Reached

    for kind in (HTTPConnection, HTTPSConnection):
        watched = type("Watched", (kind,), {"_new_conn": reached})
        with pytest.raises(Reached):
            watched("localhost", 1).connect()
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = HTTPConnection("127.0.0.1", server.getsockname()[1])._new_conn()
        assert isinstance(line, socket.socket)
        line.close()


def signals_of_the_server():
    server = uvicorn.Server(uvicorn.Config(Starlette()))
    assert server._captured_signals == []
    server.handle_exit(signal.SIGTERM, None)
    assert server._captured_signals == [signal.SIGTERM]


def cluster_that_serve_knows():
    from ray.serve import context

    assert inspect.signature(context._disconnect).parameters == {}
    context._global_client = object()
    context._disconnect()
    assert context._global_client is None


def messages_of_ray():
    from ray._private import worker

    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names
    assert list(inspect.signature(worker.print_to_stdstream).parameters) == [
        "data", "ignore_prefix"
    ]  # fmt: skip


def loop_of_serve():
    from ray.serve._private.router import SingletonThreadRouter

    made = SingletonThreadRouter._get_singleton_asyncio_loop("test")
    assert SingletonThreadRouter._asyncio_loop is made
    assert made.is_running()


def sessions_of_the_server():
    assert "_session_mgr" in Runtime.__init__.__code__.co_names
    assert list(inspect.signature(SessionManager.get_session_info).parameters) == [
        "self", "session_id"
    ]  # fmt: skip
    assert isinstance(inspect.getattr_static(Runtime, "uploaded_file_mgr"), property)


def script_of_a_session():
    assert "suppress_warning" in inspect.signature(get_script_run_ctx).parameters
    names = {field.name for field in fields(ScriptRunContext)} | set(vars(ScriptRunContext))
    assert names >= {
        "session_id", "session_state", "fragment_ids_this_run", "enqueue",
        "is_history_navigation", "query_string",
    }  # fmt: skip
    assert callable(SafeSessionState.query_params)
    for name in ("remove_param", "set_with_no_forward_msg"):
        assert callable(getattr(QueryParams, name))
    address = QueryParams()
    address.set_with_no_forward_msg("horizon", "8")
    address.set_initial_query_params_from_current()
    assert address.get_initial_value("horizon") == "8"
    address.populate_from_query_string("horizon=9")
    assert address["horizon"] == "9"
    assert list(inspect.signature(address._send_query_param_msg).parameters) == []


def settings():
    before = config.get_option("secrets.files")
    try:
        config.set_option("secrets.files", ["one.toml"])
        assert st.get_option("secrets.files") == ["one.toml"]
    finally:
        config.set_option("secrets.files", before)


def connections_of_sessions():
    assert runtime.exists() in (True, False)
    assert callable(runtime.get_instance)
    assert list(inspect.signature(Runtime.is_active_session).parameters) == ["self", "session_id"]


def uploads():
    held = MemoryUploadedFileManager("/upload")
    held.add_file("session", UploadedFileRec("file", "bars.csv", "text/csv", b"bars"))
    assert [len(file.data) for file in held.file_storage["session"].values()] == [4]
    held.remove_session_files("session")
    assert held.file_storage == {}


def page_of_the_server():
    assert Path(file_util.get_static_dir(), "index.html").is_file()


def message_to_the_browser():
    message = ForwardMsg()
    message.auto_rerun.interval = 2.0
    message.auto_rerun.fragment_id = "fragment"
    assert message.WhichOneof("type") == "auto_rerun"


def state_of_a_session():
    assert isinstance(st.session_state, SessionStateProxy)


def uploaded_file():
    assert issubclass(UploadedFile, BytesIO)


# The use: why it is needed, and what has to hold.
CHECKS = {
    "parameter._version": (
        "Tables made from weights are made anew when training changed them; a comparison of all "
        "weights at each step would take longer than the step.",
        version_of_a_parameter,
    ),
    "made._cache": (
        "A full disk must not end a forecast whose kernel cannot be stored; numba raises.",
        cache_of_a_kernel,
    ),
    "response._content": (
        "requests has no way to hand over a body that was read under a limit of size and time.",
        body_of_a_response,
    ),
    "response._content_consumed": ("As above: or requests reads it again.", body_of_a_response),
    "super()._new_conn": (
        "A time limit of the whole request needs the socket before TLS has begun.",
        connection_before_tls,
    ),
    "server._captured_signals": (
        "uvicorn raises the signal again once it has ended, and a training run does not save.",
        signals_of_the_server,
    ),
    "Runtime.instance()._session_mgr": (
        "Files of a session that may come back stay; Runtime tells of connected ones alone.",
        sessions_of_the_server,
    ),
    "context._disconnect": (
        "Serve knows a cluster by the driver's number, and the next cluster may give the same one.",
        cluster_that_serve_knows,
    ),
    "ray._private.worker": (
        "Ray prints that a worker died to the terminal of a command, and no setting prevents it.",
        messages_of_ray,
    ),
    "ray.serve._private.router.SingletonThreadRouter": (
        "Serve's tasks must end before Ray does, which ends a process that goes on calling it.",
        loop_of_serve,
    ),
    "SingletonThreadRouter._asyncio_loop": ("As above.", loop_of_serve),
    "streamlit.runtime.Runtime": ("As above.", sessions_of_the_server),
    "address._send_query_param_msg": (
        "After Back the browser must be told of all parameters; setting one tells of none else.",
        script_of_a_session,
    ),
    "streamlit.runtime.scriptrunner.get_script_run_ctx": (
        "The session that asks, and its address before the first control is drawn.",
        script_of_a_session,
    ),
    "streamlit.config": ("st.set_option refuses a change after the start.", settings),
    "streamlit.runtime": ("Whether a session is connected.", connections_of_sessions),
    "streamlit.runtime.memory_uploaded_file_manager.MemoryUploadedFileManager": (
        "Sizes of the uploads that are held, for the budget of the server.",
        uploads,
    ),
    "streamlit.file_util": ("The page that headers and prefix go into.", page_of_the_server),
    "streamlit.proto.ForwardMsg_pb2.ForwardMsg": (
        "A fragment cannot change its interval otherwise.",
        message_to_the_browser,
    ),
    "streamlit.runtime.state.SessionStateProxy": ("A type in signatures.", state_of_a_session),
    "streamlit.runtime.uploaded_file_manager.UploadedFile": (
        "A type in signatures.",
        uploaded_file,
    ),
}  # fmt: skip


def test_every_use_is_listed_and_every_entry_used():
    used = {
        use: file.relative_to(ROOT)
        for file in python_files(*LIBRARIES, *SHELL)
        for use in private_uses(file)
    }
    assert {use: str(file) for use, file in used.items() if use not in CHECKS} == {}
    assert set(CHECKS) - set(used) == set()


SLOW = {cluster_that_serve_knows, loop_of_serve}  # Ray's Serve is imported for many seconds


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if check in SLOW else [])
        for name, (_, check) in CHECKS.items()
    ],
)
def test_private_names_do_what_they_are_used_for(name):
    reason, check = CHECKS[name]
    try:
        check()
    except Exception as error:
        raise AssertionError(f"{name} has changed. It is used because: {reason}") from error
