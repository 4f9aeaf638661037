// The page: what is shown, and what happens when somebody does something.
import * as api from "./api.js";
import { drawImportance, drawResult, place } from "./draw.js";
import { element, people } from "./results.js";
import { drawTimeline, segmentTexts, timeAt } from "./timeline.js";

const get = (id) => document.getElementById(id);
const view = Object.fromEntries([
  "status", "progress", "stage", "empty", "photo", "video", "overlay", "timeline", "segments",
  "timeline-part", "people", "figures", "downloads", "save-json", "save-annotated", "file", "drop",
  "camera", "model", "pose", "every", "token", "token-field", "connect", "options", "theme",
  "show-boxes", "show-bones", "show-labels", "show-joints", "show-joints-field", "version",
].map((id) => [id, get(id)]));

const state = {
  server: null, // what /v1/models says
  kind: null, // "photo" | "clip" | "camera"
  file: null,
  frames: [], // results of a clip, in order; one of a photo
  timeline: null,
  result: null, // the one that is drawn
  settled: null,
  chosen: null,
  explanation: null,
  stop: null, // ends what runs
  seconds: 0,
};

function say(text, bad = false) {
  view.status.textContent = text;
  view.status.classList.toggle("bad", bad);
}

const options = () => ({ model: view.model.value, pose: view.pose.value });

async function connect() {
  try {
    state.server = await api.models();
  } catch (error) {
    const locked = error.status === 401;
    view["token-field"].hidden = view.connect.hidden = !locked;
    say(locked ? "This server needs its access token." : `No answer: ${error.message}`, !locked);
    return;
  }
  for (const [list, entries] of [[view.model, state.server.models], [view.pose, state.server.poses]]) {
    list.replaceChildren(...entries.map(({ name }) => element("option", { value: name }, name)));
    list.disabled = entries.length < 2;
  }
  view.version.textContent = state.server.version;
  view["token-field"].hidden = view.connect.hidden = true;
  say("Ready for a photo, a clip or the webcam.");
}

function reset(kind) {
  state.stop?.();
  Object.assign(state, {
    kind, file: null, frames: [], timeline: null, result: null, settled: null, chosen: null,
    explanation: null, stop: null, seconds: 0,
  });
  for (const media of [view.photo, view.video]) {
    if (media.src.startsWith("blob:")) URL.revokeObjectURL(media.src);
    media.removeAttribute("src");
    media.hidden = true;
  }
  view.video.srcObject = null;
  view.empty.hidden = true;
  view.downloads.hidden = view["timeline-part"].hidden = view.progress.hidden = true;
  view.people.replaceChildren();
  view.segments.replaceChildren();
  view.figures.textContent = "";
  view.stage.dataset.kind = kind;
  draw();
}

function draw() {
  const { result } = state;
  view["show-joints-field"].hidden = !state.explanation;
  const picture = state.kind === "photo" ? view.photo : view.video;
  const canvas = view.overlay;
  if (!result || picture.hidden) {
    canvas.width = canvas.height = 1;
    canvas.setAttribute("aria-label", "No result yet");
    return;
  }
  const sheet = place(canvas, picture, result.width, result.height);
  drawResult(sheet, result, state.server.layouts, {
    boxes: view["show-boxes"].checked,
    bones: view["show-bones"].checked,
    labels: view["show-labels"].checked,
    chosen: state.chosen,
    settled: state.settled,
  });
  if (state.explanation && view["show-joints"].checked) {
    drawImportance(sheet, result, state.explanation, state.server.layouts.coco17.joints);
  }
  const count = result.people.length;
  canvas.setAttribute("aria-label",
    `${count} ${count === 1 ? "person" : "people"}; the list of results says what each is doing`);
}

function list() {
  const { result } = state;
  if (!result) return;
  const still = state.kind === "photo";
  view.people.replaceChildren(...people(result, {
    chosen: state.chosen,
    settled: state.settled,
    explanation: state.explanation,
    choose: state.kind === "camera" ? null : (index) => {
      state.chosen = state.chosen === index ? null : index;
      draw();
      list();
      view.people.children[index]?.querySelector("button")?.focus();
    },
    explain: still && state.server.explain ? explain : null,
  }));
}

function show(result) {
  state.result = result;
  draw();
  list();
}

function summary(result) {
  const count = result.people.length;
  const took = Math.round(result.timings_ms.total ?? 0);
  return `${count} ${count === 1 ? "person" : "people"} · ${result.width} × ${result.height} pixels · `
    + `${took} ms · ${result.model}`;
}

async function open(file) {
  if (!file) return;
  if (!state.server) return say("Connect to the server first.", true);
  const clip = file.type.startsWith("video/") || /\.(mkv|avi|mp4|mov|webm|mpe?g)$/i.test(file.name);
  const limit = clip ? state.server.limits.clip_bytes : state.server.limits.photo_bytes;
  if (file.size > limit) {
    return say(`${file.name} has more than ${Math.round(limit / 2 ** 20)} MiB.`, true);
  }
  reset(clip ? "clip" : "photo");
  state.file = file;
  const ending = new AbortController();
  state.stop = () => ending.abort();
  try {
    await (clip ? openClip(file, ending.signal) : openPhoto(file, ending.signal));
    view.downloads.hidden = false;
  } catch (error) {
    if (ending.signal.aborted) return;
    if (error.status === 401) await connect();
    say(`${file.name}: ${error.message}`, true);
  } finally {
    view.progress.hidden = true;
  }
}

async function openPhoto(file, signal) {
  say(`Recognising ${file.name} …`);
  const address = URL.createObjectURL(file);
  view.photo.src = address;
  view.photo.hidden = false;
  view.photo.alt = `The photo ${file.name}`;
  const found = await api.predictPhoto(file, options(), signal);
  await view.photo.decode().catch(() => { view.photo.hidden = true; });
  state.frames = [found];
  view.figures.textContent = summary(found);
  show(found);
  say(`Done: ${found.people.length} found in ${file.name}.`
    + (view.photo.hidden ? " This browser cannot show the photo itself." : ""));
}

async function openClip(file, signal) {
  view.video.src = URL.createObjectURL(file);
  view.video.hidden = false;
  view.video.controls = true;
  view.progress.removeAttribute("value");
  view.progress.hidden = false;
  say(`Recognising ${file.name} …`);
  const every = view.every.value;
  for await (const found of api.predictClip(file, { ...options(), every }, signal)) {
    if (found.people && found.timings_ms) {
      state.frames.push(found);
      state.seconds = Math.max(state.seconds, found.timestamp ?? 0);
      if (view.video.duration) view.progress.value = Math.min(1, found.timestamp / view.video.duration);
      view.figures.textContent = `${state.frames.length} frames · ${summary(found)}`;
      if (view.video.paused) show(found);
    } else {
      state.timeline = found;
    }
  }
  state.seconds = state.timeline?.seconds ?? state.seconds;
  view["timeline-part"].hidden = false;
  const texts = segmentTexts(state.timeline);
  view.segments.replaceChildren(...texts.map(({ text }) => element("li", {}, text)));
  if (!texts.length) view.segments.append(element("li", {}, "No action lasted or was sure enough."));
  seek(0);
  const lost = view.video.error ? " This browser cannot play the clip itself." : "";
  say(`Done: ${state.frames.length} frames of ${file.name}.${lost}`);
}

// The last frame that was recognised at or before a time.
function frameAt(seconds) {
  let low = 0, high = state.frames.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (state.frames[middle].timestamp <= seconds + 0.001) low = middle;
    else high = middle - 1;
  }
  return state.frames[low] ?? null;
}

function seek(seconds) {
  const end = Math.min(seconds, state.seconds);
  if (view.video.readyState) view.video.currentTime = end;
  moved(end);
}

function moved(seconds) {
  if (state.kind !== "clip" || !state.frames.length) return;
  const found = frameAt(seconds);
  if (state.timeline) {
    state.settled = {};
    for (const one of state.timeline.people) {
      const part = one.segments.find(({ start, end }) => start <= seconds && seconds <= end);
      state.settled[one.track_id] = part?.label ?? "unknown";
    }
    drawTimeline(view.timeline, state.timeline, state.seconds, seconds);
    view.timeline.setAttribute("aria-valuemax", state.seconds.toFixed(1));
    view.timeline.setAttribute("aria-valuenow", seconds.toFixed(1));
    view.timeline.setAttribute("aria-valuetext", `${seconds.toFixed(1)} seconds`);
  }
  if (found !== state.result) show(found);
  else draw();
}

async function explain(index) {
  say("Hiding one joint after the other; this takes a while …");
  const { file } = state;
  try {
    const found = await api.explain(file, { ...options(), person: index });
    if (file !== state.file) return;
    state.explanation = found;
    view["show-joints"].checked = true;
    draw();
    list();
    say("Orange joints speak for the action, blue ones against it; larger ones more.");
  } catch (error) {
    say(error.message, true);
  }
}

async function startCamera() {
  reset("camera");
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    view.empty.hidden = false;
    return say(`The webcam cannot be used: ${error.message}`, true);
  }
  const video = view.video;
  video.srcObject = media;
  video.hidden = false;
  video.controls = false;
  await video.play();
  const sheet = document.createElement("canvas");
  const socket = api.openStream(options());
  let running = true, waiting = 0, answered = [], last = -1;
  const stop = (text, bad = false) => {
    if (!running) return;
    running = false;
    media.getTracks().forEach((track) => track.stop());
    socket.close();
    view.camera.setAttribute("aria-pressed", "false");
    view.camera.textContent = "Start the webcam";
    if (text) say(text, bad);
  };
  state.stop = () => stop("");
  view.camera.setAttribute("aria-pressed", "true");
  view.camera.textContent = "Stop the webcam";
  say("Connecting …");

  const send = () => {
    if (!running) return;
    // Two on their way keep the server busy; more would only grow old in a queue.
    if (socket.readyState === WebSocket.OPEN && waiting < 2 && !socket.bufferedAmount
        && video.videoWidth) {
      sheet.width = video.videoWidth;
      sheet.height = video.videoHeight;
      sheet.getContext("2d").drawImage(video, 0, 0);
      waiting += 1;
      sheet.toBlob((blob) => {
        if (blob && socket.readyState === WebSocket.OPEN) socket.send(blob);
        else waiting -= 1;
      }, "image/jpeg", 0.8);
    }
    setTimeout(send, 33);
  };
  socket.addEventListener("open", () => { say("The webcam is on."); send(); });
  socket.addEventListener("message", (message) => {
    const found = JSON.parse(message.data);
    const passed = found.frame - last;
    last = found.frame;
    waiting = Math.max(0, waiting - Math.max(1, passed));
    if (found.error) return say(found.error, true);
    const now = performance.now();
    answered = [...answered.filter((time) => now - time < 2000), now];
    state.settled = found.labels;
    state.frames = [found.result];
    view.downloads.hidden = false;
    view.figures.textContent = `${(answered.length / 2).toFixed(1)} frames/s · `
      + `${Math.round(found.lag_ms)} ms behind · ${found.dropped} dropped · ${summary(found.result)}`;
    show(found.result);
  });
  socket.addEventListener("close", (event) => {
    stop(event.reason ? `The stream ended: ${event.reason}` : "The stream ended.", event.code !== 1000);
  });
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const stem = () => (state.file?.name ?? "webcam").replace(/\.[^.]*$/, "");

view["save-json"].addEventListener("click", () => {
  const content = state.kind === "clip"
    ? { source: state.file.name, frames: state.frames, timeline: state.timeline } : state.result;
  save(new Blob([JSON.stringify(content)], { type: "application/json" }), `${stem()}.json`);
});

view["save-annotated"].addEventListener("click", async () => {
  if (state.kind === "camera") { // what is on the screen
    const sheet = document.createElement("canvas");
    sheet.width = state.result.width;
    sheet.height = state.result.height;
    const context = sheet.getContext("2d");
    context.drawImage(view.video, 0, 0, sheet.width, sheet.height);
    context.drawImage(view.overlay, 0, 0, sheet.width, sheet.height);
    return sheet.toBlob((blob) => save(blob, "webcam.png"), "image/png");
  }
  const button = view["save-annotated"];
  button.disabled = true;
  say("Drawing the file …");
  try {
    const more = state.kind === "clip" ? { every: view.every.value } : {};
    const blob = await api.annotated(state.file, { ...options(), ...more });
    save(blob, `${stem()}-annotated.${state.kind === "clip" ? "mp4" : "jpg"}`);
    say("The annotated file is saved.");
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
});

view.file.addEventListener("change", () => { open(view.file.files[0]); view.file.value = ""; });
view.camera.addEventListener("click", () => {
  if (view.camera.getAttribute("aria-pressed") === "true") state.stop?.(), say("The webcam is off.");
  else if (state.server) startCamera();
});
view.options.addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(view.token.value);
  connect();
});
for (const chosen of [view.model, view.pose]) {
  chosen.addEventListener("change", () => {
    if (state.kind === "camera" && view.camera.getAttribute("aria-pressed") === "true") startCamera();
    else if (state.file) open(state.file);
  });
}
for (const layer of ["show-boxes", "show-bones", "show-labels", "show-joints"]) {
  view[layer].addEventListener("change", draw);
}

let over = 0;
document.addEventListener("dragenter", () => { over += 1; view.drop.classList.add("over"); });
document.addEventListener("dragleave", () => {
  over -= 1;
  if (over <= 0) view.drop.classList.remove("over");
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  view.drop.classList.remove("over");
  open(event.dataTransfer.files[0]);
});

view.video.addEventListener("timeupdate", () => moved(view.video.currentTime));
view.video.addEventListener("loadedmetadata", draw);
view.timeline.addEventListener("click", (event) => {
  seek(timeAt(view.timeline, state.seconds, event.offsetX));
});
view.timeline.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -0.5, ArrowDown: -0.5, ArrowRight: 0.5, ArrowUp: 0.5 }[event.key];
  const now = Number(view.timeline.getAttribute("aria-valuenow"));
  const to = { Home: 0, End: state.seconds }[event.key] ?? (step ? now + step : null);
  if (to === null) return;
  event.preventDefault();
  seek(Math.max(0, to));
});
new ResizeObserver(() => {
  draw();
  if (state.timeline) drawTimeline(view.timeline, state.timeline, state.seconds, view.video.currentTime || 0);
}).observe(view.stage);

// Dark or light: the system's choice until somebody makes another.
const system = matchMedia("(prefers-color-scheme: dark)");
function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  view.theme.setAttribute("aria-pressed", String(dark));
  if (state.timeline) drawTimeline(view.timeline, state.timeline, state.seconds, view.video.currentTime || 0);
}
let own = null;
try { own = localStorage.getItem("theme"); } catch { /* storage may be switched off */ }
theme(own ? own === "dark" : system.matches);
system.addEventListener("change", () => { if (!own) theme(system.matches); });
view.theme.addEventListener("click", () => {
  own = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", own); } catch { /* not kept, then */ }
  theme(own === "dark");
});

connect();
