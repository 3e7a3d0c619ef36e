"""A button that saves the chart as the browser shows it, as a PNG.

Only the browser has the chart as a picture. The script draws it with its zoom and theme onto a
canvas with an opaque ground, and adds a line about its origin.
"""

from __future__ import annotations

import streamlit as st

_HTML = '<button type="button"></button>'
_CSS = """
button {
  font: 400 0.875rem var(--st-font, sans-serif);
  color: var(--st-text-color);
  background: var(--st-background-color);
  border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius, 0.45rem);
  min-height: 2.5rem;
  padding: 0.25rem 0.75rem;
  width: 100%;
  cursor: pointer;
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""
_SCRIPT = """
const SCALE = 2, FOOT = 26, FONT_MS = 150;

function fontRules() {
  return [...document.styleSheets].flatMap((sheet) => {
    try {
      return [...sheet.cssRules].filter((rule) => rule instanceof CSSFontFaceRule);
    } catch {
      return [];  // a sheet of another origin
    }
  });
}

// An SVG drawn as an image does not use the fonts of the page, and text in another font has
// another width.
async function fontFaces(plot) {
  const wanted = getComputedStyle(plot.querySelector("text")).fontFamily;
  const faces = fontRules().filter(({ style }) =>
    wanted.includes(style.getPropertyValue("font-family").replace(/["']/g, "")) &&
    style.getPropertyValue("font-style") !== "italic");
  const texts = await Promise.all(faces.map(async (rule) => {
    const [, path] = rule.style.getPropertyValue("src").match(/url\\(["']?([^"')]+)/);
    const file = await fetch(new URL(path, rule.parentStyleSheet.href || document.baseURI));
    const bytes = new Uint8Array(await file.arrayBuffer());
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    const [family, weight] = ["font-family", "font-weight"].map(
      (name) => `${name}: ${rule.style.getPropertyValue(name)};`);
    // swap: text that is drawn before its font is loaded appears in another font.
    return `@font-face { ${family} ${weight} font-display: swap;` +
      ` src: url(data:font/woff2;base64,${btoa(text)}); }`;
  }));
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = texts.join("");
  return style;
}

async function draw(context, svg, fonts, width, height) {
  const copy = svg.cloneNode(true);
  copy.querySelectorAll(".hoverlayer > *, .zoombox, .drag").forEach((node) => node.remove());
  copy.prepend(fonts.cloneNode(true));
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," +
    encodeURIComponent(new XMLSerializer().serializeToString(copy));
  await image.decode();
  // The image is decoded, but its fonts may not be, and there is no event for them.
  await new Promise((done) => setTimeout(done, FONT_MS));
  context.drawImage(image, 0, 0, width, height);
}

async function save(data) {
  const plot = document.querySelector(".st-key-" + data.chart + " .js-plotly-plot");
  const { width, height } = plot.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
  canvas.height = (height + FOOT) * SCALE;
  const context = canvas.getContext("2d");
  context.scale(SCALE, SCALE);
  const page = getComputedStyle(document.querySelector(".stApp"));
  context.fillStyle = page.backgroundColor;
  context.fillRect(0, 0, width, height + FOOT);
  const fonts = await fontFaces(plot);
  for (const svg of plot.querySelectorAll("svg.main-svg")) {
    await draw(context, svg, fonts, width, height);
  }
  context.fillStyle = page.color;
  context.font = "11px sans-serif";
  context.fillText(data.foot, 8, height + FOOT - 10, width - 16);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = data.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export default function ({ parentElement, data }) {
  const button = parentElement.querySelector("button");
  button.textContent = data.label;
  button.onclick = () => save(data).catch((error) => {
    button.textContent = "The browser could not create the picture";
    console.warn(error);
  });
}
"""

_button = st.components.v2.component("picture_button", html=_HTML, css=_CSS, js=_SCRIPT)


def picture_button(label: str, *, chart: str, name: str, foot: str) -> None:
    """A button that saves a chart of the page as a PNG.

    Args:
        label: Text of the button.
        chart: Key of the chart.
        name: Name of the file.
        foot: Line under the chart in the picture.
    """
    data = {"label": label, "chart": chart, "name": name, "foot": foot}
    _button(key=f"picture {chart}", data=data)
