// The roster with a script: no page is loaded again for another order, and a class outlives a reload, a log-out
// and a lost connection. Without this file every button of the page does the same by itself.

const main = document.getElementById("main");
const CLASS = "gradecast.class"; // what the tab keeps of the class: the fields of its form
const SAID = "gradecast.said."; // what the browser keeps of a contract's mended headings and cells
const NAME = "gradecast.name";
const AWAY = "Gradecast could not be reached. Nothing is lost: try again in a moment.";
const OUT = "You have been logged out. Log in again in a new tab, then try once more: your class stays here.";
let file = null; // the chosen one, for as long as the page is open
let table = null; // every student, a list a column, in the file's order
let state = null;

setUp();
if (location.search) history.replaceState(null, "", "/roster"); // another file is wanted
if (history.state?.class && !document.getElementById("roster")) restore();
addEventListener("popstate", (event) => {
  const open = document.getElementById("roster");
  if (event.state?.class && !open) restore();
  else if (!event.state?.class && open && !location.hash) choose();
});

// Go back from a class to where it was chosen.
async function choose() {
  try {
    show(parsed(await (await fetch("/roster")).text()), false);
  } catch {
    tell(new Trouble(AWAY));
  }
}

function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

function setUp() {
  for (const form of document.querySelectorAll("form.brings")) wireBringing(form);
  if (document.getElementById("upload")) wireUpload(document.getElementById("upload"));
  const form = document.getElementById("roster");
  if (form) wireTable(form);
}

// The forms that bring a class: a file or pasted rows, the example, and what headings mean.
function wireBringing(form) {
  for (const field of form.querySelectorAll("select")) {
    const before = remembered(form)[field.name];
    if ([...field.options].some((option) => option.value === before)) field.value = before;
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = form.querySelector("input[type=file]")?.files[0];
    if (chosen) file = chosen;
    remember(form);
    const data = new FormData(form);
    for (const [name, said] of Object.entries(remembered(form))) if (!data.has(name)) data.append(name, said);
    if (!chosen && form.dataset.again && file) data.set("file", file);
    bring(data, form);
  });
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
  if (!sessionStorage.getItem(CLASS)) return;
  const back = form.querySelector(".back");
  back.hidden = false;
  back.querySelector("button").addEventListener("click", restore);
}

async function bring(data, form, pushed = true) {
  const busy = document.getElementById("busy");
  if (busy) {
    busy.hidden = false;
    busy.textContent = "Reading the file and forecasting …";
  }
  try {
    const answer = await send("/roster", data);
    show(parsed(await answer.text()), pushed && answer.ok);
  } catch (error) {
    if (busy) busy.hidden = true;
    tell(error);
  }
}

// Bring back the class that the tab keeps.
function restore() {
  const kept = sessionStorage.getItem(CLASS);
  if (!kept) return;
  const data = new FormData();
  for (const [name, value] of JSON.parse(kept)) data.append(name, value);
  bring(data, null, !history.state?.class);
}

// Take the place of the page by another one, as a browser does that follows a form.
function show(page, found) {
  document.title = page.title;
  main.replaceChildren(...page.getElementById("main").childNodes);
  if (found) history.pushState({ class: true }, "", "/roster");
  setUp();
  scrollTo(0, 0);
  (main.querySelector("[role=alert]") ?? main).focus();
}

class Trouble extends Error {}

// Send a form. Whoever logged in again in another tab goes on with the new token.
async function send(address, data, headers = {}) {
  data.set("csrf_token", state?.token ?? document.querySelector("[name=csrf_token]").value);
  const post = () => fetch(address, { method: "POST", body: data, headers }).catch(() => { throw new Trouble(AWAY); });
  const answer = await post();
  if (answer.status !== 400 && answer.status !== 401) return answer;
  const page = await fetch("/roster").catch(() => { throw new Trouble(AWAY); });
  if (page.redirected) throw new Trouble(OUT);
  const found = parsed(await page.text()).querySelector("[name=csrf_token]");
  if (!found) return answer;
  for (const field of document.querySelectorAll("[name=csrf_token]")) field.value = found.value;
  data.set("csrf_token", found.value);
  if (state) state.token = found.value;
  return post();
}

// Say at the top what went wrong; nothing of the page is lost.
function tell(error) {
  if (!(error instanceof Trouble)) throw error;
  document.getElementById("trouble")?.remove();
  const place = document.createElement("p");
  place.id = "trouble";
  place.className = "notice bad";
  place.setAttribute("role", "alert");
  place.textContent = `${error.message} `;
  if (error.message === OUT) {
    const link = Object.assign(document.createElement("a"), { href: "/login", target: "_blank", textContent: "Log in" });
    place.append(link);
  }
  main.prepend(place);
  place.scrollIntoView({ block: "nearest" });
}

function untell() {
  document.getElementById("trouble")?.remove();
}

async function wireTable(form) {
  const kept = JSON.parse(form.elements.noted.value);
  const rows = new Map([...form.querySelectorAll("tbody[data-row]")].map((body) => [Number(body.dataset.row), body]));
  const token = form.elements.csrf_token.value;
  state = { form, rows, token, judged: new Map(Object.entries(kept).map(([row, noted]) => [Number(row), noted])), asked: 0 };
  table = null;
  const again = form.querySelector("#again");
  if (again && file) {
    const taken = new DataTransfer();
    taken.items.add(file);
    again.files = taken.files;
    form.querySelector(".again").hidden = true;
  }
  sign(form);
  form.addEventListener("submit", onSubmit);
  form.addEventListener("toggle", onOpen, true);
  form.addEventListener("keydown", onKey);
  if (again && !file) return; // the rows are not here: its buttons go on without a script
  save();
  if (!form.querySelector("table.roster")) return;
  let answer = null;
  try { answer = await send("/roster/data", new FormData(form)); } catch (error) { tell(error); }
  if (!answer?.ok) return;
  table = await answer.json();
  table.said = table.name.map((name, place) => `${name} ${table.id[place]}`.toLowerCase());
  for (const name of ["seen", "was"]) form.elements[name].value = "";
  state.added = ticked("added");
  state.skipped = ticked("skipped");
  form.querySelector(".apply").hidden = true;
  form.addEventListener("input", onChoice);
}

function ticked(name) {
  return new Set(state.form.elements[name].value.split(",").filter(Boolean).map(Number));
}

// Keep the form in the tab, so that a reload or another page loses nothing.
function save() {
  const passing = ["csrf_token", "on", "seen", "was"];
  const fields = [...new FormData(state.form)].filter(([name, value]) => typeof value === "string" && !passing.includes(name));
  const named = new Set(fields.map(([name]) => name));
  for (const [number, body] of state.rows) {
    const field = body.querySelector(`[name=reason-${number}]`);
    if (field?.value && !named.has(field.name)) fields.push([field.name, field.value]);
  }
  if (!state.form.elements.carried.value) return;
  try { sessionStorage.setItem(CLASS, JSON.stringify(fields)); } catch { /* the tab keeps what it has room for */ }
}

// Whoever signed one note need not sign the next.
function sign(part) {
  for (const field of part.querySelectorAll("[name^=name-]")) field.value ||= localStorage.getItem(NAME) ?? "";
}

function remembered(form) {
  return JSON.parse(localStorage.getItem(SAID + form.dataset.contract) ?? "{}");
}

// Keep in this browser what headings and cells mean, for the next file of the same kind.
function remember(form) {
  const said = remembered(form);
  for (const [name, value] of new FormData(form)) {
    const general = name.startsWith("heading ") || (name.startsWith("offered ") && typeof JSON.parse(decodeURIComponent(name.slice(8)))[1] === "string");
    if (general && value) said[name.replace("offered ", "mend ")] = value;
  }
  if (Object.keys(said).length) localStorage.setItem(SAID + form.dataset.contract, JSON.stringify(said));
}

function onChoice(event) {
  const { target } = event;
  if (target.name.startsWith("name-")) localStorage.setItem(NAME, target.value);
  if (target.name === "on") tick(Number(target.value), target.checked);
  else if (target.name === "beside") return bring(new FormData(state.form), state.form, false);
  if (target.closest(".opinion, .mend")) return save();
  arrange(1);
}

function tick(number, on) {
  const [to, from] = on ? [state.added, state.skipped] : [state.skipped, state.added];
  to.add(number);
  from.delete(number);
  for (const name of ["added", "skipped"]) state.form.elements[name].value = [...state[name]].sort((a, b) => a - b).join(",");
}

// Say an order in the form's menu, which gets an entry for one that it does not have.
function sort(said) {
  const menu = state.form.elements.order;
  if (![...menu.options].some((option) => option.value === said)) menu.add(new Option("reversed", said));
  menu.value = said;
}

function onKey(event) {
  if (event.key !== "Enter" || !event.target.matches(".opinion input")) return;
  event.preventDefault();
  event.target.closest(".opinion").querySelector("[role=status]").textContent = "To keep it, press “I agree” or “I disagree”.";
}

function onSubmit(event) {
  const button = event.submitter;
  if (button?.getAttribute("formaction") === "/roster/download" || button?.getAttribute("formaction") === "/roster/sheet") return;
  if (button?.name === "mend" && (file || state.form.elements.carried.value)) {
    event.preventDefault();
    remember(state.form);
    const data = new FormData(state.form);
    data.set("mend", "yes");
    bring(data, state.form, false);
    return;
  }
  if (!table) return;
  event.preventDefault();
  if (button?.name === "sort") sort(button.value);
  if (button?.name === "note") note(button);
  else arrange(button?.name === "page" ? Number(button.value) : 1);
}

// Put the students in order, draw the page of them that is asked for, and count anew.
function arrange(page) {
  const { form } = state;
  const chosen = new FormData(form);
  const listed = onTheList(chosen);
  const places = ordered(chosen.get("order"), kept(chosen, listed));
  const size = Number(form.dataset.page);
  const pages = Math.max(1, Math.ceil(places.length / size));
  draw(places.slice((page - 1) * size, page * size), listed);
  const said = `${places.length.toLocaleString("en")} of ${Number(form.dataset.total).toLocaleString("en")} students`;
  form.querySelector("#shown").textContent = pages > 1 ? `${said}, ${size} at a time` : said;
  form.querySelector(".nobody").hidden = places.length > 0;
  form.querySelector("table.roster").classList.toggle("has-list", listed.size > 0);
  for (const head of form.querySelectorAll("th[data-natural]")) mark(head, chosen.get("order"));
  turn(form.querySelector(".pager"), page, pages);
  count(chosen);
  save();
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

const NEAR = [0.25, 0.75]; // those of serving/pages/roster_list.py
const near = (place) => table.risk[place] >= NEAR[0] && table.risk[place] <= NEAR[1];

// The list: as many as can be seen by its rule, then what was ticked. Nothing of the table's view enters.
function onTheList(chosen) {
  let places = table.number.map((_, place) => place);
  if (chosen.get("rule") === "near") places = places.filter(near);
  places.sort((a, b) => table.turn[a] - table.turn[b]);
  const listed = new Set(places.slice(0, Number(chosen.get("seats")) || 0).map((place) => table.number[place]));
  for (const number of state.added) listed.add(number);
  for (const number of state.skipped) listed.delete(number);
  return listed;
}

function kept(chosen, listed) {
  const [only, label] = [chosen.get("only"), chosen.get("label")];
  const find = chosen.get("find").trim().toLowerCase();
  return table.number.map((_, place) => place).filter((place) =>
    (!label || table.label[place] === label)
    && (only !== "listed" || listed.has(table.number[place]))
    && (only !== "at-risk" || table.flagged[place])
    && (only !== "near" || near(place))
    && (only !== "unsure" || table.several[place])
    && (only !== "gain" || table.step[place] !== "")
    && (!find || table.said[place].includes(find)));
}

function ordered(said, places) {
  const turned = said.startsWith("-") ? -1 : 1;
  const key = {
    risk: (place) => -table.turn[place],
    gain: (place) => table.gain[place],
    unsure: (place) => -table.sure[place],
    file: (place) => -place,
    name: (place) => -table.rank[place],
    label: (place) => table.top[place],
  }[said.replace("-", "")];
  return places.sort((a, b) => turned * (key(b) - key(a)) || table.turn[a] - table.turn[b]);
}

// Rows are moved, not made anew: what is open stays open, and what is typed stays typed.
function draw(places, listed) {
  const listing = state.form.querySelector("table.roster");
  const focused = document.activeElement;
  const rows = places.map((place) => row(place, listed.has(table.number[place])));
  for (const old of [...listing.tBodies]) if (!rows.includes(old)) old.remove();
  const inPlace = [...listing.tBodies];
  if (rows.some((body, at) => inPlace[at] !== body)) listing.append(...rows);
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function row(place, listed) {
  const number = table.number[place];
  if (!state.rows.has(number)) state.rows.set(number, made(place));
  const body = state.rows.get(number);
  body.classList.toggle("listed", listed);
  body.querySelector("[name=on]").checked = listed;
  return body;
}

function made(place) {
  const body = document.getElementById("pattern").content.firstElementChild.cloneNode(true);
  const set = (name, text) => { body.querySelector(`[data-is=${name}]`).textContent = text; };
  body.id = `row-${table.number[place]}`;
  body.dataset.row = table.number[place];
  const box = body.querySelector("[name=on]");
  box.value = table.number[place];
  box.setAttribute("aria-label", `On this week’s list: ${table.name[place]}`);
  for (const name of ["name", "id", "label"]) set(name, table[name][place]);
  set("of", table.name[place]);
  set("grades", table.several[place] ? table.grades[place] : "");
  body.querySelector("[data-is=mark]").hidden = !table.flagged[place];
  set("risk", chance(table.risk[place]));
  const [at, low, high] = table.scale[place];
  const reach = body.querySelector("svg.spot .reach");
  reach.setAttribute("x1", `${low}%`);
  reach.setAttribute("x2", `${high}%`);
  body.querySelector("svg.spot .dot").setAttribute("cx", `${at}%`);
  set("step", table.step[place] || (table.flagged[place] ? "Needs more than a small change" : "Not needed"));
  body.querySelector("[data-is=step]").classList.toggle("soft", !table.step[place]);
  set("after", table.step[place] ? `then ${chance(table.risk[place] - table.gain[place])}` : "");
  said(body, state.judged.get(table.number[place]));
  return body;
}

// The words of serving/pages/show.py.
function chance(share) {
  if (share < 0.01) return "under 1%";
  return share > 0.99 ? "over 99%" : `${Math.round(100 * share)}%`;
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
  const key = ["seats", "rule", "added", "skipped"].map((name) => chosen.get(name)).join("\n");
  if (key === state.counted) return;
  state.counted = key;
  clearTimeout(state.asked);
  place.setAttribute("aria-busy", "true");
  state.asked = setTimeout(async () => {
    try {
      const answer = await send("/roster/counts", chosen);
      if (!answer.ok || key !== state.counted) return;
      place.innerHTML = await answer.text();
      state.form.querySelector("#announced").textContent = place.querySelector("strong")?.textContent ?? "";
      untell();
    } catch (error) {
      state.counted = null;
      tell(error);
    } finally {
      place.removeAttribute("aria-busy");
    }
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
    if (!answer.ok) throw new Trouble(AWAY);
    const details = place.closest("details");
    place.outerHTML = await answer.text();
    sign(details);
  } catch (error) {
    place.textContent = `${error.message} Then close this row and open it again.`;
    place.classList.add("waiting");
  }
}

async function note(button) {
  const number = Number(button.value.split(":")[1]);
  const data = new FormData(state.form);
  data.set("note", button.value);
  const body = button.closest("tbody");
  const place = body.querySelector(".opinion [role=status]");
  place.textContent = "Keeping it …";
  try {
    const answer = await send("/overrides", data, { Accept: "application/json" });
    if (!answer.ok) throw new Trouble("This could not be kept. Try again in a moment.");
    const { noted } = await answer.json();
    state.judged.set(number, noted);
    state.form.elements.noted.value = JSON.stringify(Object.fromEntries(state.judged));
    said(body, noted);
    place.textContent = `Kept: you ${noted[0]}. It is in your download, too.`;
    untell();
    save();
  } catch (error) {
    place.textContent = `${error.message} What you typed is still here.`;
    if (error.message === OUT) tell(error);
  }
}

function said(body, noted) {
  const place = body.querySelector(".said-so");
  place.hidden = !noted;
  place.textContent = noted ? `You ${noted[0]}` : "";
}
