// The keyboard of the review pages. A key shows the next post at once and sends the decision behind it; what is not
// saved yet waits in sessionStorage (task, verdict, key: no text) and is sent until the store has it.
// Everything works without this script, by forms. Texts go into the page by textContent alone.
"use strict";

(() => {
  const READY = 4; // cards on the page: the one on the screen and the next three
  const SVG = "value"; // class of a bar's filled part
  const element = (id) => document.getElementById(id);
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content;
  document.documentElement.classList.add("with-script");

  // Signing in: the secret stands behind #, so that it is in no log and no history.
  if (element("sign-in") && location.hash.length > 1) {
    element("secret").value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    element("sign-in").submit();
  }
  const csrf = meta("csrf");
  if (!csrf) return;

  const STORAGE = meta("outbox");
  const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
  const onPost = element("cards") !== null;
  let cards = onPost ? JSON.parse(element("cards").textContent) : [];
  let outbox = JSON.parse(sessionStorage.getItem(STORAGE) || "[]");
  const done = []; // decisions of this page that can be undone: {card, key, seq}
  let shownAt = performance.now();
  let sending = false;
  let wake = null;

  // --- what is shown -----------------------------------------------------------------------------------------------

  function say(text, warns = false) {
    const status = element("status");
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("warn", warns);
  }

  function pieces(parts) {
    return parts.map(([kind, text, name, marked]) => {
      if (kind === "text" && !marked) return document.createTextNode(text);
      const piece = document.createElement(kind === "hidden" ? "span" : "mark");
      if (kind === "hidden") piece.className = "hidden";
      if (marked) piece.classList.add("evidence");
      if (name) piece.title = name;
      piece.textContent = text;
      return piece;
    });
  }

  function fillScore(box, score) {
    box.hidden = !score;
    if (!score) return;
    box.querySelector(`.${SVG}`).setAttribute("width", score.p);
    box.querySelector(".limit").setAttribute("x", Math.max(score.threshold - 0.75, 0));
    box.querySelector("span").textContent = score.words;
  }

  function show() {
    const card = cards[0];
    if (!element("card")) return;
    element("card").hidden = !card;
    element("nothing").hidden = Boolean(card) || outbox.length > 0;
    for (const id of ["note", "language"]) {
      element(id).hidden = !card;
      element(id).open = false;
    }
    if (!card) return;
    for (const field of element("meta").querySelectorAll("[data-field]")) {
      field.textContent = card[field.dataset.field];
      field.parentElement.hidden = card[field.dataset.field] === "";
    }
    element("copies").hidden = !card.copies;
    element("copies").querySelector("b").textContent = card.copies;
    const text = element("text");
    text.classList.toggle("empty", card.parts === null);
    text.lang = card.parts === null ? "en" : card.lang;
    text.dir = "auto";
    if (card.parts === null) text.textContent = "The store keeps no text of this post: open it at its source by its id.";
    else text.replaceChildren(...pieces(card.parts));
    fillScore(element("score"), card.score);
    element("decide").reset();
    text.focus({ preventScroll: true });
    window.scrollTo(0, 0);
    shownAt = performance.now();
  }

  function reveal(last) {
    const box = element("last");
    box.hidden = !last;
    if (!last) return;
    box.querySelector("[data-field]").textContent = last.source_id;
    fillScore(box.querySelector(".score"), last.score);
    const text = box.querySelector(".text");
    text.lang = last.lang;
    text.replaceChildren(...pieces(last.parts));
  }

  // --- what is sent ------------------------------------------------------------------------------------------------

  function remember() {
    // A note is text: it waits in this page alone, and leaving it warns.
    sessionStorage.setItem(STORAGE, JSON.stringify(outbox.filter((one) => one.text === undefined)));
  }

  function put(path, fields) {
    outbox.push({ path, key: newKey(), ...fields });
    remember();
    wake?.();
    send();
    return outbox.at(-1);
  }

  function pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      wake = () => (clearTimeout(timer), resolve());
    });
  }

  async function post({ path, of, ...fields }) {
    const showing = [...cards, ...outbox].map((one) => one.task).filter((task) => task !== undefined);
    const body = { ...fields, showing: [...new Set(showing)], n: onPost ? Math.max(READY - cards.length, 0) : 0 };
    const headers = { "Content-Type": "application/json", Accept: "application/json", "X-CSRF": csrf };
    const url = path + (onPost ? choice() : "");
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(15000) });
    return { status: response.status, ...(await response.json()) };
  }

  function choice() {
    const given = new URLSearchParams(location.search);
    const kept = ["language", "type", "purpose", "batch"].filter((name) => given.get(name));
    return kept.length ? `?${new URLSearchParams(kept.map((name) => [name, given.get(name)]))}` : "";
  }

  async function send() {
    if (sending) return;
    sending = true;
    for (let tries = 0; outbox.length; ) {
      const action = outbox[0];
      let answer;
      try {
        answer = await post(action);
      } catch {
        answer = { status: 0 };
      }
      if (answer.status === 401 || answer.error?.code === "csrf") {
        say(`You are signed out. ${waiting()} kept here: sign in again in this tab, and they are sent.`, true);
        await pause(60);
        continue;
      }
      if (answer.status === 0 || answer.status === 429 || answer.status >= 500) {
        tries += 1;
        say(`Not saved yet: ${outbox.length}, trying again.`, true);
        await pause(Math.min(0.25 * 2 ** tries, 20));
        continue;
      }
      tries = 0;
      outbox.shift();
      if (answer.ok) accept(action, answer.data);
      else refuse(action, answer.error);
      remember();
    }
    sending = false;
    if (onPost && !cards.length) more();
  }

  const waiting = () => (outbox.length === 1 ? "1 decision is" : `${outbox.length} decisions are`);

  function accept(action, data) {
    const decided = done.find((one) => one.key === action.key);
    if (decided) decided.seq = data.seq;
    for (const one of outbox) if (one.of === action.key) one.seq = data.seq;
    if (action.path === "/decide" && element("last")) reveal(data.revealed);
    if (data.card && ![...cards, ...outbox].some((one) => one.task === data.card.task)) putBack(data.card);
    add(data.next);
    const words = { "/undo": "Taken back", "/later": "Put off", "/note": "Note kept", "/language": "Corrected" };
    say(outbox.length ? `Not saved yet: ${outbox.length}.` : `${words[action.path] || "Saved"}: event ${data.seq}.`);
  }

  function refuse(action, error) {
    const index = done.findIndex((one) => one.key === action.key);
    if (index >= 0) done.splice(index, 1);
    outbox = outbox.filter((one) => !one.of || one.of !== action.key); // what was not decided cannot be undone
    if (action.path === "/undo" && action.of) {
      cards = cards.filter((card) => card.task !== action.task);
      show();
    }
    say(error.hint ? `${error.message}; ${error.hint}.` : `${error.message}.`, true);
  }

  function add(next) {
    const was = cards[0];
    const known = new Set([...cards, ...outbox].map((one) => one.task));
    cards.push(...next.filter((card) => !known.has(card.task)));
    if (cards[0] !== was) show();
  }

  function putBack(card) {
    cards.unshift(card);
    show();
  }

  async function more() {
    const query = new URLSearchParams(choice());
    try {
      const response = await fetch(`/next?${query}`, { headers: { Accept: "application/json" } });
      const answer = await response.json();
      if (answer.ok) add(answer.data.next);
    } catch {
      say("No connection: the next posts come when it is back.", true);
    }
    if (!cards.length) show();
  }

  // --- what keys do ------------------------------------------------------------------------------------------------

  function decide(verdict) {
    if (!cards.length) return;
    const form = new FormData(element("decide"));
    const fields = { criteria: form.getAll("criteria").map(Number), serious: form.has("serious") };
    const seconds = Math.round((performance.now() - shownAt) / 100) / 10;
    const card = cards.shift();
    show();
    const action = put("/decide", { task: card.task, verdict, seconds, ...(verdict === "ade" ? fields : {}) });
    done.push({ card, key: action.key });
  }

  function later() {
    if (!cards.length) return;
    const card = cards.shift();
    show();
    put("/later", { task: card.task });
  }

  function undo() {
    const last = done.pop();
    if (last) putBack(last.card);
    put("/undo", last ? { of: last.key, seq: last.seq, task: last.card.task } : {});
  }

  function open(id, field) {
    element(id).open = true;
    element(field).focus();
  }

  function toggle(index) {
    const box = element("decide")?.querySelectorAll("input[type=checkbox]")[index];
    if (box) box.checked = !box.checked;
  }

  const onKey = {
    a: () => decide("ade"),
    x: () => decide("not"),
    s: () => decide("unsure"),
    u: undo,
    Backspace: undo,
    j: later,
    " ": later,
    k: () => location.assign("/history"),
    1: () => toggle(0),
    2: () => toggle(1),
    3: () => toggle(2),
    4: () => toggle(3),
    "!": () => toggle(4),
    n: () => cards.length && open("note", "note-text"),
    l: () => cards.length && open("language", "language-to"),
    p: () => (element("policy").open = !element("policy").open),
    "?": () => element("keys").showModal(),
  };
  const onConflict = { 1: 0, 2: 1 };
  const IN_CODE = { Slash: "/", Space: " ", Backspace: "Backspace" };

  // The key of a layout whose letters are not Latin, by where it lies.
  function keyOf(event) {
    if (event.key.length === 1 && event.key < "\x7f") return event.key.toLowerCase();
    if (event.key === "Backspace") return event.key;
    const [, letter, digit] = /^(?:Key([A-Z])|Digit(\d))$/.exec(event.code) || [];
    if (event.shiftKey) return digit === "1" ? "!" : event.code === "Slash" ? "?" : "";
    return letter?.toLowerCase() || digit || IN_CODE[event.code] || "";
  }

  const keysWork = () => localStorage.getItem("polyvigil keys") !== "off";

  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const inField = target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
    if (inField && event.key === "Escape") return element("text")?.focus();
    if (inField && event.key === "Enter" && event.ctrlKey) return target.form?.requestSubmit();
    if (target.matches("input[type=checkbox]") && event.key === "Enter") return event.preventDefault();
    if (inField || event.repeat || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (element("keys")?.open || !keysWork()) return;
    const key = keyOf(event);
    if ((key === " " || key === "Enter") && target.closest("a, button, summary, input")) return;
    if (element("conflict") && key in onConflict) {
      element("conflict").querySelectorAll("input[type=radio]")[onConflict[key]].checked = true;
      event.preventDefault();
      return element("reason").focus();
    }
    if (!Object.hasOwn(onKey, key) || (!onPost && !(key === "p" && element("policy")))) return;
    event.preventDefault();
    onKey[key]();
  });

  if (element("keys-on")) {
    element("keys-on").checked = keysWork();
    element("keys-on").addEventListener("change", (event) => localStorage.setItem("polyvigil keys", event.target.checked ? "on" : "off"));
    element("keys-open").addEventListener("click", onKey["?"]);
  }

  // --- forms, as without the script, but in the background ---------------------------------------------------------

  const submitted = {
    decide: (_, by) => (by?.value === "later" ? later() : decide(by?.value)),
    undo,
    note: (form) => put("/note", { task: cards[0].task, text: form.elements.text.value }),
    language: (form) => put("/language", { task: cards[0].task, to: form.elements.to.value }),
  };
  document.addEventListener("submit", (event) => {
    const does = onPost && submitted[event.target.closest("[id]").id];
    if (!does || !element("decide")) return;
    event.preventDefault();
    does(event.target, event.submitter);
    if (event.target.closest("details")) {
      event.target.reset();
      event.target.closest("details").open = false;
      element("text").focus();
    }
  });

  window.addEventListener("online", () => wake?.());
  window.addEventListener("beforeunload", (event) => outbox.length && event.preventDefault());
  const unsent = new Set(outbox.map((one) => one.task));
  if (cards.some((card) => unsent.has(card.task))) {
    cards = cards.filter((card) => !unsent.has(card.task));
    show();
  }
  if (onPost && cards.length) element("text").focus({ preventScroll: true });
  if (outbox.length) send();
})();
