// SPDX-License-Identifier: Apache-2.0
//
// What connections cost that are there and do nothing.
#include <coppice/app/websocket.hpp>
#include <coppice/process/process.hpp>

#include <chrono>
#include <thread>

#include "app/crowd.hpp"
#include "app/load.hpp"
#include "app/rows.hpp"

using namespace coppice;
using app_bench::crowd;
using app_bench::crowd_kind;

namespace {

void echo(ws_connection& ws) {
  while (ws.receive([&](const ws_message& m) { ws.send(m.data); })) {}
}

/// A server with as many clients as fit.
struct full_house {
  explicit full_house(bench::state& s, crowd_kind kind)
      : count(app_bench::affordable_connections(s.quick() ? 2'000 : 10'000)) {
    http_server_options o{.port = 0, .idle_timeout = infinity, .in = &rt};
    if (kind == crowd_kind::tls) o.tls = {app_bench::certificate()};
    server = run_server(router{get("/", [] { return text("hello"); }),
                               websocket("/ws", &echo, {.idle_timeout = infinity, .deflate = kind == crowd_kind::deflate})}, o);
    { const crowd first(server.port(), kind, 200); }  // what is needed once is there
    while (server.statistics().connections != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::size_t before = bench::resident_bytes();
    clients = std::make_unique<crowd>(server.port(), kind, count);
    std::this_thread::sleep_for(std::chrono::milliseconds(2000));  // idle is who was silent for a second
    bytes_each = static_cast<double>(bench::resident_bytes() - before) / static_cast<double>(count);
  }
  std::size_t count;
  runtime rt;
  http_server server;
  std::unique_ptr<crowd> clients;
  double bytes_each = 0;
};

double memory(bench::state& s, crowd_kind kind) { return full_house(s, kind).bytes_each; }

/// ms of CPU time while nobody says anything.
double idle_cpu(bench::state& s) {
  const full_house house(s, crowd_kind::keep_alive);
  const double before = bench::cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(s.quick() ? 1 : 5));
  return (bench::cpu_seconds() - before) * 1e3;
}

}  // namespace

void app_bench::add_idle_rows(bench::suite& suite) {
  suite.group("10,000 idle connections");
  const auto row = [&](std::string name, crowd_kind kind, double most) {
    suite.row(std::move(name), {.unit = "bytes", .max = most, .isolated = true, .repetitions = 3, .run = [kind](bench::state& s) { return memory(s, kind); }});
  };
  row("memory of an idle connection", crowd_kind::keep_alive, 512);
  row("memory of an idle connection under TLS", crowd_kind::tls, 16 * 1024);
  row("memory of an idle WebSocket", crowd_kind::websocket, 9 * 1024);
  row("memory of an idle WebSocket that compresses", crowd_kind::deflate, 60 * 1024);
  suite.row("CPU time of 10,000 idle connections", {.unit = "ms", .max = 1, .isolated = true, .repetitions = 1, .run = idle_cpu});
}
