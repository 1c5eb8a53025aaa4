// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct add { using reply = int; int by; };
struct ask_later { using reply = int; };
struct answer_all { int with; };
struct put { int value; };
struct nudge {};

/// A counter that answers at once, and those who ask later when it is told to.
struct counter {
  int total = 0;
  std::vector<from<int>> waiting{};
  int handle_call(add a) { return total += a.by; }
  void handle_call(ask_later, from<int> caller) { waiting.push_back(std::move(caller)); }
  void handle_cast(answer_all a) {
    for (auto& w : waiting) std::move(w).reply(a.with);
    waiting.clear();
  }
  void handle_cast(put p) { total = p.value; }
  void handle_info(nudge) { ++total; }
  auto fields() const { return std::tie(total); }
};

/// State that can be copied.
struct box {
  int value = 0;
  std::string name = "box";
  int handle_call(add a) { return value += a.by; }
  void handle_cast(put p) { value = p.value; }
  void terminate(const exit_reason& why) { ended_with() = why; }
  static exit_reason& ended_with() {
    static exit_reason why;
    return why;
  }
};

std::vector<std::string> texts(const std::vector<sys::event>& events) {
  std::vector<std::string> out;
  for (const auto& e : events) out.push_back(to_text(e));
  return out;
}

/// The name of a file that is not there, removed at the end.
class scratch_file {
 public:
  scratch_file() {
    char name[] = "/tmp/coppice_test_XXXXXX";
    const int fd = ::mkstemp(name);
    REQUIRE(fd >= 0);
    ::close(fd);
    path_ = name;
  }
  ~scratch_file() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }
  lines content() const {
    std::ifstream in(path_);
    lines out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("GS-160 get_state gives a typed copy, state_text the state as text") {
  own_world w;
  const auto s = start<box>({.name = "gs160"}, 3, "small");
  box copy = sys::get_state(s);
  CHECK(copy.value == 3);
  CHECK(copy.name == "small");
  copy.value = 99;
  CHECK(sys::get_state(named<box>("gs160")).value == 3);
  CHECK(sys::state_text("gs160") == "box{value: 3, name: \"small\"}");
  stop(s);
  CHECK(error_in([&] { (void)sys::get_state(s); })->is(call_error::noproc));
}

TEST_CASE("GS-160 get_state of another class is refused, and the server lives") {
  own_world w;
  const auto s = start<box>({.name = "gs160"}, 3);
  const auto e = error_in([&] { (void)sys::get_state(named<std::map<int, int>>("gs160")); });
  REQUIRE(e);
  CHECK(e->is(call_error::bad_request));
  CHECK(call(s, add{1}) == 4);
}

TEST_CASE("GS-161 replace_state puts a new state in place and returns it, also while suspended") {
  own_world w;
  const auto s = start<box>({}, 3);
  const auto twice = [](const box& old) { return box{old.value * 2, old.name + "!"}; };
  CHECK(sys::replace_state(s, twice).value == 6);
  CHECK(call(s, add{1}) == 7);
  sys::suspend(s);
  CHECK(sys::replace_state(s, twice).name == "box!!");
  CHECK(sys::get_state(s).value == 14);
  sys::resume(s);
  CHECK(call(s, add{1}) == 15);
}

TEST_CASE("GS-161 a function that throws changes nothing: its caller gets callback_failed with the cause, the server lives") {
  own_world w;
  const auto s = start<box>({}, 3);
  const auto e = error_in([&] { sys::replace_state(s, [](const box&) -> box { throw std::out_of_range("no such box"); }); });
  REQUIRE(e);
  CHECK(e->is(call_error::failed));
  CHECK(e->reason().type() == "std::out_of_range");
  CHECK(e->reason().text() == "no such box");
  CHECK(std::string(e->what()).find("callback_failed") != std::string::npos);
  CHECK(sys::get_state(s).value == 3);
  CHECK(call(s, add{1}) == 4);
}

TEST_CASE("GS-161 the old state is destroyed once, however often it is replaced") {
  struct counted {
    static std::atomic<int>& alive() { static std::atomic<int> n{0}; return n; }
    counted() { ++alive(); }
    counted(const counted&) { ++alive(); }
    ~counted() { --alive(); }
  };
  struct holder { counted c; };
  {
    own_world w;
    const auto s = start<holder>();
    for (int i = 0; i < 3; ++i) (void)sys::replace_state(s, [](const holder& h) { return h; });
    CHECK(counted::alive() == 1);
    stop(s);
    CHECK(counted::alive() == 0);
  }
}

TEST_CASE("GS-162 get_status tells pid, behaviour, class, parent, whether it is suspended, what is switched on, and the state") {
  own_world w;
  const auto why = run_process([] {
    const auto s = start_link<box>({}, 3);
    auto status = sys::get_status(s);
    CHECK(status.who == s.id());
    CHECK(status.behaviour == "gen_server");
    CHECK(status.class_name == "box");
    CHECK(status.parent == self());
    CHECK_FALSE(status.suspended);
    CHECK_FALSE(status.tracing);
    CHECK_FALSE(status.statistics);
    CHECK(status.log_limit == 0);
    CHECK(status.hooks == 0);
    CHECK(status.formatted.state == "box{value: 3, name: \"box\"}");
    sys::suspend(s);
    sys::statistics(s, true);
    sys::log(s, 4);
    sys::install(s, "hook", [](const sys::event&) { return sys::hook::stay; });
    cast(s, put{5});
    status = sys::get_status(s);
    CHECK(status.suspended);
    CHECK(status.statistics);
    CHECK(status.log_limit == 4);
    CHECK(status.hooks == 1);
    CHECK(status.held == 1);
    stop(s);
  });
  CHECK(why.is(exit_reason::normal));
}

TEST_CASE("GS-163 statistics count handled messages, and as messages out only replies by result forms") {
  own_world w;
  const auto s = start<counter>();
  CHECK_FALSE(sys::get_statistics(s).has_value());
  sys::statistics(s, true);
  CHECK(call(s, add{2}) == 2);
  CHECK(call(s, add{2}) == 4);
  cast(s, put{1});
  send(s, nudge{});
  auto later = send_request(s, ask_later{});
  cast(s, answer_all{7});
  CHECK(wait_response(later).value() == 7);
  const auto counts = sys::get_statistics(s);
  REQUIRE(counts);
  CHECK(counts->messages_in == 6);
  CHECK(counts->messages_out == 2);
  CHECK(counts->work >= 6);
  CHECK(counts->running > duration{0});
  sys::statistics(s, false);
  CHECK_FALSE(sys::get_statistics(s).has_value());
  sys::statistics(s, true);
  CHECK(sys::get_statistics(s)->messages_in == 0);
}

TEST_CASE("GS-164 a suspended server handles system messages only; what came meanwhile is handled in order after the resume") {
  struct note { int n; };
  struct recorder {
    std::vector<int> seen;
    void handle_cast(note n) { seen.push_back(n.n); }
    void handle_info(note n) { seen.push_back(-n.n); }
    std::size_t handle_call(add a) { return seen.push_back(a.by), seen.size(); }
  };
  own_world w;
  const auto s = start<recorder>();
  sys::suspend(s);
  sys::suspend(s);
  cast(s, note{1});
  send(s, note{2});
  cast(s, note{3});
  CHECK(sys::get_state(s).seen.empty());
  CHECK(sys::get_status(s).held == 3);
  sys::resume(s);
  CHECK(sys::get_state(s).seen == std::vector<int>{1, -2, 3});
  sys::resume(s);
  cast(s, note{4});
  CHECK(sys::get_state(s).seen == std::vector<int>{1, -2, 3, 4});
}

TEST_CASE("GS-164 a call to a suspended server times out, and is not handled after the resume; one that still waits is answered") {
  own_world w;
  const auto s = start<box>();
  sys::suspend(s);
  CHECK(try_call(s, add{1}, 1ms).error().is(call_error::timeout));
  auto patient = send_request(s, add{10});
  sys::resume(s);
  CHECK(wait_response(patient).value() == 10);
}

TEST_CASE("GS-164 while suspended no order is lost between calls, casts and the first messages after the resume") {
  own_world w;
  const auto s = start<counter>();
  for (int i = 0; i < rounds(200, 5000); ++i) {
    sys::suspend(s);
    cast(s, put{i});
    send(s, nudge{});
    sys::resume(s);
    REQUIRE(call(s, add{0}) == i + 1);
  }
}

TEST_CASE("GS-165 trace reports every event: what was got, the replies, the new states") {
  own_world w;
  const auto s = start<counter>({.name = "gs165"});
  CHECK(call(s, add{1}) == 1);
  CHECK(w.reports.of("trace", s).empty());
  sys::trace(s, true);
  CHECK(call(s, add{2}) == 3);
  cast(s, put{5});
  send(s, nudge{});
  sys::trace(s, false);
  CHECK(call(s, add{1}) == 7);
  std::vector<std::string> seen;
  for (const report& r : w.reports.of("trace", s)) {
    CHECK(r.who == to_text(s.id()));
    CHECK(r.headline.find("\"gs165\"") != std::string::npos);
    seen.push_back(r.headline.substr(r.headline.find("  ") + 2));
  }
  CHECK(seen == lines{"got call add{by: 2}", "sent reply int", "new state counter{3}", "got cast put{value: 5}",
                      "new state counter{5}", "got nudge{}", "new state counter{6}"});
}

TEST_CASE("GS-165 log_to_file appends every event to a file until it is switched off; a file that cannot be opened is an error") {
  scratch_file file;
  own_world w;
  const auto s = start<counter>();
  sys::log_to_file(s, file.path());
  CHECK(sys::get_status(s).log_file == file.path());
  cast(s, put{5});
  sys::log_to_file(s, "");
  cast(s, put{6});
  CHECK(sys::get_status(s).log_file.empty());
  const auto content = file.content();
  REQUIRE(content.size() == 2);
  CHECK(content[0].ends_with("got cast put{value: 5}"));
  CHECK(content[1].ends_with("new state counter{5}"));
  const auto e = error_in([&] { sys::log_to_file(s, "/nonexistent/folder/log"); });
  REQUIRE(e);
  CHECK(e->is(call_error::failed));
  CHECK(std::string(e->what()).find("/nonexistent/folder/log") != std::string::npos);
  CHECK(call(s, add{1}) == 7);
}

TEST_CASE("GS-165 a log that goes into a pipe whose reader leaves disturbs nobody; a pipe that nobody reads is an error at once") {
  scratch_file file;
  ::unlink(file.path().c_str());
  REQUIRE(::mkfifo(file.path().c_str(), 0600) == 0);
  struct default_signal {                          // whoever started the tests may have said something else
    void (*before)(int) = ::signal(SIGPIPE, SIG_DFL);
    ~default_signal() { ::signal(SIGPIPE, before); }
  } const ends_the_program;
  own_world w;
  const auto s = start<counter>();
  CHECK(error_in([&] { sys::log_to_file(s, file.path()); }));
  const int reader = ::open(file.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  sys::log_to_file(s, file.path());
  CHECK(call(s, add{5}) == 5);
  char seen[256];
  const ssize_t n = ::read(reader, seen, sizeof seen);
  REQUIRE(n > 0);
  CHECK(std::string_view(seen, static_cast<std::size_t>(n)).find("got call add{by: 5}") != std::string_view::npos);
  ::close(reader);
  cast(s, put{6});
  CHECK(call(s, add{1}) == 7);
  CHECK(sys::get_status(s).log_file == file.path());
}

TEST_CASE("GS-166 log keeps the last 10 events or the last n; changing n keeps what fits; print_log reports them") {
  own_world w;
  const auto s = start<counter>();
  sys::log(s);
  for (int i = 1; i <= 6; ++i) cast(s, put{i});
  auto kept = texts(sys::get_log(s));
  REQUIRE(kept.size() == 10);
  CHECK(kept.front() == "got cast put{value: 2}");
  CHECK(kept.back() == "new state counter{6}");
  sys::log(s, 3);
  kept = texts(sys::get_log(s));
  CHECK(kept == lines{"new state counter{5}", "got cast put{value: 6}", "new state counter{6}"});
  sys::log(s, 4);
  CHECK(sys::get_log(s).size() == 3);
  cast(s, put{7});
  CHECK(texts(sys::get_log(s)) == lines{"got cast put{value: 6}", "new state counter{6}", "got cast put{value: 7}",
                                        "new state counter{7}"});
  CHECK(w.reports.of("trace", s).empty());
  sys::print_log(s);
  CHECK(w.reports.of("trace", s).size() == 4);
  sys::log(s, 0);
  CHECK(sys::get_log(s).empty());
  cast(s, put{8});
  CHECK(sys::get_log(s).empty());
}

TEST_CASE("GS-167 an installed function sees every event until it is removed or says so; an id twice does nothing") {
  own_world w;
  const auto s = start<counter>();
  journal first, second;
  sys::install(s, "a", [&](const sys::event& e) { return first.add(to_text(e)), sys::hook::stay; });
  sys::install(s, "a", [&](const sys::event& e) { return second.add(to_text(e)), sys::hook::stay; });
  CHECK(call(s, add{1}) == 1);
  CHECK(first.lines() == lines{"got call add{by: 1}", "sent reply int", "new state counter{1}"});
  CHECK(second.lines().empty());
  sys::remove(s, "a");
  sys::remove(s, "a");
  CHECK(call(s, add{1}) == 2);
  CHECK(first.lines().size() == 3);
  sys::install(s, "a", [&, left = 2](const sys::event& e) mutable {
    second.add(to_text(e));
    return --left > 0 ? sys::hook::stay : sys::hook::remove;
  });
  CHECK(call(s, add{1}) == 3);
  CHECK(second.lines() == lines{"got call add{by: 1}", "sent reply int"});
  CHECK(sys::get_status(s).hooks == 0);
}

TEST_CASE("GS-167 an installed function that throws is removed silently and hurts nobody") {
  own_world w;
  const auto s = start<counter>();
  journal other;
  sys::install(s, "bad", [](const sys::event&) -> sys::hook { throw std::runtime_error("bad hook"); });
  sys::install(s, "good", [&](const sys::event& e) { return other.add(to_text(e)), sys::hook::stay; });
  CHECK(call(s, add{1}) == 1);
  CHECK(sys::get_status(s).hooks == 1);
  CHECK(other.lines().size() == 3);
  CHECK(w.reports.all().empty());
}

TEST_CASE("GS-167 no_debug removes everything and closes files") {
  scratch_file file;
  own_world w;
  const auto s = start<counter>();
  journal seen;
  sys::trace(s, true);
  sys::statistics(s, true);
  sys::log(s, 5);
  sys::log_to_file(s, file.path());
  sys::install(s, "a", [&](const sys::event& e) { return seen.add(to_text(e)), sys::hook::stay; });
  sys::no_debug(s);
  cast(s, put{1});
  const auto status = sys::get_status(s);
  CHECK_FALSE(status.tracing);
  CHECK_FALSE(status.statistics);
  CHECK(status.log_limit == 0);
  CHECK(status.log_file.empty());
  CHECK(status.hooks == 0);
  CHECK(seen.lines().empty());
  CHECK(file.content().empty());
  CHECK(w.reports.of("trace", s).empty());
}

TEST_CASE("GS-168 a server that was watched once is called directly again: its handler runs on the caller's thread") {
  struct where { using reply = bool; std::thread::id caller; };
  struct located {
    bool handle_call(where q) { return std::this_thread::get_id() == q.caller; }
  };
  own_world w;
  const auto s = start<located>();
  CHECK(call(s, where{std::this_thread::get_id()}));
  sys::trace(s, true);
  sys::log(s, 2);
  sys::no_debug(s);
  CHECK(call(s, where{std::this_thread::get_id()}));
}

TEST_CASE("GS-169 GS-133 sys::terminate ends a server as stop does, without waiting for it, also a suspended one") {
  own_world w;
  const auto m = start_monitor<box>();
  box::ended_with() = {};
  sys::suspend(m.server);
  sys::terminate(m.server, exit_reason::shutdown);
  CHECK(reason_of_end(m.server, m.ref).is(exit_reason::shutdown));
  CHECK(box::ended_with().is(exit_reason::shutdown));
}

TEST_CASE("GS-169 a system request that a server does not know is answered with an error and leaves it unaffected") {
  own_world w;
  const auto s = start<box>({}, 3);
  const auto other = server_cast<counter>(s.id());
  CHECK(error_in([&] { (void)sys::get_state(server_cast<std::string>(s.id())); })->is(call_error::bad_request));
  CHECK(error_in([&] { (void)sys::replace_state(server_cast<int>(s.id()), [](int n) { return n; }); })->is(call_error::bad_request));
  CHECK(try_call(other, add{1}).error().is(call_error::bad_request));
  CHECK(call(s, add{1}) == 4);
}

// --- code change -----------------------------------------------------------------------------------------------------

namespace {

struct conversion { int factor; };

struct versioned {
  int value = 0;
  std::string came_from{};
  int handle_call(add a) { return value += a.by; }
  void code_change(std::string_view old_version, conversion c) {
    if (c.factor == 0) throw std::invalid_argument("factor 0");
    value *= c.factor;
    came_from = old_version;
  }
};

struct get { using reply = int; };
struct set_to { int value; };

/// The same server in two versions that know the same messages.
struct old_version {
  using protocol = messages<get, set_to>;
  int value = 0;
  int handle_call(get) { return value; }
  void handle_cast(set_to s) { value = s.value; }
};
struct new_version {
  using protocol = messages<get, set_to>;
  std::string value;
  static new_version upgrade(const old_version& old) {
    if (old.value < 0) throw std::domain_error("negative");
    return {std::to_string(old.value) + "0"};
  }
  int handle_call(get) { return std::stoi(value); }
  void handle_cast(set_to s) { value = std::to_string(s.value * 10); }
};

}  // namespace

TEST_CASE("GS-170 change_code works only while suspended, and gives the server the converted state") {
  own_world w;
  const auto s = start<versioned>({}, 3);
  const auto e = error_in([&] { sys::change_code(s, "1", conversion{2}); });
  REQUIRE(e);
  CHECK(e->is(call_error::failed));
  CHECK(sys::get_state(s).value == 3);
  sys::suspend(s);
  sys::change_code(s, "1.4", conversion{2});
  CHECK(sys::get_state(s).value == 6);
  CHECK(sys::get_state(s).came_from == "1.4");
  sys::resume(s);
  CHECK(call(s, add{1}) == 7);
}

TEST_CASE("GS-170 a code_change that fails leaves the old state; the caller gets the error, the server lives and can be resumed") {
  own_world w;
  const auto s = start<versioned>({}, 3);
  sys::suspend(s);
  const auto e = error_in([&] { sys::change_code(s, "1", conversion{0}); });
  REQUIRE(e);
  CHECK(e->is(call_error::failed));
  CHECK(e->reason().text() == "factor 0");
  CHECK(sys::get_state(s).value == 3);
  CHECK(sys::get_state(s).came_from.empty());
  CHECK(sys::get_status(s).suspended);
  sys::resume(s);
  CHECK(call(s, add{1}) == 4);
}

TEST_CASE("GS-171 OL-8 an upgrade while messages wait: nothing is lost, and old callers reach the new class") {
  own_world w;
  const auto s = start<old_version>({}, 4);
  sys::suspend(s);
  auto asked_before = send_request(s, get{});
  cast(s, set_to{7});
  auto asked_then = send_request(s, get{});
  const server_ref<new_version> fresh = sys::upgrade<new_version>(s);
  CHECK(fresh.id() == s.id());
  CHECK(sys::get_state(fresh).value == "40");
  sys::resume(fresh);
  CHECK(wait_response(asked_before).value() == 40);
  CHECK(wait_response(asked_then).value() == 70);
  CHECK(call(s, get{}) == 70);
  cast(s, set_to{8});
  CHECK(call(fresh, get{}) == 80);
  CHECK(sys::get_status(s).class_name == "new_version");
}

TEST_CASE("GS-171 an upgrade is refused while the server runs, and one that throws leaves the old class and state") {
  own_world w;
  const auto s = start<old_version>({}, -4);
  CHECK(error_in([&] { (void)sys::upgrade<new_version>(s); })->is(call_error::failed));
  sys::suspend(s);
  const auto e = error_in([&] { (void)sys::upgrade<new_version>(s); });
  REQUIRE(e);
  CHECK(e->reason().text() == "negative");
  sys::resume(s);
  CHECK(call(s, get{}) == -4);
  CHECK(sys::get_status(s).class_name == "old_version");
}

TEST_CASE("GS-171 a running callback finishes in the old code") {
  struct slow {
    struct go { using reply = int; };
    const gate* g = nullptr;
    int handle_call(go) { return g->pass(), 1; }
  };
  struct slow2 {
    struct go { using reply = int; };
    int handle_call(go) { return 2; }
    static slow2 upgrade(const slow&) { return {}; }
  };
  gate g;
  own_world w;
  const auto s = start<slow>({}, &g);
  auto running = send_request(s, slow::go{});
  CHECK(eventually([&] { return try_call(s, slow::go{}, duration{0}).error().is(call_error::timeout); }));
  std::thread opener([&] { g.open(); });
  sys::suspend(s);
  const auto fresh = sys::upgrade<slow2>(s);
  sys::resume(fresh);
  opener.join();
  CHECK(wait_response(running).value() == 1);
  CHECK(call(fresh, slow2::go{}) == 2);
}
