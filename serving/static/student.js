// Sliders beside the numbers that can change, and the difference while they move.
// Without this file the same form works with its button.

let waiting = 0;
let asking = null;

const form = document.querySelector("form[data-live]");
if (form) {
  for (const number of form.querySelectorAll("input[type=number][min][max]")) addSlider(number);
  form.querySelector(".no-script").hidden = true;
  for (const suggestion of document.querySelectorAll(".suggestions form")) {
    suggestion.addEventListener("submit", (event) => { event.preventDefault(); take(suggestion); });
  }
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 80); });
  form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
}

function addSlider(number) {
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = number.min;
  slider.max = number.max;
  slider.step = number.dataset.step;
  slider.value = number.value;
  slider.setAttribute("aria-label", form.querySelector(`label[for="${CSS.escape(number.id)}"]`).textContent.trim() + ", slider");
  slider.addEventListener("input", () => { number.value = slider.value; });
  number.addEventListener("input", () => { slider.value = number.value; });
  number.after(slider);
}

// Put a suggestion's values into the form, as if a person had.
function take(suggestion) {
  for (const [name, value] of new FormData(suggestion)) {
    if (!name.startsWith("try.")) continue;
    const field = form.elements.namedItem(name);
    field.value = value;
    if (field instanceof Element) field.dispatchEvent(new Event("input"));
  }
  show().then(() => form.scrollIntoView({ block: "nearest" }));
}

async function show() {
  const said = form.querySelector("[role=status]");
  const place = form.querySelector(".tried");
  asking?.abort();
  asking = new AbortController();
  try {
    const answer = await fetch("/try", {
      method: "POST",
      body: new FormData(form),
      headers: { Accept: "application/json" },
      signal: asking.signal,
    });
    if (!answer.ok) throw new Error(answer.statusText);
    const { html, said: text } = await answer.json();
    place.innerHTML = html;
    said.textContent = text;
    said.classList.toggle("hidden", html !== "");
  } catch (error) {
    if (error.name === "AbortError") return;
    said.classList.remove("hidden");
    said.textContent = "The difference cannot be shown now. Reload the page and try again.";
  }
}
