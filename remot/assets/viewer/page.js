
document.documentElement.className = "js";
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const size = 20, cards = [...document.querySelectorAll("article")], texts = new Map();
  const form = document.querySelector(".filters"), search = form.querySelector("input"), state = form.querySelector("[data-state]");
  const selects = [...form.querySelectorAll("[data-tag]")];
  let page = 0, found = cards;
  for (const select of selects) {
    const values = [...new Set(cards.map((card) => card.dataset[select.dataset.tag]).filter(Boolean))].sort();
    for (const value of values) select.add(new Option(value, value));
    select.parentElement.hidden = values.length < 2;
  }
  const states = new Set(cards.flatMap((card) => card.dataset.states.split(" ")));
  for (const option of [...state.options]) if (option.value && !states.has(option.value)) option.remove();
  state.parentElement.hidden = state.options.length < 2;
  const textOf = (card) => texts.get(card) ?? texts.set(card, card.textContent.toLowerCase()).get(card);
  const show = () => {
    const pages = Math.max(1, Math.ceil(found.length / size)), shown = new Set(found.slice(page * size, (page + 1) * size));
    for (const card of cards) { card.classList.remove("later"); card.hidden = !shown.has(card); }
    form.querySelector("output").textContent = `${found.length} of ${cards.length} prompts, page ${page + 1} of ${pages}`;
    form.querySelector('[data-turn="-1"]').disabled = page === 0;
    form.querySelector('[data-turn="1"]').disabled = page + 1 >= pages;
  };
  const filter = () => {
    const words = search.value.trim().toLowerCase();
    found = cards.filter((card) =>
      selects.every((select) => !select.value || card.dataset[select.dataset.tag] === select.value) &&
      (!state.value || card.dataset.states.split(" ").includes(state.value)) &&
      (!words || textOf(card).includes(words)));
    page = 0;
    show();
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("[data-turn]"))
    button.addEventListener("click", () => { page += Number(button.dataset.turn); show(); scrollTo(0, 0); });
  document.querySelector("main").addEventListener("click", (event) => event.target.closest("img")?.classList.toggle("large"));
  show();
});
