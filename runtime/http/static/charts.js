// Draws on canvases: images, spike rasters, traces and the dial of a servo.

export const SPAN_S = 6;
const GAP_S = 1;  // nothing is known in between
const COLOURS = ["#f0b563", "#5aa9e6", "#63c79f", "#c58be0", "#e0604f", "#9db0c2", "#d7d06a", "#6fd3d8"];
const BRIGHT = Array.from({ length: 16 }, (_, level) => 15 * (1 - (1 - level / 15) ** 1.8));
const QUIET = "#8593a1", LINE = "#232c35";

// A 2d context whose units are CSS pixels, cleared.
function fresh(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio)), height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return [context, canvas.clientWidth, canvas.clientHeight];
}

export function drawImage(canvas, image) {
  if (canvas.width !== image.w || canvas.height !== image.h) { canvas.width = image.w; canvas.height = image.h; }
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(image.w, image.h), out = pixels.data, data = image.data;
  const size = image.w * image.h;
  if (image.kind === "events") {
    for (let n = 0, at = 0; n < size; n++, at += 4) {
      const on = BRIGHT[data[n] >> 4], off = BRIGHT[data[n] & 15];
      out[at] = 8 + on * 16 + off * 3;
      out[at + 1] = 11 + on * 11 + off * 10;
      out[at + 2] = 13 + on * 3 + off * 16;
      out[at + 3] = 255;
    }
  } else {
    const step = image.c;
    for (let n = 0, at = 0, from = 0; n < size; n++, at += 4, from += step) {
      out[at] = data[from];
      out[at + 1] = data[from + (step > 1 ? 1 : 0)];
      out[at + 2] = data[from + (step > 1 ? 2 : 0)];
      out[at + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
}

// Older events are left out: a retina that is shaken would show nothing else.
const RECENT = Array.from({ length: 16 }, (_, level) => (level / 15) ** 5);

// A frame in grey, events of the same pixels over it, a cross on the target and a ring where the head looks; positions
// are those of pixel centres.
export function drawRetina(canvas, shown, frame, events, target, gaze) {
  const [context, width, height] = fresh(canvas);
  const scale = Math.min(width / shown.w, height / shown.h);
  const left = (width - scale * shown.w) / 2, top = (height - scale * shown.h) / 2;
  const sheet = canvas.sheet || (canvas.sheet = document.createElement("canvas"));
  sheet.width = shown.w; sheet.height = shown.h;
  const pixels = new ImageData(shown.w, shown.h), out = pixels.data;
  const gain = frame ? Math.min(3, 85 / Math.max(1, meanOf(frame))) : 0;
  for (let n = 0, at = 0; n < shown.w * shown.h; n++, at += 4) {
    const grey = frame ? Math.min(235, gain * frame.data[n * frame.c]) : 12;
    const on = events ? RECENT[events.data[n] >> 4] : 0, off = events ? RECENT[events.data[n] & 15] : 0;
    const [share, red, green, blue] = on >= off ? [0.85 * on, 250, 165, 50] : [0.85 * off, 60, 140, 250];
    out[at] = grey + share * (red - grey);
    out[at + 1] = grey + share * (green - grey);
    out[at + 2] = grey + share * (blue - grey);
    out[at + 3] = 255;
  }
  sheet.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(sheet, left, top, scale * shown.w, scale * shown.h);
  const place = (point) => [left + scale * (point.x + 0.5), top + scale * (point.y + 0.5)];
  context.save();
  context.beginPath(); context.rect(left, top, scale * shown.w, scale * shown.h); context.clip();
  const strokes = (path) => { for (const [style, wide] of [["rgba(0, 0, 0, .75)", 5], [null, 2.2]]) { context.lineWidth = wide; path(style); context.stroke(); } };
  if (gaze && target) {
    const [gx, gy] = place(gaze), [tx, ty] = place(target);
    context.lineCap = "round";
    strokes((style) => { context.strokeStyle = style || "rgba(99, 240, 170, .6)"; context.beginPath(); context.moveTo(gx, gy); context.lineTo(tx, ty); });
    strokes((style) => { context.strokeStyle = style || "#ffffff"; context.beginPath(); context.arc(gx, gy, 8, 0, 7); });
    strokes((style) => {
      context.strokeStyle = style || "#54f0a8";
      context.beginPath(); context.moveTo(tx - 9, ty); context.lineTo(tx + 9, ty); context.moveTo(tx, ty - 9); context.lineTo(tx, ty + 9);
    });
  }
  context.restore();
}

function meanOf(frame) {
  let sum = 0;
  for (const value of frame.data) sum += value;
  return sum / frame.data.length;
}

// Columns of a raster by absolute bin; frames overlap, so a lost one leaves no hole.
export class Raster {
  constructor() { this.last = -1; this.rows = 0; }

  add(raster) {
    const width = Math.round(SPAN_S / raster.bin_s);
    const newest = raster.first + raster.bins - 1;
    if (raster.rows !== this.rows || width !== this.width || newest < this.last) {
      this.rows = raster.rows; this.width = width; this.last = newest - width;
      this.counts = new Uint8Array(width * raster.rows);
      this.sheet = document.createElement("canvas");
      this.sheet.width = width; this.sheet.height = raster.rows;
    }
    for (let bin = Math.max(this.last + 1, newest - width + 1); bin < raster.first; bin++) this.column(bin).fill(0);
    for (let n = 0; n < raster.bins; n++) this.column(raster.first + n).set(raster.data.subarray(n * this.rows, (n + 1) * this.rows));
    this.last = newest;
  }

  column(bin) {
    const at = ((bin % this.width) + this.width) % this.width;
    return this.counts.subarray(at * this.rows, (at + 1) * this.rows);
  }

  draw(canvas) {
    const sheet = this.sheet.getContext("2d");
    const pixels = sheet.createImageData(this.width, this.rows), out = pixels.data;
    let peak = 1;
    for (const count of this.counts) if (count > peak) peak = count;
    const levels = Uint8Array.from({ length: peak + 1 }, (_, count) => count ? 70 + 185 * (count / peak) ** 0.6 : 0);
    for (let x = 0; x < this.width; x++) {
      const column = this.column(this.last - this.width + 1 + x);
      for (let row = 0; row < this.rows; row++) {
        const at = 4 * (row * this.width + x);
        const level = levels[column[row]];
        out[at] = 0.55 * level; out[at + 1] = 0.85 * level; out[at + 2] = level; out[at + 3] = level;
      }
    }
    sheet.putImageData(pixels, 0, 0);
    const [context, width, height] = fresh(canvas);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.sheet, 0, 0, width, height);
  }
}

// Points (t, values) of the last SPAN_S, added from overlapping pieces.
export class Series {
  constructor() { this.t = []; this.v = []; }

  add(piece, width) {
    const t = new Float64Array(piece.t.buffer), v = new Float32Array(piece.v.buffer);
    if (t.length && this.t.length && t[t.length - 1] < this.t[this.t.length - 1] - 1) { this.t = []; this.v = []; }
    const last = this.t.length ? this.t[this.t.length - 1] : -Infinity;
    for (let n = 0; n < t.length; n++) {
      if (t[n] <= last) continue;
      this.t.push(t[n]);
      this.v.push(v.subarray(n * width, (n + 1) * width));
    }
    let old = 0;
    while (old < this.t.length && this.t[old] < this.t[this.t.length - 1] - SPAN_S - 1) old++;
    if (old) { this.t.splice(0, old); this.v.splice(0, old); }
  }
}

// Events of a topic by absolute bin of their stamp, added from overlapping pieces.
export class Activity {
  constructor() { this.last = -1; }

  add(piece) {
    const width = Math.round((SPAN_S + 1) / piece.bin_s), newest = piece.first + piece.bins - 1;
    if (width !== this.width || newest < this.last) {
      this.width = width; this.bin_s = piece.bin_s; this.last = newest - width;
      this.counts = new Uint16Array(width);
    }
    const counts = new Uint16Array(piece.data.buffer);
    for (let bin = Math.max(this.last + 1, newest - width + 1); bin < piece.first; bin++) this.counts[bin % width] = 0;
    for (let n = 0; n < piece.bins; n++) this.counts[(piece.first + n) % width] = counts[n];
    this.last = newest;
  }

  at(bin) { return bin > this.last || bin <= this.last - this.width ? 0 : this.counts[bin % this.width]; }
}

// kind: "ticks", one line an event, or "area", events a second over time.
export function drawActivity(canvas, now, activity, kind) {
  const [context, width, height] = fresh(canvas);
  const left = 46, first = Math.ceil((now - SPAN_S) / activity.bin_s), last = Math.floor(now / activity.bin_s);
  const x = (bin) => left + (width - left - 4) * (1 + (bin * activity.bin_s - now) / SPAN_S);
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right"; context.textBaseline = "middle";
  context.strokeStyle = LINE; context.lineWidth = 1;
  context.beginPath(); context.moveTo(left, height - 4.5); context.lineTo(width, height - 4.5); context.stroke();
  if (kind === "ticks") {
    context.strokeStyle = COLOURS[1]; context.lineWidth = width > 400 ? 1.6 : 0.8;
    context.beginPath();
    for (let bin = first; bin <= last; bin++) if (activity.at(bin)) { context.moveTo(x(bin + 0.5), height - 5); context.lineTo(x(bin + 0.5), 8); }
    context.stroke();
    return;
  }
  // Bins of 40 ms: what single bins hold of a sparse stream is a comb.
  const wide = 4, sums = [];
  let most = 1;
  for (let bin = Math.floor(first / wide) * wide; bin <= last; bin += wide) {
    let sum = 0;
    for (let n = 0; n < wide; n++) sum += activity.at(bin + n);
    sums.push([bin, sum]);
    if (bin + wide <= last) most = Math.max(most, sum);
  }
  const y = (sum) => height - 5 - (height - 12) * Math.min(1, sum / most);
  context.fillStyle = QUIET;
  context.fillText(short(most / (wide * activity.bin_s)), left - 6, 8);
  context.fillText("0", left - 6, height - 6);
  context.save();
  context.beginPath(); context.rect(left, 0, width - left, height); context.clip();
  context.fillStyle = "rgba(240, 181, 99, .35)"; context.strokeStyle = COLOURS[0]; context.lineWidth = 1.4;
  context.beginPath(); context.moveTo(x(sums[0][0]), height - 5);
  for (const [bin, sum] of sums.slice(0, -1)) context.lineTo(x(bin + wide / 2), y(sum));
  context.lineTo(x(sums.length > 1 ? sums[sums.length - 2][0] + wide / 2 : last), height - 5);
  context.fill(); context.stroke();
  context.restore();
}

// lines: [{series, column, colour, dash, step}]; marks: [{t, text}]
export function drawLines(canvas, now, lines, low, high, marks = []) {
  const [context, width, height] = fresh(canvas);
  if (low === undefined) {
    low = Infinity; high = -Infinity;
    for (const line of lines) for (const v of line.series.v) { low = Math.min(low, v[line.column]); high = Math.max(high, v[line.column]); }
    if (!(low <= high)) return;
    const margin = Math.max(1e-6, 0.08 * (high - low), 0.02 * Math.abs(high));
    low -= margin; high += margin;
  }
  const left = 46, x = (t) => left + (width - left - 4) * (1 + (t - now) / SPAN_S), y = (v) => height - 5 - (height - 10) * (v - low) / (high - low);
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right"; context.textBaseline = "middle";
  context.lineWidth = 1;
  for (const share of [0, 0.5, 1]) {
    const v = low + share * (high - low), at = Math.round(y(v)) + 0.5;
    context.strokeStyle = LINE; context.beginPath(); context.moveTo(left, at); context.lineTo(width, at); context.stroke();
    context.fillStyle = QUIET; context.fillText(short(v), left - 6, Math.min(height - 6, Math.max(7, at)));
  }
  context.save();
  context.beginPath(); context.rect(left, 0, width - left, height); context.clip();
  for (const line of lines) {
    context.strokeStyle = line.colour; context.lineWidth = line.dash ? 1.2 : 1.7;
    context.setLineDash(line.dash || []);
    context.beginPath();
    let before = null;
    line.series.t.forEach((t, n) => {
      const v = line.series.v[n][line.column];
      if (t < now - SPAN_S - 0.2 || !Number.isFinite(v)) { before = null; return; }
      if (!line.step && n && t - line.series.t[n - 1] > GAP_S) before = null;
      if (before === null) context.moveTo(x(t), y(v));
      else { if (line.step) context.lineTo(x(t), before); context.lineTo(x(t), y(v)); }
      before = y(v);
    });
    context.stroke();
  }
  context.setLineDash([3, 3]);
  context.textBaseline = "top";
  let taken = -Infinity, line = 0;
  for (const mark of marks) {
    if (mark.t < now - SPAN_S) continue;
    const at = Math.round(x(mark.t)) + 0.5;
    context.strokeStyle = COLOURS[0]; context.lineWidth = 1.2;
    context.beginPath(); context.moveTo(at, 0); context.lineTo(at, height); context.stroke();
    const long = 8 + context.measureText(mark.text).width, before = at + long > width, from = before ? at - long : at;
    line = from < taken ? (line + 1) % 4 : 0;  // a text that would run into the last one stands below it
    taken = Math.max(taken, from + long);
    context.textAlign = before ? "right" : "left";
    context.fillStyle = COLOURS[0]; context.fillText(mark.text, before ? at - 4 : at + 4, 3 + 13 * line);
  }
  context.restore();
}

// One bar a value, newest on the right, `most` of them.
export function drawBars(canvas, values, most, colours) {
  const [context, width, height] = fresh(canvas);
  const high = Math.max(1, ...values.map((parts) => parts.reduce((sum, v) => sum + v, 0))), wide = width / most;
  values.forEach((parts, n) => {
    let at = height;
    parts.forEach((v, part) => {
      const size = (height - 14) * v / high;
      context.fillStyle = colours[part];
      context.fillRect(width - (values.length - n) * wide, at - size, Math.max(1, wide - 1.5), size);
      at -= size;
    });
  });
  context.font = "11px system-ui, sans-serif"; context.textBaseline = "top"; context.fillStyle = QUIET;
  context.fillText(`${short(high)} a second at most in the last minute`, 0, 0);
}

// hands: [{value, colour, width, length}], angles in radians, 0 to the right, counter-clockwise.
export function drawDial(canvas, hands, low, high, safe, unit) {
  const [context, width, height] = fresh(canvas);
  const radius = Math.min(width, height) / 2 - 8, cx = width / 2, cy = height / 2;
  const angular = unit === "rad" || unit === "deg";
  const turn = (v) => angular ? -(unit === "deg" ? v * Math.PI / 180 : v) : -Math.PI * (1 - (v - low) / (high - low || 1));
  context.lineWidth = 5; context.lineCap = "round"; context.strokeStyle = LINE;
  context.beginPath();
  if (Number.isFinite(low) && Number.isFinite(high)) context.arc(cx, cy, radius, turn(high), turn(low), angular ? false : true);
  else context.arc(cx, cy, radius, 0, 2 * Math.PI);
  context.stroke();
  if (Number.isFinite(safe)) {
    context.fillStyle = "#63c79f";
    context.beginPath(); context.arc(cx + radius * Math.cos(turn(safe)), cy + radius * Math.sin(turn(safe)), 4, 0, 7); context.fill();
  }
  for (const hand of hands) {
    if (!Number.isFinite(hand.value)) continue;
    context.strokeStyle = hand.colour; context.lineWidth = hand.width;
    context.beginPath(); context.moveTo(cx, cy);
    context.lineTo(cx + hand.length * radius * Math.cos(turn(hand.value)), cy + hand.length * radius * Math.sin(turn(hand.value)));
    context.stroke();
  }
  context.fillStyle = "#d9e0e7"; context.beginPath(); context.arc(cx, cy, 4, 0, 7); context.fill();
}

export const colour = (n) => COLOURS[n % COLOURS.length];

export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 1e-4) return "0";
  for (const [bound, sign] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= bound) { const scaled = value / (sign === "k" ? 1e3 : bound); return scaled.toFixed(Math.abs(scaled) >= 100 ? 0 : 1) + " " + sign; }
  }
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return size >= 10 ? value.toFixed(1) : size >= 0.01 ? value.toFixed(2) : value.toExponential(1);
}
