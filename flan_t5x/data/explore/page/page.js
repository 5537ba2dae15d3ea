(() => {
  const PAGE = 200; // tasks shown at a time
  const state = { mixture: "", query: "", sort: "order", parts: new Set(), groups: new Set(), formats: new Set(), shown: PAGE };

  let labels = []; // submixtures of the chosen mixture; their order gives their colours
  const hue = (label) => Math.round(labels.indexOf(label) * 137.5 + 215) % 360;
  const groupOf = (task) => task.group || "other";
  // What a task came in by: a mixture inside this one, or else its group.
  const partOf = (row) => row.part || groupOf(row.task);
  const formatOf = (task) => task.format + (task.options.length ? "" : " no options");

  const searched = new Map(); // task -> everything in it, in small letters
  function haystack(task) {
    if (!searched.has(task)) {
      const parts = [task.name, groupOf(task), formatOf(task)];
      for (const index of task.templates) parts.push(...data.templates[index]);
      for (const one of task.examples) parts.push(one.id, one.inputs || "", one.targets || "");
      searched.set(task, parts.join("\n").toLowerCase());
    }
    return searched.get(task);
  }

  const mixture = () => data.mixtures.find((one) => one.name === state.mixture) || data.mixtures[0];

  function rows() {
    const merged = new Map(); // a mixture may name a task several times
    for (const [index, examples, cap, rate, share, counted, part] of mixture().rows) {
      const old = merged.get(`${index} ${part}`);
      if (old) old.share += share;
      else merged.set(`${index} ${part}`, { task: data.tasks[index], examples, cap, rate, share, counted, part });
    }
    return [...merged.values()];
  }

  function matching(all) {
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter(
      (row) =>
        (!state.parts.size || state.parts.has(partOf(row))) &&
        (!state.groups.size || state.groups.has(groupOf(row.task))) &&
        (!state.formats.size || state.formats.has(formatOf(row.task))) &&
        words.every((word) => haystack(row.task).includes(word)),
    );
    if (state.sort === "share") found.sort((a, b) => b.share - a.share);
    if (state.sort === "name") found.sort((a, b) => (a.task.name < b.task.name ? -1 : 1));
    return found;
  }

  function highlighted(text) {
    const words = state.query.split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    if (!words.length) return [text];
    return text.split(new RegExp(`(${words.join("|")})`, "gi")).map((part, i) => (i % 2 ? make("mark", "", part) : part));
  }

  function templateText(text) {
    return text.split(/(\{[^{}]*\})/).map((part, i) => (i % 2 ? make("span", "field", part) : make("span", "", ...highlighted(part))));
  }

  function tokens(ids, more) {
    const line = make("div", "tokens", ...ids.map((id) => make("span", "", data.pieces[id] || "?", make("small", "", String(id)))));
    if (more) line.append(`and ${number(more)} more`);
    return line;
  }

  function example(task, one) {
    const box = make("div", "example");
    if (one.rejected) {
      box.append(make("div", "label", `row ${one.id}`), make("div", "bad", `not usable: ${one.rejected}`));
      return box;
    }
    const facts = [`row ${one.id}`, `template ${one.template + 1}`];
    if (one.style) facts.push(`options ${one.style}`);
    if (one.shots.length) facts.push(`exemplars ${one.shots.join(", ")}`);
    if (one.format !== task.format) facts.push(`rendered as ${one.format}`);
    box.append(make("div", "label", facts.join(" · ")));
    const sides = [["inputs", one.inputs, one.input_ids, one.more[0]], ["targets", one.targets, one.target_ids, one.more[1]]];
    for (const [side, text, ids, more] of sides) {
      const button = make("button", "", "tokens");
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      const label = make("div", "label", `${side}, ${number(ids.length + more)} tokens `, button);
      const shown = make("div", "text", ...highlighted(text));
      button.addEventListener("click", () => {
        const open = button.getAttribute("aria-expanded") === "true";
        button.setAttribute("aria-expanded", String(!open));
        if (open) shown.nextElementSibling.remove();
        else shown.after(tokens(ids, more));
      });
      box.append(label, shown);
    }
    return box;
  }

  function body(row) {
    const { task } = row;
    const facts = [`metrics ${task.metrics.join(", ") || "none"}`, `extraction ${task.extract}`];
    if (task.options.length) facts.push(`option styles ${task.options.join(", ")}`);
    const list = make("ol", "", ...task.templates.map((index) => {
      const [inputs, targets, shot] = data.templates[index];
      const more = shot ? [make("span", "arrow", " — exemplar: "), ...templateText(shot)] : [];
      return make("li", "", ...templateText(inputs), make("span", "arrow", " → "), ...templateText(targets), ...more);
    }));
    const box = make("div", "body", make("p", "facts", facts.join(" · ")), make("h3", "", `${task.templates.length} templates`), list);
    if (task.missing) box.append(make("h3", "", "Examples"), make("p", "bad", task.missing));
    else if (task.examples.length) box.append(make("h3", "", "Examples"), ...task.examples.map((one) => example(task, one)));
    return box;
  }

  function card(row, most) {
    const { task } = row;
    const bar = make("span");
    bar.style.width = most > 0 ? `${(100 * row.share) / most}%` : "0";
    const track = make("div", "track", bar);
    track.style.setProperty("--hue", hue(partOf(row)));
    const counted = row.counted === "data" ? "" : row.counted === "published" ? " (published)" : " (unknown)";
    const count = `${number(row.examples)}${row.cap && row.cap < row.examples ? `, cap ${number(row.cap)}` : ""}${counted}`;
    const name = make("div", "", make("div", "name", ...highlighted(task.name)), make("div", "kind", [...new Set([partOf(row), groupOf(task), formatOf(task)])].join(" · ")));
    const details = make("details", "task", make("summary", "", name, make("div", "examples", count), track, make("div", "share", percent(row.share))));
    details.dataset.task = task.name;
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(body(row));
    });
    return details;
  }

  function chips(box, values, chosen, counts) {
    box.replaceChildren(...values.map((value) => {
      const chip = make("button", "", `${value} ${number(counts.get(value) || 0)}`);
      chip.type = "button";
      chip.dataset.value = value;
      chip.setAttribute("aria-pressed", String(chosen.has(value)));
      if (box.id === "parts-filter") {
        const dot = make("span", "dot");
        dot.style.setProperty("--hue", hue(value));
        chip.prepend(dot);
      }
      chip.addEventListener("click", () => {
        if (!chosen.delete(value)) chosen.add(value);
        update();
      });
      return chip;
    }));
  }

  function tally(all, key) {
    const counts = new Map();
    for (const row of all) counts.set(key(row), (counts.get(key(row)) || 0) + 1);
    return counts;
  }

  function drawMixture(all) {
    const one = mixture();
    at("about").textContent = `${one.about ? `${one.about}. ` : ""}${number(all.length)} tasks, ${number(all.reduce((sum, row) => sum + row.examples, 0))} examples.`;
    const known = new Set(data.mixtures.map((each) => each.name));
    at("parts").replaceChildren(...one.parts.filter((part) => known.has(part.name) && part.name !== one.name).map((part) => {
      const button = make("button", "", `${part.name} ${percent(part.share)}`);
      button.type = "button";
      button.addEventListener("click", () => choose(part.name));
      return button;
    }));
    const shares = new Map();
    for (const row of all) shares.set(partOf(row), (shares.get(partOf(row)) || 0) + row.share);
    at("bar").replaceChildren(...[...shares].sort((a, b) => b[1] - a[1]).map(([part, share]) => {
      const piece = make("span");
      piece.style.flexGrow = share;
      piece.style.setProperty("--hue", hue(part));
      piece.title = `${part} ${percent(share)}`;
      piece.dataset.share = share;
      return piece;
    }));
    at("bar").setAttribute("aria-label", [...shares].map(([part, share]) => `${part} ${percent(share)}`).join(", "));
  }

  // Groups inside the chosen submixtures; where these are groups themselves there is no more to say.
  function drawGroups(all) {
    const inside = all.filter((row) => state.parts.has(partOf(row)) || labels.length === 1);
    const counts = tally(inside, (row) => groupOf(row.task));
    const useful = counts.size > 1;
    at("groups-box").hidden = !useful;
    for (const group of state.groups) if (!useful || !counts.has(group)) state.groups.delete(group);
    chips(at("groups"), [...counts.keys()].sort(), state.groups, counts);
  }

  function choose(name) {
    state.mixture = name;
    state.parts.clear();
    state.groups.clear();
    state.formats.clear();
    update();
  }

  function update() {
    state.shown = PAGE;
    const all = rows();
    at("mixture").value = mixture().name;
    const inParts = tally(all, partOf), inFormats = tally(all, (row) => formatOf(row.task));
    labels = [...inParts.keys()];
    drawMixture(all);
    chips(at("parts-filter"), labels, state.parts, inParts);
    drawGroups(all);
    chips(at("formats"), [...inFormats.keys()].sort(), state.formats, inFormats);
    list(all);
    remember();
  }

  function list(all) {
    const found = matching(all);
    const most = found.reduce((high, row) => Math.max(high, row.share), 0);
    const share = found.reduce((sum, row) => sum + row.share, 0);
    at("count").textContent = found.length === all.length ? `${number(all.length)} tasks` : `${number(found.length)} of ${number(all.length)} tasks, ${percent(share)} of the mixture`;
    at("tasks").replaceChildren(...found.slice(0, state.shown).map((row) => card(row, most)));
    at("more").hidden = found.length <= state.shown;
  }

  // The address remembers what is shown, so that a view can be sent to somebody.
  function remember() {
    const view = new URLSearchParams();
    if (mixture() !== data.mixtures[0]) view.set("mixture", mixture().name);
    if (state.query) view.set("q", state.query);
    if (state.sort !== "order") view.set("sort", state.sort);
    for (const part of state.parts) view.append("part", part);
    for (const group of state.groups) view.append("group", group);
    for (const format of state.formats) view.append("format", format);
    history.replaceState(null, "", `#${view}`);
  }

  function recall() {
    const view = new URLSearchParams(location.hash.slice(1));
    state.mixture = view.get("mixture") || data.mixtures[0].name;
    state.query = view.get("q") || "";
    state.sort = view.get("sort") || "order";
    state.parts = new Set(view.getAll("part"));
    state.groups = new Set(view.getAll("group"));
    state.formats = new Set(view.getAll("format"));
    at("query").value = state.query;
    at("sort").value = state.sort;
  }

  at("mixture").append(...data.mixtures.map((one) => new Option(`${one.name} (${number(new Set(one.rows.map((row) => row[0])).size)} tasks)`, one.name)));
  at("mixture").addEventListener("change", (event) => choose(event.target.value));
  at("sort").addEventListener("change", (event) => { state.sort = event.target.value; update(); });
  at("query").addEventListener("input", (event) => {
    state.query = event.target.value;
    state.shown = PAGE;
    list(rows());
    remember();
  });
  at("more").addEventListener("click", () => { state.shown += PAGE; list(rows()); });
  window.addEventListener("hashchange", () => { recall(); update(); });
  const { vocabulary, seed, inputs_length: length } = data.made;
  document.querySelector("h1").title = `vocabulary ${vocabulary}, seed ${seed}, few-shot prompts within ${length} tokens`;
  recall();
  update();
})();
