// SPDX-License-Identifier: Apache-2.0
//
// Everything that is shown is read by a reader that takes nothing but the format, and compared with what the test has done. Counters are
// the program's: a test compares them before and after.
#include <coppice/app/health.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/metrics.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/otp/task.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/state/agent.hpp>
#include <coppice/state/atom.hpp>
#include <coppice/state/ref.hpp>
#include <coppice/state/transaction.hpp>

#include <doctest/doctest.h>

#include "runtime/thread_block.hpp"
#include "support/eventually.hpp"
#include "support/http/http_client.hpp"
#include "support/one_worker.hpp"
#include "unit/app/prometheus_text.hpp"

#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace coppice;
using testing::eventually;
using testing::http_answer;
using testing::http_client;
using testing::prometheus_text;

namespace {

const log_sink silent{[](void*, const report&) {}, nullptr};
struct quiet {
  quiet() { set_log_sink(&silent); }
  ~quiet() { set_log_sink(nullptr); }
};

struct ask { using reply = int; };
struct tell {};
struct fall {};

struct counted_server {
  int n = 0;
  int handle_call(ask) { return ++n; }
  void handle_cast(tell) { ++n; }
  void handle_cast(fall) { throw std::runtime_error("on purpose"); }
};
struct restarted_server : counted_server {};
struct loaded_server : counted_server {};

struct step {};
/// Handles a step only when it is told so.
struct gated_server {
  std::atomic<int>* at = nullptr;
  std::atomic<int>* allowed = nullptr;
  void init(std::atomic<int>* a, std::atomic<int>* b) { at = a, allowed = b; }
  void handle_cast(step) {
    const int mine = ++*at;
    while (allowed->load() < mine) sleep_for(1ms);
  }
};

prometheus_text now_of(const metrics& m) { return prometheus_text(m.text()); }
prometheus_text::labels of_class(const std::string& name) { return {{"class", name}}; }

/// How much a series has grown.
struct growth {
  growth(const metrics& all, std::string series, prometheus_text::labels l = {})
      : of(all), name(std::move(series)), labels(std::move(l)), before(now_of(of).value(name, labels)) {}
  double now() const { return now_of(of).value(name, labels) - before; }
  const metrics& of;
  std::string name;
  prometheus_text::labels labels;
  double before;
};

std::string request(std::string_view method, std::string_view target) {
  return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n";
}

struct world {
  world() : rt({.workers = 2}), in(rt), all({.in = &rt}) {}
  runtime rt;
  runtime_scope in;
  metrics all;
};

}  // namespace

TEST_CASE("metrics: what is shown is in the text format, also when nothing has happened yet") {
  world w;
  const prometheus_text shown(w.all.text());
  CHECK(shown.value("coppice_scheduler_workers") == 2);
  CHECK(shown.families.at("coppice_transactions_total").type == "counter");
  CHECK(shown.families.at("coppice_processes").type == "gauge");
  const http_response r = w.all();
  CHECK(r.content_type == "text/plain; version=0.0.4; charset=utf-8");
}

TEST_CASE("metrics: calls and casts of a class are counted, each once, also beyond what fits into a slot") {
  world w;
  const growth messages(w.all, "coppice_server_messages_total", of_class("counted_server"));
  const growth started(w.all, "coppice_servers_started_total", of_class("counted_server"));
  const growth measured(w.all, "coppice_server_handler_seconds_count", of_class("counted_server"));
  auto server = start<counted_server>();
  for (int i = 0; i < 2; ++i) call(server, ask{});
  CHECK(measured.now() == 0);    // who lives for two messages only is not measured
  call(server, ask{});
  CHECK(eventually([&] { return measured.now() == 3; }));  // of its time no answer waits
  for (int i = 3; i < 1000; ++i) call(server, ask{});
  CHECK(messages.now() == 1000);
  CHECK(measured.now() == 768);  // the 768th was the last one that was measured
  for (int i = 0; i < 500; ++i) cast(server, tell{});
  call(server, ask{});
  CHECK(messages.now() == 1501);
  CHECK(measured.now() == 1280);
  for (int i = 0; i < 70'000; ++i) call(server, ask{});
  CHECK(messages.now() == 71'501);
  CHECK(started.now() == 1);
  CHECK(now_of(w.all).value("coppice_servers", of_class("counted_server")) == 1);
  stop(server);
  CHECK(eventually([&] { return now_of(w.all).value("coppice_servers", of_class("counted_server")) == 0; }));
  CHECK(messages.now() >= 71'501);  // a stop is a message, too
  CHECK(messages.now() <= 71'502);
  CHECK(started.now() == 1);
}

TEST_CASE("metrics: crashes and restarts of a class") {
  const quiet silence;
  world w;
  const prometheus_text::labels of = of_class("restarted_server");
  const growth crashes(w.all, "coppice_server_crashes_total", of);
  const growth restarts(w.all, "coppice_server_restarts_total", of);
  const growth started(w.all, "coppice_servers_started_total", of);
  auto top = start_supervisor({.name = "metrics_top", .children = {child<restarted_server>({.name = "restarted"})}});
  for (int i = 1; i <= 2; ++i) {
    const pid old = *whereis("restarted");
    cast(server_cast<restarted_server>(old), fall{});
    CHECK(eventually([&] {
      const auto now = whereis("restarted");
      return now && *now != old;
    }));
    CHECK(eventually([&] { return restarts.now() == i; }));
  }
  CHECK(crashes.now() == 2);
  CHECK(started.now() == 3);
  exit(top.id(), exit_reason::shutdown);
  CHECK(restarts.now() == 2);
}

TEST_CASE("metrics: what waits in a server's mailbox") {
  world w;
  std::atomic<int> at = 0;
  std::atomic<int> allowed = 0;
  auto server = start<gated_server>({}, &at, &allowed);
  for (int i = 0; i < 10; ++i) cast(server, step{});
  allowed = 1;
  CHECK(eventually([&] { return at == 2; }));  // it has looked at its mailbox since
  const prometheus_text shown = now_of(w.all);
  CHECK(shown.value("coppice_server_queued_messages", of_class("gated_server")) == 8);
  CHECK(shown.value("coppice_server_longest_queue", of_class("gated_server")) == 8);
  allowed = 100;
  stop(server);
}

TEST_CASE("metrics: what the workers do") {
  const testing::one_worker w;
  const metrics all;
  CHECK(eventually([&] { return now_of(all).value("coppice_scheduler_parked_workers") == 1; }));
  const growth turns(all, "coppice_scheduler_turns_total");
  const growth slept(all, "coppice_scheduler_parked_seconds_total");
  CHECK(eventually([&] { return slept.now() > 0; }));  // also of a sleep that goes on
  double queued = 0;
  double parked = 1;
  async([&] {
    std::vector<pid> waiting;
    for (int i = 0; i < 50; ++i) waiting.push_back(spawn([] {}));
    const prometheus_text now = now_of(all);  // the only worker is here
    queued = now.value("coppice_scheduler_run_queue");
    parked = now.value("coppice_scheduler_parked_workers");
  }).await();
  CHECK(queued == 50);                             // also the one that lies where the worker looks first
  CHECK(parked == 0);
  CHECK(eventually([&] { return turns.now() >= 50; }));  // they may run yet
  CHECK(eventually([&] { return now_of(all).value("coppice_scheduler_run_queue") == 0; }));
}

TEST_CASE("metrics: a worker that takes of another one's queue") {
  world w;
  const growth steals(w.all, "coppice_scheduler_steals_total");
  CHECK(eventually([&] {
    async([] {
      std::atomic<int> left = 20;
      for (int i = 0; i < 20; ++i)
        spawn([&] {
          const std::int64_t until = detail::sync::now() + 1'000'000;
          while (detail::sync::now() < until) {}
          --left;
        });
      while (left > 0) yield();
    }).await();
    return steals.now() > 0;
  }));
}

TEST_CASE("metrics: changes of atoms that came second") {
  world w;
  const growth conflicts(w.all, "coppice_atom_conflicts_total");
  atom<std::string> a("x");
  a.swap([](const std::string& s) { return s + "y"; });
  CHECK(conflicts.now() == 0);
  for (int i = 0; i < 3; ++i)
    a.swap([&, first = true](const std::string& s) mutable {
      if (std::exchange(first, false)) a.reset("z");
      return s + "y";
    });
  CHECK(conflicts.now() == 3);
}

TEST_CASE("metrics: transactions that commit, begin anew, and give up") {
  world w;
  const growth committed(w.all, "coppice_transactions_total", {{"outcome", "committed"}});
  const growth given_up(w.all, "coppice_transactions_total", {{"outcome", "given_up"}});
  const growth retries(w.all, "coppice_transaction_retries_total");
  ref<int> r(0);
  for (int i = 0; i < 25; ++i) transact([&] { r.alter([](int n) { return n + 1; }); });
  CHECK(committed.now() == 25);
  CHECK_THROWS_AS(transact([&]() -> int { throw std::runtime_error("no"); }), std::runtime_error);
  CHECK(given_up.now() == 1);
  CHECK(retries.now() == 0);
  int tries = 0;
  transact([&] {
    const int seen = *r;
    if (++tries == 1) std::thread([&] { transact([&] { r.set(100); }); }).join();  // comes first
    r.set(seen + 1);
  });
  CHECK(tries == 2);
  CHECK(retries.now() == 1);
  CHECK(committed.now() == 27);  // those of a thread that has ended, too
  CHECK(*r == 101);
}

TEST_CASE("metrics: actions of agents, agents that are busy or have failed") {
  world w;
  const growth sent(w.all, "coppice_agent_actions_total");
  const growth failures(w.all, "coppice_agent_failures_total");
  const growth queued(w.all, "coppice_agent_queued_actions");
  const growth busy(w.all, "coppice_agents", {{"state", "busy"}});
  const growth failed(w.all, "coppice_agents", {{"state", "failed"}});
  {
    agent<int> a(0);
    std::atomic<bool> may_go = false;
    a.send_off([&](int n) {
      while (!may_go) std::this_thread::yield();
      return n + 1;
    });
    for (int i = 0; i < 4; ++i) a.send_off([](int n) { return n + 1; });
    CHECK(sent.now() == 5);
    CHECK(queued.now() == 5);
    CHECK(busy.now() == 1);
    may_go = true;
    await(a);
    CHECK(eventually([&] { return queued.now() == 0 && busy.now() == 0; }));
    a.send_off([](int) -> int { throw std::runtime_error("no"); });
    CHECK(eventually([&] { return failed.now() == 1; }));
    CHECK(failures.now() == 1);
    a.restart(1);
    CHECK(failed.now() == 0);
    a.send_off([](int) -> int { throw std::runtime_error("no"); });
    CHECK(eventually([&] { return failed.now() == 1; }));
  }
  CHECK(eventually([&] { return failed.now() == 0; }));  // who has run the last action may still hold it
}

TEST_CASE("metrics: reads and writes that were made together") {
  const quiet silence;
  world w;
  const growth batches(w.all, "coppice_socket_batches_total");
  const growth calls(w.all, "coppice_socket_batched_calls_total");
  internal::count(internal::counted::batches);
  internal::count(internal::counted::batched_calls, 5);
  CHECK(batches.now() == 1);
  CHECK(calls.now() == 5);
}

TEST_CASE("metrics: requests are counted by the route's own path; what clients make up gets no name") {
  const quiet silence;
  world w;
  const auto server = run_server(router{get("/metrics_test/:id", [](const http_request&) { return text("yes"); }),
                                        post("/metrics_test/:id", [](const http_request&) -> http_response { throw http_error(422, "no"); }),
                                        get("/metrics_throw", []() -> http_response { throw std::runtime_error("no"); }),
                                        get("/metrics", w.all)},
                                 {.port = 0, .in = &w.rt});
  const auto series = [&](const char* route, const char* method, const char* status) {
    return now_of(w.all).value("coppice_http_requests_total", {{"route", route}, {"method", method}, {"status", status}});
  };
  const growth bytes(w.all, "coppice_socket_bytes_total", {{"direction", "in"}});
  const growth connections(w.all, "coppice_http_connections_total");
  const double unknown = series("(none)", "GET", "404");
  const double odd = series("(none)", "OTHER", "404");
  http_client c(server.port());
  for (int i = 0; i < 300; ++i) {
    CHECK(c.ask(request("GET", "/metrics_test/" + std::to_string(i))).status == 200);
    CHECK(c.ask(request("GET", "/made_up/" + std::to_string(i) + "%22%0a{}")).status == 404);
    CHECK(c.ask(request("PROPFIND", "/made_up")).status == 404);
  }
  CHECK(c.ask(request("POST", "/metrics_test/x")).status == 422);
  CHECK(c.ask(request("GET", "/metrics_throw")).status == 500);
  CHECK(c.ask(request("DELETE", "/metrics_test/x")).status == 405);
  CHECK(series("/metrics_test/:id", "GET", "200") == 300);
  CHECK(series("/metrics_test/:id", "POST", "422") == 1);
  CHECK(series("/metrics_throw", "GET", "500") == 1);
  CHECK(series("(none)", "GET", "404") - unknown == 300);
  CHECK(series("(none)", "OTHER", "404") - odd == 300);
  CHECK(bytes.now() > 900 * 40);
  CHECK(now_of(w.all).value("coppice_http_connections") == 1);
  CHECK(connections.now() == 1);

  const http_answer shown = c.ask(request("GET", "/metrics"));
  CHECK(shown.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  const prometheus_text read(shown.body);
  CHECK(read.value("coppice_http_request_seconds_count", {{"route", "/metrics_test/:id"}, {"method", "GET"}}) == 300);
  CHECK(read.series_of("coppice_http_requests_total") < 30);
  CHECK(shown.body.find("made_up") == std::string::npos);
  CHECK(shown.body.find("MADEUP") == std::string::npos);

  const double refused = series("(refused)", "OTHER", "400");
  const double unknown_method = series("(refused)", "OTHER", "501");
  CHECK(http_client(server.port()).ask("GET / HTTP/1.1\r\nHost\r\n\r\n").status == 400);
  for (const char* method : {"MADEUP", "MADEUPTOO"}) CHECK(http_client(server.port()).ask(request(method, "/")).status == 501);
  CHECK(series("(refused)", "OTHER", "400") - refused == 1);
  CHECK(series("(refused)", "OTHER", "501") - unknown_method == 2);
  server.stop(infinity);
  CHECK(now_of(w.all).value("coppice_http_connections") == 0);
}

TEST_CASE("metrics: one's own counters, gauges and histograms") {
  world w;
  const metric_counter sold = w.all.counter("shop_sold_total", "Things sold.", {{"kind", "a \"book\"\nor\\two"}});
  sold.add();
  sold.add(2.5);
  CHECK(w.all.counter("shop_sold_total", "Things sold.", {{"kind", "a \"book\"\nor\\two"}}).value() == 3.5);
  const metric_gauge left = w.all.gauge("shop_left", "Things left.");
  left.set(7);
  left.add(-2);
  const metric_histogram price = w.all.histogram("shop_price", "Prices.", {1, 10, 100});
  for (const double p : {0.5, 5.0, 50.0, 500.0}) price.observe(p);
  const prometheus_text shown = now_of(w.all);
  CHECK(shown.value("shop_sold_total", {{"kind", "a \"book\"\nor\\two"}}) == 3.5);
  CHECK(shown.value("shop_left") == 5);
  CHECK(shown.value("shop_price_count") == 4);
  CHECK(shown.value("shop_price_sum") == 555.5);
  CHECK(shown.value("shop_price_bucket", {{"le", "10"}}) == 2);
}

TEST_CASE("metrics: names and labels that cannot be are refused") {
  world w;
  w.all.counter("a_total", "A.", {{"x", "1"}});
  CHECK_THROWS_AS(w.all.counter("9", "No name."), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("coppice_x", "The runtime's."), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("b", "B.", {{"a-b", ""}}), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("b", "B.", {{"a", ""}, {"a", ""}}), std::invalid_argument);
  CHECK_THROWS_AS(w.all.gauge("a_total", "A.", {{"x", "1"}}), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("a_total", "Another.", {{"x", "1"}}), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("a_total", "A.", {{"y", "1"}}), std::invalid_argument);
  CHECK_THROWS_AS(w.all.histogram("h", "H.", {2, 1}), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("a_total", "A.", {{"x", "1"}}).add(-1), std::invalid_argument);
  CHECK_THROWS_AS(w.all.counter("a_total", "A.", {{"x", "1"}}).add(std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
  CHECK(now_of(w.all).series_of("a_total") == 1);
}

TEST_CASE("metrics: labels that are long, or no text, are as good as none") {
  world w;
  const metrics all({.in = &w.rt});
  for (const std::string& user : {std::string(129, 'x'), std::string(1'000'000, 'x'), std::string("\xff"), std::string(128, 'x'), std::string("\xc3\xa9")})
    all.counter("visits_total", "Visits.", {{"user", user}}).add();
  const prometheus_text shown = now_of(all);
  CHECK(shown.series_of("visits_total") == 3);
  CHECK(shown.value("visits_total", {{"user", "(other)"}}) == 3);
  CHECK(shown.value("visits_total", {{"user", "\xc3\xa9"}}) == 1);
}

TEST_CASE("metrics: labels of strangers do not fill the memory") {
  world w;
  const metrics few({.most_series = 10, .in = &w.rt});
  for (int i = 0; i < 1000; ++i) few.counter("visits_total", "Visits.", {{"user", "user " + std::to_string(i)}}).add();
  const prometheus_text shown = now_of(few);
  CHECK(shown.series_of("visits_total") == 11);
  CHECK(shown.value("visits_total", {{"user", "(other)"}}) == 990);
}

TEST_CASE("metrics: may be asked for while everything runs") {
  const quiet silence;
  world w;
  std::atomic<bool> over = false;
  std::atomic<int> calls = 0;
  const growth messages(w.all, "coppice_server_messages_total", of_class("loaded_server"));
  auto shared = start<loaded_server>();
  std::vector<std::thread> load;
  for (int t = 0; t < 2; ++t)
    load.emplace_back([&] {
      const runtime_scope in(w.rt);
      ref<int> r(0);
      agent<int> a(0);
      while (!over) {
        auto own = start<loaded_server>();
        for (int i = 0; i < 50; ++i) call(own, ask{}), call(shared, ask{}), calls += 2;
        transact([&] { r.alter([](int n) { return n + 1; }); });
        a.send([](int n) { return n + 1; });
        w.all.counter("under_load_total", "Rounds.").add();
        stop(own);
      }
      await(a);
    });
  double before = 0;
  for (int i = 0; i < 60; ++i) {
    const double now = messages.now();
    CHECK(now >= before);
    before = now;
  }
  over = true;
  for (std::thread& t : load) t.join();
  CHECK(eventually([&] { return now_of(w.all).value("coppice_servers", of_class("loaded_server")) == 1; }));
  CHECK(messages.now() >= calls);
}

TEST_CASE("health: says what does not work, and why") {
  world w;
  bool good = true;
  const http_handler asked = health(health_check{"good", [&] { return good; }}, runs("health_server"));
  const http_request r(http_request::parts{});
  CHECK(asked(r).status == 503);
  CHECK(asked(r).body == "{\"status\":\"failing\",\"checks\":{\"good\":\"ok\",\"health_server\":\"does not pass\"}}\n");
  auto server = start<counted_server>({.name = "health_server"});
  CHECK(asked(r).status == 200);
  CHECK(asked(r).body == "{\"status\":\"ok\",\"checks\":{\"good\":\"ok\",\"health_server\":\"ok\"}}\n");
  good = false;
  CHECK(asked(r).status == 503);
  stop(server);
  CHECK(health(health_check{"throws", []() -> bool { throw std::runtime_error("a \"disk\"\nis full"); }})(r).body ==
        "{\"status\":\"failing\",\"checks\":{\"throws\":\"a \\\"disk\\\"\\u000ais full\"}}\n");
  CHECK(health()(r).status == 200);
  CHECK(live().status == 200);
}
