// What the network costs beside the same network computed densely.

import { el, put } from "./dom.js";
import { drawBars, short } from "./charts.js";

const MINUTE = 60;
let past = [], seen = null;

// Of both the work a second: {done, units, dense, passes}; null where nothing is known yet.
export function workOf(s, perSecond) {
  if (!s.network || !perSecond.dense_synops) return null;
  const { synops: done, unit_touches: units, ticks } = perSecond;
  let dense = perSecond.dense_synops, passes = ticks;
  if (s.network.mode === "sigma-delta") {
    // Its own count is of a pass at every moment at which something arrived; a dense network would have one clock, that
    // of its fastest sensor.
    const fed = new Set(s.graph.edges.filter((edge) => edge.to === "network").map((edge) => edge.topic));
    const fastest = Math.max(0, ...s.topics.filter((topic) => fed.has(topic.name)).map((topic) => topic.rate_hz || 0));
    if (fastest && fastest < ticks) { dense *= fastest / ticks; passes = fastest; }
  }
  return { done, units: units || 0, dense, passes };
}

export function showWork(s, perSecond) {
  el("work-card").hidden = !s.network;
  if (!s.network) return;
  const work = workOf(s, perSecond);
  const ratio = work ? work.dense / Math.max(1, work.done + work.units) : null;
  put(el("work-ratio"), ratio === null ? "–" : ratio >= 1 ? `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(1)}×` : `${(1 / ratio).toFixed(1)}×`);
  put(el("work-words"), ratio !== null && ratio < 1 ? "more work than dense" : "less work than dense");
  const most = work ? Math.max(work.dense, work.done + work.units, 1) : 1;
  const share = (v) => `${(100 * v / most).toFixed(3)}%`;
  el("work-synops").style.width = work ? share(work.done) : "0";
  el("work-units").style.width = work ? share(work.units) : "0";
  el("work-dense").style.width = work ? share(work.dense) : "0";
  put(el("work-done-number"), work ? short(work.done + work.units) : "–");
  put(el("work-dense-number"), work ? short(work.dense) : "–");
  put(el("work-note"), work ? `A second: ${short(work.done)} operations on weights and ${short(work.units)} units touched. Dense, as networks usually run: every weight ${short(work.passes)} times a second.` : "");
  if (work && perSecond !== seen) {
    seen = perSecond;
    past = [...past.slice(1 - MINUTE), [work.done, work.units]];
  }
  drawBars(el("work-past"), past, MINUTE, ["#63c79f", "#3d7d64"]);
}
