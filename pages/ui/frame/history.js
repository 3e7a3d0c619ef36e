// Back leaves a page, and comes to the page before as it was left.
//
// Streamlit adds an entry to the browser's history for every parameter that a control writes into
// the address, and takes the parameters away before it opens another page. A run of the page that
// Back leaves, when it is still under way, adds an entry too, and nothing is left to go forward to.
(() => {
  let left = null;  // the address of the page whose link is followed
  let isBack = false;  // nobody has done anything since the browser went back or forward
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const act = (event) => {
    isBack = false;
    left = event.target.closest?.("a[href]") ? location.href : null;
  };
  for (const name of ["click", "keydown"]) addEventListener(name, act, true);
  addEventListener("popstate", () => { isBack = true; left = null; });
  history.pushState = (state, title, url) => {
    const isSamePage = new URL(url ?? "", location.href).pathname === location.pathname;
    if (isSamePage || isBack) {
      replace(state, title, url);
      return;
    }
    if (left && new URL(left).pathname === location.pathname) replace(history.state, "", left);
    left = null;
    push(state, title, url);
  };
})();
