// A Plotly chart of candles that is worked in: wheel, drag, pinch and keys move and zoom it, the
// price axis fits what is seen, and a crosshair reads time and price.
//
// Plotly's own gestures are off. They know no bounds, fit no second axis, and lose their place when
// the figure changes. The view is kept here, in times, so that it holds for another horizon too.

const MIN_BARS = 5;
const ON_LEVEL = 5;  // pixels
const STEP = 1.25;  // a press of a key or one notch of a wheel
const BELOW = 0.05, ABOVE = 0.11;  // room under and over the prices; as in scene.py
const LETTER = 6.5;  // pixels of a letter on the time axis, about
const HOVER_MS = 80;  // until Plotly's box is there
const LOW_SCREEN = 900, MOST_LESS = 130;  // pixels: a lower window has a lower chart, to a limit
const LEAST_HEIGHT = 440;
const NOTE_MS = 300;  // of rest, before the address gets a view
const views = new Map();  // by subject; outlives the element, which goes with its page
const charts = new WeakMap();
let plotly;
let noted = null;  // what the address got from here last

// The library comes from this server as a file, so that the browser keeps it, and its code.
function load(file) {
  plotly ??= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = new URL(file, new URL(".", location.href));
    script.onload = () => done(window.Plotly);
    script.onerror = () => { plotly = undefined; fail(new Error(`${file} did not load`)); };
    document.head.append(script);
  });
  return plotly;
}

function element(className, parent) {
  const made = document.createElement("div");
  made.className = className;
  parent.append(made);
  return made;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

class Chart {
  constructor(parent) {
    this.parent = parent;
    this.frame = element("desk-chart", parent);
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "application");
    this.plot = element("", this.frame);
    this.cross = ["desk-cross-x", "desk-cross-y", "desk-tag desk-tag-time", "desk-tag desk-tag-price"]
      .map((name) => element(name, this.frame));
    this.spoken = element("desk-spoken", this.frame);
    this.spoken.setAttribute("role", "status");
    for (const mark of this.cross) mark.setAttribute("aria-hidden", "true");
    this.keyList = document.createElement("dl");
    this.keyList.className = "desk-keys";
    this.keyList.hidden = true;
    this.frame.append(this.keyList);
    this.pointers = new Map();
    this.drawn = null;  // colours, subject and figure of the chart that is there
    this.listen();
  }

  async show(data) {
    const figure = data.figure !== this.data?.figure;
    this.data = data;
    this.frame.setAttribute("aria-label", data.alt);
    this.frame.setAttribute("aria-description", data.spoken);
    this.keyList.replaceChildren(...data.keys.flat().map((text, at) => {
      const item = document.createElement(at % 2 ? "dd" : "dt");
      item.textContent = text;
      return item;
    }));
    if (figure) {
      this.figure = JSON.parse(data.figure);
      this.frame.style.minHeight = `${this.height()}px`;  // nothing below moves later
    }
    try {
      this.plotly = await load(data.script);
    } catch (error) {
      this.spoken.className = "";  // in sight
      this.spoken.textContent = "The chart could not be loaded. Reload the page.";
      console.warn(error);
      return;
    }
    if (data === this.data) this.draw();
  }

  // ---- drawing

  // The whole chart is on the first screen of a low window too; that of a phone is low anyway.
  height() {
    const { height } = this.figure.layout;
    const less = clamp(LOW_SCREEN - window.innerHeight, 0, MOST_LESS);
    return Math.max(Math.min(height, LEAST_HEIGHT), height - less);
  }

  // Title and legend keep their distance from the top.
  heights() {
    const { height, title, legend } = this.figure.layout, now = this.height();
    const kept = (part) => (part?.yref === "container"
      ? { ...part, y: 1 - ((1 - part.y) * height) / now } : part);
    return { height: now, title: kept(title), legend: kept(legend) };
  }

  colours() {
    const css = getComputedStyle(this.parent);
    return ["text", "background", "border"].map((name) => css.getPropertyValue(`--st-${name}-color`));
  }

  // The figure and the colours, where they differ from what is there.
  draw() {
    this.isNew = true;
    this.paint();
  }

  // The view alone.
  redraw() {
    this.isStale = true;
    this.paint();
  }

  // One drawing at a time, and the last one counts: a wheel turns faster than a chart of 500 bars
  // is drawn, and Plotly would go on with a chart that has been purged or built anew meanwhile.
  async paint() {
    if (this.isPainting) return;
    this.isPainting = true;
    try {
      // An element outside the page has no size; the observer of sizes comes back to it.
      while (this.frame.isConnected && (this.isNew || (this.isStale && this.drawn))) {
        if (this.isNew) {
          this.isNew = false;
          await this.build();
        } else {
          this.isStale = false;
          await new Promise(requestAnimationFrame);
          if (this.drawn) await this.plotly.relayout(this.plot, this.changes());
        }
      }
    } catch (error) {
      console.warn(error);
      this.purge();  // what is drawn next begins anew: this figure once more, then another one
      this.isNew = this.failed !== this.data.figure;
      this.failed = this.data.figure;
    }
    this.isPainting = false;
    if (this.isNew && this.frame.isConnected) this.paint();
  }

  purge() {
    this.drawn = null;
    this.plotly?.purge(this.plot);
  }

  async build() {
    const look = this.colours().join();
    const drawn = `${look} ${this.data.subject} ${this.data.figure}`;
    // Whoever takes the element out of the page may have purged it while it was being drawn.
    if (drawn === this.drawn && this.plot._fullLayout) return;
    this.isStale = false;  // it has the view of now
    const [text, ground, line] = this.colours();
    const { data, layout } = this.figure;
    this.xs = Object.keys(layout).filter((name) => layout[name].type === "category");
    this.ys = Object.keys(layout).filter(
      (name) => name === "yaxis" || (name.startsWith("yaxis") && layout[name].matches === "y"));
    this.volumes = Object.keys(layout).filter(
      (name) => name.startsWith("yaxis") && !this.ys.includes(name) && !layout[name].fixedrange);
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
    this.view = this.remembered();
    const shown = {
      ...layout,
      ...Object.fromEntries([...this.xs, ...this.ys, ...this.volumes].map(
        (name) => [name, { ...layout[name], fixedrange: true, showspikes: false }])),
      ...this.heights(),
      paper_bgcolor: ground,  // of the picture that its button saves too
      dragmode: false,
      autosize: true,
      annotations: layout.annotations?.map((note) =>
        (note.name === "level" ? { ...note, bgcolor: ground, opacity: 0.85 } : note)),
      template: { layout: {
        font: { color: text },
        hoverlabel: { bgcolor: ground, bordercolor: line, font: { color: text } },
        xaxis: { ...axis, automargin: true },
        yaxis: axis,
      } },
    };
    for (const [name, value] of Object.entries(this.changes())) {
      const [axis, property] = name.split(".");
      if (property) shown[axis][property] = value;
      else shown[axis] = value;
    }
    // Buttons that are other objects than before would make Plotly build all anew.
    this.settings ??= this.config();
    // Plotly keeps the room of a legend that a chart no longer has.
    const { legend } = this;
    this.legend = layout.showlegend;
    if (legend && !layout.showlegend) this.purge();
    await this.plotly.react(this.plot, data, shown, this.settings);
    this.drawn = drawn;
    this.hideCross();
    this.failed = null;
  }

  config() {
    const { Icons: icons } = this.plotly;
    const button = (title, icon, click) => ({ name: title, title, icon, click });
    return {
      displaylogo: false,
      scrollZoom: false,
      doubleClick: false,
      responsive: true,
      modeBarButtons: [[
        "toImage",
        button("Zoom in (+)", icons.zoom_plus, () => this.zoom(1 / STEP)),
        button("Zoom out (−)", icons.zoom_minus, () => this.zoom(STEP)),
        ...(this.data.levels ? [
          button("Add a level: then press its place (L)", icons.drawline, () => this.setPlacing(true)),
        ] : []),
        button("Reset the view (0)", icons.home, () => this.reset()),
        button("Keys (?)", icons.question, () => this.toggleKeys()),
      ]],
      toImageButtonOptions: { filename: this.data.name, scale: 2 },
    };
  }

  // What a move of the view and another width change.
  changes() {
    return { ...this.ranges(), ...this.fitting() };
  }

  // Labels of the time axis that do not touch, and the box of a bar wherever the crosshair is on it.
  fitting() {
    const { layout } = this.figure;
    const { domain = [0, 1], categoryarray, nticks } = layout.xaxis;
    const { l = 80, r = 80 } = layout.margin ?? {};
    const pixels = (domain[1] - domain[0]) * (this.frame.clientWidth - l - r);
    const label = LETTER * Math.max(...categoryarray.map((text) => text.length)) + 2 * LETTER;
    const labels = Math.max(2, Math.min(nticks, Math.floor(pixels / label)));
    const half = Math.ceil(pixels / (this.view.to - this.view.from) / 2);
    return {
      ...Object.fromEntries(this.xs.map((name) => [`${name}.nticks`, labels])),
      hoverdistance: Math.max(layout.hoverdistance, half),
    };
  }

  // The ranges of all axes, as Plotly names them.
  ranges() {
    const { from, to } = this.view;
    const ranges = {};
    const put = (names, range) => { for (const name of names) ranges[`${name}.range`] = range; };
    put(this.xs, [from, to]);
    put(this.ys, this.view.prices ?? this.fit());
    if (this.data.volume) {
      const top = Math.max(...this.seen(this.data.volume));
      if (top > 0) put(this.volumes, [0, 1.06 * top]);
    }
    return ranges;
  }

  seen(values) {
    const first = Math.max(0, Math.ceil(this.view.from)), last = Math.floor(this.view.to);
    return values.slice(first, last + 1).filter((value) => value !== null);
  }

  // The prices that are seen, with room for them.
  fit() {
    const low = Math.min(...this.seen(this.data.low)), high = Math.max(...this.seen(this.data.high));
    if (!Number.isFinite(low) || !Number.isFinite(high)) return this.figure.layout.yaxis.range;
    let span = high - low || Math.abs(high) * 0.01 || 1;
    // A level is seen where it does not press the bars together.
    const near = (this.data.levels ?? []).filter((at) => at > low - span && at < high + span);
    const least = Math.min(low, ...near), most = Math.max(high, ...near);
    span = most - least || span;
    return [least - BELOW * span, most + ABOVE * span];
  }

  // ---- the view, in places of bars here and in times where it is kept

  timeOf(place) {
    const { times } = this.data;
    const at = clamp(Math.floor(place), 0, times.length - 2);
    return times[at] + (place - at) * (times[at + 1] - times[at]);
  }

  placeOf(time) {
    const { times } = this.data;
    let at = times.findIndex((each) => each > time) - 1;
    if (at === -2) at = times.length - 2;
    at = clamp(at, 0, times.length - 2);
    return at + (time - times[at]) / (times[at + 1] - times[at] || 1);
  }

  remembered() {
    this.takeFromAddress();
    this.noteInAddress();
    const [from, to] = this.figure.layout.xaxis.range;
    const kept = views.get(this.data.subject);
    if (!kept) return { from, to, prices: null };
    const view = this.bounded(this.placeOf(kept.from), this.placeOf(kept.to));
    if (kept.from < this.data.times[0]) this.fetchOlder();
    return { ...view, prices: kept.unit === this.data.unit ? kept.prices : null };
  }

  // The address has the view as times, and as prices where their axis was moved. It is written in
  // the browser alone: a run of the page for every turn of the wheel would be none to work with.
  takeFromAddress() {
    const text = new URL(location.href).searchParams.get(this.data.parameter);
    if (!this.data.parameter || !text || text === noted) return;
    noted = text;
    const [from, to, ...prices] = text.split("~");
    const [start, end] = [from, to].map((each) => Date.parse(`${each}Z`) / 1000);
    const { times, oldest } = this.data;
    // Outside of the bars that are here or can come there is nothing to see.
    if (!(start < end) || end <= (oldest ?? times[0]) || start >= times.at(-1)) return;
    const [low, high] = prices.map(Number);
    views.set(this.data.subject, {
      from: start, to: end, prices: low < high ? [low, high] : null, unit: this.data.unit,
    });
  }

  noteInAddress() {
    clearTimeout(this.noting);
    if (!this.data.parameter) return;
    this.noting = setTimeout(() => {
      if (!this.frame.isConnected) return;
      const kept = views.get(this.data.subject), address = new URL(location.href);
      const text = kept && [
        ...[kept.from, kept.to].map((time) => new Date(1000 * time).toISOString().slice(0, 19)),
        ...(kept.prices ?? []).map((price) => String(Number(price.toPrecision(8)))),
      ].join("~");
      if (text) address.searchParams.set(this.data.parameter, text);
      else address.searchParams.delete(this.data.parameter);
      noted = text ?? null;
      if (address.href !== location.href) history.replaceState(history.state, "", address);
    }, NOTE_MS);
  }

  bounded(from, to) {
    const first = -0.5, last = this.data.times.length - 0.4;
    const width = clamp(to - from, Math.min(MIN_BARS, last - first), last - first);
    const start = clamp((from + to - width) / 2, first, last - width);
    return { from: start, to: start + width };
  }

  look(from, to, prices = this.view.prices) {
    this.view = { ...this.bounded(from, to), prices };
    views.set(this.data.subject, {
      from: this.timeOf(this.view.from), to: this.timeOf(this.view.to), prices,
      unit: this.data.unit,
    });
    this.noteInAddress();
    this.hideCross();
    this.redraw();
    if (this.view.from < this.bars / 4) this.fetchOlder();
  }

  // Bars before the first, from a run of the page; once for every figure.
  fetchOlder() {
    const { older, subject } = this.data;
    if (!older || this.fetched === `${subject} ${older}`) return;
    this.fetched = `${subject} ${older}`;
    this.report("older", older);
  }

  reset() {
    views.delete(this.data.subject);
    this.noteInAddress();
    const [from, to] = this.figure.layout.xaxis.range;
    this.view = { from, to, prices: null };
    this.redraw();
  }

  // Zooms about a place, the middle unless given; at either end the other end moves.
  zoom(factor, about = (this.view.from + this.view.to) / 2) {
    const { from, to } = this.view;
    this.look(about - (about - from) * factor, about + (to - about) * factor);
  }

  pan(bars) {
    const { from, to } = this.view;
    const end = this.data.times.length - 0.4;
    const by = clamp(bars, -0.5 - from, Math.max(0, end - to));  // without a change of the width
    this.look(from + by, to + by);
  }

  // The price axis on its own: stretched about its middle, and moved by a share of its height.
  // It stays within three times what would fit, so that the bars are never lost.
  prices(factor, share = 0) {
    const [low, high] = this.view.prices ?? this.fit();
    const [bottom, top] = this.fit();
    const most = top - bottom;
    const half = clamp((high - low) * factor, most / 50, 3 * most) / 2;
    const middle = clamp((low + high) / 2 + share * (high - low), bottom, top);
    this.look(this.view.from, this.view.to, [middle - half, middle + half]);
  }

  // ---- wheel, pointer and keys

  // Where in the chart a pointer is: pixels, and which part.
  locate(event) {
    const layout = this.plot._fullLayout;
    if (!layout?.xaxis) return { part: "" };
    const box = this.plot.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const { _offset: left, _length: width } = layout.xaxis;
    const { t: top, h: height } = layout._size;
    const isBeside = x < left && y >= top && y <= top + height;
    const isInside = x >= left && x <= left + width && y >= top && y <= top + height;
    return { x, y, part: isInside ? "plot" : isBeside ? "prices" : "" };
  }

  place(x) {
    const { _offset: left, _length: width } = this.plot._fullLayout.xaxis;
    return this.view.from + ((x - left) / width) * (this.view.to - this.view.from);
  }

  get bars() { return this.view.to - this.view.from; }

  listen() {
    const on = (name, handle, options) => this.frame.addEventListener(name, handle, options);
    on("wheel", (event) => this.wheel(event), { passive: false, capture: true });
    on("pointerdown", (event) => this.press(event), true);
    // Plotly lays a cover over the page while a mouse is pressed, which would get the moves.
    on("mousedown", (event) => { if (this.locate(event).part) event.stopPropagation(); }, true);
    on("pointermove", (event) => this.move(event), true);
    for (const name of ["pointerup", "pointercancel"]) on(name, (event) => this.lift(event), true);
    on("pointerleave", () => this.hideCross());
    on("dblclick", (event) => { if (this.locate(event).part) this.reset(); });
    on("keydown", (event) => this.key(event));
    on("blur", () => this.hideCross());
    new ResizeObserver(() => {
      if (!this.plotly || !this.frame.isConnected) return;
      if (this.drawn) this.plotly.Plots.resize(this.plot).catch(() => {});  // hidden by now
      this.isStale ||= this.width !== this.frame.clientWidth;
      this.width = this.frame.clientWidth;
      this.draw();
    }).observe(this.frame);
  }

  wheel(event) {
    const at = this.locate(event);
    if (!at.part || event.ctrlKey || event.metaKey) return;  // the browser's own zoom
    event.preventDefault();
    event.stopPropagation();
    // A notch is about 100 pixels, or three lines where the browser counts in lines.
    const size = event.deltaMode ? 33 : 1;
    const turns = ((event.deltaY || event.deltaX) * size) / 100;
    const factor = STEP ** clamp(turns, -4, 4);
    if (at.part === "prices") this.prices(factor);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.pan(((event.deltaX || event.deltaY) * size * this.bars) / 800);
    } else this.zoom(factor, this.place(at.x));
  }

  press(event) {
    const at = this.locate(event);
    if (!at.part || event.button !== 0) return;
    this.pointers.set(event.pointerId, { ...at, start: { x: at.x, y: at.y } });
  }

  move(event) {
    const at = this.locate(event), before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse" && at.part === "plot") this.showCross(at.x, at.y);
      else this.hideCross();
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    const { start } = before;
    if (!before.moves && !others.length && Math.hypot(at.x - start.x, at.y - start.y) < 4) return;
    if (!before.moves) this.frame.setPointerCapture(event.pointerId);
    event.stopPropagation();  // Plotly would show its hover under the hand
    this.pointers.set(event.pointerId, { ...before, x: at.x, y: at.y, moves: true });
    const { _length: width } = this.plot._fullLayout.xaxis, { h: height } = this.plot._fullLayout._size;
    if (others.length) {
      const other = others[0][1];
      const gap = (one) => Math.max(20, Math.abs(one.x - other.x));
      this.zoom(gap(before) / gap(at), this.place((at.x + other.x) / 2));
    } else if (before.part === "prices") this.prices(1 + (at.y - before.y) / 200);
    else {
      if (this.view.prices) this.prices(1, (at.y - before.y) / height);
      this.pan(((before.x - at.x) / width) * this.bars);
    }
  }

  lift(event) {
    const before = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (this.isPlacing && event.type === "pointerup" && before?.part === "plot" && !before.moves) {
      this.setPlacing(false);
      this.changeLevel(before.y);
    }
  }

  // ---- levels: the page holds them, the chart says where one comes or goes

  setPlacing(isPlacing) {
    this.isPlacing = isPlacing;
    this.frame.classList.toggle("desk-placing", isPlacing);
    this.spoken.textContent = isPlacing ? "Press where the level is to be. Escape ends this." : "";
  }

  // A press on a level removes it, elsewhere it adds one.
  changeLevel(y, change = null) {
    if (!this.data.levels) return;  // a page without levels
    const { yaxis } = this.plot._fullLayout;
    const value = yaxis.p2l(y - yaxis._offset);
    if (y < yaxis._offset || y > yaxis._offset + yaxis._length) return;
    const isOn = this.data.levels.some(
      (at) => Math.abs(yaxis._offset + yaxis.l2p(at) - y) <= ON_LEVEL);
    const { unit, last } = this.data;
    const price = { log: 10 ** value, percent: last * (1 + value / 100), price: value }[unit];
    this.report("level", { [change ?? (isOn ? "remove" : "add")]: price });
  }

  toggleKeys() { this.keyList.hidden = !this.keyList.hidden; }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.frame) return;
    const step = this.bars / 10;
    const act = {
      ArrowLeft: () => this.pan(-step),
      ArrowRight: () => this.pan(step),
      ArrowUp: () => (event.shiftKey ? this.prices(1 / STEP) : this.prices(1, 0.1)),
      ArrowDown: () => (event.shiftKey ? this.prices(STEP) : this.prices(1, -0.1)),
      "+": () => this.zoom(1 / STEP),
      "=": () => this.zoom(1 / STEP),
      "-": () => this.zoom(STEP),
      0: () => this.reset(),
      Home: () => this.reset(),
      "[": () => this.step(-1),
      "]": () => this.step(1),
      l: () => (this.crossed === null ? this.setPlacing(true) : this.changeLevel(this.crossedY, "add")),
      Delete: () => { if (this.crossed !== null) this.changeLevel(this.crossedY, "remove"); },
      "?": () => this.toggleKeys(),
      Escape: () => { this.hideCross(); this.setPlacing(false); this.keyList.hidden = true; },
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // ---- the crosshair

  // By key: from bar to bar, at the middle of its prices, and read out.
  step(by) {
    const last = this.data.times.length - 1;
    const inside = (place) => clamp(place, Math.max(0, Math.ceil(this.view.from)),
      Math.min(last, Math.floor(this.view.to)));
    const from = this.crossed ?? (by < 0 ? last + 1 : Math.ceil(this.view.from) - 1);
    const place = inside(from + by);
    const middle = (this.data.low[place] + this.data.high[place]) / 2;
    const { xaxis, yaxis } = this.plot._fullLayout;
    this.showCross(xaxis._offset + xaxis.l2p(place), yaxis._offset + yaxis.l2p(middle));
    // The box of the pointer's hover, by key. Plotly draws it at most every 50 ms.
    this.plotly.Fx.hover(this.plot, { xval: place }, "xy");
    setTimeout(() => { if (this.crossed === place) this.readOut(); }, HOVER_MS);
  }

  readOut() {
    const lines = [...this.plot.querySelectorAll(".hoverlayer .hovertext")].flatMap((box) => {
      const parts = [...box.querySelectorAll("tspan.line")];
      return (parts.length ? parts : [box]).map((part) => part.textContent);
    });
    const [time, price] = this.cross.slice(2).map((tag) => tag.textContent);
    this.spoken.textContent = [time, price, ...lines.filter((line) => line !== time)].join(", ");
  }

  showCross(x, y) {
    const { xaxis, yaxis, _size: size } = this.plot._fullLayout;
    const [upright, level, time, price] = this.cross;
    const place = clamp(Math.round(this.place(x)), 0, this.data.times.length - 1);
    const across = xaxis._offset + xaxis.l2p(place);
    const value = yaxis.p2l(y - yaxis._offset);
    const isPrice = y >= yaxis._offset && y <= yaxis._offset + yaxis._length;
    this.crossed = place;
    this.crossedY = y;
    for (const mark of this.cross) mark.style.display = "block";
    level.style.display = price.style.display = isPrice ? "block" : "none";
    Object.assign(upright.style, { left: `${across}px`, top: `${size.t}px`, height: `${size.h}px` });
    Object.assign(level.style, {
      left: `${xaxis._offset}px`, width: `${xaxis._length}px`, top: `${y}px`,
    });
    time.textContent = this.figure.layout.xaxis.categoryarray[place];
    price.textContent = this.priceText(value);
    const half = time.offsetWidth / 2;
    Object.assign(time.style, {
      top: `${size.t + size.h}px`,
      left: `${clamp(across, half, this.frame.clientWidth - half)}px`,
    });
    Object.assign(price.style, { left: "0px", top: `${y}px`, minWidth: `${xaxis._offset - 3}px` });
  }

  hideCross() {
    if (this.crossed !== null && this.drawn) this.plotly.Fx.unhover(this.plot);
    this.crossed = null;
    for (const mark of this.cross) mark.style.display = "none";
  }

  priceText(value) {
    const { unit, decimals } = this.data;
    const digits = unit === "percent" ? 2 : decimals;
    const text = (unit === "log" ? 10 ** value : value).toLocaleString(
      "en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return unit === "percent" ? `${text}%` : text;
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  let chart = charts.get(parentElement);
  if (!chart) charts.set(parentElement, (chart = new Chart(parentElement)));
  chart.report = setTriggerValue;
  chart.show(data);
  // A switch of the theme changes classes of elements around the chart, and no data.
  const themes = new MutationObserver(() => { if (chart.drawn) chart.draw(); });
  for (let around = parentElement; around; around = around.parentElement) {
    themes.observe(around, { attributes: true, attributeFilter: ["class", "style"] });
  }
  return () => {
    themes.disconnect();
    setTimeout(() => { if (!parentElement.isConnected) chart.purge(); });
  };
}
