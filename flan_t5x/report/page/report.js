(() => {
  const PAGE = 20; // samples shown at a time
  if (!data.samples.length) return;
  const state = { query: "", task: "", outcome: "", shown: PAGE };
  const outcomesOf = (sample) => sample.answers.map((answer) => answer.outcome);
  const haystacks = new Map(data.samples.map((sample) => [sample, [sample.task, sample.id, sample.inputs, sample.target, ...sample.answers.map((answer) => answer.prediction)].join("\n").toLowerCase()]));

  function matching() {
    const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
    return data.samples.filter(
      (sample) =>
        (!state.task || sample.task === state.task) &&
        (!state.outcome || outcomesOf(sample).includes(state.outcome)) &&
        words.every((word) => haystacks.get(sample).includes(word)),
    );
  }

  function answer(one) {
    const dot = make("span", `dot s${(data.first + one.evaluation) % 8}`);
    const outcome = make("span", one.outcome === "right" ? "right" : "bad", one.outcome);
    const extracted = one.extracted === one.prediction ? "" : make("div", "label", `extracted: “${one.extracted}”`);
    const box = make("div", "answer", make("div", "label", dot, `${data.evaluations[one.evaluation]}: `, outcome), make("div", "text", one.prediction || "(empty)"), extracted);
    if (one.votes.length) {
      const votes = one.votes.map(([prediction, voted]) => make("li", "", make("div", "label", `voted “${voted}”`), make("div", "text", prediction)));
      box.append(make("details", "", make("summary", "", `${votes.length} samples that voted`), make("ol", "", ...votes)));
    }
    return box;
  }

  function card(sample) {
    const prompt = make("div", "text prompt", sample.inputs);
    prompt.tabIndex = 0;
    return make("div", "example", make("div", "label", `${sample.task} · row ${sample.id}`), prompt, make("div", "label", "target"), make("div", "text", sample.target), ...sample.answers.map(answer));
  }

  function show() {
    const found = matching();
    at("count").textContent = found.length === data.samples.length ? `${number(found.length)} samples` : `${number(found.length)} of ${number(data.samples.length)} samples`;
    at("shown").replaceChildren(...found.slice(0, state.shown).map(card));
    for (const prompt of at("shown").querySelectorAll(".prompt")) prompt.scrollTop = prompt.scrollHeight; // the question is last
    at("more").hidden = found.length <= state.shown;
    for (const chip of at("outcomes").children) chip.setAttribute("aria-pressed", String(chip.dataset.value === state.outcome));
  }

  function choose(changes) {
    Object.assign(state, { shown: PAGE }, changes);
    show();
  }

  const tasks = [...new Set(data.samples.map((sample) => sample.task))];
  at("task").append(new Option(`all ${number(tasks.length)}`, ""), ...tasks.map((task) => new Option(task, task)));
  at("task").addEventListener("change", (event) => choose({ task: event.target.value }));
  at("query").addEventListener("input", (event) => choose({ query: event.target.value }));
  at("more").addEventListener("click", () => { state.shown += PAGE; show(); });
  const outcomes = [...new Set(data.samples.flatMap(outcomesOf))].sort();
  at("outcomes").append(...outcomes.map((outcome) => {
    const chip = make("button", "", `${outcome} ${number(data.samples.filter((sample) => outcomesOf(sample).includes(outcome)).length)}`);
    chip.type = "button";
    chip.dataset.value = outcome;
    chip.addEventListener("click", () => choose({ outcome: state.outcome === outcome ? "" : outcome }));
    return chip;
  }));
  show();
})();
