"""The fan chart: pure functions from a forecast to a Plotly figure, and the chart on the page."""
