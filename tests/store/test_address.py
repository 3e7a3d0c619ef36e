"""Only scheme, host and database of the store's address are ever shown."""

import logging
import traceback
from urllib.parse import quote, quote_plus

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

import kronos.store
from kronos import cli
from kronos.errors import InvalidRequest, StoreUnavailable
from kronos.store.address import shown, without_addresses
from kronos.store.database import Database, store_url

# The first character is in no fixed text of a message, so that none holds a secret by chance.
SECRETS = (
    st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text).map("\u00b6{}".format)
)
ENCODINGS = [lambda text: quote(text, safe=""), quote, quote_plus]
PLACES = [
    "postgresql://me:{0}@db.example/prices",
    "postgres://{0}:{0}@db.example/prices?sslmode=require",
    "postgresql://db.example/prices?user=me&password={0}",
    "postgresql+psycopg://me@db.example/prices?sslpassword={0}&sslmode=verify-full",
    "postgresql://me@db.example/prices?options=-c%20a.b%3D{0}",
    "postgresql://me@db.example/prices?passfile={0}&application_name=walk",
]


def _everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize("place", PLACES)
@given(secret=SECRETS, encoding=st.sampled_from(ENCODINGS))
@example(secret="hunter2 @:/?#[]%40", encoding=ENCODINGS[0])
def test_a_secret_is_in_nothing_that_is_shown(place, secret, encoding):
    named = place.format(encoding(secret))
    try:
        url = store_url(named)
    except InvalidRequest:  # such as one that is not encoded in full
        with pytest.raises(InvalidRequest) as refused:
            store_url(named)
        assert secret not in _everything_said(refused.value)
        return
    database = Database(url)
    engine = database._engine
    assert shown(url) == database.address == "postgresql://db.example/prices"
    for text in (repr(database.url), str(database.url), repr(engine), repr(engine.url)):
        assert secret not in text
        assert encoding(secret) not in text


@pytest.mark.parametrize("place", PLACES)
@given(secret=SECRETS)
def test_an_error_of_the_driver_that_quotes_the_address_is_not_repeated(place, secret):
    """Drivers quote connection strings whole, in part, and in another encoding."""
    url = store_url(place.format(quote(secret, safe="")))
    database = Database(url)
    for quoted in (secret, quote(secret), repr(secret), f"a.b={secret}"):
        cause = psycopg.OperationalError(f'invalid value in "{quoted}": connection failed')
        with pytest.raises(StoreUnavailable) as raised, database._faults():
            raise sa.exc.OperationalError("", None, cause)
        said = _everything_said(raised.value)
        # Of the traceback the lines of code, which name nothing, and the last line count.
        assert quoted not in said.splitlines()[-1]
        assert quoted not in str(raised.value)
        assert raised.value.__cause__ is None
        assert "db.example/prices" in str(raised.value)


def test_the_secret_still_reaches_the_driver(monkeypatch):
    given_to = {}

    def connect(*args, **named):
        given_to.update(named)
        raise psycopg.OperationalError('password authentication failed for user "me"')

    monkeypatch.setattr(psycopg, "connect", connect)
    database = Database(store_url("postgresql://me:s%403@h:7/d?sslpassword=t%2F4&options=-cx=1"))
    with pytest.raises(StoreUnavailable, match="Check the user and the password") as raised:
        database.write(lambda connection: None)
    assert '"me"' not in str(raised.value)
    expected = {"user": "me", "password": "s@3", "host": "h", "port": 7, "dbname": "d"}
    assert given_to.items() >= {**expected, "sslpassword": "t/4", "options": "-cx=1"}.items()


def test_several_hosts_reach_the_driver(monkeypatch):
    given_to = {}

    def connect(*args, **named):
        given_to.update(named)
        raise psycopg.OperationalError("no server")

    monkeypatch.setattr(psycopg, "connect", connect)
    database = Database(store_url("postgresql://me:x@/d?host=a:1&host=b:2"))
    with pytest.raises(StoreUnavailable):
        database.write(lambda connection: None)
    assert (given_to["host"], given_to["port"]) == ("a,b", "1,2")


@pytest.mark.parametrize(
    "named",
    ["me_too:hunter2@db.example/prices", "m:hunter2@db/x", "me-too:hun/ter2@db", "a.b:hun:ter2@db"],
)
def test_an_address_without_a_scheme_is_no_file(named):
    with pytest.raises(InvalidRequest, match="cannot be read") as raised:
        store_url(named)
    assert "hun" not in _everything_said(raised.value).splitlines()[-1]


@pytest.mark.parametrize("named", ["C:\\me@work\\fan.sqlite3", "me@work/a:b.sqlite3", "a/b:c@d"])
def test_a_path_with_a_colon_and_an_at_sign_is_a_file(named):
    assert store_url(named).get_backend_name() == "sqlite"


@pytest.mark.parametrize("place", PLACES)
def test_the_command_shows_no_secret(place, capsys, caplog, monkeypatch):
    """Neither where the server is away, nor where the words cannot be read."""
    secret = "hunter2"
    named = place.format(secret).replace("db.example", "127.0.0.1:1")
    monkeypatch.setenv("KRONOS_STORE", named)
    caplog.set_level(logging.DEBUG)
    assert cli.main(["store"]) == 2
    assert cli.main(["store", "--store", named]) == 2
    for words in (["store", named], ["store", "--stroe", named], ["store", f"--json={named}"]):
        with pytest.raises(SystemExit):
            cli.main(words)
    said = "".join(capsys.readouterr()) + caplog.text
    assert "postgresql://127.0.0.1/prices" in said
    assert secret not in said
    assert secret not in repr(kronos.store._stores)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no choice: 'postgresql://me:a b@h/d' (choose info)", "no choice: 'postgresql://..."),
        ("see https://example.org/page", "see https://example.org/page"),
        ("postgresql://h/d?password=x", "postgresql://..."),
    ],
)
def test_text_ends_at_an_address_that_may_hold_a_secret(text, expected):
    assert without_addresses(text) == expected


@pytest.mark.postgres
def test_a_real_server_that_quotes_a_parameter_is_not_repeated(postgres, caplog):
    """PostgreSQL repeats a value that it cannot use; psycopg repeats its connection string."""
    caplog.set_level(logging.DEBUG)
    for query in (
        "options=-c%20statement_timeout%3Dhunter2",
        "options=-c%20hunter2",
        "sslmode=verify-full&sslrootcert=/hunter2",
        "sslkey=/hunter2&sslcert=/hunter2&sslmode=require",
        "hunter2=hunter2",
        "passfile=/hunter2&connect_timeout=hunter2",
    ):
        with pytest.raises(StoreUnavailable) as raised:
            kronos.store.open_store(f"{postgres.url}?{query}")
        said = _everything_said(raised.value) + caplog.text
        assert "hunter2" not in said, query
        assert "(postgresql://127.0.0.1/postgres) cannot be used" in str(raised.value)


@pytest.mark.postgres
def test_a_store_works_with_a_password_in_its_query(postgres, opened):
    named = f"{postgres.empty()}?password=hunter2&options=-c%20lock_timeout%3D9s"
    store = opened(named)
    assert sum(store.counts().values()) == 0
    with store.database.reading() as connection:
        assert connection.execute(sa.text("show lock_timeout")).scalar() == "9s"
    assert "hunter2" not in repr(store.database._engine) + repr(vars(store))
