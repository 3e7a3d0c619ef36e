"""Rules of alerts, and when they alert."""

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidRequest
from kronos.follow import AlertRule, AlertState, FanFigures
from kronos.follow.alerts import MAX_RULES, read_rules
from kronos.forecast import Forecast, SamplingParameters


def fan(closes, *, last=100.0, at="2026-11-18 10:00"):
    """A forecast of two bars whose paths have these closes, flat from the first bar."""
    closes = np.asarray(closes, float)
    paths = np.repeat(np.repeat(closes[:, None, None], 2, axis=1), 6, axis=2)
    origin = pd.Timestamp(at, tz="UTC")
    return Forecast(
        paths=paths,
        timestamps=pd.date_range(origin, periods=3, freq="1h")[1:],
        origin=origin,
        last_close=last,
        parameters=SamplingParameters(sample_count=len(closes)),
        model_name="m",
        model_revision="r",
        context_hash="c",
        n_context=8,
    )


def check(state, forecast, before):
    return state.check(FanFigures.of(forecast), before, forecast)


@pytest.mark.parametrize(
    ("text", "kind", "threshold", "level"),
    [
        ("p_up>0.6", "p_up", 0.6, None),
        (" P_UP < 0.4 ", "p_up", 0.4, None),
        ("close<100", "close", 100.0, None),
        ("close>1e-3", "close", 0.001, None),
        ("p_touch(110.5)>0.3", "p_touch", 0.3, 110.5),
        ("outside-band", "outside-band", 0.0, None),
    ],
)
def test_a_rule_is_read_and_written_as_the_same_rule(text, kind, threshold, level):
    rule = AlertRule.parse(text)
    assert (rule.kind, rule.threshold, rule.level) == (kind, threshold, level)
    assert AlertRule.parse(rule.text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "", "p_up", "p_up>60", "p_up=0.5", "close<-1", "close>1e999", "p_touch>0.3", "volume>3",
        "x" * 999,
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_what_was_found(text):
    with pytest.raises(InvalidRequest, match="found"):
        AlertRule.parse(text)


def test_rules_count_once_and_are_bounded():
    assert len(read_rules(["p_up>0.6", "p_up > 0.60"])) == 1
    with pytest.raises(InvalidRequest, match=f"At most {MAX_RULES}"):
        read_rules(f"close>{i}" for i in range(MAX_RULES + 1))


def test_a_probability_alerts_when_it_begins_to_hold_with_its_error():
    state = AlertState(read_rules(["p_up>0.6"]))
    high, low = fan([101] * 8 + [99] * 2), fan([101] * 4 + [99] * 6)
    (alert,) = check(state, high, None)
    assert (alert.value, alert.threshold) == (0.8, 0.6)
    assert alert.error == pytest.approx(np.sqrt(0.8 * 0.2 / 10))
    assert [len(check(state, each, None)) for each in (high, low, low, high)] == [0, 0, 0, 1]


def test_a_level_is_compared_with_the_close_and_the_touch_on_its_side():
    state = AlertState(
        read_rules(["close<99", "p_touch(102)>0.5", "p_touch(97)>0.25", "p_touch(90)<0.1"])
    )
    found = check(state, fan([103, 102, 101, 96], last=100), None)
    assert [(alert.rule.text, alert.value) for alert in found] == [("p_touch(90)<0.1", 0.0)]
    found = check(state, fan([103, 102, 102, 96], last=98), None)
    assert [(alert.rule.text, alert.value, alert.error > 0) for alert in found] == [
        ("close<99", 98.0, False),
        ("p_touch(102)>0.5", 0.75, True),
    ]


@pytest.mark.parametrize(("close", "edge"), [(104.0, 103.0), (95.0, 97.0), (100.0, None)])
def test_an_outcome_outside_the_band_of_the_forecast_before_alerts_each_time(close, edge):
    before = FanFigures.of(fan([97.0] * 5 + [100.0] * 10 + [103.0] * 5))
    after = fan([close] * 20, last=close, at="2026-11-18 11:00")
    state = AlertState(read_rules(["outside-band"]))
    for _ in range(2):
        found = check(state, after, before)
        assert [(alert.value, alert.threshold) for alert in found] == (
            [] if edge is None else [(close, edge)]
        )
    assert check(state, after, None) == []


def test_a_bar_that_was_skipped_is_not_judged_by_the_band_of_its_neighbour():
    before = FanFigures.of(fan([100.0] * 20))
    late = fan([120.0] * 20, last=120.0, at="2026-11-18 12:00")
    assert check(AlertState(read_rules(["outside-band"])), late, before) == []
