// SPDX-License-Identifier: Apache-2.0
//
// A restart a second under load, in the program and by another one, and a stop with a thousand requests under way.
#include <coppice/app/websocket.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/timer.hpp>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "app/crowd.hpp"
#include "app/load.hpp"
#include "app/rows.hpp"

using namespace coppice;
using app_bench::load_result;

namespace {

constexpr int connections = 64;

auto hello() {
  return router{get("/", [] { return text("hello"); }), get("/waits", [] {
                  sleep_for(1h);
                  return text("hello");
                })};
}

/// Load while `change` is called once a second.
template <class F>
load_result under_load(bench::state& s, int port, F change) {
  const int seconds = s.quick() ? 4 : 30;
  load_result load;
  std::string problem;
  std::atomic<bool> over = false;
  std::thread changer([&] {
    try {
      for (int i = 0; i < seconds - 1; ++i) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        if (!over) change();
      }
    } catch (const std::exception& e) {
      problem = e.what();
    }
  });
  try {
    load = app_bench::run_wrk("http://127.0.0.1:" + std::to_string(port) + '/', connections, seconds);
  } catch (const std::exception& e) {
    problem = e.what();
  }
  over = true;
  changer.join();
  if (!problem.empty()) throw std::runtime_error(problem);
  return load;
}

load_result restarts(bench::state& s) {
  runtime rt;
  const http_server server = run_server(hello(), {.port = 0, .in = &rt});
  return under_load(s, server.port(), [&] {
    const runtime_scope here(rt);
    server.restart(hello());
  });
}

load_result take_overs(bench::state& s) {
  const app_bench::scratch_folder folder;
  app_bench::running_successor now = app_bench::start_successor(folder.file("door"), 0);
  return under_load(s, now.port, [&] {
    app_bench::running_successor next = app_bench::start_successor(folder.file("door"), now.port);
    while (!now.program->line().empty()) {}  // it ends by itself
    now = std::move(next);
  });
}

router chat() {
  return router{websocket("/ws",
                          [](ws_connection& ws) {
                            while (const auto m = ws.read()) ws.send(m->data);
                          },
                          {.idle_timeout = infinity, .hand_over = true})};
}

/// ms until restart() is back, by when every WebSocket has another handler.
double hand_over(bench::state&) {
  constexpr std::size_t clients = 1000;
  runtime rt;
  const http_server server = run_server(chat(), {.port = 0, .in = &rt});
  const app_bench::crowd crowd(server.port(), app_bench::crowd_kind::websocket, clients);
  const std::int64_t begin = bench::now();
  const http_restart_result result = server.restart(chat());
  const double took = static_cast<double>(bench::now() - begin) * 1e-6;
  if (result.cut_off != 0) throw std::runtime_error(std::to_string(result.cut_off) + " WebSockets were not handed over");
  const std::size_t left = server.statistics().connections;
  if (left != clients) throw std::runtime_error(std::to_string(clients - left) + " WebSockets were closed");
  return took;
}

/// ms until stop(100 ms) is back.
double stop_in_flight(bench::state&) {
  constexpr std::size_t clients = 1000;
  runtime rt;
  const http_server server = run_server(hello(), {.port = 0, .in = &rt});
  app_bench::crowd crowd(server.port(), app_bench::crowd_kind::waiting, clients);
  const auto in_flight = [&] {
    std::size_t n = 0;
    for (const http_connection& c : server.connections()) n += c.state == http_connection_state::request;
    return n;
  };
  while (in_flight() != clients) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const std::int64_t begin = bench::now();
  const http_stop_result result = server.stop(100ms);
  const double took = static_cast<double>(bench::now() - begin) * 1e-6;
  if (result.cut_off != clients) throw std::runtime_error(std::to_string(result.cut_off) + " requests were cut off");
  if (const std::size_t served = crowd.served(); served != clients) throw std::runtime_error(std::to_string(clients - served) + " clients heard nothing");
  return took;
}

}  // namespace

void app_bench::add_restart_rows(bench::suite& suite) {
  const auto failed = [](auto what) { return [what](bench::state& s) { return static_cast<double>(what(s).failed); }; };
  const auto p99 = [](auto what) { return [what](bench::state& s) { return what(s).p99 / 1e3; }; };
  suite.group("restarts under load, and the stop");
  suite.row("failed requests, a restart a second", {.unit = "failed", .max = 0, .repetitions = 1, .run = failed(&restarts)});
  suite.row("p99 with a restart a second", {.unit = "ms", .max = 20, .repetitions = 1, .run = p99(&restarts)});
  suite.row("failed requests, a take-over a second", {.unit = "failed", .max = 0, .repetitions = 1, .run = failed(&take_overs)});
  suite.row("p99 with a take-over a second", {.unit = "ms", .max = 20, .repetitions = 1, .run = p99(&take_overs)});
  suite.row("restart() that hands over 1,000 WebSockets", {.unit = "ms", .repetitions = 5, .run = hand_over});
  suite.row("stop(100 ms) with 1,000 requests under way", {.unit = "ms", .max = 150, .repetitions = 5, .run = stop_in_flight});
}
