// The retina and the gaze error: what the head sees, where it looks, and where the target really is.

import { el, make, put } from "./dom.js";
import { SPAN_S, drawLines, drawRetina } from "./charts.js";

const ERROR = 0, TARGET = 2;

// [frame, events]: names of the first two topics that show the same pixels; null where there are none.
export function sameRetina(topics) {
  for (const events of topics) {
    if (!events.extent || !isDvs(events)) continue;
    for (const frames of topics) {
      if (frames.extent && !isDvs(frames) && frames.dtype.shape.length >= 2 && String(frames.extent) === String(events.extent)) return [frames.name, events.name];
    }
  }
  return null;
}

export function isDvs(topic) {
  const base = topic.dtype.base;
  return Array.isArray(base) && ["x", "y", "on"].every((name) => base.some((field) => field[0] === name));
}

// frame, events: the newest pictures; one whose sensor is cut is not drawn. truth: a Series, undefined on a real robot.
export function showRetina(frame, events, truth, isCut) {
  el("retina-card").hidden = !frame && !events;
  if (!frame && !events) return;
  const size = frame || events;
  const last = truth && truth.v.length ? truth.v[truth.v.length - 1] : null;
  const target = last ? { x: last[TARGET], y: last[TARGET + 1] } : null;
  const gaze = last ? { x: last[TARGET] - last[ERROR], y: last[TARGET + 1] - last[ERROR + 1] } : null;
  drawRetina(el("retina"), size, frame && isCut(frame.name) ? null : frame, events && isCut(events.name) ? null : events, target, gaze);
  for (const node of el("retina-legend").querySelectorAll(".of-truth")) node.hidden = !last;
}

// marks: [{t, text}], moments at which a sensor was cut or restored; wide: pixels of a row of what it sees.
export function showError(truth, now, marks, wide) {
  el("error-card").hidden = !truth || !truth.t.length;
  if (el("error-card").hidden) return;
  const whole = { t: truth.t, v: truth.v.map((v) => [Math.hypot(v[ERROR], v[ERROR + 1])]) };
  let sum = 0, count = 0, high = 4;
  whole.t.forEach((t, n) => {
    if (t < now - SPAN_S) return;
    sum += whole.v[n][0] ** 2; count++;
    high = Math.max(high, whole.v[n][0]);
  });
  put(el("error-note"), `Pixels from where the head looks to the target${wide ? `, in a picture ${wide} wide` : ""}. Dashed: a sensor cut or back.`);
  put(el("error-rms"), count ? Math.sqrt(sum / count).toFixed(1) : "–");
  drawLines(el("error"), now, [{ series: whole, column: 0, colour: "#63c79f" }], 0, 1.08 * high, marks);
}

// Notes when a sensor is cut or comes back; the page's short memory of it.
export class Marks {
  constructor() { this.list = []; this.states = new Map(); }

  take(status) {
    for (const sensor of status.sensors) {
      const before = this.states.get(sensor.name);
      this.states.set(sensor.name, sensor.state);
      if (before === undefined || before === sensor.state) continue;
      if (sensor.state === "cut") this.list.push({ t: status.t / 1e9, text: `${sensor.name} cut` });
      else if (before === "cut") this.list.push({ t: status.t / 1e9, text: `${sensor.name} back` });
    }
    while (this.list.length > 12) this.list.shift();
  }
}

export function story(s, hasTruth) {
  const fed = new Set(s.graph.edges.filter((edge) => edge.to === "network").map((edge) => edge.from));
  const feeding = s.sensors.filter((sensor) => fed.has(sensor.name)).map((sensor) => sensor.name);
  const driven = s.actuators.map((actuator) => actuator.name);
  if (!s.network || !feeding.length) return "";
  const names = feeding.length > 1 ? `${feeding.slice(0, -1).join(", ")} and ${feeding[feeding.length - 1]} feed` : `${feeding[0]} feeds`;
  const each = feeding.length > 1 ? ", each at its own rate, the moment something arrives" : " the moment something arrives";
  const does = hasTruth ? "A head on a shaken base keeps its gaze on a moving target. " : "";
  const drives = driven.length && !hasTruth ? ` It drives ${driven.join(", ")}.` : "";
  const cut = hasTruth && feeding.length > 1 ? " Cut a sensor and watch the others take over." : "";
  return `${does}${does ? names[0].toUpperCase() + names.slice(1) : names} one network${each}; only what changed is computed.${drives}${cut}`;
}

export function legend(list) {
  for (const [name, text, more] of list) {
    const item = make("span", `key ${name}${more ? " of-truth" : ""}`, text);
    el("retina-legend").append(item);
  }
}

legend([["k-frame", "newest frame"], ["k-on", "just brighter"], ["k-off", "just darker"], ["k-gaze", "where it looks", true], ["k-target", "the target", true]]);
