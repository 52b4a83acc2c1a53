// The list of cases, the case with its trace, and the words at a point. Whatever came from outside is set as text.
"use strict";
(() => {
  const PAGE = 100;
  const find = (selector) => document.querySelector(selector);
  const text = (value) => (value === null || value === undefined ? "" : String(value));

  const make = (name, attributes = {}, ...inside) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "deep") made.style.setProperty("--deep", value);
      else made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...inside.filter((each) => each !== null && each !== undefined));
    return made;
  };

  const opened = async (packed) => {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  const usd = (value) => {
    if (value === null || value === undefined) return "?";
    if (value === 0) return "$0";
    return "$" + (value >= 1 ? value.toFixed(2) : value >= 1e-6 ? value.toFixed(6) : value.toPrecision(2));
  };
  const seconds = (value) => (value === null || value === undefined ? "" : value < 100 ? value.toFixed(3) : value.toFixed(0));
  const number = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(3));
  const badge = (score) => {
    if (score === null) return make("span", { class: "badge error" }, "error");
    return make("span", { class: "badge " + (score >= 1 ? "right" : "wrong") }, number(score));
  };

  // ---- words at a point

  const tip = find("#tip");
  const showTip = (point) => {
    tip.textContent = point.dataset.tip.split(" · ").join("\n");
    tip.hidden = false;
    const at = point.querySelector(".touch").getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(12, at.left + at.width / 2 - size.width / 2), innerWidth - size.width - 12);
    const above = at.top - size.height - 6;
    tip.style.left = left + "px";
    tip.style.top = (above > 8 ? above : at.bottom + 6) + "px";
  };
  const hideTip = () => { tip.hidden = true; };
  for (const point of document.querySelectorAll(".point[data-tip]")) {
    point.addEventListener("pointerenter", () => showTip(point));
    point.addEventListener("focus", () => showTip(point));
    point.addEventListener("click", () => showTip(point));
    point.addEventListener("pointerleave", hideTip);
    point.addEventListener("blur", hideTip);
  }
  addEventListener("scroll", hideTip, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

  // ---- the list

  const start = async () => {
    const list = await opened(find("#index").textContent);
    const packets = [...document.querySelectorAll("script.packet")];
    const several = list.systems.length > 1;
    const runs = list.runs.map(([place, system, repeat, score, why, cost, took, asked, status, answer, missed], order) => {
      const [id, question, task] = list.cases[place];
      const names = asked.map((each) => list.agents[each]);
      const label = list.tasks[task];
      const haystack = [id, question, label, why, answer, status, list.systems[system], ...names].join("\n").toLowerCase();
      return { order, place, id, question, task: label, system: list.systems[system], repeat, score, why, cost, seconds: took, names, status, answer, missed, haystack };
    });
    const outcomes = {
      all: ["any", () => true],
      right: ["right", (run) => run.score !== null && run.score >= 1],
      wrong: ["wrong or in part", (run) => run.score !== null && run.score < 1],
      missed: ["another model did better", (run) => run.missed],
      escalated: ["escalated", (run) => run.status === "escalated"],
      error: ["error", (run) => run.score === null],
    };
    const inputs = filters(list, outcomes, runs);
    const rows = find("#rows");
    const more = find("#more");
    let found = runs;
    let shown = 0;
    let sorted = { key: "", down: false };

    const row = (run) => {
      const name = run.id + (run.repeat ? " #" + (run.repeat + 1) : "");
      const link = make("a", { href: "#case=" + encodeURIComponent(run.id) }, name);
      const system = several ? make("small", {}, " · " + run.system) : null;
      const made = make("tr", {},
        make("th", { scope: "row" }, link, system, make("span", { class: "asked-text" }, run.question)),
        make("td", { class: "number" }, badge(run.score)),
        make("td", { class: "number" }, usd(run.cost)),
        make("td", { class: "number" }, run.seconds === null ? "" : seconds(run.seconds) + " s"),
        make("td", {}, run.names.join(", ")),
        make("td", {}, run.why));
      made.addEventListener("click", (event) => {
        if (!event.target.closest("a") && !String(getSelection())) location.hash = "case=" + encodeURIComponent(run.id);
      });
      return made;
    };
    const extend = () => {
      rows.append(...found.slice(shown, shown + PAGE).map(row));
      shown = Math.min(shown + PAGE, found.length);
      more.hidden = shown >= found.length;
    };
    const refresh = () => {
      const words = inputs.search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = outcomes[inputs.outcome.value][1];
      const of = (key, value) => !inputs[key] || !inputs[key].value || inputs[key].value === value;
      found = runs.filter((run) => fits(run) && of("system", run.system) && of("task", run.task)
        && (!inputs.agent.value || run.names.includes(inputs.agent.value))
        && words.every((word) => run.haystack.includes(word)));
      if (sorted.key) order();
      const right = found.filter((run) => run.score !== null && run.score >= 1).length;
      const count = found.length === runs.length ? "" : "of " + runs.length.toLocaleString("en") + " ";
      find("#count").textContent = found.length.toLocaleString("en") + " " + count + "shown · " + right.toLocaleString("en") + " right";
      rows.replaceChildren();
      shown = 0;
      extend();
    };
    const order = () => {
      const { key, down } = sorted;
      const value = (run) => (key === "case" ? run.order : run[key] === null ? -1 : run[key]);
      found.sort((one, other) => (value(one) - value(other)) * (down ? -1 : 1) || one.order - other.order);
    };
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => {
        const key = button.dataset.sort;
        sorted = { key, down: sorted.key === key ? !sorted.down : key !== "case" && key !== "score" };
        for (const each of document.querySelectorAll(".cases thead th")) each.removeAttribute("aria-sort");
        button.closest("th").setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
        refresh();
      });
    }
    find("#filters").addEventListener("input", refresh);
    find("#filters").addEventListener("submit", (event) => event.preventDefault());
    more.addEventListener("click", extend);
    new IntersectionObserver((seen) => { if (seen[0].isIntersecting && shown < found.length) extend(); }, { rootMargin: "600px" }).observe(more);
    refresh();

    // ---- one case

    const dialog = find("#case");
    const body = find("#case-body");
    const places = new Map(list.cases.map(([id], place) => [id, place]));
    const kept = new Map();
    const whole = async (place) => {
      const packet = Math.floor(place / list.perPacket);
      if (!kept.has(packet)) kept.set(packet, opened(packets[packet].textContent));
      return (await kept.get(packet))[place % list.perPacket];
    };
    const asked = () => (location.hash.startsWith("#case=") ? decode(location.hash.slice(6)) : null);
    const follow = async () => {
      const wanted = asked();
      if (wanted === null) { if (dialog.open) dialog.close(); return; }
      const place = places.get(wanted);
      const inside = place === undefined ? [make("p", {}, "There is no such case in this eval.")] : telling(await whole(place));
      // Unpacking takes a moment, in which the reader may have closed the case or gone to another.
      if (asked() !== wanted) return;
      find("#case-title").textContent = wanted;
      body.replaceChildren(...inside);
      body.scrollTop = 0;
      const order = [...new Set(found.map((run) => run.id))];
      const here = order.indexOf(wanted);
      step("#earlier", here > 0 ? order[here - 1] : null);
      step("#later", here >= 0 && here < order.length - 1 ? order[here + 1] : null);
      document.title = wanted;
      if (!dialog.open) { hideTip(); dialog.showModal(); }
    };
    const title = document.title;
    const step = (selector, id) => {
      find(selector).disabled = id === null;
      find(selector).onclick = () => { location.hash = "case=" + encodeURIComponent(id); };
    };
    find("#close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft" && !find("#earlier").disabled) find("#earlier").click();
      if (event.key === "ArrowRight" && !find("#later").disabled) find("#later").click();
    });
    dialog.addEventListener("close", () => {
      document.title = title;
      if (location.hash.startsWith("#case=")) history.replaceState(null, "", "#");
    });
    addEventListener("hashchange", follow);
    await follow();
    document.documentElement.dataset.ready = "yes";
  };

  const decode = (part) => { try { return decodeURIComponent(part); } catch { return part; } };

  const filters = (list, outcomes, runs) => {
    const form = find("#filters");
    const search = make("input", { type: "search", id: "search", placeholder: "Id, question, answer, reason", autocomplete: "off" });
    const field = (label, input) => { form.append(make("div", {}, make("label", { for: input.id }, label), input)); return input; };
    const choice = (id, options) => make("select", { id }, ...options.map(([value, name]) => make("option", { value }, name)));
    const named = (names) => [["", "any"], ...names.filter(Boolean).sort().map((name) => [name, name])];
    const possible = Object.entries(outcomes).filter(([, [, fits]]) => runs.some(fits));
    return {
      search: field("Search", search),
      outcome: field("Result", choice("outcome", possible.map(([value, [name]]) => [value, name]))),
      system: list.systems.length > 1 ? field("Router", choice("system", named(list.systems))) : null,
      task: list.tasks.length > 1 ? field("Domain", choice("task", named(list.tasks))) : null,
      agent: field("Asked", choice("agent", named(list.agents))),
    };
  };

  const facts = (pairs) => make("dl", { class: "facts" },
    ...pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)
      .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value instanceof Node ? value : text(value))]));

  const telling = (whole) => {
    const wanted = Object.entries(whole.expect).map(([name, value]) => name + " " + [].concat(value).join(", ")).join("; ");
    const chosen = new Set(whole.runs.flatMap((run) => run.support));
    return [
      make("h3", {}, "Question"),
      make("div", { class: "quote", tabindex: "0" }, whole.question),
      whole.prompt === whole.question ? null
        : make("details", {}, make("summary", {}, "All that was sent"), make("div", { class: "quote" }, whole.prompt)),
      facts([["Choices", whole.choices.join(" | ")], ["Right answer", whole.reference.join("\nor ")], ["Has to", wanted]]),
      ...whole.runs.map((run) => attempt(run, whole.runs.length > 1)),
      ...(whole.models.length ? [make("h3", {}, "What every model gave"), models(whole.models, chosen)] : []),
    ].filter(Boolean);
  };

  const attempt = (run, several) => {
    const name = several ? run.system + (run.repeat ? " #" + (run.repeat + 1) : "") : "Result of " + run.system;
    const [turns, calls, control, reroutes] = run.counts;
    const apart = Object.entries(run.apart).map(([what, cost]) => usd(cost) + " " + what).join(", ");
    const cost = usd(run.cost) + (run.exact ? "" : " (estimated in part)") + (apart ? " · " + apart : "");
    const steps = make("ol", { class: "trace" }, ...run.trace.map(stepLine));
    return make("section", { class: "run" },
      make("h3", {}, name),
      facts([
        ["Score", badge(run.score)], ["Why", run.why], ["Error", run.error], ["Status", run.status],
        ["Answer", run.answer], ["Supported by", run.support.join(", ")], ["Reasons", run.reasons.join("\n")],
        ["Cost", cost], ["Took", run.seconds === null ? "" : seconds(run.seconds) + " s"],
        ["Calls", [[turns, "turn"], [calls, "expert call"], [control, "control call"], [reroutes, "reroute"]]
          .map(([count, word]) => count + " " + word + (count === 1 ? "" : "s")).join(" · ")],
      ]),
      make("h3", {}, "Trace"),
      run.said ? make("p", { class: "hint" }, run.said) : null,
      run.trace.length ? steps : null,
      run.file ? make("p", {}, make("small", {}, "The whole trace: " + run.file)) : null);
  };

  const tones = { failed: "bad", "try": "bad", escalated: "bad", ended: "bad", cancelled: "bad", bad: "bad", reply: "good", decision: "decision", turn: "turn" };
  const stepLine = ([deep, label, rest]) =>
    make("li", { deep, class: tones[label.split(" ")[0]] }, make("b", {}, label), make("span", {}, rest));

  const models = (found, chosen) => make("table", { class: "models" },
    make("thead", {}, make("tr", {}, ...["Model", "Score", "USD"].map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...found.map(([name, score, cost]) => make("tr", { class: chosen.has(name) ? "chosen" : null },
      make("th", { scope: "row" }, name), make("td", {}, badge(score)), make("td", {}, usd(cost))))));

  if (find("#list")) {
    start().catch((problem) => {
      find("#count").textContent = "The cases cannot be shown: this browser cannot unpack them (" + problem.message + ").";
    });
  }
})();
