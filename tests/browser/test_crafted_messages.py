"""Messages that no page of a public server sends, from a WebSocket client that makes its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from kronos.models import adapters
from kronos.system import user_data
from tests.browser.conftest import Server, start_server, stop_server
from tests.event_adapter import write_event_adapter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
GOLDEN = Path(__file__).parents[1] / "golden"
BUTTONS = ("delete {0}", "confirm delete")


class Client:
    """A session of its own.

    Attributes:
        buttons: Ids of the buttons that the server has shown, by their keys.
        said: All text of the messages.
    """

    def __init__(self, stream: ClientConnection) -> None:
        self._stream = stream
        self.buttons: dict[str, str] = {}
        self.said = ""

    def run(self, *pressed: str) -> None:
        """Run the page as if these buttons, by their ids, were pressed."""
        message = BackMsg()
        message.rerun_script.page_name = "models"
        for button in pressed:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.trigger_value = button, True
        self._stream.send(message.SerializeToString())
        finished = False
        while not finished:
            answer = ForwardMsg()
            answer.ParseFromString(self._stream.recv(60))
            finished = answer.WhichOneof("type") == "script_finished"
            element = answer.delta.new_element
            self.said += str(element)
            if element.WhichOneof("type") == "button":
                self.buttons[element.button.id.split("-", 2)[-1]] = element.button.id


@pytest.fixture
def servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[bool, tuple[Server, Path]]]:
    """A private and a public server, each with the file of an adapter on it."""
    inside = adapters.adapters_folder().relative_to(user_data().parent)
    processes, running = [], {}
    for public in (False, True):
        monkeypatch.setenv("KRONOS_PUBLIC", str(public))
        home = tmp_path / str(public)
        folder = home / "data" / inside
        folder.mkdir(parents=True)
        file = write_event_adapter(folder, GOLDEN)
        server, process = start_server(home)
        processes.append(process)
        running[public] = (server, file)
    yield running
    for process in processes:
        stop_server(process)


def _press(server: Server, buttons: list[str]) -> Client:
    url = server.url.replace("http", "ws") + "/_stcore/stream"
    with connect(url, subprotocols=["streamlit"], origin=server.url, max_size=None) as stream:
        client = Client(stream)
        for _ in range(2):  # the first run ends with the order to run the page it named
            client.run()
        for key in buttons:
            client.run(client.buttons.get(key, key))
        client.run(*buttons)
        time.sleep(2)
        client.run()
        return client


def test_a_button_that_a_public_server_does_not_show_cannot_be_pressed(servers):
    """The same messages delete a model of a private server."""
    private, file = servers[False]
    keys = [key.format(file.stem) for key in BUTTONS]
    shown = _press(private, keys).buttons
    assert not file.exists()
    public, kept = servers[True]
    crafted = _press(public, [shown[key] for key in keys])
    assert kept.exists()
    assert not set(keys) & crafted.buttons.keys()
    assert "not offered to visitors" in crafted.said
    assert str(kept.parent) not in crafted.said
