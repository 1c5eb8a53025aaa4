// SPDX-License-Identifier: Apache-2.0
//
// "hello" on 64 connections that stay, ours and nginx's, and a handler that asks a gen_server. One worker each: the load generator
// wants the other core, and what a second worker then gains or loses is its competition with that one. A row of its own shows it.
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>

#include <functional>
#include <stdexcept>

#include "app/load.hpp"
#include "app/rows.hpp"

using namespace coppice;
using app_bench::load_result;

namespace {

constexpr int connections = 64;

struct served {
  double cpu_us = 0;  // for a request
  load_result load;
};

double seconds_of(const bench::state& s) { return s.quick() ? 1 : 4; }

served measure(const bench::state& s, const std::string& url, const std::function<double()>& cpu) {
  app_bench::run_wrk(url, connections, 1);  // warms both sides up
  const double before = cpu();
  const load_result load = app_bench::run_wrk(url, connections, seconds_of(s));
  const double used = cpu() - before;
  if (load.failed != 0) throw std::runtime_error(std::to_string(load.failed) + " requests failed");
  return {.cpu_us = used * 1e6 / (load.rate * seconds_of(s)), .load = load};
}

struct greeter {
  struct ask { using reply = std::string; };
  std::string handle_call(ask) { return "hello"; }
};

router app(server_ref<greeter> greets) {
  return router{get("/", [] { return text("hello"); }), get("/asks", [greets] { return text(call(greets, greeter::ask{})); })};
}

struct setting {
  bool secure = false;
  unsigned workers = 1;                                            // 0: one for each core
};

served ours(const bench::state& s, const std::string& path, const setting& how = {}) {
  runtime rt({.workers = how.workers});
  const runtime_scope here(rt);
  const server_ref<greeter> greets = start<greeter>();
  http_server_options o{.port = 0, .in = &rt};
  if (how.secure) o.tls = {app_bench::certificate()};
  const http_server server = run_server(app(greets), o);
  return measure(s, (how.secure ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(server.port()) + path, &bench::cpu_seconds);
}

served nginxs(const bench::state& s, bool secure = false) {
  const app_bench::nginx n(secure);
  return measure(s, n.url(), [&] { return n.cpu_seconds(); });
}

}  // namespace

void app_bench::add_hello_rows(bench::suite& suite) {
  const auto cpu = [](auto what) { return [what](bench::state& s) { return what(s).cpu_us; }; };
  const auto rate = [](auto what) { return [what](bench::state& s) { return what(s).load.rate / 1e3; }; };
  const auto p99 = [](auto what) { return [what](bench::state& s) { return what(s).load.p99; }; };
  const auto hello = [](bench::state& s) { return ours(s, "/"); };
  const auto asks = [](bench::state& s) { return ours(s, "/asks"); };
  const auto secure = [](bench::state& s) { return ours(s, "/", {.secure = true}); };
  const auto all_cores = [](bench::state& s) { return ours(s, "/", {.workers = 0}); };
  const auto plain_nginx = [](bench::state& s) { return nginxs(s); };
  const auto secure_nginx = [](bench::state& s) { return nginxs(s, true); };

  suite.group("hello world, 64 connections that stay, one worker");
  suite.row("nginx: CPU for a request", {.unit = "us", .repetitions = 5, .run = cpu(plain_nginx)});
  suite.row("nginx: requests", {.unit = "k/s", .repetitions = 5, .run = rate(plain_nginx)});
  suite.row("nginx: p99", {.unit = "us", .repetitions = 5, .run = p99(plain_nginx)});
  suite.row("CPU for a request", {.unit = "us", .reference = "nginx: CPU for a request", .max_ratio = 0.95, .peers = "http-cpu",
                                  .max_ratio_to_peers = 0.6, .repetitions = 5, .run = cpu(hello)});
  suite.row("requests", {.unit = "k/s", .reference = "nginx: requests", .min_ratio = 1, .peers = "http-rate", .repetitions = 5, .run = rate(hello)});
  suite.row("p99", {.unit = "us", .reference = "nginx: p99", .max_ratio = 1.2, .peers = "http-p99", .repetitions = 5, .run = p99(hello)});
  suite.row("CPU for a request that calls a gen_server",
            {.unit = "us", .reference = "CPU for a request", .max_ratio = 1.1, .repetitions = 5, .run = cpu(asks)});
  suite.row("requests, a worker for each core", {.unit = "k/s", .repetitions = 5, .run = rate(all_cores)});
  suite.row("p99, a worker for each core", {.unit = "us", .repetitions = 5, .run = p99(all_cores)});
  suite.row("nginx: CPU for a request under TLS", {.unit = "us", .repetitions = 5, .run = cpu(secure_nginx)});
  suite.row("CPU for a request under TLS",
            {.unit = "us", .reference = "nginx: CPU for a request under TLS", .max_ratio = 1, .repetitions = 5, .run = cpu(secure)});
}
