// One row a sensor: what it is for, what it says at its own rate, and a button that cuts it.

import { child, el, kind, make, only, put } from "./dom.js";
import { colour, drawActivity, drawLines, short } from "./charts.js";
import { isDvs } from "./gaze.js";

const BASE = 4;

function role(topic) {
  const { base, shape } = topic.dtype;
  if (isDvs(topic)) return "dvs";
  if (Array.isArray(base)) {
    const has = (name) => base.some((field) => field[0] === name);
    return has("error_px") && has("target_px") ? "truth" : has("index") && has("label") ? "segment" : "other";
  }
  if (topic.extent && shape.length >= 2) return "camera";
  if (String(shape) === "3" && topic.unit === "rad/s") return "gyro";
  return String(shape) === "3" && topic.unit === "m/s2" ? "accelerometer" : "other";
}

const often = (topic) => topic.rate_hz ? `${short(topic.rate_hz)} times a second` : "whenever it has something to say";
const PURPOSE = {
  gyro: (topic) => `Feels every turn at once, ${often(topic)}; but it drifts, and sees no target.`,
  camera: (topic) => `Sees the whole picture and the target in it, but only ${often(topic)}, and late.`,
  dvs: () => "Sees only what changes, within milliseconds: how the image slips over the retina.",
  accelerometer: (topic) => `Feels gravity and pushes, ${often(topic)}.`,
  segment: () => "Says which file of a playlist begins.",
  truth: () => "What is really so: for you to judge by.",
  other: (topic) => `Measures ${often(topic)}.`,
};
const COUNTED = { gyro: "samples/s", accelerometer: "samples/s", camera: "frames/s", dvs: "events/s", truth: "a second" };
const LEVEL = { live: "good", silent: "bad", cut: "warn", restarting: "warn", failed: "bad", ended: "quiet" };

// Turn one (name, cut or restore); set by the page.
export const act = { turn: async () => {} };

function build(name) {
  const row = make("div", "sensor"), head = make("div", "sensor-head"), button = make("button", "switch");
  head.append(make("b", "", name), make("span", "pill"), button);
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    try { await act.turn(name, button.dataset.turn); } finally { button.disabled = false; }
  };
  row.append(head, make("p", "purpose"), make("div", "sensor-traces"));
  return row;
}

export function showSensors(s) {
  const home = el("sensors"), topics = new Map(s.topics.map((topic) => [topic.name, topic]));
  const fed = new Set(s.graph.edges.filter((edge) => edge.to === "network").map((edge) => edge.from));
  only(home, new Set(s.sensors.map((sensor) => sensor.name)));
  el("sensors-card").hidden = !s.sensors.length;
  for (const sensor of s.sensors) {
    const row = child(home, sensor.name, () => build(sensor.name));
    const said = sensor.topics.map((name) => topics.get(name)).filter(Boolean);
    const silent = said.length && said.every((topic) => topic.alive === false);
    const state = sensor.state !== "running" ? sensor.state : silent ? "silent" : "live";
    const [head, purpose] = row.children, [, pill, button] = head.children, cut = sensor.state === "cut";
    put(pill, state); kind(pill, `pill ${LEVEL[state] || ""}`);
    pill.title = sensor.error || "";
    put(button, cut ? "Restore" : "Cut"); kind(button, cut ? "switch primary" : "switch");
    button.dataset.turn = cut ? "restore" : "cut";
    button.setAttribute("aria-label", `${cut ? "restore" : "cut"} ${sensor.name}`);
    button.hidden = Boolean(said[0]) && role(said[0]) === "truth";  // no robot has it: there is nothing to lose
    const main = said[0], unused = s.network && !fed.has(sensor.name) ? " The network does not get it." : "";
    put(purpose, cut ? "Cut by hand: it is closed until you restore it; the rest goes on without it." : main ? PURPOSE[role(main)](main) + unused : sensor.kind);
    row.classList.toggle("off", state !== "live");
  }
}

// series: name -> Series of a trace or truth; activities: name -> Activity.
export function drawSensors(s, now, series, activities) {
  const topics = new Map(s.topics.map((topic) => [topic.name, topic]));
  for (const sensor of s.sensors) {
    const row = child(el("sensors"), sensor.name, () => build(sensor.name)), home = row.lastChild;
    for (const name of sensor.topics) {
      const topic = topics.get(name);
      if (!topic) continue;
      const is = role(topic), lines = series.get(name), activity = activities.get(name);
      if (is === "segment" || (!lines && !activity)) continue;
      const figure = child(home, name, () => {
        const made = make("figure"), caption = make("figcaption");
        caption.append(make("span"), make("span"));
        made.append(caption, make("canvas"));
        return made;
      });
      const [text, canvas] = figure.children;
      put(text.firstChild, is === "truth" ? `${name} · base, rad/s` : is === "camera" ? `${name} · each tick one frame` : is === "dvs" ? `${name} · events/s` : `${name} · ${topic.unit}`);
      put(text.lastChild, `${short(sensor.state === "cut" ? 0 : topic.event_rate_hz)} ${COUNTED[is] || "/s"}`);
      if (is === "truth" && lines) drawLines(canvas, now, [BASE, BASE + 1].map((column, n) => ({ series: lines, column, colour: colour(n + 4) })));
      else if (lines && lines.v.length) drawLines(canvas, now, Array.from({ length: Math.min(lines.v[lines.v.length - 1].length, 8) }, (_, n) => ({ series: lines, column: n, colour: colour(n) })));
      else if (activity) drawActivity(canvas, now, activity, is === "camera" ? "ticks" : "area");
    }
  }
}
