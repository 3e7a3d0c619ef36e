"""The fan chart: pure functions from a forecast to a Plotly figure, and its place on the page."""
