"""Alerts and changes of followed forecasts in words, as toasts and as notifications of the browser.

The browser shows a notification only after its user has allowed it by a click.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from kronos.errors import InvalidRequest
from kronos.follow import Alert, AlertRule, Change, FanFigures
from kronos.follow.alerts import OUTSIDE_BAND, read_rules
from pages.ui.frame.messages import plain, show_error

MAX_TEXT = 300
_MOST_TOASTS = 5
EXAMPLE = f"p_up>0.6, close<100, {OUTSIDE_BAND}"
HELP = (
    "Rules separated by commas. p_up>0.6: probability of a close at the horizon above the last "
    "close. p_touch(110)>0.3: probability that a price is reached. close<100: the last close. "
    f"{OUTSIDE_BAND}: a close outside the 80% band that the forecast before had for its bar. An "
    "alert comes when its rule begins to hold."
)
_HTML = '<button type="button" hidden></button><span hidden></span>'
_CSS = """
button {
  font: 400 0.875rem var(--st-font, sans-serif);
  color: var(--st-text-color);
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius, 0.45rem);
  min-height: 2rem;
  padding: 0.1rem 0.6rem;
  cursor: pointer;
}
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
span { font: 400 0.875rem var(--st-font, sans-serif); color: var(--st-text-color); }
"""
_SCRIPT = """
const shown = new Set();

export default function ({ parentElement, data }) {
  const button = parentElement.querySelector("button");
  const state = parentElement.querySelector("span");
  if (!("Notification" in window)) return;
  const draw = () => {
    button.textContent = "Notify in the browser";
    button.hidden = Notification.permission !== "default";
    state.hidden = !button.hidden;
    state.textContent = Notification.permission === "granted"
      ? "Browser notifications: on" : "Browser notifications: blocked in the browser";
  };
  draw();
  button.onclick = () => Notification.requestPermission().then(draw);
  for (const { id, title, body } of data.alerts) {
    if (shown.has(id)) continue;
    shown.add(id);
    if (Notification.permission === "granted") {
      try { new Notification(title, { body, tag: id }); } catch (error) { console.warn(error); }
    }
  }
}
"""
_notifier = st.components.v2.component("notifier", html=_HTML, css=_CSS, js=_SCRIPT)


def choose_rules(key: str, *, has_paths: bool = True) -> tuple[AlertRule, ...]:
    """The text of the rules; none, with an error below it, where it cannot be read.

    Args:
        key: Of the control.
        has_paths: Whether the paths are there, which p_touch needs.
    """
    text = st.text_input(
        "Alerts", key=key, bind="query-params", max_chars=MAX_TEXT, placeholder=EXAMPLE, help=HELP
    )
    try:
        rules = read_rules(each for each in (text or "").split(",") if each.strip())
        if not has_paths and any(rule.level is not None for rule in rules):
            raise InvalidRequest("p_touch is an alert of the Forecast page. Leave it out here.")
        return rules
    except InvalidRequest as error:
        show_error(error)
        return ()


def show_alerts(key: str, alerts: Sequence[tuple[str, Alert]]) -> None:
    """Toasts of new alerts, and the button that allows notifications of the browser.

    Args:
        key: Of the component on the page.
        alerts: Those that came since the last call, each with what it is of, such as a ticker.
    """
    for name, each in alerts[:_MOST_TOASTS]:
        st.toast(plain(f"{name}: {alert_text(each)}"), icon=":material/notifications:")
    if (n_more := len(alerts) - _MOST_TOASTS) > 0:
        st.toast(f"{n_more} more alerts", icon=":material/notifications:")
    notes = [
        {
            "id": f"{name} {each.origin.isoformat()} {each.rule.text}",
            "title": name,
            "body": alert_text(each),
        }
        for name, each in alerts
    ]
    _notifier(key=key, data={"alerts": notes})


def alert_text(alert: Alert) -> str:
    """An alert as one sentence without a stop."""
    rule = alert.rule
    side = "above" if rule.above else "below"
    if rule.kind == OUTSIDE_BAND:
        side = "above" if alert.value > alert.threshold else "below"
        return (
            f"Close {alert.value:.6g} is {side} the 80% band of the forecast before "
            f"({alert.threshold:.6g} ± {alert.error:.2g})"
        )
    if rule.kind == "close":
        return f"Close {alert.value:.6g} is {side} {alert.threshold:.6g}"
    name = "P(up)" if rule.level is None else f"P(touch {rule.level:.6g})"
    return (
        f"{name} {alert.value:.0%} ± {100 * alert.error:.1f} points is {side} {alert.threshold:.6g}"
    )


def change_text(change: Change, after: FanFigures) -> str:
    """What a forecast changed against the one before, as one sentence without a stop."""
    width = f"{abs(change.width):.0%} {'wider' if change.width > 0 else 'narrower'}"
    before = after.p_up.value - change.p_up.value
    return (
        f"median {change.median:+.2%}, 80% range {width if change.width == change.width else 'new'}"
        f", P(up) {before:.0%} to {after.p_up.value:.0%} "
        f"({100 * change.p_up.value:+.0f} ± {100 * change.p_up.error:.0f} points)"
    )
