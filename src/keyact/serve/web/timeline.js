// Lanes of a clip: who did what when.
import { nice, percent } from "./draw.js";

// Far apart in hue and lightness, also for colour-blind eyes (Okabe and Ito), on dark and light.
const HUES = ["#0072b2", "#c27a00", "#00785a", "#b84a00", "#a8527f", "#2f7ea8", "#6a4590", "#7a5c12"];
const LANE = 22, GAP = 4, LEFT = 40, AXIS = 20;
const MOST = 24;

export function lanes(timeline) {
  return timeline.people
    .filter((one) => one.segments.length || one.end - one.start >= 0.5)
    .slice(0, MOST);
}

export function drawTimeline(canvas, timeline, seconds, now) {
  const shown = lanes(timeline);
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), track = style.getPropertyValue("--track");
  const width = canvas.clientWidth, height = Math.max(1, shown.length) * (LANE + GAP) + AXIS;
  const dense = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  const context = canvas.getContext("2d");
  context.scale(dense, dense);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  const length = Math.max(seconds, 0.1);
  const at = (time) => LEFT + (width - LEFT - 8) * Math.min(1, time / length);
  const names = [...new Set(shown.flatMap((one) => one.segments.map((part) => part.label)))];
  shown.forEach((one, row) => {
    const y = row * (LANE + GAP);
    context.fillStyle = ink;
    context.fillText(`#${one.track_id}`, 4, y + LANE / 2);
    context.fillStyle = track;
    context.fillRect(at(one.start), y, Math.max(2, at(one.end) - at(one.start)), LANE);
    for (const part of one.segments) {
      const x = at(part.start), wide = Math.max(2, at(part.end) - x);
      context.fillStyle = HUES[names.indexOf(part.label) % HUES.length];
      context.fillRect(x, y, wide, LANE);
      const text = `${nice(part.label)} ${percent(part.confidence)}`;
      if (context.measureText(text).width + 8 < wide) {
        context.fillStyle = "#fff";
        context.fillText(text, x + 4, y + LANE / 2 + 1);
      }
    }
  });
  const bottom = height - AXIS;
  context.fillStyle = ink;
  if (!shown.length) context.fillText("nobody was followed", LEFT, LANE / 2);
  for (let i = 0; i <= 4; i++) {
    const text = `${((length * i) / 4).toFixed(1)} s`;
    const wide = context.measureText(text).width;
    context.fillText(text, Math.min(at((length * i) / 4), width - wide - 2), bottom + AXIS / 2);
  }
  context.fillRect(at(now) - 1, 0, 2, bottom);
}

export function timeAt(canvas, seconds, x) {
  const share = (x - LEFT) / (canvas.clientWidth - LEFT - 8);
  return Math.max(0, Math.min(1, share)) * seconds;
}

export function segmentTexts(timeline) {
  return timeline.people.flatMap((one) => one.segments.map((part) => ({
    start: part.start,
    text: `#${one.track_id}: ${nice(part.label)} ${percent(part.confidence)}, `
      + `${part.start.toFixed(1)} to ${part.end.toFixed(1)} s`,
  }))).sort((a, b) => a.start - b.start);
}
