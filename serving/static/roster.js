// The roster with a script: no page is loaded again for another order, and classes of any size travel
// once. Without this file every button of the page does the same by itself.

const main = document.getElementById("main");
let file = null; // the chosen one, for as long as the page is open
let table = null; // every student, a list a column, in the file's order
let state = null;

setUp();
addEventListener("popstate", () => location.reload());

function setUp() {
  const upload = document.getElementById("upload");
  if (upload) wireUpload(upload);
  const form = document.getElementById("roster");
  if (form) wireTable(form);
}

function wireUpload(form) {
  const field = form.querySelector("input[type=file]");
  const drop = form.querySelector(".drop");
  form.querySelector(".with-script").hidden = false;
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind !== "drop" || !event.dataTransfer.files.length) return;
      field.files = event.dataTransfer.files;
      form.requestSubmit();
    });
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    file = field.files[0];
    const busy = form.querySelector("#busy");
    busy.hidden = false;
    busy.textContent = `Reading ${file.name} and forecasting …`;
    try {
      const answer = await send("/roster", new FormData(form));
      show(new DOMParser().parseFromString(await answer.text(), "text/html"), answer.ok);
    } catch {
      busy.textContent = "Gradecast could not be reached. Nothing was lost: try again in a moment.";
    }
  });
}

// Take the place of the page by another one, as a browser does that follows a form.
function show(page, found) {
  document.title = page.title;
  main.replaceChildren(...page.getElementById("main").childNodes);
  if (found) history.pushState(null, "", "/roster");
  setUp();
  scrollTo(0, 0);
  main.focus();
}

function send(address, data, headers = {}) {
  return fetch(address, { method: "POST", body: data, headers });
}

async function wireTable(form) {
  state = { form, judged: new Map(), asked: 0 };
  table = null;
  const again = form.querySelector("#again");
  if (again && file) {
    const kept = new DataTransfer();
    kept.items.add(file);
    again.files = kept.files;
    form.querySelector(".again").hidden = true;
  }
  form.addEventListener("submit", onSubmit);
  form.addEventListener("toggle", onOpen, true);
  if (again && !file) return; // the rows are not here: its buttons go on without a script
  const answer = await send("/roster/data", new FormData(form));
  if (!answer.ok) return;
  table = await answer.json();
  table.said = table.name.map((name, place) => `${name} ${table.also[place]}`.toLowerCase());
  form.querySelector(".apply").hidden = true;
  form.addEventListener("input", onChoice);
}

function onChoice(event) {
  if (event.target.closest(".opinion") || event.target.name === "name") return;
  arrange(1);
}

// Say an order in the form: by its button if it has one, else in the hidden field behind those.
function sort(said) {
  const [hidden] = state.form.querySelectorAll("input[type=hidden][name=order]");
  hidden.value = said;
  for (const button of state.form.querySelectorAll("input[type=radio][name=order]")) button.checked = button.value === said;
}

function onSubmit(event) {
  const button = event.submitter;
  if (button?.getAttribute("formaction") === "/roster/download" || !table) return;
  event.preventDefault();
  if (button?.name === "sort") sort(button.value);
  if (button?.name === "note") note(button);
  else arrange(button?.name === "page" ? Number(button.value) : 1);
}

// Put the students in order, draw the page of them that is asked for, and count anew.
function arrange(page) {
  const { form } = state;
  const chosen = new FormData(form);
  const places = ordered(chosen.get("order"), kept(chosen));
  const seats = Number(chosen.get("seats")) || 0;
  const size = Number(form.dataset.page);
  const pages = Math.max(1, Math.ceil(places.length / size));
  draw(places, seats, (page - 1) * size, size);
  const said = `${places.length.toLocaleString("en")} of ${Number(form.dataset.total).toLocaleString("en")} students`;
  form.querySelector("#shown").textContent = pages > 1 ? `${said}, ${size} at a time` : said;
  form.querySelector(".nobody").hidden = places.length > 0;
  form.querySelector("table.roster").classList.toggle("has-list", seats > 0);
  for (const head of form.querySelectorAll("th[data-natural]")) mark(head, chosen.get("order"));
  for (const hint of form.querySelectorAll("[data-order]")) hint.hidden = hint.dataset.order !== chosen.get("order");
  turn(form.querySelector(".pager"), page, pages);
  count(chosen);
}

// Say of a column whether the table is ordered by it, and what its button does next.
function mark(head, said) {
  const button = head.querySelector("button");
  const value = button.value.replace("-", "");
  const now = said.replace("-", "") === value;
  button.value = said === value ? `-${value}` : value;
  if (now) head.setAttribute("aria-sort", said === value ? head.dataset.natural : head.dataset.turned);
  else head.removeAttribute("aria-sort");
}

function kept(chosen) {
  const [only, label] = [chosen.get("only"), chosen.get("label")];
  const find = chosen.get("find").trim().toLowerCase();
  return table.number.map((_, place) => place).filter((place) =>
    (!label || table.label[place] === label)
    && (only !== "at-risk" || table.risk[place] >= Number(state.form.dataset.callFrom))
    && (only !== "unsure" || table.several[place])
    && (only !== "gain" || table.step[place] !== "")
    && (!find || table.said[place].includes(find)));
}

function ordered(said, places) {
  const turned = said.startsWith("-") ? -1 : 1;
  const key = {
    risk: (place) => table.risk[place],
    gain: (place) => table.gain[place],
    unsure: (place) => -table.sure[place],
    file: (place) => -place,
    name: (place) => -table.rank[place],
    label: (place) => table.top[place],
  }[said.replace("-", "")];
  return places.sort((a, b) => turned * (key(b) - key(a)) || table.risk[b] - table.risk[a] || a - b);
}

function draw(places, seats, start, size) {
  const listing = state.form.querySelector("table.roster");
  const rows = places.slice(start, start + size).map((place, turn) => row(place, start + turn < seats));
  for (const old of listing.querySelectorAll("tbody")) old.remove();
  listing.append(...rows);
}

function row(place, listed) {
  const body = document.getElementById("pattern").content.firstElementChild.cloneNode(true);
  const set = (name, text) => { body.querySelector(`[data-is=${name}]`).textContent = text; };
  const risky = JSON.parse(state.form.dataset.atRisk).includes(table.label[place]);
  body.id = `row-${table.number[place]}`;
  body.dataset.row = table.number[place];
  body.classList.toggle("listed", listed);
  body.querySelector("[data-is=listed]").hidden = !listed;
  for (const name of ["name", "also", "label"]) set(name, table[name][place]);
  set("of", table.name[place]);
  set("grades", table.several[place] ? table.grades[place] : "");
  body.querySelector("[data-is=mark]").hidden = !risky;
  body.querySelector("svg.bar rect:last-of-type").setAttribute("width", `${100 * table.risk[place]}%`);
  set("risk", chance(table.risk[place]));
  set("sure", chance(table.sure[place]));
  set("step", table.step[place] || table.no_step[place]);
  body.querySelector("[data-is=step]").classList.toggle("soft", !table.step[place]);
  set("after", table.step[place] ? `risk ${chance(table.risk[place] - table.gain[place])}` : "");
  said(body, state.judged.get(table.number[place]));
  return body;
}

// The words of serving/pages/show.py.
function chance(share) {
  if (share < 0.01) return "under 1\u00a0%";
  return share > 0.99 ? "over 99\u00a0%" : `${Math.round(100 * share)}\u00a0%`;
}

function turn(pager, page, pages) {
  pager.hidden = pages === 1;
  const [before, after] = pager.querySelectorAll("button");
  pager.querySelector("[data-is=pages]").textContent = `Page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`;
  [before.value, after.value] = [page - 1, page + 1];
  [before.disabled, after.disabled] = [page === 1, page === pages];
}

function count(chosen) {
  const place = state.form.querySelector("#counts");
  const key = ["seats", "order", "only", "label", "find"].map((name) => chosen.get(name)).join("\n");
  if (key === state.counted) return;
  state.counted = key;
  clearTimeout(state.asked);
  place.setAttribute("aria-busy", "true");
  state.asked = setTimeout(async () => {
    const answer = await send("/roster/counts", chosen);
    if (answer.ok && key === state.counted) place.innerHTML = await answer.text();
    if (key === state.counted) place.removeAttribute("aria-busy");
  }, 250);
}

async function onOpen(event) {
  const place = event.target.querySelector(".waiting");
  if (!place || !event.target.open) return;
  place.classList.remove("waiting");
  const data = new FormData(state.form);
  data.set("row", event.target.closest("tbody").dataset.row);
  try {
    const answer = await send("/roster/row", data);
    if (!answer.ok) throw new Error(answer.statusText);
    place.outerHTML = await answer.text();
  } catch {
    place.textContent = "The reasons could not be fetched. Close this row and open it again.";
    place.classList.add("waiting");
  }
}

async function note(button) {
  const [verdict, number] = button.value.split(":");
  const data = new FormData(state.form);
  data.set("note", button.value);
  const answer = await send("/overrides", data, { Accept: "application/json" });
  const body = button.closest("tbody");
  if (!answer.ok) {
    said(body, null, "This could not be written down. Try again in a moment.");
    return;
  }
  state.judged.set(Number(number), verdict);
  state.form.elements.noted.value = [...state.judged].map(([row, word]) => `${row}:${word}`).join(",");
  said(body, verdict);
}

function said(body, verdict, trouble = "") {
  const place = body.querySelector(".said-so");
  place.hidden = !verdict && !trouble;
  place.textContent = trouble || (verdict ? `You ${verdict}` : "");
}
