"""Where the store is, and what is said when it cannot be there."""

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

import kronos.store.database as address
from kronos.errors import InvalidRequest, StoreUnavailable
from kronos.store.database import Database, default_file, shown, store_url
from kronos.store.store import Store


def test_the_default_is_a_file_in_the_user_s_data_folder(monkeypatch, tmp_path):
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert default_file() == tmp_path / "kronos-fan" / "forecasts.sqlite3"
    assert store_url().database == str(default_file())
    assert not default_file().exists()


def test_the_environment_names_the_store_and_an_argument_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "a"))
    assert shown(store_url()) == str(tmp_path / "a")
    assert shown(store_url(str(tmp_path / "b"))) == str(tmp_path / "b")
    monkeypatch.setenv("KRONOS_STORE", " ")
    assert shown(store_url()) == str(default_file())


def test_files_may_be_named_in_several_ways(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "x.sqlite3")
    for name in ("x.sqlite3", here, "sqlite:///x.sqlite3", f"sqlite:///{here}"):
        assert shown(store_url(name)) == here
    assert shown(store_url("~/x")) == str(Path("~/x").expanduser())
    odd = tmp_path / "100% é ?#" / "x.sqlite3"
    with Store(str(odd)) as store:
        assert store.address == str(odd)
    assert odd.is_file()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_password_is_never_shown(scheme):
    url = store_url(f"{scheme}://me:s3cret@host:1/db")
    assert url.drivername == "postgresql+psycopg"
    assert url.password == "s3cret"
    assert shown(url) == "postgresql://host/db"


@pytest.mark.parametrize(
    "named",
    [
        "mysql://me:s3cret@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://me:s3cret@h:x/d",
        "postgresql://me:pass@s3cret@host/db",
        "postgresql://me:pass@word/s3cret@host/db",
        "postgresql://me:pass@word?s3cret@host/db",
        "postgresql://me:pass%00s3cret@host/db",
        "postgresql:///password=s3cret",
        "postgresql:/me:s3cret@host/db",
        "host=db user=me password=s3cret",
    ],
)
def test_what_cannot_be_a_store_is_refused_without_its_password(named):
    with pytest.raises(InvalidRequest) as raised:
        store_url(named)
    assert "postgresql://user:password@host" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_missing_driver_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr(address, "find_spec", lambda name: None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'kronos-fan\[postgres\]'"):
        store_url("postgresql://host/db")


def test_a_server_that_does_not_answer_is_told(free_port):
    with pytest.raises(StoreUnavailable, match="server") as raised:
        Store(f"postgresql://me:s3cret@127.0.0.1:{free_port}/db")
    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_something_else_is_told_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, by any means. " * 200)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="name another one"):
        Store(str(path))
    assert path.read_bytes() == before


def test_folders_that_cannot_be_used_are_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        Store(str(tmp_path / "file" / "store.sqlite3"))
    with pytest.raises(StoreUnavailable, match="in a folder that this user may write to"):
        Store(str(tmp_path))


def test_a_store_that_another_process_holds_for_too_long_is_told(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite3"
    Store(str(path)).close()
    monkeypatch.setattr("kronos.store.database.PATIENCE_SECONDS", 0.1)
    database = Database(store_url(str(path)))
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="held it for too long"):
            database.write(lambda connection: None)
        with database.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM ml_predictions").scalar() == 0
        holder.execute("ROLLBACK")
    database.write(lambda connection: None)
    database.close()


@pytest.mark.postgres
def test_users_and_databases_that_do_not_exist_are_told(postgres):
    with pytest.raises(StoreUnavailable, match="Create the database"):
        Store(postgres.url.replace("/postgres", "/nowhere"))
    with pytest.raises(StoreUnavailable, match="does not exist"):
        Store(postgres.url.replace("kronos@", "nobody:s3cret@"))


def test_an_io_error_of_a_full_disk_says_that_it_is_full(monkeypatch, tmp_path):
    """SQLite calls a full disk an I/O error where it needs space beside the file."""
    database = Database(store_url(str(tmp_path / "store.sqlite3")))

    def fail(_):
        raise OperationalError("select", {}, sqlite3.OperationalError("disk I/O error"))

    with pytest.raises(StoreUnavailable, match="Check the file"):
        database.write(fail)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(StoreUnavailable, match="disk is full: free some space"):
        database.write(fail)
