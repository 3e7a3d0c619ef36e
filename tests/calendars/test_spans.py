"""What stretch of time a bar stands for, on calendars with nights, breaks and weekends."""

from __future__ import annotations

import pandas as pd
import pytest

from kronos.calendars.spans import bar_spans, is_trading
from kronos.errors import InvalidCandles

NEW_YORK = "America/New_York"


def spans_of(opens: list[str], interval: str, calendar: str, zone: str) -> list[dict[str, str]]:
    """The stretches of each bar, on the market's clock."""
    index = pd.DatetimeIndex(opens).tz_localize(zone)
    spans = bar_spans(index, interval=interval, calendar=calendar, zone=zone)

    def shown(moment: int) -> str:
        return f"{pd.Timestamp(moment, tz='UTC').tz_convert(zone):%m-%d %H:%M}"

    names = ("open", "end", "since", "day_start", "day_end")
    return [
        {name: shown(int(getattr(spans, name)[i])) for name in names} for i in range(len(index))
    ]


def test_the_last_bar_of_a_session_ends_with_it():
    """3 July 2025 closed at 13:00."""
    (last,) = spans_of(["2025-07-03 12:30"], "1h", "XNYS", NEW_YORK)
    assert (last["since"], last["end"]) == ("07-03 12:30", "07-03 13:00")


def test_the_first_bar_answers_for_what_happened_since_the_close():
    (monday,) = spans_of(["2025-07-07 09:30"], "1h", "XNYS", NEW_YORK)
    assert (monday["since"], monday["end"]) == ("07-03 13:00", "07-07 10:30")
    (early,) = spans_of(["2025-07-07 08:00"], "1h", "XNYS", NEW_YORK)
    assert (early["since"], early["end"]) == ("07-07 08:00", "07-07 09:00")


def test_lunch_is_a_pause():
    """Tokyo rests from 11:30 to 12:30."""
    before, after = spans_of(["2025-07-02 11:00", "2025-07-02 12:30"], "1h", "XTKS", "Asia/Tokyo")
    assert before["end"] == "07-02 11:30"
    assert after["since"] == "07-02 11:30"


def test_daily_bars_end_with_their_session_and_take_dates_since_the_last():
    """4 July 2025 was a Friday and a holiday."""
    _, monday = spans_of(["2025-07-03", "2025-07-07"], "1d", "XNYS", NEW_YORK)
    assert monday == {
        "open": "07-07 00:00", "end": "07-07 16:00", "since": "07-03 13:00",
        "day_start": "07-04 00:00", "day_end": "07-08 00:00",
    }  # fmt: skip


def test_the_week_of_currencies_pauses_from_friday_to_sunday():
    (sunday,) = spans_of(["2025-07-06 17:00"], "1h", "fx", NEW_YORK)
    assert (sunday["since"], sunday["end"]) == ("07-04 17:00", "07-06 18:00")
    (monday,) = spans_of(["2025-07-07"], "1d", "fx", "UTC")
    assert (monday["since"], monday["day_end"]) == ("07-05 00:00", "07-08 00:00")


def test_coins_never_pause():
    (bar,) = spans_of(["2025-07-05 12:00"], "4h", "24/7", "UTC")
    assert (bar["since"], bar["end"]) == ("07-05 12:00", "07-05 16:00")


@pytest.mark.parametrize(("day", "hours"), [("2025-03-09", 23), ("2025-11-02", 25)])
def test_days_of_clock_changes_have_their_own_length(day, hours):
    index = pd.DatetimeIndex([day]).tz_localize(NEW_YORK)
    spans = bar_spans(index, interval="1d", calendar="24/7", zone=NEW_YORK)
    assert spans.end[0] - spans.open[0] == pd.Timedelta(hours=hours).value


def test_markets_trade_after_the_opening_and_up_to_the_close():
    moments = pd.DatetimeIndex(
        ["2025-07-03 09:30", "2025-07-03 09:31", "2025-07-03 13:00", "2025-07-03 13:01",
         "2025-07-05 12:00"]
    ).tz_localize(NEW_YORK)  # fmt: skip
    moments_ns = moments.tz_convert("UTC").as_unit("ns").asi8
    stock = is_trading(moments_ns, calendar="XNYS", zone=NEW_YORK)
    assert stock.tolist() == [False, True, True, False, False]
    currency = is_trading(moments_ns, calendar="fx", zone="UTC")
    assert currency.tolist() == [True, True, True, True, False]
    assert is_trading(moments_ns, calendar="24/7", zone="UTC").all()


def test_naive_timestamps_are_refused():
    with pytest.raises(InvalidCandles, match="time zone"):
        bar_spans(pd.DatetimeIndex(["2025-07-03"]), interval="1d", calendar="XNYS", zone=NEW_YORK)


def test_the_first_bar_of_metals_covers_the_time_since_the_close() -> None:
    new_york = "America/New_York"
    opens = pd.DatetimeIndex(
        ["2024-07-07 18:00", "2024-07-07 19:00", "2024-07-08 16:00", "2024-07-08 18:00"]
    ).tz_localize(new_york)
    spans = bar_spans(opens.tz_convert("UTC"), interval="1h", calendar="metals", zone="UTC")
    since = pd.DatetimeIndex(spans.since, tz="UTC").tz_convert(new_york)
    assert since.strftime("%m-%d %H:%M").tolist() == [
        *("07-05 17:00", "07-07 19:00", "07-08 16:00", "07-08 17:00")
    ]
    moments = pd.DatetimeIndex(
        ["2024-07-08 17:00", "2024-07-08 17:30", "2024-07-08 18:00", "2024-07-08 18:01"]
    ).tz_localize(new_york)
    trading = is_trading(
        moments.as_unit("ns").tz_convert("UTC").asi8, calendar="metals", zone="UTC"
    )
    assert trading.tolist() == [True, False, False, True]
