// Everything here adds to pages that work without it: search, and a list of headings that is open where there
// is room for it.
const $ = (selector) => document.querySelector(selector);

const headings = $("aside details");
if (headings) headings.open = matchMedia("(min-width: 75.01rem)").matches;

const dialog = $("#search"), input = $("#search input"), status = $("#search p"), results = $("#search ol");
const open = $("#search-open");
// Pages that are opened from files cannot load the index.
open.hidden = location.protocol === "file:";

let pagefind; // loaded once, when somebody searches
async function search() {
  pagefind ??= import(new URL("pagefind/pagefind.js", import.meta.url));
  const words = input.value.trim();
  const found = await (await pagefind).debouncedSearch(words);
  if (!found) return; // the words have changed since
  const pages = await Promise.all(found.results.slice(0, 10).map((result) => result.data()));
  const items = pages.flatMap((page) => {
    const parts = page.sub_results.toSorted((a, b) => score(b) - score(a)).slice(0, 3);
    return parts.map((part) => item(part.url, page.meta.title, part.title, part.excerpt));
  });
  if (words !== input.value.trim()) return;
  results.replaceChildren(...items);
  status.textContent = !words ? "" : found.results.length === 1 ? "1 page" : `${found.results.length} pages`;
}

// score says how well a section of a page fits.
const score = (section) => section.weighted_locations.reduce((sum, word) => sum + word.balanced_score, 0);

function item(url, page, section, excerpt) {
  const link = document.createElement("a");
  link.href = url;
  link.textContent = section && section !== page ? `${page} › ${section}` : page;
  const text = document.createElement("span");
  text.innerHTML = excerpt; // pagefind escapes the page's text, and adds <mark>
  link.append(text);
  const li = document.createElement("li");
  li.append(link);
  return li;
}

open.addEventListener("click", () => dialog.showModal());
input.addEventListener("input", search);
// Return follows the first result.
input.form.addEventListener("submit", (event) => {
  if (event.submitter?.matches(":focus")) return;
  event.preventDefault();
  results.querySelector("a")?.click();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("a")) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const stops = [input, ...results.querySelectorAll("a")];
  stops[stops.indexOf(document.activeElement) + step]?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, textarea")) return;
  event.preventDefault();
  if (!open.hidden && !dialog.open) dialog.showModal();
});
