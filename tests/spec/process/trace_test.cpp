// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/trace.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

using namespace coppice;

namespace {

struct ask { using reply = int; };
struct answering {
  int handle_call(ask) { return 7; }
};
struct note { int n; };

/// What the handler heard. The handler runs on any thread.
struct heard {
  std::mutex lock;
  std::vector<std::string> lines;
  ~heard() { stop_trace(); }
  void add(const trace_event& e) {
    const std::lock_guard held(lock);
    lines.push_back(to_text(e));
  }
  bool has(const std::string& line) {
    const std::lock_guard held(lock);
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  }
  std::size_t count() {
    const std::lock_guard held(lock);
    return lines.size();
  }
};

}  // namespace

TEST_CASE("OL-81 one handler hears of spawn, send, receive and exit, with who and what") {
  runtime world({.workers = 1});
  const runtime_scope in(world);
  heard h;
  CHECK_FALSE(trace([&h](const trace_event& e) { h.add(e); }));
  const monitored m = spawn_monitor([] { receive<note>(); });
  send(m.who, note{1});
  receive<down>();
  const server_ref<answering> server = start<answering>();
  CHECK(call(server, ask{}) == 7);
  CHECK(stop_trace());
  const std::string who = to_text(m.who);
  CHECK(h.has(who + " process spawned"));
  CHECK(h.has(to_text(self()) + " thread sent note to " + who) != h.has("a plain thread sent note to " + who));
  CHECK(h.has(who + " process received note"));
  CHECK(h.has(who + " process exited: normal"));
  CHECK(h.has(to_text(server.id()) + " answering received ask"));
  const std::size_t before = h.count();
  call(server, ask{});
  CHECK(h.count() == before);                  // ended: nothing more is heard
}

TEST_CASE("OL-81 a filter chooses by process, class, kind or crash; a new handler replaces the old") {
  runtime world({.workers = 1});
  const runtime_scope in(world);
  heard crashes, all;
  const auto fail = [] { throw std::runtime_error("on purpose"); };
  CHECK_FALSE(trace([&](const trace_event& e) { crashes.add(e); }, traced_crashes()));
  spawn_monitor([] {});
  receive<down>();
  CHECK(crashes.count() == 0);
  const monitored m = spawn_monitor(fail);
  receive<down>();
  CHECK(crashes.count() == 1);
  CHECK(crashes.has(to_text(m.who) + " process exited: std::runtime_error: on purpose"));

  CHECK(trace([&](const trace_event& e) { all.add(e); }, traced_kind(trace_kind::spawned)));
  spawn_monitor([] {});
  receive<down>();
  CHECK(crashes.count() == 1);
  CHECK(all.count() == 1);

  const server_ref<answering> server = start<answering>();
  CHECK(trace([&](const trace_event& e) { all.add(e); }, traced_class("answering")));
  call(server, ask{});
  CHECK(all.has(to_text(server.id()) + " answering received ask"));
  CHECK(trace([&](const trace_event& e) { all.add(e); }, traced_pid(server.id())));
  const std::size_t before = all.count();
  spawn_monitor([] {});
  receive<down>();
  CHECK(all.count() == before);
  stop_trace();
}

TEST_CASE("OL-81 what a handler throws is dropped: the traced process goes on") {
  runtime world({.workers = 1});
  const runtime_scope in(world);
  heard h;
  trace([](const trace_event&) { throw std::runtime_error("a bad handler"); });
  const server_ref<answering> server = start<answering>();
  CHECK(call(server, ask{}) == 7);
  CHECK(stop_trace());
  CHECK_FALSE(stop_trace());
}
