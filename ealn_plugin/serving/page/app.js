"use strict";

const byId = name => document.getElementById(name);
const asked = { file: null, image: null, box: null };  // box: left, upper, right, lower in [0, 1]
const marks = new Map();  // "query / id" to {query, hit, same}
let about = { views: [], filters: {} };
let turn = 0;  // answers of an older search are not shown

// ------------------------------------------------------------------------------------------------ what there is
async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    throw new Error("The server does not answer; is it still running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || `The server answered with ${answer.status}.`);
  return found;
}

async function start() {
  about = await ask("/api/info");
  const note = about.note ? ` ${about.note}` : "";
  byId("about").textContent = `${about.images.toLocaleString("en")} images.${note}`;
  if (about.predicts_views) byId("seen").options[0].textContent = "(find out)";
  for (const view of about.views) byId("seen").append(new Option(view, view));
  const names = { camera: "camera", view: "view", colour: "colour", type: "type", source: "source" };
  for (const [name, title] of Object.entries(names)) addChoices(name, title, about.filters[name] || {});
  addPlacing();
  if (location.hash) follow();
}

function addPlacing() {
  const rules = { distance: "and distances of cameras", transitions: "and usual travel times" };
  const known = about.where_and_when || [];
  byId("placing").hidden = !known.length;
  for (const form of known) byId("where_and_when").append(new Option(`appearance ${rules[form] || form}`, form));
  for (const camera of Object.keys(about.filters.camera || {})) byId("query_camera").append(new Option(camera, camera));
}

function addChoices(name, title, counts) {
  const values = Object.keys(counts);
  if (values.length < 2) return;
  const group = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = title;
  group.append(legend);
  for (const value of values) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = name;
    box.value = value;
    label.append(box, ` ${value} (${counts[value].toLocaleString("en")})`);
    group.append(label);
  }
  byId("choices").append(group);
}

// ------------------------------------------------------------------------------------------------ the picture
async function take(file) {
  if (!file) return;
  asked.file = file;
  asked.box = null;
  asked.image = null;
  history.replaceState(null, "", location.pathname);
  byId("go").disabled = false;
  byId("invitation").hidden = false;
  byId("invitation").textContent = file.name || "pasted picture";
  byId("picture").hidden = byId("hint").hidden = true;
  try {
    asked.image = await createImageBitmap(file);
    byId("invitation").hidden = true;
    byId("picture").hidden = byId("hint").hidden = false;
    draw();
  } catch (error) {
    byId("invitation").textContent += " (this browser cannot show it; the server may still read it)";
  }
  search();
}

function draw() {
  const canvas = byId("picture"), image = asked.image;
  const scale = Math.min(640 / image.width, 480 / image.height, Math.max(1, 300 / image.width));  // small crops are enlarged
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (!asked.box) return;
  const [left, upper, right, lower] = asked.box;
  const [x, y, w, h] = [left * canvas.width, upper * canvas.height, (right - left) * canvas.width, (lower - upper) * canvas.height];
  pen.fillStyle = "rgba(0, 0, 0, .45)";
  pen.beginPath();
  pen.rect(0, 0, canvas.width, canvas.height);
  pen.rect(x, y, w, h);
  pen.fill("evenodd");
  pen.strokeStyle = "#ffcc00";
  pen.lineWidth = 2;
  pen.strokeRect(x, y, w, h);
}

function place(event) {
  const frame = byId("picture").getBoundingClientRect();
  const share = (value, size) => Math.min(1, Math.max(0, value / size));
  return [share(event.clientX - frame.left, frame.width), share(event.clientY - frame.top, frame.height)];
}

function addCropping() {
  const canvas = byId("picture");
  let from = null;
  canvas.addEventListener("click", event => event.stopPropagation());
  canvas.addEventListener("pointerdown", event => {
    from = place(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", event => {
    if (!from) return;
    const to = place(event);
    asked.box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!from) return;
    from = null;
    if (asked.box && (asked.box[2] - asked.box[0] < 0.03 || asked.box[3] - asked.box[1] < 0.03)) asked.box = null;
    draw();
    search();
  });
  byId("whole").addEventListener("click", () => {
    asked.box = null;
    if (asked.image) draw();
    search();
  });
}

// ------------------------------------------------------------------------------------------------ searching
function settings(data) {
  for (const box of document.querySelectorAll("#choices input:checked")) data.append(box.name, box.value);
  for (const name of ["after", "before", "group_by", "k", "where_and_when"]) if (byId(name).value) data.append(name, byId(name).value);
  return data;
}

function pointed() {
  const found = /^#id=(\d+)$/.exec(location.hash);
  return found ? found[1] : null;
}

async function search() {
  const id = pointed();
  if (!id && !asked.file) return;
  const mine = ++turn;
  say("searching …");
  try {
    let answer;
    if (id) {
      answer = await ask(`/api/search/${id}?${settings(new URLSearchParams())}`);
    } else {
      const data = settings(new FormData());
      data.append("picture", asked.file, "upload");
      data.append("seen", byId("seen").value);
      for (const name of ["query_camera", "query_time"]) if (byId(name).value) data.append(name, byId(name).value);
      if (asked.box) data.append("box", asked.box.map(side => side.toFixed(4)).join(","));
      answer = await ask("/api/search", { method: "POST", body: data });
    }
    if (mine === turn) show(answer, id ? `image ${id}` : asked.file.name || "pasted picture");
  } catch (error) {
    if (mine === turn) say(error.message, true);
  }
}

function say(text, wrong = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("error", wrong);
}

function show(answer, query) {
  const from = answer.query ? known(answer.query) || query : query;
  const seen = answer.view ? `, seen from the ${answer.view}` : "";
  const alone = byId("where_and_when").value && answer.ranked_by === "appearance";
  const why = alone ? ", by appearance alone: camera or time of the query is not known" : "";
  say(answer.hits.length ? `${answer.hits.length} nearest to ${from}${seen}${why}` : "No image fits these conditions.");
  byId("hits").replaceChildren(...answer.hits.map(hit => card(hit, query)));
}

function known(hit) {
  const parts = [];
  for (const [name, title] of [["vehicle", "vehicle"], ["camera", "camera"], ["time", ""], ["view", ""], ["colour", ""], ["type", ""]]) {
    if (hit[name] !== null && hit[name] !== undefined) parts.push(`${title} ${hit[name]}`.trim());
  }
  return parts.join(" · ");
}

function card(hit, query) {
  const part = byId("hit").content.cloneNode(true).firstElementChild;
  const link = part.querySelector(".from"), image = part.querySelector("img");
  link.href = `#id=${hit.id}`;
  image.src = `/api/images/${hit.id}?size=320`;
  image.alt = `hit ${hit.rank}: ${hit.image}`;
  const chance = typeof hit.probability === "number" ? ` · same vehicle: ${Math.round(100 * hit.probability)}%` : "";
  const fitting = typeof hit.fits === "number" ? ` · where and when fit: ${Math.round(100 * hit.fits)}%` : "";
  part.querySelector(".similarity").textContent = `${hit.rank}. ${hit.similarity.toFixed(3)}${chance}`;
  part.querySelector(".known").textContent = known(hit) + fitting + (hit.more ? ` · ${hit.more} more` : "");
  const key = `${query} / ${hit.id}`;
  const buttons = [[part.querySelector(".right"), true], [part.querySelector(".wrong"), false]];
  const paint = () => {
    const mark = marks.get(key);
    for (const [button, same] of buttons) button.setAttribute("aria-pressed", String(Boolean(mark) && mark.same === same));
    part.classList.toggle("same", Boolean(mark) && mark.same);
    part.classList.toggle("other", Boolean(mark) && !mark.same);
    tally();
  };
  for (const [button, same] of buttons) {
    button.addEventListener("click", () => {
      const mark = marks.get(key);
      if (mark && mark.same === same) marks.delete(key);
      else marks.set(key, { query, hit, same });
      paint();
    });
  }
  paint();
  return part;
}

// ------------------------------------------------------------------------------------------------ marks
function tally() {
  const same = [...marks.values()].filter(mark => mark.same).length;
  byId("marks").hidden = !marks.size;
  byId("tally").textContent = `${same} marked as the same, ${marks.size - same} as others`;
}

function save() {
  const cell = value => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;  // a spreadsheet must not take it for a formula
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const columns = ["id", "image", "similarity", "vehicle", "camera", "time", "view"];
  const lines = [["query", "same", ...columns]];
  for (const mark of marks.values()) lines.push([mark.query, mark.same ? "yes" : "no", ...columns.map(name => mark.hit[name])]);
  const text = lines.map(line => line.map(cell).join(",")).join("\r\n") + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "vehicles.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

// ------------------------------------------------------------------------------------------------ wiring
function follow() {
  const id = pointed();
  if (id) {
    byId("invitation").hidden = false;
    byId("picture").hidden = byId("hint").hidden = true;
    byId("invitation").replaceChildren(Object.assign(new Image(), { src: `/api/images/${id}?size=480`, alt: `image ${id}`, className: "query" }));
    byId("go").disabled = false;
  } else if (asked.image) {
    byId("invitation").hidden = true;
    byId("picture").hidden = byId("hint").hidden = false;
  }
  search();
}

const drop = byId("drop");
drop.addEventListener("click", () => byId("file").click());
drop.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") byId("file").click(); });
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, event => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
byId("file").addEventListener("change", event => { take(event.target.files[0]); event.target.value = ""; });
addEventListener("paste", event => take([...event.clipboardData.files].find(file => file.type.startsWith("image/"))));
addEventListener("hashchange", follow);
byId("filters").addEventListener("submit", event => { event.preventDefault(); search(); });
byId("export").addEventListener("click", save);
byId("forget").addEventListener("click", () => { marks.clear(); tally(); search(); });
addCropping();
start().catch(error => say(error.message, true));
