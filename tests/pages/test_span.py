"""The slider under the chart: it moves the controls of origin and lookback, and follows them."""

from __future__ import annotations

import datetime as dt

from data_sources.samples import SAMPLES, load_sample
from tests.pages.app_driver import new_session

BARS = load_sample(next(iter(SAMPLES))).local_index.tz_localize(None)  # what a first visit opens
LAST = len(BARS) - 1


def opened(**link: object):
    return new_session("forecast", horizon=4, paths=10, **link).run()


def span(app):
    return next(each for each in app.slider if each.label == "Context and origin")


def first_report(app):
    """What a browser says of a slider that it mounts, before it reads the value that is set."""
    default = span(app).proto.default
    return tuple(dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=each) for each in default)


def test_it_stands_where_the_controls_stand():
    app = opened()
    assert span(app).value == (BARS[LAST - 127], BARS[LAST])  # the model's own lookback
    app.number_input(key="lookback").set_value(64).run()
    assert span(app).value == (BARS[LAST - 63], BARS[LAST])
    app.date_input(key="origin").set_value(BARS[LAST - 200].date()).run()
    first, end = span(app).value
    assert end.date() == BARS[LAST - 200].date()
    assert BARS.get_loc(end) - BARS.get_loc(first) == 63


def test_its_right_end_is_the_origin_and_the_context_comes_along():
    app = opened()
    first, _ = span(app).value
    span(app).set_value((first, BARS[LAST - 50])).run()
    assert app.date_input(key="origin").value == BARS[LAST - 50].date()
    assert app.time_input(key="origin_time").value == BARS[LAST - 50].time()
    assert app.number_input(key="lookback").value is None
    assert span(app).value == (BARS[LAST - 177], BARS[LAST - 50])
    # The last bar is the origin of no date.
    span(app).set_value((BARS[LAST - 177], BARS[LAST])).run()
    assert app.date_input(key="origin").value is None


def test_its_left_end_is_the_lookback_within_what_the_model_reads():
    app = opened()
    _, end = span(app).value
    for first, bars in ((BARS[LAST - 99], 100), (BARS[LAST - 3], 32), (BARS[0], 512)):
        span(app).set_value((first, end)).run()
        assert app.number_input(key="lookback").value == bars
        assert span(app).value == (BARS[LAST + 1 - bars], BARS[LAST])


def test_between_two_bars_the_first_one_counts():
    app = opened()
    first, _ = span(app).value
    span(app).set_value((first, BARS[LAST - 50] + dt.timedelta(minutes=7))).run()
    assert app.time_input(key="origin_time").value == BARS[LAST - 50].time()
    assert not app.exception


def test_other_bars_and_changed_controls_are_no_choice_of_a_lookback():
    app = opened()
    for key, value in (("data", list(SAMPLES.values())[1].title), ("horizon", 6), ("lookback", 64)):
        next(each for each in (*app.selectbox, *app.number_input) if each.key == key).set_value(
            value
        ).run()
        lookback = app.number_input(key="lookback").value
        stands = span(app).value
        assert first_report(app) == stands
        span(app).set_value(first_report(app)).run()
        assert app.number_input(key="lookback").value == lookback
        assert app.date_input(key="origin").value is None
        assert span(app).value == stands
    assert not app.exception
    assert not app.warning


def test_a_slider_that_is_moved_stays_under_the_hand():
    app = opened()
    before = span(app).key
    for position in (50, 51):
        span(app).set_value((span(app).value[0], BARS[LAST - position])).run()
        assert span(app).key == before
        assert span(app).value == (BARS[LAST - position - 127], BARS[LAST - position])
