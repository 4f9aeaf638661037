// Boxes, skeletons and labels on a canvas over the picture.

export const COLOURS = [
  "#ffb000", "#26c6da", "#ff5c8a", "#7ddc4f", "#a78bfa", "#ff7f3f", "#4f9dff", "#f2e34c",
];
const INK = "#14181f";
const WORTH = 0.3; // log-odds
const SEEN = 0.2; // below it a joint is a guess that would only clutter the picture

export const colour = (number) => COLOURS[number % COLOURS.length];
export const nice = (name) => name.replaceAll("_", " ");
export const percent = (value) => `${Math.round(value * 100)}%`;

// A person keeps their colour: by number where people are followed.
export const key = (person, index) => (person.track_id ?? index + 1) - 1;

export function actionText(person, settled) {
  if (settled) return nice(settled);
  const best = person.actions[0];
  return best && person.action !== "unknown"
    ? `${nice(person.action)} ${percent(best.probability)}` : nice(person.action);
}

// Lay the canvas over the picture as it is shown; gives the context in the picture's pixels.
export function place(canvas, picture, width, height) {
  const stage = canvas.parentElement.getBoundingClientRect();
  const shown = picture.getBoundingClientRect();
  // A video keeps its shape inside its element.
  const scale = Math.min(shown.width / width, shown.height / height) || 1;
  const w = width * scale, h = height * scale;
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(w * dense));
  canvas.height = Math.max(1, Math.round(h * dense));
  canvas.style.width = `${w}px`;
  canvas.style.height = `${h}px`;
  canvas.style.left = `${shown.left - stage.left + (shown.width - w) / 2}px`;
  canvas.style.top = `${shown.top - stage.top + (shown.height - h) / 2}px`;
  const context = canvas.getContext("2d");
  context.setTransform(scale * dense, 0, 0, scale * dense, 0, 0);
  return { context, pixel: 1 / scale };
}

export function drawResult({ context, pixel }, result, layouts, shown) {
  result.people.forEach((person, index) => {
    const tint = colour(key(person, index));
    const strong = shown.chosen === null || shown.chosen === index;
    context.globalAlpha = strong ? 1 : 0.35;
    if (shown.boxes) box(context, person.box, tint, pixel);
    if (shown.bones) bones(context, person, layouts[person.layout], tint, pixel);
    if (shown.labels) {
      label(context, person.box, actionText(person, shown.settled?.[person.track_id]), tint, pixel,
        result);
    }
  });
  context.globalAlpha = 1;
  if (!result.people.length && shown.labels && result.image_actions.length) {
    const best = result.image_actions[0];
    const name = result.image_action === "unknown"
      ? "unknown" : `${nice(best.label)} ${percent(best.probability)}`;
    label(context, [0, 0, 0, 0], `whole photo: ${name}`, colour(0), pixel, result);
  }
}

function twice(context, tint, width, path) {
  for (const [style, line] of [[INK, width * 1.9], [tint, width]]) {
    context.strokeStyle = style;
    context.lineWidth = line;
    path();
    context.stroke();
  }
}

function box(context, [x1, y1, x2, y2], tint, pixel) {
  const corner = Math.min(x2 - x1, y2 - y1) * 0.18;
  context.lineCap = "round";
  twice(context, tint, 2.5 * pixel, () => {
    context.beginPath();
    for (const [x, y, dx, dy] of [
      [x1, y1, 1, 1], [x2, y1, -1, 1], [x1, y2, 1, -1], [x2, y2, -1, -1],
    ]) {
      context.moveTo(x + dx * corner, y);
      context.lineTo(x, y);
      context.lineTo(x, y + dy * corner);
    }
  });
}

function bones(context, person, layout, tint, pixel) {
  if (!layout) return;
  const points = person.keypoints;
  const size = Math.hypot(person.box[2] - person.box[0], person.box[3] - person.box[1]);
  const line = Math.min(4 * pixel, Math.max(1.5 * pixel, size * 0.008));
  twice(context, tint, line, () => {
    context.beginPath();
    for (const [a, b] of layout.edges) {
      if (points[a][2] < SEEN || points[b][2] < SEEN) continue;
      context.moveTo(points[a][0], points[a][1]);
      context.lineTo(points[b][0], points[b][1]);
    }
  });
  for (const [x, y, score] of points) {
    if (score < SEEN) continue;
    dot(context, x, y, line * 1.15, "#fff");
  }
}

function dot(context, x, y, radius, fill) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.strokeStyle = INK;
  context.lineWidth = radius * 0.45;
  context.fill();
  context.stroke();
}

function label(context, [x1, y1], text, tint, pixel, result) {
  const size = 14 * pixel, pad = 5 * pixel;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const width = context.measureText(text).width + 2 * pad, height = size + 2 * pad;
  const x = Math.max(0, Math.min(x1, result.width - width));
  const y = Math.max(0, Math.min(y1 - height - 3 * pixel, result.height - height));
  context.fillStyle = tint;
  context.beginPath();
  context.roundRect(x, y, width, height, pad);
  context.fill();
  context.fillStyle = INK;
  context.textBaseline = "middle";
  context.fillText(text, x + pad, y + height / 2 + pixel / 2);
}

// Discs whose area is what a joint is worth: orange speaks for the action, blue against it. Worths
// that are all small give small discs: below WORTH the scale does not follow them.
export function drawImportance({ context, pixel }, result, explanation, joints) {
  const worths = explanation.people.flatMap((one) =>
    Object.values(one.joints).map((joint) => Math.abs(joint.log_odds)));
  const most = Math.max(...worths, WORTH);
  for (const one of explanation.people) {
    const person = result.people[one.number];
    if (!person || person.layout !== "coco17") continue;
    const size = Math.hypot(person.box[2] - person.box[0], person.box[3] - person.box[1]);
    joints.forEach((name, index) => {
      const { log_odds: worth, score } = one.joints[name];
      if (!score || Math.abs(worth) < 0.02 * most) return;
      const [x, y] = person.keypoints[index];
      const radius = Math.max(4 * pixel, 0.07 * size * Math.sqrt(Math.abs(worth) / most));
      context.globalAlpha = 0.75;
      dot(context, x, y, radius, worth > 0 ? "#ff8c1a" : "#3b82f6");
      context.globalAlpha = 1;
    });
  }
}
