// What the page does by itself: sliders beside numbers, line numbers, completion and hover in the text, focus after a save.
"use strict";
(() => {
  const LINE = 20, PAD = 8, MOST = 8;
  const at = (id) => document.getElementById(id);
  const text = () => at("text");
  let schema = null, asking = false, choice = -1, offered = [];

  // Sliders and numbers say the same.
  document.addEventListener("input", (event) => {
    const from = event.target;
    if (from.type === "range" && from.dataset.for) at(from.dataset.for).value = from.value;
    if (from.type === "number" && from.form) {
      const slider = from.form.querySelector("input[type=range]");
      if (slider) slider.value = from.value;
      if (slider) from.dataset.typed = "";
    }
    if (from === text()) { numbers(); complete(); }
  });

  // A changed number is sent from an element that stays: what waits for its turn outlives the rows that are shown anew meanwhile.
  const waiting = [];
  function save(form) {
    const values = Object.fromEntries(new FormData(form));
    form.querySelectorAll("input").forEach((input) => { delete input.dataset.typed; });
    waiting.push(values);
    htmx.ajax("POST", at("saver").dataset.address, { source: "#saver", swap: "none", values });
  }
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.elt.id === "saver") waiting.shift(); });
  document.addEventListener("change", (event) => { if (event.target.form && event.target.form.matches(".knob")) save(event.target.form); });
  document.addEventListener("submit", (event) => { if (event.target.matches(".knob")) event.preventDefault(); });
  document.addEventListener("focusout", (event) => { if ("typed" in event.target.dataset) save(event.target.form); });
  // Rows that are shown anew keep what waits, and what is being typed.
  let typing = null;
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const input = document.activeElement;
    if (event.detail.target.id === "rows") typing = "typed" in input.dataset ? { path: input.id, value: input.value } : null;
    if (typing) delete input.dataset.typed;
  });
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id !== "rows") return;
    [...waiting, ...(typing ? [typing] : [])].forEach(({ path, value }) => { if (at(path)) at(path).value = value; });
    if (typing && at(typing.path)) {
      at(typing.path).dataset.typed = "";
      at(typing.path).focus();
    }
    typing = null;
  });

  // What the draft does to each rule stands beside it.
  function figures() {
    const told = at("figures");
    if (!told || "shown" in told.dataset) return;
    told.dataset.shown = "";
    for (const [id, row] of Object.entries(JSON.parse(told.textContent))) {
      for (const [name, words] of [["was", row.was], ["now", row.now], ["price", row.price]]) {
        const place = at(name + "-" + id);
        if (!place || (place.textContent === words && name !== "now")) continue;
        place.replaceChildren(words);
        if (name !== "now" || !row.moved) continue;
        const state = document.createElement("span");
        state.className = "state";
        state.textContent = "changed";
        place.append(" ", state);
      }
    }
  }

  // Line numbers, and which lines have mistakes.
  function numbers() {
    const area = text(), gutter = at("gutter");
    if (!area || !gutter) return;
    const marks = {};
    document.querySelectorAll("#mistakes [data-line]").forEach((button) => {
      marks[button.dataset.line] = "mild" in button.dataset ? "mild" : "wrong";
    });
    gutter.replaceChildren(...area.value.split("\n").map((_, index) => {
      const line = document.createElement("div"), mark = marks[index + 1];
      line.textContent = (mark ? "! " : "") + (index + 1) + " ";
      if (mark) line.className = mark;
      return line;
    }));
    gutter.scrollTop = area.scrollTop;
  }
  document.addEventListener("scroll", (event) => {
    if (event.target === text()) { at("gutter").scrollTop = text().scrollTop; hide(); }
  }, true);
  document.addEventListener("click", (event) => {
    const line = event.target.dataset && event.target.dataset.line;
    if (line) goTo(Number(line));
    const item = event.target.closest("#completions li");
    if (item) take(Number(item.dataset.place));
  });
  function goTo(line) {
    const area = text(), lines = area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[line - 1] || "").length);
    area.scrollTop = Math.max(0, (line - 5) * LINE);
  }

  // The JSON schema of policies for this run's scores: what keys are for, and which words may follow them.
  async function learn() {
    const editor = document.querySelector(".editor");
    if (schema || asking || !editor) return;
    asking = true;
    const answer = await fetch(editor.dataset.schema).catch(() => null);
    if (answer && answer.ok) schema = await answer.json();
    asking = false;
  }
  // A part of the schema with all its alternatives.
  const parts = (part) => part.$ref ? parts(schema.$defs[part.$ref.split("/").pop()])
    : [part, ...["anyOf", "allOf", "oneOf"].flatMap((word) => (part[word] || []).flatMap(parts)), ...(part.items ? parts(part.items) : [])];
  const known = (found) => Object.assign({}, ...found.map((part) => part.properties || {}));
  const valuesOf = (found) => [...new Set(found.flatMap((part) => "const" in part ? [part.const] : part.enum || []))].map(String);
  // The keys under which the end of a text stands, and whether a value is wanted there; null inside a comment.
  const TOKEN = /"(?:[^"\\]|\\.)*"|'[^']*'|(?:^|\s)#.*$|([\p{L}\p{N}_.-]+)\s*:(?=\s|$)|[{}[\],]/gu;
  function place(upto) {
    const lines = upto.split("\n");
    let stack = [], commented = false;
    lines.forEach((line, row) => {
      const column = line.match(/^\s*(?:- +)*/)[0].length, opened = () => stack.findLastIndex((each) => each.open);
      if (opened() < 0 && (line.trim() || row === lines.length - 1)) stack = stack.filter((each) => each.column < column);
      for (const [token, key] of line.matchAll(TOKEN)) {
        commented = row === lines.length - 1 && token.trim().startsWith("#");
        if (key) stack.push({ key, row, column: opened() < 0 ? column : Infinity });
        else if ("{[".includes(token)) stack.push({ open: token, column: Infinity });
        else if ("}]".includes(token)) stack.length = Math.max(0, opened());
        else if (token === ",") stack.length = opened() + 1;
      }
    });
    const last = stack[stack.length - 1];
    const value = Boolean(last) && (last.open === "[" || (!last.open && (last.column === Infinity || last.row === lines.length - 1)));
    return commented ? null : { path: stack.filter((each) => each.key).map((each) => each.key), value };
  }
  // What the schema says of a place: told of its key, and the keys and values that may stand there. A rule that names its kind is of that kind.
  function said(upto, after) {
    const there = schema && place(upto);
    if (!there) return null;
    const rule = upto.slice(Math.max(0, ...[...upto.matchAll(/(?:^|\n)\s*- /g)].map((found) => found.index))) + after.split(/\n\s*- |\n\S/, 1)[0];
    const kind = (rule.match(/\bkind\s*:\s*(\w+)/) || [])[1];
    const isKind = (part) => part.properties && part.properties.kind && part.properties.kind.const === kind;
    const narrowed = (found) => found.some(isKind) ? found.filter(isKind) : found;
    let found = parts(schema), told = "";
    for (const key of there.path) {
      const inside = narrowed(found).map((part) => (part.properties || {})[key]).filter(Boolean);
      told = inside.length ? inside[0].description : "";
      found = inside.flatMap(parts);
    }
    const keys = known(narrowed(found)), values = valuesOf(found);
    return { ...there, told, keys, choices: there.value || !Object.keys(keys).length ? values : Object.keys(keys) };
  }
  const before = (area, position) => area.value.slice(area.value.lastIndexOf("\n", position - 1) + 1, position);
  const WORD = /[\p{L}\p{N}_.%/-]*$/u;
  function wanted(area) {
    const position = area.selectionStart, word = before(area, position).match(WORD)[0];
    const there = said(area.value.slice(0, position - word.length), area.value.slice(position));
    return { word, found: there ? there.choices : [] };
  }
  function complete() {
    const area = text();
    if (!schema || area.selectionStart !== area.selectionEnd) return hide();
    const { word, found } = wanted(area);
    offered = found.filter((each) => word && each !== word && each.toLowerCase().startsWith(word.toLowerCase())).slice(0, MOST);
    if (!offered.length) return hide();
    choice = 0;
    show(area, word);
  }
  function size(area) {
    const probe = document.createElement("canvas").getContext("2d"), style = getComputedStyle(area);
    probe.font = style.fontSize + " " + style.fontFamily;
    return probe.measureText("0").width;
  }
  function show(area, word) {
    const list = at("completions"), position = area.selectionStart;
    const line = area.value.slice(0, position).split("\n").length - 1;
    const column = before(area, position).length - word.length;
    list.replaceChildren(...offered.map((each, place) => {
      const item = document.createElement("li");
      item.setAttribute("role", "option");
      item.id = "completion-" + place;
      item.dataset.place = place;
      item.textContent = each;
      item.setAttribute("aria-selected", place === choice);
      return item;
    }));
    list.hidden = false;
    const top = PAD + (line + 1) * LINE - area.scrollTop + 2;
    const low = top + list.offsetHeight > area.clientHeight;
    list.style.top = (low ? top - LINE - list.offsetHeight - 4 : top) + "px";
    list.style.left = Math.min(area.offsetLeft + PAD + column * size(area) - area.scrollLeft, area.clientWidth - 120) + "px";
    at("completion-status").textContent = offered.length + " completions, " + offered[choice];
  }
  function hide() {
    const list = at("completions");
    if (list) list.hidden = true;
    offered = [];
    choice = -1;
  }
  function take(place) {
    const area = text(), position = area.selectionStart;
    const { word } = wanted(area);
    area.setRangeText(offered[place], position - word.length, position, "end");
    hide();
    area.focus();
    area.dispatchEvent(new Event("input", { bubbles: true }));
    hide();
  }
  document.addEventListener("keydown", (event) => {
    if (event.target !== text() || !offered.length) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      choice = (choice + step + offered.length) % offered.length;
      const { word } = wanted(text());
      show(text(), word);
    } else if (event.key === "Enter") take(choice);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
  });

  // What the word at the cursor, or under the mouse, is for: of a value, what its key is for.
  function meaning(whole, position) {
    const start = position - whole.slice(0, position).match(WORD)[0].length;
    const word = whole.slice(start).match(/^[\p{L}\p{N}_.%/-]*/u)[0];
    const there = word && said(whole.slice(0, start), whole.slice(start + word.length));
    if (!there) return "";
    const key = there.value ? there.path[there.path.length - 1] : word;
    const told = there.value ? there.told : (there.keys[key] || {}).description;
    return told ? key + ": " + told : "";
  }
  document.addEventListener("selectionchange", () => {
    const area = text();
    if (!area || document.activeElement !== area) return;
    const told = meaning(area.value, area.selectionStart);
    if (told) at("key-help").textContent = told;
  });
  document.addEventListener("mousemove", (event) => {
    const tip = at("hover"), area = text();
    if (!tip || event.target !== area) { if (tip) tip.hidden = true; return; }
    const box = area.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top - PAD + area.scrollTop) / LINE);
    const column = Math.floor((event.clientX - box.left - PAD + area.scrollLeft) / size(area));
    const lines = area.value.split("\n"), line = lines[row];
    const start = lines.slice(0, row).reduce((sum, each) => sum + each.length + 1, 0);
    const told = line === undefined || column > line.length ? "" : meaning(area.value, start + column);
    tip.hidden = !told;
    tip.textContent = told;
    tip.style.top = Math.min(event.clientY - box.top + 18, box.height - 30) + "px";
    tip.style.left = Math.max(4, Math.min(event.clientX - box.left + 46, box.width - 260)) + "px";
  });
  ["focusin", "mouseover"].forEach((name) => document.addEventListener(name, (event) => { if (event.target === text()) learn(); }));
  document.addEventListener("focusout", (event) => { if (event.target === text()) setTimeout(hide, 150); });

  // Nothing is lost on leaving: what was typed last is sent along.
  let unsent = false;
  document.addEventListener("input", (event) => { if (event.target === text()) unsent = true; });
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.elt === text() && event.detail.successful) unsent = false; });
  addEventListener("pagehide", () => {
    const area = text(), version = at("version");
    if (!unsent || !area) return;
    navigator.sendBeacon(area.getAttribute("hx-post"), new URLSearchParams({ text: area.value, version: version.value }));
  });

  document.addEventListener("htmx:load", numbers);
  document.addEventListener("htmx:load", figures);
  document.addEventListener("htmx:oobAfterSwap", (event) => { if (["text", "mistakes"].includes(event.detail.target.id)) numbers(); });
  document.addEventListener("htmx:afterSwap", (event) => {
    const target = event.detail.target;
    if (target.id === "conflict" || target.id === "notice") { target.focus(); target.scrollIntoView({ block: "nearest" }); }
  });
  document.addEventListener("htmx:sendError", () => {
    at("notice").textContent = "The console does not answer. Is it still running in its terminal? What you typed stays here.";
  });
  addEventListener("DOMContentLoaded", numbers);
})();
