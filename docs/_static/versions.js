/* A list of the versions that are published next to this one: the folders that `../versions.json` names, newest first.
   It leads to the page of the same name, or to the home page where a version has no such page. Without the file, as
   in a site that was built by itself, there is no list. */
(async () => {
  if (location.protocol === "file:") return; // where a page may not read another file
  const home = new URL(document.documentElement.dataset.content_root, location.href);
  const all = new URL("../", home);
  const answer = await fetch(new URL("versions.json", all)).catch(() => null);
  if (!answer?.ok) return;
  const versions = await answer.json();
  const here = decodeURIComponent(home.pathname.split("/").at(-2));
  if (!versions.includes(here)) return;

  const list = document.createElement("select");
  for (const version of versions) list.add(new Option(version, version, version === here, version === here));
  list.addEventListener("change", async () => {
    const there = new URL(`${encodeURIComponent(list.value)}/`, all);
    const page = new URL(location.href.slice(home.href.length), there);
    const found = await fetch(page, { method: "HEAD" }).catch(() => null);
    location.assign(found?.ok ? page : there);
  });
  const label = document.createElement("label");
  label.className = "versions";
  label.append("Version ", list);
  document.querySelector(".sidebar-brand").after(label);
})();
