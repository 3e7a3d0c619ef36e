"""Kronos Fan: forecasts of candles as an honest fan of possible futures.

Start it with `streamlit run app.py`. Streamlit imports this file once, for the server, and runs it
in every visit, for the page.
"""

from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.frame.shell import address_of, build_shell, run_page

if get_script_run_ctx(suppress_warning=True) is None:
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    from pages.ui.frame.api import ApiBeside
    from pages.ui.frame.headers import SecurityHeaders
    from pages.ui.frame.plotly_script import PlotlyScript
    from pages.ui.frame.server import PageAddresses, leave_out_closed_secrets, lifespan, page
    from pages.ui.frame.uploads import UploadBudget
    from pages.ui.jobs.startup import prepare_first_visit

    app = App(
        __file__,
        middleware=[
            Middleware(SecurityHeaders, html=page()),
            Middleware(PlotlyScript),  # names the script with pages that PageAddresses answers
            Middleware(PageAddresses),
            Middleware(ApiBeside),
            Middleware(UploadBudget),
        ],
        lifespan=lifespan(prepare_first_visit),
    )
    leave_out_closed_secrets()
    if __name__ == "__main__":
        app.run()
else:
    from pages.ui.workspaces.view import show_workspaces

    visited = build_shell()
    show_workspaces(address_of(visited))
    run_page(visited)
