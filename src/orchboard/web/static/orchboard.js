// What scripts add to pages that work without: local times and numbers, filters that apply at once, rows that open, keys, copying, payloads.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Times: relative ones go on, all have the reader's own format, and UTC on hover.
const units = [["d", 86400], ["h", 3600], ["min", 60]];
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
let shownAt = Date.now();
let servedAt = 0;

function age(seconds) {
  for (const [unit, length] of units) if (seconds >= length) return `${Math.floor(seconds / length)} ${unit} ago`;
  return seconds >= 1 ? `${Math.floor(seconds)} s ago` : "just now";
}

// The server's clock when it made the page: the reader's own may be wrong.
function readClock() {
  shownAt = Date.now();
  const asOf = document.querySelector("time[data-now]");
  servedAt = asOf ? Date.parse(asOf.dateTime) : shownAt;
}

function showTimes() {
  const now = servedAt + Date.now() - shownAt;
  for (const each of all("time")) {
    const moment = Date.parse(each.dateTime);
    if (!each.dataset.utc) each.dataset.utc = each.title || each.textContent;
    each.title = `${local.format(moment)}, ${each.dataset.utc}`;
    each.textContent = each.classList.contains("ago") ? age((now - moment) / 1000) : local.format(moment);
  }
}

// Numbers: the separators of the reader's language, in digits that tables align. Code, and what others have written, stays as it is.
const NUMBER = /(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w|\.\d)/g;
const NOT_OURS = "bdi, code, pre, time, select, textarea, .code";
const formats = new Map();

function localNumber(text) {
  if (!/[.,]/.test(text)) return text;
  const digits = text.split(".")[1]?.length ?? 0;
  if (!formats.has(digits)) formats.set(digits, new Intl.NumberFormat(undefined, { numberingSystem: "latn", minimumFractionDigits: digits, maximumFractionDigits: digits }));
  return formats.get(digits).format(Number(text.replaceAll(",", "")));
}

function showNumbers() {
  if (localNumber("1,234.5") === "1,234.5") return;
  const localized = text => text.replace(NUMBER, localNumber);
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (/\d[.,]\d/.test(text.data) && !text.parentElement.closest(NOT_OURS)) text.data = localized(text.data);
  }
  for (const each of all("main small[title]")) each.title = localized(each.title);
  for (const each of all("main svg[aria-label]")) each.ariaLabel = localized(each.ariaLabel);
}

// Filters apply at once. The URL has only what differs from the default: the server redirects there.
function applyFiltersAtOnce() {
  for (const form of all("form[data-filters]")) {
    form.addEventListener("change", () => form.requestSubmit(form.querySelector("button")));
    form.classList.add("at-once");
  }
}

// Rows that open in place.
function openRows() {
  for (const more of all("table[data-rows] tr.more")) {
    const row = more.previousElementSibling;
    const button = element("button", { type: "button", className: "opens", textContent: "▸" });
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", `Details of ${row.querySelector("th").textContent.trim()}`);
    button.addEventListener("click", () => {
      more.hidden = !more.hidden;
      button.setAttribute("aria-expanded", String(!more.hidden));
      button.textContent = more.hidden ? "▸" : "▾";
    });
    row.querySelector("th").prepend(button);
  }
}

// Keys: / to search, j and k through the rows, Enter to open one, ? for help.
const help = element("dialog", { className: "keys-help" });
function keys() {
  help.append(
    element("h2", { textContent: "Keys" }),
    element("dl", {}, ...[["/", "search"], ["j, k", "next and previous row"], ["Enter", "open the row’s page"], ["o", "open the row in place"], ["← →", "values of a chart"], ["?", "this help"]]
      .map(([key, what]) => element("div", {}, element("dt", {}, element("kbd", { textContent: key })), element("dd", { textContent: what })))),
    element("form", { method: "dialog" }, element("button", { textContent: "Close" })),
  );
  document.body.append(help);
  document.addEventListener("keydown", event => {
    const links = all("tbody th[scope=row] a");
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=radio]), select, textarea")) return;
    const at = links.indexOf(document.activeElement);
    if (event.key === "/") {
      event.preventDefault();
      document.querySelector("[data-search]").focus();
    } else if (event.key === "?") {
      help.open ? help.close() : help.showModal();
    } else if ((event.key === "j" || event.key === "k") && links.length) {
      const next = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
      links[next].focus();
      links[next].scrollIntoView({ block: "nearest" });
    } else if (event.key === "o" && at >= 0) {
      links[at].closest("tr").querySelector(".opens")?.click();
    }
  });
}

function copyButton(text) {
  const button = element("button", { type: "button", className: "copy", textContent: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return button;
}

function copying() {
  for (const each of all("[data-origin]")) each.textContent = each.textContent.replace("(/", `(${location.origin}/`);
  for (const each of all("[data-copy]")) each.after(copyButton(() => each.textContent));
}

// Payloads of the latest results: fetched when the first of them is opened.
function payloads() {
  const table = document.querySelector("table[data-payloads]");
  if (!table) return;
  let fetched;
  const rows = all("tbody tr", table);
  rows.forEach((row, at) => {
    const shown = element("pre", { tabIndex: 0, hidden: true });
    const button = element("button", { type: "button", className: "opens", textContent: "Payload" });
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", async () => {
      shown.hidden = !shown.hidden;
      button.setAttribute("aria-expanded", String(!shown.hidden));
      if (shown.hidden || shown.textContent) return;
      shown.textContent = "Loading …";
      try {
        fetched ??= fetch(table.dataset.payloads).then(answer => answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`)));
        const moment = Date.parse(row.querySelector("time").dateTime);
        const same = (await fetched).recent.filter(each => Math.floor(Date.parse(each.received_at) / 1000) * 1000 === moment);
        const before = rows.slice(0, at).filter(each => Date.parse(each.querySelector("time").dateTime) === moment).length;
        const found = same[before];
        shown.textContent = found?.payload ? JSON.stringify(found.payload, null, 2) : "There are newer results than this page shows: reload it.";
        shown.after(copyButton(() => shown.textContent));
      } catch (error) {
        fetched = undefined;
        shown.textContent = `Could not be loaded: ${error.message}`;
      }
    });
    row.cells[2].append(button, shown);
  });
}

// Live: when a result of this page arrives, the page is fetched again, at most every REFRESH_MS and no sooner than reports have it.
const REFRESH_MS = 5_000, SETTLED_MS = 1_000;
function live() {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const button = element("button", { type: "button" });
  const said = element("span", { role: "status" });
  const bar = element("p", { className: "live" }, button, said);
  main.after(bar);
  let source, timer, refreshedAt = Date.now();

  async function refresh() {
    timer = undefined;
    refreshedAt = Date.now();
    try {
      const answer = await fetch(location.href, { cache: "no-cache" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const fetched = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (source) replace(main, fetched.querySelector("main"));
      document.querySelector(".stale")?.remove();
      main.before(...all(".stale", fetched));
      said.textContent = "";
    } catch (error) {
      said.textContent = `Not up to date: ${error.message}.`;
    }
  }
  const soon = () => {
    timer ??= setTimeout(refresh, Math.max(SETTLED_MS, refreshedAt + REFRESH_MS - Date.now()));
  };
  function start() {
    source = new EventSource(`/api/stream?events=result&${main.dataset.live}`);
    source.addEventListener("result", soon);
    source.onopen = () => { said.textContent = ""; };
    source.onerror = () => {
      if (source?.readyState === EventSource.CLOSED) {
        stop();
        said.textContent = "This server has no live updates at the moment.";
      } else said.textContent = "Reconnecting …";
    };
    show();
  }
  function stop() {
    source?.close();
    source = undefined;
    clearTimeout(timer);
    timer = undefined;
    show();
  }
  function show() {
    button.textContent = source ? "Pause live updates" : "Resume live updates";
    bar.classList.toggle("on", Boolean(source));
  }
  button.addEventListener("click", () => {
    if (source) stop();
    else { start(); soon(); }
  });
  let isPausedByTab = false;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) { stop(); isPausedByTab = true; }
    else if (!document.hidden && isPausedByTab) { isPausedByTab = false; start(); soon(); }
  });
  addEventListener("pagehide", stop);
  start();
}

// A page that shows a state is fetched again every few seconds while it is seen, unless the reader pauses that.
function refreshing() {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const button = element("button", { type: "button" });
  const said = element("span", { role: "status" });
  const bar = element("p", { className: "live" }, button, said);
  main.after(bar);
  let isOn = true;
  async function refresh() {
    if (!isOn || document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      replace(main, new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main"));
      said.textContent = "";
    } catch {
      said.textContent = "The server does not answer: these are its last figures.";
    }
  }
  function show() {
    button.textContent = isOn ? "Pause updates" : "Resume updates";
    bar.classList.toggle("on", isOn);
  }
  button.addEventListener("click", () => { isOn = !isOn; show(); refresh(); });
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, main.dataset.refresh * 1000);
  show();
}

// Puts new content into the page, and keeps what the reader has opened, chosen or focused.
function replace(main, fetched) {
  const opened = new Set(all("tr.more:not([hidden])", main).map(more => more.previousElementSibling.querySelector("a").href));
  const focused = document.activeElement?.closest("main") ? document.activeElement : undefined;
  if (focused?.matches("select, input, pre")) return;  // the reader is at work in the page
  if (getSelection()?.type === "Range" || main.querySelector("table.results pre:not([hidden])")) return;
  const radio = main.querySelector("input[name=outcome]:checked")?.value;
  dispatchEvent(new Event("replacing"));  // charts.js
  main.replaceChildren(...fetched.childNodes);
  enhance();
  for (const more of all("tr.more", main)) {
    const row = more.previousElementSibling;
    if (opened.has(row.querySelector("a").href)) row.querySelector(".opens").click();
  }
  if (radio) main.querySelector(`input[name=outcome][value=${radio}]`)?.click();
  const link = focused?.matches(".opens") ? focused.parentElement.querySelector("a") : focused;
  const again = link?.href && all("a", main).find(each => each.href === link.href);
  (link === focused ? again : again?.parentElement.querySelector(".opens"))?.focus({ preventScroll: true });
  dispatchEvent(new Event("replaced"));
}

function enhance() {
  readClock();
  showTimes();
  showNumbers();
  applyFiltersAtOnce();
  openRows();
  copying();
  payloads();
}

enhance();
keys();
live();
refreshing();
setInterval(showTimes, 10_000);
