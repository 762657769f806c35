// The keyboard of the review pages. A key shows the next post at once and sends the decision behind it; what is not
// saved yet waits in sessionStorage (task, verdict, key: no text) and is sent until the store has it.
// Everything works without this script, by forms. Texts go into the page by textContent alone.
"use strict";
(() => {
  const READY = 4; // cards on the page: the one on the screen and the next three
  const NO_TEXT = "The store keeps no text of this post: open it at its source by its id.";
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
  let outbox = JSON.parse(sessionStorage.getItem(STORAGE) || "[]");
  const isUnsent = (card) => outbox.some((one) => one.task === card.task);
  let cards = onPost ? JSON.parse(element("cards").textContent).filter((card) => !isUnsent(card)) : [];
  const done = []; // decisions of this page that can be undone: {card, key, seq}
  let shownAt = performance.now();
  let sending = false;
  let wake = null;

  function say(text, warns = false) {
    if (!element("status")) return;
    element("status").textContent = text;
    element("status").classList.toggle("warn", warns);
  }

  function pieces(parts) {
    return parts.map(([kind, text, name, marked, term]) => {
      if (kind === "text" && !marked && !term) return document.createTextNode(text);
      const piece = document.createElement(kind === "hidden" ? "span" : "mark");
      piece.className = `${kind === "hidden" ? "hidden" : term} ${marked ? "evidence" : ""}`.trim();
      return Object.assign(piece, { title: `${term} ${name}`.trim(), textContent: text });
    });
  }

  function fillScore(box, score) {
    box.hidden = !score;
    if (!score) return;
    box.querySelector("rect").setAttribute("width", `${score.p}%`);
    box.querySelector(".limit").setAttribute("x", `${score.threshold}%`);
    box.querySelector("span").textContent = score.words;
  }

  function show(back) {
    if (back) cards.unshift(back);
    if (!element("card")) return;
    const card = cards[0];
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
    text.lang = card.parts ? card.lang : "en";
    text.replaceChildren(...(card.parts ? pieces(card.parts) : [NO_TEXT]));
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
    Object.assign(text, { hidden: !last.parts.length, lang: last.lang });
    text.replaceChildren(...pieces(last.parts));
  }

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
      const answer = await post(action).catch(() => ({ status: 0 }));
      if (answer.status === 401 || answer.error?.code === "csrf") {
        say(`You are signed out. Unsaved, kept here: ${outbox.length}. Sign in again in this tab, and all is sent.`, true);
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

  function accept(action, data) {
    const decided = done.find((one) => one.key === action.key);
    if (decided) decided.seq = data.seq;
    for (const one of outbox) if (one.of === action.key) one.seq = data.seq;
    if (action.path === "/decide" && element("last")) reveal(data.revealed);
    if (data.card && ![...cards, ...outbox].some((one) => one.task === data.card.task)) show(data.card);
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

  async function more() {
    const response = await fetch(`/next${choice()}`, { headers: { Accept: "application/json" } }).catch(() => null);
    const answer = await response?.json();
    if (answer?.ok) add(answer.data.next);
    if (!cards.length) show();
  }

  function decide(verdict) {
    if (!cards.length) return;
    const form = new FormData(element("decide"));
    const fields = { criteria: form.getAll("criteria").map(Number), serious: form.has("serious") };
    const seconds = Math.round((performance.now() - shownAt) / 100) / 10;
    const card = cards.shift();
    const action = put("/decide", { task: card.task, verdict, seconds, ...(verdict === "ade" ? fields : {}) });
    done.push({ card, key: action.key });
    show(); // after it is among what is not saved yet: until then the page must not say that nothing is left
  }

  function later() {
    const card = cards.shift();
    if (!card) return;
    show();
    put("/later", { task: card.task });
  }

  function undo() {
    const last = done.pop();
    if (last) show(last.card);
    put("/undo", last ? { of: last.key, seq: last.seq, task: last.card.task } : {});
  }

  function open(id, field) {
    if (!cards.length) return;
    element(id).open = true;
    element(field).focus();
  }

  const check = (index) => () => element("decide")?.querySelectorAll("input[type=checkbox]")[index].click();
  const actions = {
    ade: () => decide("ade"),
    not_ade: () => decide("not"),
    unsure: () => decide("unsure"),
    undo,
    later,
    back: () => location.assign("/history"),
    note: () => open("note", "note-text"),
    language: () => open("language", "language-to"),
    policy: () => (element("policy").open = !element("policy").open),
    help: () => element("keys").showModal(),
  };
  ["reporter", "patient", "drug", "event", "serious"].forEach((name, index) => (actions[name] = check(index)));
  const onKey = { Backspace: "undo", " ": "later", ...JSON.parse(meta("hotkeys")) };

  // The key of a layout whose letters are not Latin, by where it lies, unless it is one that was chosen.
  function keyOf(event) {
    if (Object.hasOwn(onKey, event.key.toLowerCase())) return event.key.toLowerCase();
    if (event.key.length === 1 && event.key < "\x7f") return event.key.toLowerCase();
    if (event.key === "Backspace") return event.key;
    const [, letter, digit] = /^(?:Key([A-Z])|Digit(\d))$/.exec(event.code) || [];
    if (event.shiftKey) return digit === "1" ? "!" : event.code === "Slash" ? "?" : "";
    return letter?.toLowerCase() || digit || (event.code === "Space" ? " " : "");
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
    if (element("conflict") && (key === "1" || key === "2")) {
      element("conflict").querySelectorAll("input[type=radio]")[key - 1].checked = true;
      event.preventDefault();
      return element("reason").focus();
    }
    if (!Object.hasOwn(onKey, key) || (!onPost && !(onKey[key] === "policy" && element("policy")))) return;
    event.preventDefault();
    actions[onKey[key]]();
  });

  if (element("keys-on")) {
    element("keys-on").checked = keysWork();
    element("keys-on").addEventListener("change", (event) => localStorage.setItem("polyvigil keys", event.target.checked ? "on" : "off"));
    element("keys-open").addEventListener("click", actions.help);
  }

  // Forms do what they do without the script, but in the background.
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
  if (outbox.length) {
    show();
    send();
  } else if (cards.length) element("text").focus({ preventScroll: true });
})();
