// Back leaves a page, and comes to the page before as it was left.
//
// Streamlit adds an entry to the browser's history for every parameter that a control writes into
// the address, and takes the parameters away before it opens another page. A run of the page that
// Back leaves, when it is still under way, adds an entry too, and nothing is left to go forward to.
// A forecast that is opened in a list is a step of its own: Back closes it.
//
// That page also keeps asking the server for its progress until the first message of the page
// before arrives. A question that the server reads after that of Back makes it show the page that
// was left, or nothing at all, so what is there is compared with the address once it is complete.
(() => {
  const SETTLED_MS = 500, MOST_REPEATS = 3;
  let left = null;  // the address of the page whose link is followed
  let isBack = false;  // nobody has done anything since the browser went back or forward
  let wanted = null;  // the address that it went to, until its page is there
  let nRepeats = 0;
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const act = (event) => {
    isBack = false;
    wanted = null;
    left = event.target.closest?.("a[href]") ? location.href : null;
  };
  for (const name of ["click", "keydown"]) addEventListener(name, act, true);
  addEventListener("popstate", (event) => {
    isBack = true;
    left = null;
    if (!event.isTrusted) return;
    wanted = location.href;
    nRepeats = 0;
  }, true);
  const opened = (url) => url.searchParams.get("stored") ?? "";
  history.pushState = (state, title, url) => {
    const next = new URL(url ?? "", location.href), now = new URL(location.href);
    const isSamePage = next.pathname === now.pathname && opened(next) === opened(now);
    if (isSamePage || isBack) {
      replace(state, title, url);
      return;
    }
    if (left && new URL(left).pathname === now.pathname) replace(history.state, "", left);
    left = null;
    push(state, title, url);
  };

  const isIdle = () => document.querySelector('[data-test-script-state="notRunning"]') !== null;
  const isThere = () => {
    const shown = document.querySelector("style[data-page]")?.dataset.page;
    return location.href === wanted && new URL(wanted).pathname.split("/").pop() === shown;
  };
  let timer = 0;
  const check = () => {
    if (wanted === null || !isIdle()) return;
    if (isThere() || nRepeats === MOST_REPEATS) {
      wanted = null;
      return;
    }
    nRepeats += 1;
    replace(history.state, "", wanted);
    dispatchEvent(new PopStateEvent("popstate", { state: history.state }));
  };
  new MutationObserver(() => {
    clearTimeout(timer);
    if (wanted !== null) timer = setTimeout(check, SETTLED_MS);
  }).observe(document, {
    subtree: true, attributes: true, attributeFilter: ["data-test-script-state"],
  });
})();
