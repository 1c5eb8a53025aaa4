// SPDX-License-Identifier: Apache-2.0
//
// The page of the switchboard, as people see it: in Chromium, without a screen. Everything waits for what it wants to see; nothing for
// a while. Pictures of the page are left in <artifacts>.
//
//     node page_test.mjs <program> <folder with node_modules> <artifacts>
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";

const [program, packages, artifacts] = process.argv.slice(2);
const { chromium } = createRequire(path.resolve(packages, "package.json"))("playwright-core");
const limit = 180_000;  // ms that a failing test waits at most

/// Runs the program, and waits until it has greeted.
async function start(...args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  let said = "";
  await new Promise((greeted) => {
    child.stdout.on("data", (piece) => {
      said += piece;
      if (said.includes("SIGTERM")) greeted();
    });
    child.stdout.on("close", greeted);
  });
  const port = said.match(/https?:\/\/[\d.]+:(\d+)/)?.[1];
  assert.ok(port, `it does not run: ${said}`);
  const ended = new Promise((done) => child.once("exit", (code, signal) => done(code ?? signal)));
  const end = (signal) => {
    child.kill(signal);
    return ended;
  };
  return { port, url: `http://127.0.0.1:${port}/`, end };
}

const profile = mkdtempSync(path.join(tmpdir(), "page_test"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  timeout: limit,
  viewport: { width: 1180, height: 760 },
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"],
});
browser.setDefaultTimeout(limit);

const complaints = [];

/// A page that is open and live.
async function open(url) {
  const page = await browser.newPage();
  page.on("console", (m) => m.type() === "error" && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(String(e)));
  await page.goto(url);
  await live(page);
  return page;
}

const live = (page) => page.locator("#connection[data-state=live]").waitFor();
const channel = (page, number, state) => page.locator(`#channels li[data-channel="${number}"][data-state=${state}]`);
const shows = (locator) => locator.first().waitFor();
const tells = (page, text) => shows(page.getByRole("log").getByText(text));
const button = (page, name) => page.getByRole("button", { name, exact: true });
async function picture(page, name) {
  mkdirSync(artifacts, { recursive: true });
  await page.screenshot({ path: path.join(artifacts, `switchboard-${name}.png`), fullPage: true, animations: "disabled" });
}

async function step(what, act) {
  await act();
  console.log(`ok  ${what}`);
}

let board = await start("0", "--channels", "12", "--allow-crash", "--allow-restart");
try {
  const one = await open(board.url);
  const other = await open(board.url);
  const both = (check) => Promise.all([one, other].map(check));

  await step("what one page allocates, the other shows", async () => {
    await button(one, "Allocate").click();
    await both((page) => shows(channel(page, 1, "taken")));
    await both((page) => tells(page, "channel 1 is taken"));
  });

  await step("a channel for a session and a time shows both", async () => {
    await one.getByLabel("for", { exact: true }).selectOption("5 minutes");
    await one.getByLabel("session").fill("Zoë Łukasz");
    await one.getByLabel("session").press("Enter");
    await both((page) => shows(channel(page, 2, "taken").getByText(/Zoë Łukasz · \d/)));
  });

  await step("it looks as it should, in the light and in the dark", async () => {
    await picture(one, "light");
    await one.emulateMedia({ colorScheme: "dark" });
    await picture(one, "dark");
    await one.setViewportSize({ width: 420, height: 800 });
    await picture(one, "narrow");
    assert.ok(await one.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than the window");
    await one.setViewportSize({ width: 1180, height: 760 });
    await one.emulateMedia({ colorScheme: "light" });
  });

  await step("what one page frees is free on the other", async () => {
    await button(other, "Free channel 1").click();
    await both((page) => shows(channel(page, 1, "free")));
    await both((page) => tells(page, "channel 1 is free: given back"));
  });

  await step("a lease ends by itself", async () => {
    await one.getByLabel("for", { exact: true }).selectOption("5 seconds");
    await one.getByLabel("session").fill("");
    await button(one, "Allocate").click();
    await both((page) => tells(page, "channel 1 is free: its time was up"));
    await both((page) => shows(channel(page, 1, "free")));
  });

  await step("a server crashes and is started again, and all leases go on", async () => {
    await one.getByLabel("server").selectOption("ch3");
    await button(one, "Crash").click();
    await both((page) => tells(page, /^ch3 has ended: .*crashed on purpose/));
    await both((page) => tells(page, /^ch3 runs, as/));
    await both((page) => shows(channel(page, 2, "taken")));
  });

  await step("a page that comes late sees all there is", async () => {
    const late = await open(board.url);
    await shows(channel(late, 2, "taken").getByText("Zoë Łukasz"));
    assert.equal(await late.locator("#free").textContent(), "11");
    await late.close();
  });

  await step("the feed crashes: the pages come again by themselves", async () => {
    await one.getByLabel("server").selectOption("feed");
    await button(one, "Crash").click();
    await both((page) => tells(page, "the connection has ended: come again"));
    await both(live);
    await button(other, "Allocate").click();
    await both((page) => shows(channel(page, 1, "taken")));
  });

  await step("the HTTP server is restarted: the pages stay connected, and show it", async () => {
    const ends = (page) => page.getByRole("log").getByText("the connection has ended").count();
    const before = await both(ends);
    await button(one, "Restart the HTTP server").click();
    await both((page) => shows(page.locator("#generation", { hasText: "2" })));
    assert.deepEqual(await both(ends), before);
    await button(one, "Free channel 1").click();
    await both((page) => shows(channel(page, 1, "free")));
  });

  assert.deepEqual(complaints, [], "the browser has complained");

  await step("the program is gone, the pages say so, and come back with it", async () => {
    assert.equal(await board.end("SIGTERM"), 0);
    await both((page) => page.locator("#connection[data-state=reconnecting]").waitFor());
    await button(one, "Allocate").click();
    await shows(one.getByRole("alert").getByText("no answer"));
    board = await start(board.port, "--channels", "300");
    await both(live);
  });

  await step("what is not allowed cannot be done, and the page says how it could", async () => {
    for (const name of ["Crash", "Restart the HTTP server"]) assert.ok(await button(one, name).isDisabled(), name);
    await shows(one.getByText("--allow-crash --allow-restart"));
  });

  await step("of many channels those that are taken are shown", async () => {
    await button(one, "Allocate").click();
    await both((page) => shows(channel(page, 1, "taken")));
    await shows(one.getByText("Of 300 channels only those that are taken are shown"));
    assert.equal(await one.locator("#channels li").count(), 1);
  });
} finally {
  await browser.close();
  await board.end("SIGKILL");
  rmSync(profile, { recursive: true, force: true });
}
