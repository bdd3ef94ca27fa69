// Charts: draws the page's SVG charts again with uPlot, with the values under the pointer. `all` and `element` are those of orchboard.js.
"use strict";
{
  const AXIS = 22;  // height of the time axis, in the place of the server's line of times
  const digits = (number, more) => new Intl.NumberFormat(undefined, { minimumFractionDigits: number, maximumFractionDigits: number, roundingMode: "halfEven", ...more });
  const within = (most, format, unit = "") => value => Math.abs(value) < most ? format.format(value) + unit : `${value > 0 ? ">" : "<−"}${format.format(most).replace(/\D0+(?=\D*$)/, "")}${unit}`;
  const percent = within(900, digits(1, { style: "unit", unit: "percent" }));
  const formats = {
    score: within(9, digits(3)),
    seconds: within(99_999, digits(2), " s"),
    percent: value => percent(value > 99.9 && value < 100 ? 99.9 : value),  // 100 % is exactly 1
    count: within(Infinity, digits(0)),
  };
  const labels = [["month", "year"], ["month", "day"], ["hour", "minute"]]
    .map(parts => new Intl.DateTimeFormat(undefined, Object.fromEntries(parts.map(part => [part, part === "month" ? "short" : part === "minute" ? "2-digit" : "numeric"]))));
  const span = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });  // the year is beside it, in UTC
  const css = (of, name) => getComputedStyle(of).getPropertyValue(name).trim();
  const utc = second => new Date(second * 1000).toISOString().slice(0, 16).replace("T", " ");
  const charts = [];
  let at = -1, used;  // the bucket that all charts show, and the chart that shows its time

  function axisLabels(u, splits, _axis, _space, step) {
    return splits.map(split => {
      if (split == null) return null;
      const isMidnight = new Date(split * 1000).getHours() === 0 && new Date(split * 1000).getMinutes() === 0;
      return labels[step >= 28 * 86400 ? 0 : step >= 86400 || isMidnight ? 1 : 2].format(split * 1000);
    });
  }

  function draw(plot) {
    const { unit, shape, times: [since, second, first, last], axis: [low, top], lines } = JSON.parse(plot.dataset.chart);
    const svg = plot.querySelector("svg.chart"), step = second - since, count = lines[0][3].length;
    const start = bucket => Math.max(first, since + bucket * step), end = bucket => Math.min(last, since + (bucket + 1) * step);
    const isBars = shape === "bars", drawn = value => value == null ? null : Math.min(Math.max(value, low), top);
    let series = lines.map(([, , , values]) => values.map(drawn));
    if (isBars) series = [series[0].map((value, bucket) => value + series[1][bucket] || null), series[0].map(value => value || null)];

    const time = element("b"), inUtc = element("span", { className: "note" });
    const rows = lines.map(([kind, label, name]) => {
      const value = element("b", { className: "number" });
      const row = element("p", { className: kind }, element("i", { className: "mark" }), element("span", {}, label), value);
      if (name) row.children[1].append(" ", element("bdi", { className: "note" }, name));
      return { row, value, label };
    });
    const values = element("div", { className: "values", hidden: true, ariaHidden: "true" }, element("p", {}, time, inUtc), ...rows.map(each => each.row));
    plot.append(values);

    const paint = (bar, name) => () => css(rows[bar].row, name);
    const isolated = (u, index) => u.data[index].flatMap((value, bucket, whole) => value != null && whole[bucket - 1] == null && whole[bucket + 1] == null ? [bucket] : []);
    const bars = isBars && uPlot.paths.bars({ size: [0.8] });
    const line = index => {
      const dash = css(rows[index].row, "--dash");
      return {
        stroke: paint(index, "--own"), width: shape === "band" && index ? 0 : Number(css(rows[index].row, "--width")) || 1.5,
        dash: dash === "none" ? [] : dash.split(" ").map(Number), points: { show: shape !== "band" || !index, filter: isolated, size: 5, width: 0, fill: paint(index, "--own") },
      };
    };
    // Bars: the whole ones hollow, the scored part over them.
    const bar = index => ({ paths: bars, points: { show: false }, width: index ? 1 : 0, stroke: paint(index, "--own"), fill: paint(index, "--inside") });
    const place = () => {
      const box = plot.getBoundingClientRect(), area = svg.getBoundingClientRect();
      return { width: box.width, height: area.height + AXIS, left: area.left - box.left, right: box.right - area.right };
    };
    let places = place();
    const u = new uPlot({
      ...places,
      legend: { show: false },
      padding: [0, () => places.right, 0, () => places.left],
      scales: { x: { time: true, range: [since, since + count * step] }, y: { range: [low, top] } },
      series: [{}, ...(isBars ? [bar(1), bar(0)] : lines.map((_, index) => line(index)))],
      bands: shape === "band" ? [{ series: [2, 1], fill: paint(0, "--band") }] : [],
      axes: [
        { size: AXIS, gap: 6, space: 70, grid: { show: false }, ticks: { show: false }, values: axisLabels, font: `12px ${css(plot, "--sans")}`, stroke: () => css(plot, "--muted"),
          filter: (_, splits) => splits.map(split => (since + count * step - split) / (count * step) * (places.width - places.left - places.right) + places.right < 18 ? null : split) },
        { size: 0, ticks: { show: false }, values: (_, splits) => splits.map(() => ""), splits: [low, (low + top) / 2, top], grid: { width: 1, stroke: () => css(plot, "--line") } },
      ],
      cursor: {
        y: false, drag: { x: false, y: false }, points: isBars ? { show: false } : { size: 7, fill: (_, index) => css(rows[index - 1].row, "--own") },
        bind: Object.fromEntries(["mousedown", "mouseup", "click", "dblclick", "mousemove", "mouseleave", "mouseenter"].map(name => [name, () => null])),
      },
      hooks: {
        draw: [u => {  // buckets that are cut are faint, as in the SVG
          if (!isBars) return;
          const width = u.bbox.width / count;
          u.ctx.save();
          u.ctx.globalAlpha = 0.45;
          u.ctx.fillStyle = css(plot, "--ground");
          for (let bucket = 0; bucket < count; bucket++) {
            if (end(bucket) - start(bucket) < step) u.ctx.fillRect(u.bbox.left + bucket * width, u.bbox.top, width, u.bbox.height);
          }
          u.ctx.restore();
        }],
      },
    }, [lines[0][3].map((_, bucket) => since + (bucket + 0.5) * step), ...series], plot);

    const over = Object.assign(u.over, { tabIndex: 0, role: "slider", ariaLabel: svg.getAttribute("aria-label"), ariaValueMin: "1", ariaValueMax: String(count), ariaValueNow: String(count), ariaValueText: "" });
    function show() {
      values.hidden = at < 0 || at >= count;
      if (values.hidden) return u.setCursor({ left: -10, top: -10 });
      const left = u.valToPos(u.data[0][at], "x");
      u.setCursor({ left, top: 0 });
      time.textContent = span.formatRange(start(at) * 1000, end(at) * 1000) + (end(at) - start(at) < step ? ", not whole" : "");
      const from = utc(start(at)), to = utc(end(at));
      inUtc.textContent = `${from} – ${to.slice(from.slice(0, 10) === to.slice(0, 10) ? 11 : 5)} UTC`;
      time.parentElement.hidden = used !== plot;
      rows.forEach(({ value }, index) => { const shown = lines[index][3][at]; value.textContent = shown == null ? "–" : formats[unit](shown); });
      values.classList.toggle("at-start", left > u.over.clientWidth / 2);
      over.ariaValueNow = String(at + 1);
      over.ariaValueText = [...rows.map(({ label, value }) => `${label} ${value.textContent === "–" ? "none" : value.textContent}`), time.textContent, inUtc.textContent].join(", ");
    }
    const showHere = bucket => { used = plot; showAll(bucket); };
    const point = event => showHere(Math.min(Math.max(Math.floor((event.clientX - over.getBoundingClientRect().left) / over.clientWidth * count), 0), count - 1));
    over.addEventListener("pointermove", point);
    over.addEventListener("pointerdown", point);
    over.addEventListener("pointerleave", event => { if (event.pointerType === "mouse" && document.activeElement !== over) showAll(-1); });
    over.addEventListener("focus", () => { if (at < 0 && over.matches(":focus-visible")) showHere(count - 1); });
    over.addEventListener("blur", () => showAll(-1));
    over.addEventListener("keydown", event => {
      const next = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageUp: at + 10, PageDown: at - 10, Home: 0, End: count - 1 }[event.key];
      if (event.key === "Escape") showAll(-1);
      if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      showHere(at < 0 && event.key !== "Home" ? count - 1 : Math.min(Math.max(next, 0), count - 1));
    });
    const resized = new ResizeObserver(() => {
      places = place();
      if (Math.round(places.width) !== u.width || places.height !== u.height) { u.setSize(places); show(); }
    });
    resized.observe(plot);
    plot.classList.add("drawn");
    charts.push({ plot, over, show, repaint: () => u.redraw(false), time: bucket => since + bucket * step, bucket: second => Math.round((second - since) / step), remove: () => {
      resized.disconnect();
      u.destroy();
      values.remove();
      plot.classList.remove("drawn");
    } });
  }

  function showAll(bucket) {
    at = bucket;
    for (const each of charts) each.show();
  }

  // Live updates: what was shown and focused stays, at its time.
  let kept;
  addEventListener("replacing", () => {
    kept = { second: at < 0 || !charts.length ? undefined : charts[0].time(at), focused: charts.findIndex(each => each.over === document.activeElement), used: charts.findIndex(each => each.plot === used) };
    for (const each of charts.splice(0)) each.remove();
  });
  addEventListener("replaced", () => {
    drawAll();
    used = charts[kept.used]?.plot;
    charts[kept.focused]?.over.focus({ preventScroll: true });
    if (kept.second !== undefined && charts.length) showAll(charts[0].bucket(kept.second));
  });
  document.addEventListener("pointerdown", event => { if (at >= 0 && !event.target.closest(".u-over")) showAll(-1); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(each => each.repaint()));

  const drawAll = () => all("[data-chart]").forEach(draw);
  requestAnimationFrame(() => setTimeout(drawAll));  // after the first paint, which has the SVG
}
