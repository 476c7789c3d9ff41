// What the page does by itself: sliders beside numbers, line numbers, completion and hover in the text, focus after a save.
"use strict";
(() => {
  const LINE = 20, PAD = 8, MOST = 8;
  const at = (id) => document.getElementById(id);
  const text = () => at("text");
  let words = null, choice = -1, offered = [];

  // Sliders and numbers say the same.
  document.addEventListener("input", (event) => {
    const from = event.target;
    if (from.type === "range" && from.dataset.for) at(from.dataset.for).value = from.value;
    if (from.type === "number" && from.form) {
      const slider = from.form.querySelector("input[type=range]");
      if (slider) slider.value = from.value;
    }
    if (from === text()) { numbers(); complete(); }
  });

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

  // Words: what keys are for, and what may follow them.
  async function learn() {
    const editor = document.querySelector(".editor");
    if (words || !editor) return;
    const answer = await fetch(editor.dataset.words);
    if (answer.ok) words = await answer.json();
  }
  const before = (area, position) => area.value.slice(area.value.lastIndexOf("\n", position - 1) + 1, position);
  function wanted(line) {
    const word = (line.match(/[\w.%-]*$/) || [""])[0];
    const rest = line.slice(0, line.length - word.length);
    const value = rest.match(/([\w-]+):\s*(\[[^\]]*)?$/);
    if (value) {
      const key = value[1];
      const filter = rest.match(/(where|of|forbid|requires|users)\s*:\s*\{[^}]*$/);
      const known = filter ? (filter[1] === "users" ? words.users[key] : words.where[key]) : null;
      return { word, found: known || words.values[key] || words.where[key] || words.users[key] || [] };
    }
    if (!/(^\s*(-\s+)?|[{,]\s*)$/.test(rest)) return { word, found: [] };
    const inside = rest.match(/(where|of|forbid|requires|users)\s*:\s*\{[^}]*$/);
    if (inside) return { word, found: Object.keys(inside[1] === "users" ? words.users : words.where).concat("not") };
    return { word, found: Object.keys(words.keys) };
  }
  function complete() {
    const area = text();
    if (!words || area.selectionStart !== area.selectionEnd) return hide();
    const { word, found } = wanted(before(area, area.selectionStart));
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
    const { word } = wanted(before(area, position));
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
      const { word } = wanted(before(text(), text().selectionStart));
      show(text(), word);
    } else if (event.key === "Enter") take(choice);
    else if (event.key === "Escape") hide();
    else return;
    event.preventDefault();
  });

  // What the word at the cursor, or under the mouse, is for.
  function meaning(line, column) {
    if (!words) return "";
    for (const found of line.matchAll(/[\w-]+/g)) {
      if (found.index > column || found.index + found[0].length < column) continue;
      const known = words.keys[found[0]];
      if (known) return found[0] + ": " + known;
      if (words.where[found[0]]) return found[0] + ": an attribute of offers, like " + words.where[found[0]].slice(0, 5).join(", ");
      if (words.users[found[0]]) return found[0] + ": a segment of listeners, like " + words.users[found[0]].slice(0, 5).join(", ");
    }
    return "";
  }
  document.addEventListener("selectionchange", () => {
    const area = text();
    if (!area || document.activeElement !== area) return;
    const start = before(area, area.selectionStart);
    const end = area.value.indexOf("\n", area.selectionStart);
    const line = start + area.value.slice(area.selectionStart, end < 0 ? undefined : end);
    const told = meaning(line, start.length);
    if (told) at("key-help").textContent = told;
  });
  document.addEventListener("mousemove", (event) => {
    const tip = at("hover"), area = text();
    if (!tip || event.target !== area) { if (tip) tip.hidden = true; return; }
    const box = area.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top - PAD + area.scrollTop) / LINE);
    const column = Math.floor((event.clientX - box.left - PAD + area.scrollLeft) / size(area));
    const line = area.value.split("\n")[row];
    const told = line === undefined || column > line.length ? "" : meaning(line, column);
    tip.hidden = !told;
    tip.textContent = told;
    tip.style.top = Math.min(event.clientY - box.top + 18, box.height - 30) + "px";
    tip.style.left = Math.max(4, Math.min(event.clientX - box.left + 46, box.width - 260)) + "px";
  });
  document.addEventListener("focusin", (event) => { if (event.target === text()) learn(); });
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
