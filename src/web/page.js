// The table without loading the page again. All of it works without this file, too:
// links and the form lead to the same addresses.
"use strict";
(() => {
  const form = document.getElementById("filter");
  const news = document.getElementById("news");

  // What is known changes seldom: it is asked for while somebody looks.
  const version = `"${document.body.dataset.version}"`;
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("api/status", { method: "HEAD", cache: "no-store" });
      if (answer.ok && answer.headers.get("etag") !== version) news.hidden = false;
    } catch { /* it is not served any more, or not yet again */ }
  }, 20000);
  if (!form) return;

  const find = document.getElementById("q");
  const told = document.getElementById("told");
  let last = null;

  async function show(address) {
    last?.abort();
    last = new AbortController();
    const { signal } = last;
    const table = document.getElementById("table");
    table.setAttribute("aria-busy", "true");
    const url = new URL(address, location.href);
    url.searchParams.set("part", "table");
    url.hash = "";
    try {
      const answer = await fetch(url, { signal, cache: "no-store" });
      const drawn = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("table");
      if (!answer.ok || !drawn) throw new Error(answer.statusText);
      const kept = document.activeElement?.dataset?.keep;
      table.replaceWith(document.adoptNode(drawn));
      if (kept) document.querySelector(`[data-keep="${kept}"]`)?.focus();
      told.textContent = document.getElementById("count")?.textContent ?? "";
      const shown = new URL(address, location.href);
      history.replaceState(null, "", shown);
    } catch (error) {
      if (error.name === "AbortError") return;
      table.removeAttribute("aria-busy");
      told.textContent = "The devices cannot be shown: is it still served?";
      told.classList.remove("unseen");
    }
  }

  function asked() {
    const words = new URLSearchParams(new FormData(form));
    const sort = new URL(location.href).searchParams.get("sort");
    if (sort) words.set("sort", sort); else words.delete("sort");
    for (const [name, value] of [["q", ""], ["show", "all"]]) if (words.get(name) === value) words.delete(name);
    return `?${words}#devices`;
  }

  let pause = 0;
  find.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(() => show(asked()), 120);
  });
  document.getElementById("show").addEventListener("change", () => show(asked()));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(pause);
    show(asked());
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#table a[href]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    show(link.getAttribute("href"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.closest?.("input, select, textarea");
    if (event.key === "/" && !inField) {
      event.preventDefault();
      find.focus();
      find.select();
    } else if (event.key === "Escape" && event.target === find && find.value) {
      event.preventDefault();
      find.value = "";
      show(asked());
    }
  });
  document.getElementById("hint").hidden = false;
})();
