// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/request.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "spec/otp/otp_test.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct after_a_while { using reply = int; duration wait; int answer; };
/// Kept for answer_kept, even if its caller has given up by then.
struct never { using reply = int; static constexpr bool late = true; };
struct drop { using reply = int; };
struct fail_now { using reply = int; };
struct nothing_much { using reply = void; };
struct kick {};
struct answer_kept { int answer; };

/// Answers in its own time, out of order if need be.
struct slow_server {
  std::vector<from<int>> kept{};
  void handle_call(after_a_while a, from<int> f) {
    spawn([g = std::make_shared<from<int>>(std::move(f)), a] {
      sleep_for(a.wait);
      std::move(*g).reply(a.answer);
    });
  }
  void handle_call(never, from<int> f) { kept.push_back(std::move(f)); }
  void handle_call(drop, from<int>) {}
  int handle_call(fail_now) { throw std::runtime_error("broken"); }
  void handle_call(nothing_much) {}
  void handle_cast(kick) {}
  void handle_cast(answer_kept a) {
    std::move(kept.front()).reply(a.answer);
    kept.erase(kept.begin());
  }
};

struct note { int n; };

bool nothing_left() { return mailbox_is_empty() && process_info(self())->monitors.empty(); }

}  // namespace

TEST_CASE("GS-50 send_request returns at once; an unknown name or a dead server is the response noproc") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    auto p = send_request(s, after_a_while{1ms, 4});
    CHECK(p);
    CHECK(receive_response(p).value() == 4);
    CHECK_FALSE(p);
    auto unknown = send_request(named<slow_server>("nobody here"), never{});
    CHECK(receive_response(unknown).error().is(call_error::noproc));
    stop(s);
    auto dead = send_request(s, never{});
    CHECK(receive_response(dead).error().is(call_error::noproc));
    CHECK(nothing_left());
  }).is(exit_reason::normal));
}

TEST_CASE("GS-50 a response is a reply, no_reply, bad_request or the server's end; a void reply is one, too") {
  caught_reports reports;
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    auto v = send_request(s, nothing_much{});
    CHECK(receive_response(v).has_value());
    auto d = send_request(s, drop{});
    CHECK(receive_response(d).error().is(call_error::no_reply));
    struct other {
      struct q { using reply = int; };
      int handle_call(q) { return 1; }
    };
    auto wrong = send_request(server_cast<other>(s.id()), other::q{});
    CHECK(receive_response(wrong).error().is(call_error::bad_request));
    auto waiting = send_request(s, never{});
    auto f = send_request(s, fail_now{});
    CHECK(receive_response(f).error().reason().text() == "broken");
    CHECK(receive_response(waiting).error().reason().text() == "broken");
    CHECK(nothing_left());
  }).is(exit_reason::normal));
}

TEST_CASE("GS-51 receive_response abandons the request at its timeout: the late response is dropped") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    auto p = send_request(s, never{});
    CHECK(receive_response(p, 1ms).error().is(call_error::timeout));
    CHECK_FALSE(p);
    { auto dropped = send_request(s, never{}); }
    cast(s, answer_kept{4});
    cast(s, answer_kept{4});
    call(s, nothing_much{});                             // by now it has answered both
    CHECK(nothing_left());
    stop(s);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-52 wait_response keeps the request at its timeout: it may be waited for again") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    auto p = send_request(s, never{});
    CHECK(wait_response(p, 1ms).error().is(call_error::timeout));
    CHECK(p);
    cast(s, answer_kept{4});
    CHECK(wait_response(p, infinity).value() == 4);
    CHECK(nothing_left());
    stop(s);
  }).is(exit_reason::normal));
}

namespace {

/// Takes responses in its info handler.
struct info_taker {
  struct ask { server_ref<slow_server> whom; bool fails; };
  journal* log;
  pending<int> mine{};
  void handle_cast(ask a) { mine = a.fails ? send_request(a.whom, fail_now{}) : send_request(a.whom, after_a_while{1ms, 4}); }
  void handle_info(message& m) {
    if (auto r = check_response(m, mine)) log->add(*r ? "value " + std::to_string(**r) : r->error().reason().text().data());
    else log->add("other " + std::string(m.name()));
  }
};

}  // namespace

TEST_CASE("GS-53 GS-120 check_response tells a response from other messages, in an info handler") {
  caught_reports reports;
  journal j;
  const auto s = start<slow_server>();
  const auto t = start<info_taker>({}, &j);
  send(t.id(), note{1});
  cast(t, info_taker::ask{s, false});
  CHECK(eventually([&] { return j.lines().size() == 2; }));
  cast(t, info_taker::ask{s, true});
  CHECK(eventually([&] { return j.lines().size() == 3; }));
  CHECK(j.lines() == lines{"other note", "value 4", "broken"});
  stop(t);
}

TEST_CASE("GS-54 the default is to wait for ever; deadlines may be absolute, and one in the past means 0") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    auto p = send_request(s, never{});
    CHECK(wait_response(p, deadline::in(-1s)).error().is(call_error::timeout));
    CHECK(wait_response(p, deadline::in(1ms)).error().is(call_error::timeout));
    cast(s, answer_kept{4});
    CHECK(wait_response(p, deadline::in(1h)).value() == 4);
    auto q = send_request(s, after_a_while{1ms, 5});
    CHECK(receive_response(q).value() == 5);
    stop(s);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-55 a response can be taken once; whoever waits for it again is told unknown at once, even with infinity") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    auto p = send_request(s, nothing_much{});
    CHECK(wait_response(p).has_value());
    CHECK(wait_response(p).error().is(call_error::unknown));
    CHECK(receive_response(p).error().is(call_error::unknown));
    auto abandoned = send_request(s, never{});
    CHECK(receive_response(abandoned, deadline::in(-1s)).error().is(call_error::timeout));
    CHECK(wait_response(abandoned).error().is(call_error::unknown));
    stop(s);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-56 GS-57 collections: labels, arrival order, entries removed or kept") {
  CHECK(run_process([] {
    const auto slow = start<slow_server>(), fast = start<slow_server>(), middle = start<slow_server>();
    request_set<int, std::string> set;
    send_request(slow, never{}, std::string("slow"), set);
    send_request(fast, never{}, std::string("fast"), set);
    set.add(send_request(middle, never{}), "middle");
    CHECK(set.size() == 3);
    std::vector<std::string> labels;
    set.for_each([&](reference, const std::string& l) { labels.push_back(l); });
    CHECK(labels == std::vector<std::string>{"slow", "fast", "middle"});
    for (const auto& s : {fast, middle, slow}) {
      cast(s, answer_kept{2});
      call(s, nothing_much{});                           // by now it has answered
    }
    auto first = set.wait_response(infinity, true);
    REQUIRE(first);
    CHECK(first->label == "fast");
    CHECK(first->response.value() == 2);
    CHECK(set.size() == 3);
    auto second = set.receive_response();
    CHECK(second->label == "middle");
    CHECK(set.size() == 2);
    CHECK(set.receive_response()->label == "slow");
    CHECK(set.size() == 1);                              // the kept one, which nobody may wait for again
    stop(slow), stop(fast), stop(middle);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-58 an empty collection: nothing at once, even with infinity") {
  request_set<int, int> set;
  CHECK_FALSE(set.receive_response(infinity).has_value());
  CHECK_FALSE(set.wait_response(infinity).has_value());
}

TEST_CASE("GS-59 the timeout of a collection abandons all its requests, or none") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    for (const bool abandons : {true, false}) {
      request_set<int, int> set;
      send_request(s, never{}, 200, set);
      send_request(s, after_a_while{0ms, 2}, 1, set);
      send_request(s, never{}, 400, set);
      CHECK(set.receive_response()->label == 1);
      const auto late = abandons ? set.receive_response(2ms) : set.wait_response(2ms);
      REQUIRE(late);
      CHECK(late->response.error().is(call_error::timeout));
      CHECK(set.size() == (abandons ? 0 : 2));
      cast(s, answer_kept{3});
      cast(s, answer_kept{1});
      call(s, nothing_much{});
      if (abandons) {
        CHECK(nothing_left());
      } else {
        CHECK(set.receive_response()->label == 200);
        CHECK(set.receive_response()->label == 400);
      }
    }
    stop(s);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-60 responses outside the collection, and other messages, stay where they are") {
  CHECK(run_process([] {
    const auto s = start<slow_server>();
    send(self(), note{1});
    auto outside = send_request(s, after_a_while{0ms, 9});
    request_set<int, int> set;
    send_request(s, after_a_while{2ms, 1}, 1, set);
    CHECK(set.receive_response()->response.value() == 1);
    send(self(), note{2});
    CHECK(receive_response(outside).value() == 9);
    CHECK(receive<note>().n == 1);
    CHECK(receive<note>().n == 2);
    CHECK(nothing_left());
    stop(s);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-50 GS-42 a plain thread sends requests, too") {
  const auto s = start<slow_server>();
  auto p = send_request(s, after_a_while{1ms, 4});
  CHECK(receive_response(p).value() == 4);
  CHECK(mailbox_is_empty());
  stop(s);
}

// --- cast ------------------------------------------------------------------------------------------------------------

namespace {

struct recorder {
  struct lines_so_far { using reply = lines; };
  struct wait { const gate* g; };
  lines seen{};
  void handle_cast(note n) { seen.push_back("cast " + std::to_string(n.n)); }
  void handle_cast(wait w) { w.g->pass(); }
  void handle_info(note n) { seen.push_back("info " + std::to_string(n.n)); }
  lines handle_call(lines_so_far) { return seen; }
};

}  // namespace

TEST_CASE("GS-80 GS-181 OL-11 OL-40 a cast always succeeds at once: busy, dead, unknown, failing registry") {
  struct broken_registry {
    bool register_name(int, pid) { return false; }
    void unregister_name(int) {}
    pid whereis(int) { throw std::runtime_error("down"); }
  } registry;
  const auto s = start<recorder>();
  gate g;
  cast(s, recorder::wait{&g});
  for (int i = 0; i < 100; ++i) cast(s, note{i});        // none of them waits for the gate
  cast(named<recorder>("nobody here"), note{1});
  cast(named<recorder>(via(registry, 1)), note{1});
  g.open();
  CHECK(call(s, recorder::lines_so_far{}).size() == 100);
  stop(s);
  cast(s, note{1});
  CHECK(try_cast(s, note{1}).error().is(call_error::noproc));
  CHECK(try_cast(named<recorder>("nobody here"), note{1}).error().is(call_error::noproc));
}

TEST_CASE("GS-81 casts, calls and plain sends of one sender are handled in the order they were issued") {
  CHECK(run_process([] {
    const auto s = start<recorder>();
    lines expected;
    for (int i = 0; i < 300; ++i) {
      if (i % 3 == 0) cast(s, note{i}), expected.push_back("cast " + std::to_string(i));
      if (i % 3 == 1) send(s, note{i}), expected.push_back("info " + std::to_string(i));
      if (i % 3 == 2) CHECK(call(s, recorder::lines_so_far{}) == expected);
    }
    stop(s);
  }).is(exit_reason::normal));
}

// --- many at once ----------------------------------------------------------------------------------------------------

TEST_CASE("GS-83 GS-84 OL-19 multi_call: replies and bad names, both in the order of the list, nothing left behind") {
  CHECK(run_process([] {
    const auto a = start<slow_server>({.name = "multi a"});
    const auto b = start<slow_server>({.name = "multi b"});
    const auto c = start<slow_server>({.name = "multi c"});
    const std::vector<named<slow_server>> names{{"multi c"}, {"multi missing"}, {"multi a"}, {"multi b"}};
    auto r = multi_call(names, after_a_while{1ms, 5}, infinity);
    REQUIRE(r.replies.size() == 3);
    CHECK(r.replies[0].first.text() == "multi c");
    CHECK(r.replies[1].first.text() == "multi a");
    CHECK(r.replies[2].first.text() == "multi b");
    CHECK(r.replies[0].second == 5);
    REQUIRE(r.bad.size() == 1);
    CHECK(r.bad[0].text() == "multi missing");
    auto late = multi_call(names, never{}, 1ms);
    CHECK(late.replies.empty());
    CHECK(late.bad.size() == 4);
    for (const auto& s : {a, b, c}) {
      cast(s, answer_kept{5});
      call(s, nothing_much{});                           // by now it has answered
    }
    CHECK(nothing_left());
    stop(a), stop(b), stop(c);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-84 many servers that do not answer cost one timeout, not one each") {
  CHECK(run_process([] {
    std::vector<server_ref<slow_server>> servers;
    for (int i = 0; i < 50; ++i) servers.push_back(start<slow_server>());
    bool one_timeout = false;                            // in one of several: in any of them a thread may have stood still
    for (int tries = 0; tries < 20 && !one_timeout; ++tries) {
      const auto begin = std::chrono::steady_clock::now();
      const auto answers = call_all(servers, never{}, 50ms);
      one_timeout = std::chrono::steady_clock::now() - begin < 50 * 50ms;
      for (const auto& a : answers) CHECK(a.error().is(call_error::timeout));
    }
    CHECK(one_timeout);
    for (const auto& s : servers) stop(s);
  }).is(exit_reason::normal));
}

TEST_CASE("GS-86 call_all asks all at once and answers in the order of the list; each failure is its own") {
  caught_reports reports;
  CHECK(run_process([] {
    std::vector<server_ref<slow_server>> servers;
    for (int i = 0; i < 20; ++i) servers.push_back(start<slow_server>());
    stop(servers[3]);
    const auto answers = call_all(servers, after_a_while{1ms, 4}, infinity);
    REQUIRE(answers.size() == 20);
    for (std::size_t i = 0; i < 20; ++i) {
      if (i == 3) CHECK(answers[i].error().is(call_error::noproc));
      else CHECK(answers[i].value() == 4);
    }
    servers.erase(servers.begin() + 3);
    for (const auto& a : call_all(servers, fail_now{})) CHECK(a.error().reason().text() == "broken");
    CHECK(nothing_left());
  }).is(exit_reason::normal));
  const auto s = start<slow_server>();
  const std::vector<server_ref<slow_server>> one{s};
  CHECK(call_all(one, nothing_much{})[0].has_value());
  stop(s);
}

TEST_CASE("GS-180 call_all does not look at what waits in the caller's mailbox") {
  const auto s = start<recorder>();
  const std::vector<server_ref<recorder>> one{s};
  const auto time = [&] {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 300; ++i) CHECK(call_all(one, recorder::lines_so_far{})[0].has_value());
    return std::chrono::steady_clock::now() - begin;
  };
  CHECK(run_process([&] {
    const auto without = std::min({time(), time(), time()});
    for (int i = 0; i < 100000; ++i) send(self(), note{i});
    bool as_fast = false;                                // in one of several, as above
    for (int tries = 0; tries < 20 && !as_fast; ++tries) as_fast = time() < 10 * without + 20ms;
    CHECK(as_fast);
  }).is(exit_reason::normal));
  stop(s);
}

TEST_CASE("abcast tells all holders of a list of names, and misses nobody who is not there") {
  const auto a = start<recorder>({.name = "abcast a"});
  const auto b = start<recorder>({.name = "abcast b"});
  abcast(std::vector<named<recorder>>{{"abcast a"}, {"abcast nobody"}, {"abcast b"}}, note{7});
  CHECK(call(a, recorder::lines_so_far{}) == lines{"cast 7"});
  CHECK(call(b, recorder::lines_so_far{}) == lines{"cast 7"});
  stop(a), stop(b);
}
