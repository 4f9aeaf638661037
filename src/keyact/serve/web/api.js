// The server's endpoints. Nothing here touches the page.

export class ServerError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let token = "";

export function setToken(value) {
  token = value.trim();
}

export const hasToken = () => token !== "";

function headers(more = {}) {
  return token ? { ...more, authorization: `Bearer ${token}` } : more;
}

async function checked(response) {
  if (response.ok) return response;
  let text = `the server answered ${response.status}`;
  try {
    text = (await response.json()).error ?? text;
  } catch { /* a proxy's page, not the server's answer */ }
  throw new ServerError(response.status, text);
}

export async function models() {
  return (await checked(await fetch("/v1/models", { headers: headers() }))).json();
}

function query(options) {
  const given = Object.entries(options).filter(([, value]) => value !== null && value !== "");
  return new URLSearchParams(given).toString();
}

function send(path, file, options, signal) {
  const form = new FormData();
  form.append("file", file, file.name || "photo.jpg");
  const address = `${path}?${query(options)}`;
  return fetch(address, { method: "POST", body: form, headers: headers(), signal }).then(checked);
}

export async function predictPhoto(file, options, signal) {
  return (await send("/v1/predict", file, { ...options, output: "json" }, signal)).json();
}

export async function annotated(file, options, signal) {
  return (await send("/v1/predict", file, { ...options, output: "annotated" }, signal)).blob();
}

export async function explain(file, options, signal) {
  return (await send("/v1/explain", file, options, signal)).json();
}

// Frames' results as they are done, then the timeline.
export async function* predictClip(file, options, signal) {
  const response = await send("/v1/predict", file, { ...options, output: "lines" }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines.filter(Boolean)) {
      const found = JSON.parse(line);
      if (found.error) throw new ServerError(422, found.error);
      yield found;
    }
    if (done) return;
  }
}

export function openStream(options) {
  const address = new URL(`/v1/stream?${query(options)}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const protocols = ["keyact.v1"];
  if (token) {
    const coded = btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    protocols.push(`keyact.token.${coded}`);
  }
  const socket = new WebSocket(address, protocols);
  socket.binaryType = "arraybuffer";
  return socket;
}
