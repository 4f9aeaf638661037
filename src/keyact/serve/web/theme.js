// Dark or light, before anything is painted: the system's choice until somebody makes another.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let own = null;
  try { own = localStorage.getItem("theme"); } catch { /* storage may be switched off */ }

  function set(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    document.getElementById("theme")?.setAttribute("aria-pressed", String(dark));
    document.dispatchEvent(new Event("theme"));
  }

  set(own ? own === "dark" : system.matches);
  system.addEventListener("change", () => { if (!own) set(system.matches); });
  document.addEventListener("DOMContentLoaded", () => {
    set(root.dataset.theme === "dark");
    document.getElementById("theme").addEventListener("click", () => {
      own = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("theme", own); } catch { /* not kept, then */ }
      set(own === "dark");
    });
  });
})();
