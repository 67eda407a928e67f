// Shows what the stream says and sends what the buttons ask.

import { decode } from "./msgpack.js";
import { Activity, Raster, Series, colour, drawDial, drawImage, drawLines, short } from "./charts.js";
import { el, make, put } from "./dom.js";
import { Marks, sameRetina, showError, showRetina, story } from "./gaze.js";
import { act, drawSensors, showSensors } from "./sensors.js";
import { showWork, workOf } from "./work.js";

const SILENCE_MS = 2500;

let socket = null, retry = 250, opened = false, heard = 0;
let status = null, previous = null, live = null, dirty = false, controlAway = "";
const rasters = new Map(), series = new Map(), activities = new Map(), pictures = new Map();
let retina = null, truth = "", marks = new Marks();

// --- the stream ---

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const key = sessionStorage.getItem("key");
  opened = false;
  socket = new WebSocket(`${scheme}//${location.host}/v1/live`, key ? ["tectum", "key." + key] : ["tectum"]);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { opened = true; retry = 250; heard = performance.now(); };
  socket.onmessage = (event) => {
    heard = performance.now();
    const message = decode(event.data);
    if (message.lane === "status") takeStatus(message.data);
    else if (message.lane === "live") takeLive(message.data);
    else if (message.lane === "link") { controlAway = message.data.state === "away" ? message.data.reason : ""; linkState(); }
  };
  socket.onclose = async () => {
    socket = null;
    linkState();
    if (!opened && await keyIsMissing()) return;
    setTimeout(connect, retry);
    retry = Math.min(2000, retry * 1.6);
  };
}

async function keyIsMissing() {
  try {
    const answer = await fetch("/v1/estop", { headers: headers() });
    if (answer.status !== 401) return false;
  } catch { return false; }
  askKey();
  return true;
}

function askKey() {
  el("key").value = "";
  if (!el("key-dialog").open) el("key-dialog").showModal();
}

function linkState() {
  const silence = performance.now() - heard;
  const state = socket === null || !opened ? "disconnected" : controlAway || silence > SILENCE_MS ? "away" : "connected";
  document.body.dataset.link = state;
  const pill = el("link");
  put(pill, state === "connected" ? "live" : state === "away" ? "robot away" : "disconnected");
  pill.className = "pill " + (state === "connected" ? "good" : "bad");
  if (state === "connected") notice("", "link");
  else if (state === "disconnected") notice("No connection to the gateway. What is shown is old; trying again.", "link");
  else if (controlAway) notice(`The gateway answers, the robot does not: ${controlAway}. What is shown is old.`, "link");
  else notice(`The robot has said nothing for ${Math.floor(silence / 1000)} s. What is shown is old.`, "link");
}

setInterval(linkState, 500);

let noticeOf = "";
function notice(message, source = "", mild = false) {
  if (!message && noticeOf !== source) return;
  if (source === "link" && noticeOf === "stop") return;  // that a stop was not delivered must stay to be read
  noticeOf = message ? source : "";
  el("notice").textContent = message;
  el("notice").hidden = !message;
  el("notice").classList.toggle("mild", mild);
}

// --- asking ---

function headers(more = {}) {
  const key = sessionStorage.getItem("key");
  return key ? { ...more, authorization: "Bearer " + key } : more;
}

async function ask(method, path, body) {
  const options = { method, headers: headers(body === undefined ? {} : { "content-type": "application/json" }) };
  if (body !== undefined) options.body = JSON.stringify(body);
  let answer;
  try { answer = await fetch(path, options); } catch { return "the gateway does not answer"; }
  if (answer.ok) return "";
  if (answer.status === 401) askKey();
  try { const problem = await answer.json(); return problem.detail || problem.title; } catch { return `answer ${answer.status}`; }
}

el("stop").onclick = async () => {
  const failed = await ask("POST", "/v1/estop", { reason: "button on the page" });
  if (failed) notice(`E-STOP WAS NOT DELIVERED: ${failed}. Use the hardware stop.`, "stop");
  else if (noticeOf === "stop") notice("", "stop");
};
el("release").onclick = () => { el("release-reason").value = ""; el("release-dialog").showModal(); };
el("release-dialog").onclose = async () => {
  if (el("release-dialog").returnValue !== "yes") return;
  const failed = await ask("DELETE", "/v1/estop", { reason: el("release-reason").value || "released on the page" });
  tell(failed, "Not released");
};
el("reset").onclick = async () => tell(await ask("POST", "/v1/network/reset"), "Network not reset");
el("record").onclick = async () => {
  const active = status && status.recording && status.recording.active;
  tell(await ask("POST", active ? "/v1/recordings/stop" : "/v1/recordings/start"), active ? "Recording not stopped" : "Recording not started");
};
act.turn = async (name, turn) => tell(await ask("POST", `/v1/sensors/${encodeURIComponent(name)}/${turn}`), `${name} not ${turn === "cut" ? "cut" : "restored"}`);
el("key-dialog").onclose = () => { if (el("key").value) sessionStorage.setItem("key", el("key").value.trim()); connect(); };

function tell(failed, what) {
  notice(failed ? `${what}: ${failed}` : "", "ask", true);
}

// --- status ---

function takeStatus(next) {
  if (status && next.run_id !== status.run_id) forget();
  if (!previous || next.t - previous.t > 1e9) { previous = status && status.run_id === next.run_id ? status : null; rates(next); }
  status = next;
  marks.take(next);
  retina = sameRetina(next.topics);
  dirty = true;
}

/** Another run: nothing of the last one is true of it. */
function forget() {
  for (const map of [rasters, series, activities, pictures]) map.clear();
  for (const id of ["images", "rasters", "traces", "angles", "scores", "sensors"]) el(id).replaceChildren();
  previous = null; truth = ""; marks = new Marks();
}

let perSecond = {};
function rates(next) {
  if (!previous || !previous.network || !next.network) { perSecond = {}; return; }
  const span = (next.t - previous.t) / 1e9;
  if (!(span > 0)) return;
  perSecond = {};
  for (const key of ["events_in", "events_out", "synops", "dense_synops", "energy_j_estimate", "ticks", "silent_ticks", "unit_touches"]) {
    perSecond[key] = Math.max(0, (next.network[key] - previous.network[key]) / span);
  }
  previous = next;
}

function showStatus() {
  const s = status;
  document.title = s.robot + " · tectum";
  el("robot").textContent = s.robot;
  el("run").textContent = `${s.run_id} · v${s.version} · up ${age(s.uptime_s)}${s.clock.speed === 1 ? "" : ` · ${short(s.clock.speed)}× speed`}`;
  pill("ready", s.ready.ok ? "ready" : `not ready: ${s.ready.problems.join("; ")}`, s.ready.ok ? "good" : "warn", s.ready.problems.join("; "));
  pill("recording", s.recording.active ? `● rec ${s.recording.name || ""} ${bytes(s.recording.bytes)}${s.recording.incomplete ? " incomplete" : ""}` : "", s.recording.incomplete ? "warn" : "rec");
  el("record").textContent = s.recording.active ? "Stop recording" : "Record";
  el("reset").hidden = !s.network;
  el("stop").textContent = s.estop.latched ? (s.estop.confirmed ? "STOPPED" : "STOPPING…") : "E-STOP";
  el("stop").title = s.estop.latched ? `${s.estop.reason || ""} ${s.estop.confirmed ? "(confirmed by read-back)" : "(not confirmed)"}` : "Stop every actuator";
  el("stop").classList.toggle("latched", s.estop.latched);
  el("release").hidden = !s.estop.latched;
  const told = story(s, Boolean(truth));
  el("story").hidden = !told;
  put(el("story"), told);
  put(el("spikes-title"), s.network && s.network.mode === "sigma-delta" ? "Changes sent" : "Spikes");
  el("spikes").hidden = !s.network;
  showSensors(s);
  showWork(s, perSecond);
  topics(s.topics);
  network(s);
  latency(s);
  parts(s);
}

function pill(id, text, kind, title = "") {
  el(id).hidden = !text;
  el(id).textContent = text;
  el(id).title = title;
  el(id).className = "pill " + kind;
}

function topics(list) {
  const body = el("topics").tBodies[0];
  rows(body, list.length, () => row(8));
  list.forEach((topic, n) => {
    const line = body.rows[n];
    const slow = topic.rate_hz && topic.packet_rate_hz !== null && topic.on_time === false;
    const state = topic.alive === false ? ["silent", "bad"] : topic.on_time === false ? ["slow", "warn"] : topic.complete === false ? ["losing", "warn"] : topic.alive === null ? ["–", ""] : ["good", "good"];
    cells(line, [
      [topic.name, "", topic.unit], [short(topic.packet_rate_hz), slow ? "warn" : ""], [topic.rate_hz ? short(topic.rate_hz) : "–", ""],
      [short(topic.event_rate_hz), ""], [short(topic.lost), topic.lost ? "bad" : ""], [short(topic.late), topic.late ? "warn" : ""], [age(topic.age_s), ""], state,
    ]);
  });
}

function network(s) {
  const net = s.network;
  el("network-name").textContent = net ? `${net.name} · ${net.mode}${net.dt_s ? ` ${short(net.dt_s * 1e3)} ms` : ""} · ${net.merge}` : "none";
  const work = workOf(s, perSecond), share = work ? work.done / work.dense : null;
  facts(el("network"), net ? [
    ["events in /s", short(perSecond.events_in)], ["events out /s", short(perSecond.events_out)],
    ["synaptic operations /s", short(perSecond.synops)], ["dense equivalent /s", short(work ? work.dense : undefined)],
    ["share of dense work", share === null ? "–" : `${(100 * share).toPrecision(2)} %`, share],
    ["estimated power", perSecond.energy_j_estimate === undefined ? "–" : `${si(perSecond.energy_j_estimate)}W`],
    ["ticks /s, silent", `${short(perSecond.ticks)}, ${short(perSecond.silent_ticks)}`],
    ["call p50 / p99", `${short(net.call_us.p50)} / ${short(net.call_us.p99)} µs`],
    ["events late, risky", `${short(net.events_late)}, ${short(net.events_risky)}`, null, net.events_risky ? "warn" : ""],
    ["neurons silent / saturated", neurons(net.populations)],
  ] : []);
}

/** Shares over all populations; a network that does not tell them shows a dash. */
function neurons(populations) {
  const told = populations.filter((p) => p.silent !== null);
  const size = told.reduce((sum, p) => sum + p.size, 0);
  const share = (key) => `${(100 * told.reduce((sum, p) => sum + p[key] * p.size, 0) / size).toPrecision(2)} %`;
  return size ? `${share("silent")} / ${share("saturated")}` : "–";
}

function latency(s) {
  const dropped = s.subscriptions.reduce((sum, item) => sum + item.dropped, 0);
  facts(el("latency"), [
    ["sensor to actuator p50", micro(s.latency.p50_us)], ["p99", micro(s.latency.p99_us)], ["worst", micro(s.latency.max_us)],
    ["loop lag", micro(s.loop_lag_us)], ["events lost anywhere", short(s.lost_total), null, s.lost_total ? "bad" : "good"],
    ["packets dropped in queues", short(dropped), null, dropped ? "bad" : "good"],
  ]);
}

function parts(s) {
  const list = [
    ...s.sensors.map((x) => [x.name, x.kind, x.state, { running: "good", restarting: "warn", ended: "", failed: "bad", cut: "warn" }[x.state], x.error || (x.restarts ? `${x.restarts} restarts` : x.topics.join(", "))]),
    ...s.actuators.map((x) => [x.name, x.kind, x.mode, { active: "good", safe: "warn", stopped: "bad" }[x.mode], x.reason || (x.source ? `by ${x.source}` : "")]),
    ...s.links.map((x) => [x.name, "link", x.state, x.state === "connected" ? "good" : "warn", `${short(x.sent)} sent, ${short(x.received)} received, ${short(x.dropped)} dropped`]),
    ["recording", s.recording.name || "", s.recording.active ? "on" : "off", s.recording.incomplete ? "bad" : s.recording.active ? "good" : "", s.recording.active ? `${short(s.recording.messages)} messages, ${bytes(s.recording.bytes)}` : ""],
  ];
  const box = el("parts");
  rows(box, list.length, () => {
    const part = make("div", "part");
    part.append(make("span", "state"), make("b"), make("div"), make("div"));
    return part;
  });
  list.forEach(([name, kind, state, level, detail], n) => {
    const [where, title, first, second] = box.children[n].children;
    put(where, state); where.className = "state " + (level || "quiet");
    put(title, name); put(first, kind); put(second, detail);
  });
}

// --- pictures ---

function takeLive(next) {
  live = next;
  for (const [name, image] of Object.entries(next.images || {})) pictures.set(name, { ...image, name, fresh: true });
  for (const [name, raster] of Object.entries(next.rasters || {})) {
    if (!rasters.has(name)) rasters.set(name, new Raster());
    rasters.get(name).add(raster);
    rasters.get(name).size = raster.size;
  }
  for (const [name, trace] of Object.entries(next.traces || {})) of(name).add(trace, trace.width);
  for (const [name, told] of Object.entries(next.truth || {})) { of(name).add(told, told.width); truth = truth || name; }
  for (const [name, activity] of Object.entries(next.activity || {})) {
    if (!activities.has(name)) activities.set(name, new Activity());
    activities.get(name).add(activity);
  }
  for (const [name, actuator] of Object.entries(next.actuators || {})) {
    if (actuator.command) of(`${name} command`).add(actuator.command, 2);
    if (actuator.state) of(`${name} state`).add(actuator.state, 4);
  }
  dirty = true;
}

function of(name) {
  if (!series.has(name)) series.set(name, new Series());
  return series.get(name);
}

/** Whether the topic's sensor is cut: what it said last is no longer so. */
function isCut(topic) {
  return Boolean(status) && status.sensors.some((sensor) => sensor.state === "cut" && sensor.topics.includes(topic));
}

function widthOf(topic) {
  const found = status && status.topics.find((each) => each.name === topic);
  return found && found.extent ? found.extent[1] : 0;
}

function showLive() {
  const [frame, events] = retina || [];
  showRetina(pictures.get(frame), pictures.get(events), series.get(truth), isCut);
  showError(series.get(truth), live.t, marks.list, widthOf(frame || events));
  if (status) drawSensors(status, live.t, series, activities);
  for (const [name, image] of pictures) {
    if (!image.fresh || name === frame || name === events) continue;
    image.fresh = false;
    const figure = box("images", name, () => withCaption("figure", ["canvas"]));
    drawImage(figure.querySelector("canvas"), image);
    caption(figure, name, `${image.w} × ${image.h}`);
  }
  for (const [name, raster] of rasters) {
    const figure = box("rasters", name, () => withCaption("figure raster", ["canvas"]));
    raster.draw(figure.querySelector("canvas"));
    caption(figure, name, `${short(raster.size)} neurons`);
  }
  const owned = new Set(status ? status.sensors.flatMap((sensor) => sensor.topics) : []);
  for (const [name, trace] of Object.entries(live.traces || {})) {
    if (owned.has(name)) continue;
    const figure = box("traces", name, () => withCaption("figure trace", ["canvas"]));
    const lines = Array.from({ length: trace.width }, (_, n) => ({ series: of(name), column: n, colour: colour(n) }));
    drawLines(figure.querySelector("canvas"), live.t, lines);
    caption(figure, name, trace.unit);
  }
  const segments = Object.values(live.segments || {});
  if (segments.length) put(el("segment"), segments.map((x) => `${x.name}${x.label >= 0 ? `, true label ${x.label}` : ""}`).join(" · "));
  el("signals").hidden = !el("traces").children.length;
  document.body.dataset.scene = !retina && el("images").querySelectorAll("canvas").length === 1 && status && status.outputs.length ? "single" : "";
  el("scene").hidden = Boolean(retina) && !el("images").querySelector("canvas");
  empty("images", "no images"); empty("rasters", "none yet");
}

function showActuators() {
  for (const actuator of status.actuators) {
    const figure = box("angles", actuator.name, () => withCaption("actuator", ["canvas dial", "canvas chart"]));
    const { min, max } = actuator.limits;
    drawDial(figure.querySelector(".dial"), [
      { value: actuator.commanded, colour: "#93a1af", width: 2, length: 0.95 },
      { value: actuator.applied, colour: "#f0b563", width: 3, length: 0.85 },
      { value: actuator.measured, colour: "#63c79f", width: 4, length: 0.7 },
    ], min, max, actuator.safe_value, actuator.unit);
    const command = of(`${actuator.name} command`), state = of(`${actuator.name} state`);
    const now = live ? live.t : status.t / 1e9;
    drawLines(figure.querySelector(".chart"), now, [
      { series: command, column: 0, colour: "#93a1af", dash: [4, 3], step: true },
      { series: command, column: 1, colour: "#f0b563", step: true },
      { series: state, column: 0, colour: "#63c79f" },
    ], min ?? undefined, max ?? undefined);
    const text = figure.querySelector("figcaption");
    if (!text.dataset.made) {
      text.dataset.made = "1";
      const legend = make("span", "legend");
      for (const kind of ["commanded", "applied", "measured"]) legend.append(make("span", `swatch c-${kind}`));
      text.replaceChildren(make("span"), legend);
    }
    put(text.firstChild, `${actuator.name} · ${actuator.mode}`);
    ["commanded", "applied", "measured"].forEach((kind, n) => put(text.lastChild.children[n], `${kind} ${fixed(actuator[kind])} ${actuator.unit}`));
  }
  empty("angles", "no actuators");
}

// An output that only passes a number on has its place beside its actuator.
const decides = (output) => Boolean(output.label) || (output.scores || []).length > 2 || !output.to;

function showDecisions() {
  const plain = status.outputs.length > 0 && !status.outputs.some(decides);
  el("decisions").hidden = plain;
  el("actuators").className = `card ${plain ? "wide-3" : "wide-2"}`;
  for (const output of plain ? [] : status.outputs) {
    const latest = live && live.decisions && (live.decisions[output.to] || live.decisions[output.name]);
    const scores = (latest && latest.scores.length ? latest.scores : output.scores) || [];
    const figure = box("scores", `${output.name} ${output.to}`, () => {
      const made = make("figure"), choice = make("div", "choice");
      choice.append(make("b"), make("span", "quiet"));
      made.append(choice, make("div"));
      return made;
    });
    const best = scores.reduce((at, v, n) => v !== null && (at < 0 || v > scores[at]) ? n : at, -1);
    const labelled = output.label !== null && output.label !== undefined;
    put(figure.firstChild.firstChild, labelled ? String(output.label) : fixed(output.value));
    put(figure.firstChild.lastChild, `${output.name} → ${output.to || "nothing"}${labelled ? ` ${fixed(output.value)}` : ""}`);
    const bars = figure.lastChild;
    rows(bars, scores.length, () => { const bar = make("div", "bar"); bar.append(make("span"), make("i"), make("span")); return bar; });
    const top = Math.max(1e-9, ...scores.map((v) => Math.abs(v ?? 0)));
    scores.forEach((score, n) => {
      const bar = bars.children[n];
      put(bar.children[0], String(n));
      bar.children[1].style.setProperty("--share", Math.max(0, (labelled ? score ?? 0 : Math.abs(score ?? 0)) / top).toFixed(3));
      put(bar.children[2], short(score));
      bar.classList.toggle("best", labelled && n === best && score > 0);
    });
  }
  empty("scores", "no outputs");
}

function paint() {
  requestAnimationFrame(paint);
  if (!dirty || document.hidden) return;
  dirty = false;
  if (live) showLive();
  if (status) { showStatus(); showActuators(); showDecisions(); }
}

// --- small things ---

function rows(parent, count, build) { while (parent.children.length < count) parent.append(build()); while (parent.children.length > count) parent.lastChild.remove(); }
function row(count) { const line = make("tr"); for (let n = 0; n < count; n++) line.append(make("td")); return line; }
function cells(line, values) { values.forEach(([text, kind, title], n) => { put(line.cells[n], text); line.cells[n].className = kind || ""; if (title) line.cells[n].title = title; }); }
function box(parent, name, build) {
  const home = el(parent);
  for (const child of home.children) if (child.dataset.name === name) return child;
  for (const child of [...home.children]) if (child.classList.contains("empty")) child.remove();
  const made = build();
  made.dataset.name = name;
  home.append(made);
  return made;
}
function empty(parent, text) { if (!el(parent).children.length) { const said = make("p", "empty"); said.textContent = text; el(parent).append(said); } }
function withCaption(kind, inner) {
  const figure = make("figure", kind === "figure" ? "" : kind.replace("figure ", ""));
  const text = make("figcaption");
  text.append(make("span"), make("span"));
  figure.append(text);
  for (const each of inner) { const [tag, name] = each.split(" "); figure.append(make(tag, name)); }
  return figure;
}
function caption(figure, left, right) { const text = figure.querySelector("figcaption"); put(text.firstChild, left); put(text.lastChild, right); }
function facts(list, entries) {
  const wanted = entries.map((e) => e[0] + (e[2] === undefined || e[2] === null ? "" : "|m")).join();
  if (list.dataset.made !== wanted) {
    list.dataset.made = wanted;
    list.replaceChildren();
    for (const [name, , share] of entries) {
      const term = make("dt"); term.textContent = name;
      list.append(term, make("dd"));
      if (share !== undefined && share !== null) { const meter = make("div", "meter"); meter.append(make("i")); list.append(meter); }
    }
  }
  let at = 0;
  for (const [, text, share, kind] of entries) {
    put(list.children[at + 1], text); list.children[at + 1].className = kind || "";
    at += 2;
    if (share !== undefined && share !== null) list.children[at++].firstChild.style.setProperty("--share", Math.min(1, share).toFixed(4));
  }
}
function fixed(v) { return v === null || v === undefined ? "–" : v.toFixed(2); }
function age(s) { return s === null || s === undefined ? "–" : s < 1 ? `${Math.round(s * 1000)} ms` : s < 120 ? `${s.toFixed(1)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`; }
function micro(us) { return us === null || us === undefined ? "–" : us >= 1000 ? `${(us / 1000).toFixed(1)} ms` : `${us.toFixed(0)} µs`; }
function bytes(n) { return n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e3).toFixed(0)} kB`; }
function si(v) { for (const [size, sign] of [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]]) if (v >= size) return `${(v / size).toFixed(1)} ${sign}`; return "0 "; }

connect();
paint();
