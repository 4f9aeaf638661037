// The page: what is shown, and what happens when somebody does something.
import * as api from "./api.js";
import { drawImportance, drawResult, nice, place } from "./draw.js";
import { element, people } from "./results.js";
import { drawTimeline, segmentTexts, timeAt } from "./timeline.js";

const get = (id) => document.getElementById(id);
const view = Object.fromEntries([
  "status", "busy", "progress", "stop", "stage", "empty", "photo", "video", "overlay", "timeline", "segments",
  "timeline-part", "people", "figures", "downloads", "save-json", "save-annotated", "file", "drop",
  "camera", "model", "pose", "every", "token", "token-field", "connect", "options",
  "sequence", "document", "show-boxes", "show-bones", "show-labels", "show-joints", "show-joints-field", "version",
].map((id) => [id, get(id)]));

const state = {
  server: null, // what /v1/models says
  kind: null, // "photo" | "clip" | "camera"
  file: null,
  frames: [], // results of a clip, in order; one of a photo
  timeline: null,
  result: null, // the one that is drawn
  settled: null, // what each numbered person does, without flicker
  now: null, // with the webcam: what speaks for each action at this moment
  chosen: null,
  explanation: null,
  sheet: null, // the last frame that the webcam sent
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
  sequenceHint();
  view.document.hidden = api.hasToken(); // a link cannot send it
  view["token-field"].hidden = view.connect.hidden = true;
  say("Ready for a photo, a clip or the webcam.");
}

function sequenceHint() {
  const { sequence } = state.server.models.find(({ name }) => name === view.model.value);
  view.sequence.hidden = !sequence;
  if (sequence) {
    view.sequence.textContent = `In clips and with the webcam, ${sequence.name} looks at movement, `
      + `too: ${sequence.labels.length} actions such as ${sequence.labels.slice(0, 3).map(nice).join(", ")}.`;
  }
}

function reset(kind) {
  state.stop?.();
  Object.assign(state, {
    kind, file: null, frames: [], timeline: null, result: null, settled: null, now: null,
    chosen: null, explanation: null, sheet: null, stop: null, seconds: 0,
  });
  for (const media of [view.photo, view.video]) {
    if (media.src.startsWith("blob:")) URL.revokeObjectURL(media.src);
    media.removeAttribute("src");
    media.hidden = true;
  }
  view.video.srcObject = null;
  view.empty.hidden = true;
  view.downloads.hidden = view["timeline-part"].hidden = view.busy.hidden = true;
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
    now: state.now,
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
    if (ending.signal.aborted) return; // what is shown now is another's
    if (error.status === 401) await connect();
    say(`${file.name}: ${error.message}`, true);
  }
  view.busy.hidden = true;
}

async function openPhoto(file, signal) {
  say(`Recognising ${file.name} …`);
  const address = URL.createObjectURL(file);
  view.photo.src = address;
  view.photo.hidden = false;
  view.photo.alt = `The photo ${file.name}`;
  const found = await api.predictPhoto(file, options(), signal);
  const shown = await view.photo.decode().then(() => true, () => false);
  signal.throwIfAborted();
  view.photo.hidden = !shown;
  state.frames = [found];
  view.figures.textContent = summary(found);
  show(found);
  say(`Done: ${found.people.length} found in ${file.name}.`
    + (!shown ? " This browser cannot show the photo itself." : ""));
}

async function openClip(file, signal) {
  view.video.src = URL.createObjectURL(file);
  view.video.hidden = false;
  view.video.controls = true;
  view.progress.removeAttribute("value");
  view.busy.hidden = false;
  say(`Recognising ${file.name} …`);
  const every = view.every.value;
  for await (const found of api.predictClip(file, { ...options(), every }, signal)) {
    signal.throwIfAborted();
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
  if (!state.timeline) throw new Error("the answer broke off");
  state.seconds = state.timeline.seconds;
  view.figures.textContent = `${state.frames.length} frames · ${state.timeline.models.join(" and ")}`;
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
  const video = view.video, sheet = document.createElement("canvas");
  let running = true, media = null, socket = null;
  let waiting = 0, answered = [], last = -1, told = "";
  const stop = (text, bad = false) => {
    if (!running) return;
    running = false;
    media?.getTracks().forEach((track) => track.stop());
    socket?.close();
    view.camera.classList.remove("on");
    view.camera.textContent = "Start the webcam";
    if (text) say(text, bad);
  };
  state.stop = () => stop("");
  view.camera.classList.add("on");
  view.camera.textContent = "Stop the webcam";
  say("Connecting …");
  try {
    if (!navigator.mediaDevices) throw new Error("browsers allow it on https and on this machine only");
    media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    if (running) view.empty.hidden = false;
    return stop(`The webcam cannot be used: ${error.message}`, true);
  }
  if (!running) return media.getTracks().forEach((track) => track.stop());
  video.srcObject = media;
  video.hidden = false;
  video.controls = false;
  await video.play().catch(() => {}); // it is replaced by another at once
  if (!running) return;
  state.sheet = sheet;
  socket = api.openStream(options());

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
    if (!running) return;
    if (found.error) return say(found.error, true);
    const now = performance.now();
    answered = [...answered.filter((time) => now - time < 2000), now];
    state.settled = found.labels;
    state.now = found.now;
    state.frames = [found.result];
    const settled = Object.entries(found.labels).filter(([, label]) => label !== "unknown")
      .map(([number, label]) => `#${number}: ${nice(label)}`).join(", ");
    if (settled && settled !== told) say(settled); // also for those who only hear the page
    told = settled || told;
    view.downloads.hidden = false;
    view.figures.textContent = `${(answered.length / 2).toFixed(1)} frames/s · `
      + `${Math.round(found.lag_ms)} ms behind · ${found.dropped} dropped · ${summary(found.result)}`;
    show(found.result);
  });
  socket.addEventListener("close", (event) => {
    stop(event.reason ? `The stream ended: ${event.reason}` : "The stream ended.", event.code !== 1000);
  });
}

const cameraIsOn = () => view.camera.classList.contains("on");

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
    context.drawImage(state.sheet, 0, 0, sheet.width, sheet.height);
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
  if (cameraIsOn()) state.stop(), say("The webcam is off.");
  else if (state.server) startCamera();
});
view.stop.addEventListener("click", () => {
  state.stop?.();
  view.busy.hidden = true;
  say(`Stopped after ${state.frames.length} frames.`);
  view.status.focus();
});
view.options.addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(view.token.value);
  connect();
});
for (const chosen of [view.model, view.pose, view.every]) {
  chosen.addEventListener("change", () => {
    if (state.server) sequenceHint();
    if (chosen === view.every && state.kind !== "clip") return;
    if (cameraIsOn()) startCamera();
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

document.addEventListener("theme", () => {
  if (state.timeline) drawTimeline(view.timeline, state.timeline, state.seconds, view.video.currentTime || 0);
});

connect();
