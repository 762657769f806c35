// Sends one post to /v1/explain and shows its decision and evidence. Texts go into the page by textContent alone.
"use strict";

const element = (id) => document.getElementById(id);

// Offsets are code points of the text, so it is split by them.
function markedText(text, record) {
  const points = Array.from(text);
  const inSpan = (index) => record.spans.some((span) => span.start <= index && index < span.end);
  const inSentence = (index) =>
    record.sentence_start !== null && record.sentence_start <= index && index < record.sentence_end;
  const parts = [];
  for (let start = 0; start < points.length; ) {
    let end = start + 1;
    while (end < points.length && inSpan(end) === inSpan(start) && inSentence(end) === inSentence(start)) end += 1;
    const part = document.createElement(inSpan(start) ? "mark" : "span");
    part.textContent = points.slice(start, end).join("");
    if (inSentence(start)) part.classList.add("sentence");
    parts.push(part);
    start = end;
  }
  return parts;
}

function show(text, record) {
  element("decision").textContent = record.decision
    ? `Flagged: mentions an adverse drug event (P ${record.p})`
    : `Not flagged (P ${record.p}), which is not the same as harmless`;
  element("evidence").replaceChildren(...markedText(text, record));
  const names = ["p", "p_calibrated", "threshold", "threshold_source", "language", "flags", "window", "method", "bundle"];
  element("fields").replaceChildren(
    ...names.flatMap((name) => {
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      value.textContent = String(record[name]);
      return [term, value];
    }),
  );
  element("result").hidden = false;
}

function fail(error) {
  element("error").textContent = [error.message, error.hint].filter(Boolean).join("; ");
  element("error").hidden = false;
}

async function score(event) {
  event.preventDefault();
  element("result").hidden = element("error").hidden = true;
  const text = element("text").value;
  const headers = { "Content-Type": "application/json" };
  if (element("token").value) headers.Authorization = `Bearer ${element("token").value}`;
  const post = { id: "1", text, language: element("language").value };
  try {
    const response = await fetch("/v1/explain", { method: "POST", headers, body: JSON.stringify({ posts: [post] }) });
    const document_ = await response.json();
    if (!document_.ok) return fail(document_.error);
    const [record] = document_.data;
    if (record.ok) show(text, record);
    else fail(record.error);
  } catch {
    fail({ message: "the service does not answer", hint: "is it still running?" });
  }
}

element("form").addEventListener("submit", score);
