"""The numbers beside the chart, each with its error or context. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from data_sources.source import Bars
from kronos.calendars import calendar_note
from kronos.calibration import drift_words
from kronos.candles import Candles
from kronos.evaluation.bands import BandCount
from kronos.evaluation.whole_path import PLAUSIBLE, InsideCount, count_inside
from kronos.events import Event, leaders_text
from kronos.forecast import DEFAULT_LEVELS, Forecast
from kronos.models import PRETRAINED_UNTIL
from pages.ui.chart.events import widest_bar
from pages.ui.chart.scene import Scene, build_scene, n_known, price_decimals
from pages.ui.frame.text import age_text, counted, moment_text


@dataclass(frozen=True, slots=True)
class Readout:
    """One number: its name, its value and a remark, all plain text.

    `term` names the entry of the glossary that explains it; "" for none. `more` adds to it.
    """

    label: str
    value: str
    remark: str = ""
    term: str = ""
    more: str = ""


def sampling_error(probability: float, n_paths: int) -> float:
    """Standard error of a share of n paths: sqrt(p (1 - p) / n)."""
    return float(np.sqrt(probability * (1.0 - probability) / n_paths))


def share_text(probability: float, n_paths: int) -> tuple[str, str]:
    """A probability and its sampling error, in percent."""
    if probability in (0.0, 1.0):
        return f"{probability:.0%}", f"{'all' if probability else 'none'} of {n_paths} paths"
    error = 100.0 * sampling_error(probability, n_paths)
    return f"{probability:.0%}", f"± {error:.1f} points from {n_paths} paths"


def main_readouts(candles: Candles, forecast: Forecast) -> list[Readout]:
    """P(up), 80% range, median and expected move, all at the horizon."""
    scene = build_scene(candles, forecast, view="price")
    up, error = share_text(float(forecast.probability_up()[-1]), forecast.n_paths)
    low, median, high = (float(scene.quantiles()[level][-1]) for level in (0.10, 0.50, 0.90))
    move = float(forecast.expected_move()[-1])
    return [
        Readout(f"P(up) at bar {forecast.horizon}", up, error.partition(" from ")[0], "P(up)"),
        Readout(
            "80% range",
            f"{scene.price_text(low)} to {scene.price_text(high)}",
            f"{scene.percent_text(low, 1)} to {scene.percent_text(high, 1)}",
            "80% range",
        ),
        Readout(
            "Median close", scene.price_text(median), scene.percent_text(median), "p10, p50, p90"
        ),
        Readout("Expected move", f"{move:.2%}", f"± {_move_error(forecast):.2%}", "Expected move"),
    ]


def verdicts(
    candles: Candles,
    forecast: Forecast,
    events: Sequence[Event],
    held: HeldBands | None = None,
) -> list[Readout]:
    """The main numbers, the widest bar, and how many closes the bands have held so far.

    Args:
        candles: The bars of the forecast.
        forecast: The fan.
        events: Events of the instrument, which may explain the widest bar.
        held: How often earlier bands of this kind have held.
    """
    found = main_readouts(candles, forecast)
    scene = build_scene(candles, forecast, view="price")
    if (widest := widest_bar(scene, events)) is not None:
        found.append(Readout("Widest bar, × usual", *widest, "Wide bars"))
    inside = outcome_count(candles, forecast)
    share = "" if held is None else f"{held.count.share:.1%}"
    more = "" if held is None else held.text
    if inside is not None:
        counts = f"{inside.n_inside} of {counted(inside.n_known, 'close')}"
        remark = f"expected {inside.expected:.0f}" if held is None else f"{share} on record"
        more = f"{inside.expected:.0f} expected. {more}".rstrip()
        found.append(Readout("80% band held", counts, remark, "Coverage", more))
    elif held is not None:
        # The record is of raw fans; a calibrated one was corrected by it.
        bands = "80% bands" if forecast.calibration_hash is None else "Raw 80% bands"
        kind = "this kind" if held.count.interval and held.count.asset_class else "this model"
        label = f"{bands} of {kind} held"
        remark = f"on {counted(held.count.n_forecasts, 'forecast')}"
        found.append(Readout(label, share, remark, "Coverage", more))
    return found


@dataclass(frozen=True, slots=True)
class HeldBands:
    """How often earlier 80% bands of a kind have held, and where that is on record.

    Attributes:
        count: The closes inside.
        record: The record in words, such as "the model card".
    """

    count: BandCount
    record: str

    @property
    def text(self) -> str:
        """What was counted, in a sentence."""
        count = self.count
        kind = f"{count.interval} bars" if count.interval else "bars of all widths"
        kind = f"{kind} of asset class {count.asset_class}" if count.asset_class else kind
        return (
            f"On record of {count.model}, {kind}: {count.n_inside:,} of "
            f"{counted(count.n_closes, 'close')} in {counted(count.n_forecasts, 'forecast')}, raw "
            f"fans, from {self.record}."
        )


def _move_error(forecast: Forecast) -> float:
    """Standard error of the expected move at the horizon."""
    moves = np.abs(forecast.column("close")[:, -1] / forecast.last_close - 1.0)
    return float(moves.std() / np.sqrt(len(moves)))


def outcome_text(candles: Candles, forecast: Forecast) -> str | None:
    """How many actual closes are inside the 80% band, and where the last one lies.

    The count is judged by the fan's own paths (`count_inside`): closes of neighbouring bars move
    together, so that few or all of them inside may mean little.

    Returns:
        None where no bar of the horizon is known.
    """
    scene = build_scene(candles, forecast, view="price")
    if scene.actual is None:
        return None
    closes = scene.actual["close"].to_numpy(dtype=float)
    last = int(np.flatnonzero(np.isfinite(closes))[-1])
    close = float(closes[last])
    low, high = forecast.quantile((0.10, 0.90))[:, last]
    place = "inside the band" if low <= close <= high else "outside the band"
    rank = float((forecast.column("close")[:, last] < close).mean())
    which = "the last bar" if last + 1 == forecast.horizon else f"bar {last + 1}"
    counts = inside_text(candles, forecast)
    return f"{counts} " * bool(counts) + (
        f"At {which} of {forecast.horizon}, the close is {scene.price_text(close)} "
        f"({scene.percent_text(close)}), {place}; {rank:.0%} of paths closed below it."
    )


def inside_text(candles: Candles, forecast: Forecast) -> str | None:
    """The closes inside the 80% band, the number expected, and what they say about the fan.

    Returns:
        None where no bar of the horizon is known, or the fan has fewer than 3 paths.
    """
    found = outcome_count(candles, forecast)
    if found is None:
        return None
    text = f"{found.n_inside} of {counted(found.n_known, 'close')} inside the 80% band."
    if not found.can_judge:
        return f"{text} Any number from 0 to {found.n_known} is plausible: too little to judge."
    text += (
        f" Expected: {found.expected:.0f}; plausible: {found.low} to {found.high}, as in "
        f"{PLAUSIBLE:.0%} of the fan's own paths."
    )
    if found.n_inside < found.low:
        return f"{text} Fewer than plausible: the fan was too narrow or off the market."
    if found.n_inside > found.high:
        return f"{text} More than plausible: the fan was too wide."
    return f"{text} Plausible, which does not prove skill."


def outcome_count(candles: Candles, forecast: Forecast) -> InsideCount | None:
    """Closes inside the 80% band; None where none is known, or the fan has too few paths."""
    closes = candles.bars_at(forecast.timestamps)["close"].to_numpy(dtype=float)
    return count_inside(forecast.column("close"), closes)


def data_facts(candles: Candles, bars: Bars | None, now: pd.Timestamp) -> list[str]:
    """Source of the bars, age of the newest one, time of the fetch and currency."""
    last = pd.Timestamp(candles.frame.index[-1])
    facts = [candles.source, f"last bar {moment_text(last, candles)}, {age_text(last, now)}"]
    if bars is not None:
        currency = bars.instrument.currency
        facts = [name for name in (bars.instrument.name,) if name] + facts
        facts.append(f"fetched {age_text(bars.fetched_at, now).removesuffix(' old')} ago")
        facts += [f"in {currency}"] if currency else []
    return facts


def model_facts(forecast: Forecast) -> list[str]:
    """Model and revision."""
    return [f"model {forecast.model_name}, revision {forecast.model_revision[:8]}"]


def cautions(candles: Candles, forecast: Forecast, *, is_published: bool) -> list[str]:
    """Limits of the fan that a reader cannot see in the chart."""
    notes = []
    sampling = forecast.parameters
    narrowing = [f"T = {sampling.T:g}"] if sampling.T < 1 else []
    narrowing += [f"top-p = {sampling.top_p:g}"] if sampling.top_p < 1 else []
    narrowing += [f"top-k = {sampling.top_k}"] if sampling.top_k > 0 else []
    if narrowing:
        notes.append(
            f"{' and '.join(narrowing)}: the fan is narrower than the model's own distribution, "
            "and its probabilities are overconfident."
        )
    if sampling.T > 1:
        notes.append(f"T = {sampling.T:g}: the fan is wider than the model's own distribution.")
    is_trained_on = forecast.origin < pd.Timestamp(PRETRAINED_UNTIL, tz="UTC")
    if is_published and is_trained_on:
        notes.append(
            "The published models were trained on bars up to June 2024. This forecast starts "
            "earlier, so the model may have seen the outcome: a fan that held proves nothing."
        )
    if is_published and not is_trained_on:
        notes.append(
            "The origin is after June 2024, the end of the published models' training data: the "
            "model has not seen the outcome."
        )
    note = calendar_note(candles.calendar, forecast.timestamps[-1])
    if note is not None:
        notes.append(note)
    if forecast.n_context < 64:
        notes.append(
            f"The model read only {forecast.n_context} bars. More history improves a forecast."
        )
    known = candles.frame["close"].to_numpy()[: n_known(candles, forecast)]
    closes = known[-forecast.n_context :]
    if (closes == closes[0]).all():
        notes.append(
            f"The close is {closes[0]:,.{price_decimals(closes)}f} in all {len(closes):,} bars "
            "that the model read. Without any move the fan carries no information."
        )
    return notes


def provenance(candles: Candles, forecast: Forecast, calendar_reason: str) -> list[Readout]:
    """The settings of the forecast: enough to repeat it."""
    sampling = forecast.parameters
    origin = forecast.origin
    events = []
    if forecast.events_hash is not None:
        events = [Readout("Events", "read by the model", f"SHA-256 {forecast.events_hash[:12]}")]
    if forecast.leaders is not None:
        n_read = sum(until is not None for until in forecast.leaders.values())
        remark = leaders_text(forecast.leaders)
        events.append(Readout("Leading markets", f"{n_read} of {len(forecast.leaders)}", remark))
    fan = Readout("Fan", "raw", "not calibrated")
    if forecast.calibration_hash is not None:
        fan = Readout("Fan", "calibrated", f"SHA-256 {forecast.calibration_hash[:12]}")
        if forecast.drift_shares is not None:
            fan = replace(fan, remark=f"{drift_words(forecast.drift_shares)}, {fan.remark}")
    return [
        Readout("Model", forecast.model_name, f"revision {forecast.model_revision[:12]}"),
        Readout(
            "Origin",
            moment_text(origin, candles),
            _origin_remark(candles, forecast),
        ),
        Readout("Context", f"{forecast.n_context} bars", f"SHA-256 {forecast.context_hash[:12]}"),
        *events,
        Readout(
            "Sampling",
            f"{forecast.n_paths} paths, seed {sampling.seed}",
            f"T {sampling.T:g}, top-p {sampling.top_p:g}, top-k {sampling.top_k or 'all'}",
        ),
        fan,
        Readout(
            "Calendar",
            f"{candles.calendar}, {candles.zone}",
            calendar_reason.removesuffix(f" ({candles.calendar})"),
        ),
        Readout(
            "Computed in",
            f"{forecast.seconds:.2f} s",
            "scaled to begin at the last close"
            if forecast.anchored
            else "prices as decoded, without scaling to the last close",
        ),
    ]


def _origin_remark(candles: Candles, forecast: Forecast) -> str:
    index = candles.frame.index
    n_later = len(index) - n_known(candles, forecast)
    if n_later:
        return f"{counted(n_later, 'bar')} before the last one"
    return f"the last bar, {age_text(pd.Timestamp(index[-1]), pd.Timestamp.now(tz='UTC'))}"


def quantile_table(
    candles: Candles, forecast: Forecast, levels: Sequence[float] = DEFAULT_LEVELS
) -> tuple[pd.DataFrame, Scene]:
    """One row per bar: time, quantiles of these levels, mean and P(up) in percent."""
    scene = build_scene(candles, forecast, view="price")
    table = forecast.to_frame(levels)
    table.insert(0, "bar", np.arange(1, forecast.horizon + 1))
    table["P(up)"] = 100.0 * forecast.probability_up()
    table.insert(0, "time", scene.fan_labels[1:])
    return table.reset_index(drop=True), scene
