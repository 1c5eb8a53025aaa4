// SPDX-License-Identifier: Apache-2.0
//
// The page of the switchboard. What it shows comes over the WebSocket alone (feed_route.hpp says what); what a person does goes out as a
// plain request, and is seen when the feed tells of it, here as on every other page.
"use strict";

const most_tiles = 200;  // of more channels only those that are taken are shown
const most_lines = 60;

const at = (id) => document.getElementById(id);
const taken = new Map();  // channel -> {until, total, session}: `until` by performance.now(), null: none
let channels = 0;

// --- what is shown ---

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function log(text, bad = false) {
  const now = new Date();
  const line = element("li", {}, element("time", { dateTime: now.toISOString() }, now.toLocaleTimeString("en-GB")),
                       element("span", { className: bad ? "bad" : "" }, text));
  at("log").prepend(line);
  while (at("log").children.length > most_lines) at("log").lastElementChild.remove();
}

function show_connection(state) {
  at("connection").dataset.state = state;
  at("connection").textContent = state;
}

function seconds(ms) {
  const s = Math.ceil(ms / 1000);
  return s < 100 ? `${s} s` : s < 6000 ? `${Math.ceil(s / 60)} min` : `${Math.ceil(s / 3600)} h`;
}

/// Whose it is, and how long.
function show_times() {
  for (const tile of at("channels").children) {
    const of = taken.get(Number(tile.dataset.channel));
    if (!of) continue;
    const left = of.until === null ? null : Math.max(0, of.until - performance.now());
    const text = [of.session ?? "", left === null ? "" : seconds(left)].filter(Boolean).join(" · ") || "taken";
    const whose = tile.querySelector(".whose");
    if (whose.textContent !== text) whose.textContent = text;
    if (left !== null) tile.querySelector(".time").style.transform = `scaleX(${left / of.total})`;
  }
}

function make_tile(channel) {
  const of = taken.get(channel);
  const tile = element("li", {}, element("span", { className: "number" }, String(channel)),
                       element("span", { className: "whose" }, of ? "" : "free"));
  tile.dataset.channel = channel;
  tile.dataset.state = of ? "taken" : "free";
  if (!of) return tile;
  const give_back = element("button", { type: "button", onclick: () => ask("DELETE", `channels/${channel}`) }, "Free");
  give_back.setAttribute("aria-label", `Free channel ${channel}`);
  tile.append(give_back);
  if (of.until !== null) tile.append(element("span", { className: "time" }));
  return tile;
}

function show_numbers() {
  at("free").textContent = channels - taken.size;
  at("taken").textContent = taken.size;
}

function show_all() {
  const all = channels <= most_tiles ? Array.from({ length: channels }, (_, i) => i + 1)
                                     : [...taken.keys()].sort((a, b) => a - b).slice(0, most_tiles);
  at("channels").replaceChildren(...all.map(make_tile));
  at("more").hidden = channels <= most_tiles;
  at("more").textContent = `Of ${channels} channels only those that are taken are shown, ${most_tiles} at most.`;
  show_numbers();
  show_times();
}

function show_one(channel) {
  if (channels > most_tiles) return show_all();
  const old = at("channels").children[channel - 1];
  const had_focus = old.contains(document.activeElement);
  const tile = make_tile(channel);
  old.replaceWith(tile);
  if (had_focus) (tile.querySelector("button") ?? at("allocate").querySelector("button")).focus();
  show_numbers();
  show_times();
}

function show_flags({ may_crash, may_restart }) {
  for (const control of at("crash").elements) control.disabled = !may_crash;
  for (const control of at("restart").elements) control.disabled = !may_restart;
  const missing = [may_crash ? "" : "--allow-crash", may_restart ? "" : "--allow-restart"].filter(Boolean);
  at("hint").replaceChildren();
  if (missing.length === 0) return;
  at("hint").append("Not here: start the switchboard with ", element("code", {}, missing.join(" ")), " for that.");
}

// --- what the feed tells ---

function take(channel, { left_ms, session }) {
  taken.set(channel, { until: left_ms === null ? null : performance.now() + left_ms, total: Math.max(1, left_ms), session });
}

const on = {
  state(m) {
    channels = m.channels;
    taken.clear();
    for (const one of m.taken) take(one.channel, one);
    at("generation").textContent = m.generation;
    show_flags(m);
    show_all();
    if (at("connection").dataset.state !== "live") log("connected: this is how it stands");
    show_connection("live");
  },
  allocated(m) {
    take(m.channel, m);
    show_one(m.channel);
    log(`channel ${m.channel} is taken` + (m.session === null ? "" : ` by ${m.session}`));
  },
  freed(m) {
    taken.delete(m.channel);
    show_one(m.channel);
    log(`channel ${m.channel} is free: ${m.why}`);
  },
  ended(m) { log(`${m.server} has ended: ${m.why}`, true); },
  started(m) { log(`${m.server} runs, as ${m.process}`); },
};

let failures = 0;

function connect() {
  const feed = new WebSocket(new URL("feed", location.href.replace(/^http/, "ws")));
  feed.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    failures = 0;
    on[message.event]?.(message);
  };
  feed.onclose = ({ reason }) => {
    if (at("connection").dataset.state === "live") log("the connection has ended" + (reason ? `: ${reason}` : ""), true);
    show_connection("reconnecting");
    setTimeout(connect, Math.min(5000, 100 * 2 ** failures++) * (0.75 + Math.random() / 2));
  };
}

// --- what a person does ---

async function ask(method, path, headers = {}) {
  at("trouble").textContent = "";
  try {
    const answer = await fetch(path, { method, headers });
    if (answer.ok) return;
    const said = await answer.text();
    let why = said;
    try { why = JSON.parse(said).error; } catch { /* not in JSON: as it is */ }
    at("trouble").textContent = `${method} /${path}: ${why || answer.status}`;
  } catch {
    at("trouble").textContent = `${method} /${path}: no answer`;
  }
}

/// A header is bytes, and ours are UTF-8.
const as_header = (text) => String.fromCharCode(...new TextEncoder().encode(text));

function submit(form, act) {
  at(form).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}
submit("allocate", () => {
  const ttl = at("ttl").value;
  const session = at("session").value.trim();
  ask("POST", "channels" + (ttl ? `?ttl=${ttl}` : ""), session ? { "X-Session": as_header(session) } : {});
});
submit("crash", () => ask("POST", `crash/${at("server").value}`));
submit("restart", () => ask("POST", "admin/restart"));

setInterval(show_times, 250);
connect();
