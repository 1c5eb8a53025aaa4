// SPDX-License-Identifier: Apache-2.0
//
// An application in an atom: started, stopped, restarted, by several at once, by a supervisor, and when it is not possible.
#include <coppice/app/app_server.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/process/process.hpp>

#include <doctest/doctest.h>

#include "support/eventually.hpp"
#include "support/http/http_client.hpp"
#include "support/http/report_log.hpp"

#include <atomic>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace coppice;
using testing::eventually;
using testing::get_request;
using testing::http_client;

namespace {

struct world {
  std::atomic<int> made = 0;
  std::atomic<bool> can_be_made = true;
  runtime rt{{.workers = 2}};
  app_server app{[this] {
                   if (!can_be_made) throw std::runtime_error("the database is not there");
                   return router{get("/", [number = ++made] { return text(std::to_string(number)); })};
                 },
                 {.port = 0, .in = &rt}};
  std::string ask() const { return http_client(static_cast<std::uint16_t>(app.port())).ask(get_request("/")).body; }
};

auto why(const auto& r) { return r.has_value() ? std::optional<app_server_error::kind>() : r.error().why(); }
std::string words_of(const auto& r) { return r.has_value() ? "" : r.error().what(); }

}  // namespace

TEST_CASE("an app_server starts, stops, and starts again") {
  world w;
  CHECK_FALSE(w.app.is_running());
  CHECK_FALSE(w.app.server());
  const int port = w.app.start();
  CHECK(port != 0);
  CHECK(w.app.is_running());
  CHECK(w.app.port() == port);
  CHECK(w.ask() == "1");
  CHECK(w.app.stop(infinity).cut_off == 0);
  CHECK_FALSE(w.app.is_running());
  CHECK_FALSE(testing::accepts(static_cast<std::uint16_t>(port)));
  CHECK(w.app.start() == port);  // where it ran last
  CHECK(w.ask() == "2");
  CHECK(w.app.instance()->generation == 2);
}

TEST_CASE("a restart makes the handler anew and closes no connection") {
  world w;
  const int port = w.app.start();
  http_client c(static_cast<std::uint16_t>(port));
  for (int i = 1; i < 10; ++i) {
    CHECK(c.ask(get_request("/")).body == std::to_string(i));
    CHECK(w.app.restart(infinity).cut_off == 0);
  }
  CHECK(w.app.port() == port);
  CHECK(w.app.server().statistics().accepted == 1);
}

TEST_CASE("a restart starts what does not run") {
  world w;
  CHECK(w.app.restart().cut_off == 0);
  CHECK(w.ask() == "1");
}

TEST_CASE("what cannot be done has a reason of its own") {
  world w;
  CHECK(why(w.app.try_stop()) == app_server_error::not_running);
  const int port = w.app.start();
  CHECK(why(w.app.try_start()) == app_server_error::already_running);
  CHECK(words_of(w.app.try_start()).find(std::to_string(port)) != std::string::npos);
  CHECK_THROWS_AS(w.app.start(), app_server_error);

  world other;
  const auto taken = other.app.try_start(port);
  CHECK(why(taken) == app_server_error::port_in_use);
  CHECK(words_of(taken).find("(OS process " + std::to_string(::getpid()) + ")") != std::string::npos);
  CHECK(why(other.app.try_start(70'000)) == app_server_error::port_out_of_range);
  CHECK(why(other.app.try_start(-1)) == app_server_error::port_out_of_range);
  CHECK(why(other.app.try_start("70000")) == app_server_error::port_out_of_range);
  CHECK(why(other.app.try_start("99999999999999999999")) == app_server_error::port_out_of_range);
  for (const char* text : {"", "x", "80x", " 80", "8 0"}) CHECK(why(other.app.try_start(text)) == app_server_error::not_a_port);
  CHECK_FALSE(other.app.is_running());
  CHECK(other.app.start("0") != 0);  // no failed start is in the way
  CHECK(other.app.stop(infinity).cut_off == 0);

  app_server nowhere([] { return text("x"); }, {.address = "nowhere", .in = &w.rt});
  CHECK(why(nowhere.try_start(0)) == app_server_error::bad_address);
  app_server no_door([] { return text("x"); }, {.take_over = "/proc/nowhere/socket", .in = &w.rt});
  CHECK(why(no_door.try_start(0)) == app_server_error::take_over_failed);
  CHECK_FALSE(no_door.is_running());
}

TEST_CASE("a port that one may not have, and a system without descriptors, are told apart") {
  world w;
  if (::geteuid() != 0) CHECK(why(w.app.try_start(1)) == app_server_error::not_permitted);
  rlimit usual{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &usual) == 0);
  const int port = w.app.start();                  // what it needs for sockets is there
  w.app.stop(infinity);
  const rlimit none{.rlim_cur = 3, .rlim_max = usual.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto failed = w.app.try_start(port);
  ::setrlimit(RLIMIT_NOFILE, &usual);
  CHECK(why(failed) == app_server_error::no_resources);
  CHECK(w.app.start(port) == port);
}

TEST_CASE("a handler that cannot be made leaves all as it was") {
  world w;
  w.can_be_made = false;
  const auto failed = w.app.try_start();
  CHECK(why(failed) == app_server_error::no_handler);
  CHECK(words_of(failed).find("the database is not there") != std::string::npos);
  CHECK_FALSE(w.app.is_running());
  w.can_be_made = true;
  w.app.start();
  w.can_be_made = false;
  CHECK(why(w.app.try_restart()) == app_server_error::no_handler);
  CHECK(w.ask() == "1");
  w.can_be_made = true;
  w.app.restart();
  CHECK(w.ask() == "2");
}

TEST_CASE("a handler is used for each start as it was given") {
  runtime rt({.workers = 2});
  app_server app(router{get("/", [] { return text("App Server Running"); })}, {.port = 0, .in = &rt});
  for (int i = 0; i < 3; ++i) {
    const int port = app.start();
    CHECK(http_client(static_cast<std::uint16_t>(port)).ask(get_request("/")).body == "App Server Running");
    app.restart();
    app.stop(infinity);
  }
}

TEST_CASE("a handler cannot stop or restart the server that waits for it") {
  runtime rt({.workers = 2});
  app_server* self = nullptr;
  app_server app(
      [&] {
        return router{get("/stop", [&] { return text(words_of(self->try_stop())); }),
                      get("/restart", [&] { return text(words_of(self->try_restart())); }),
                      get("/elsewhere", [&] { return spawn([&] { self->try_restart(infinity).value(); }), text("soon"); })};
      },
      {.port = 0, .in = &rt});
  self = &app;
  http_client c(static_cast<std::uint16_t>(app.start()));
  CHECK(c.ask(get_request("/stop")).body.find("another process") != std::string::npos);
  CHECK(c.ask(get_request("/restart")).body.find("another process") != std::string::npos);
  CHECK(c.ask(get_request("/elsewhere")).body == "soon");
  CHECK(eventually([&] { return app.instance()->generation == 2 && app.instance()->phase == app_instance::running; }));
}

TEST_CASE("of many who start it at once one does; of many who stop it one does") {
  world w;
  for (int round = 0; round < testing::rounds(50, 2000); ++round) {
    std::atomic<int> started = 0;
    std::atomic<int> stopped = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < 4; ++i) all.emplace_back([&] { started += w.app.try_start().has_value(); });
    for (std::thread& t : all) t.join();
    all.clear();
    CHECK(started == 1);
    for (int i = 0; i < 4; ++i) all.emplace_back([&] { stopped += w.app.try_stop(infinity).has_value(); });
    for (std::thread& t : all) t.join();
    CHECK(stopped == 1);
    CHECK_FALSE(w.app.is_running());
  }
}

TEST_CASE("a stop takes over from a restart that waits") {
  runtime rt({.workers = 2});
  std::atomic<bool> inside = false;
  app_server app(
      [&] {
        return [&] {
          inside = true;
          sleep_for(1h);
          return text("never");
        };
      },
      {.port = 0, .in = &rt});
  http_client c(static_cast<std::uint16_t>(app.start()));
  c.send(get_request("/"));
  REQUIRE(eventually([&] { return inside.load(); }));
  std::optional<app_server_error::kind> restart_failed;
  std::thread restarter([&] { restart_failed = why(app.try_restart(infinity)); });
  REQUIRE(eventually([&] { return app.instance()->phase == app_instance::restarting; }));
  CHECK(why(app.try_restart()) == app_server_error::busy);
  CHECK(why(app.try_start()) == app_server_error::already_running);
  CHECK(app.stop(10ms).cut_off == 1);
  restarter.join();
  CHECK(restart_failed == app_server_error::not_running);
  CHECK_FALSE(app.is_running());
  app.start(0);                                    // a stop that cuts off may leave its port taken for a while
  CHECK(app.is_running());
}

TEST_CASE("who is left over from before a restart is answered when the server stops during that") {
  runtime rt({.workers = 2});
  std::atomic<bool> inside = false;
  std::atomic<int> generation = 0;
  app_server app([&] { return ++generation, [&] { return inside = true, sleep_for(1h), text("never"); }; }, {.port = 0, .in = &rt});
  CHECK(eventually([&] {                           // a busy machine may not come to it in time
    inside = false;
    http_client c(static_cast<std::uint16_t>(app.start(0)));
    c.send(get_request("/"));
    REQUIRE(eventually([&] { return inside.load(); }));
    std::thread restarter([&, before = generation.load()] {
      static_cast<void>(app.try_restart(infinity));
      CHECK(generation == before + 1);
    });
    REQUIRE(eventually([&] { return app.instance()->phase == app_instance::restarting; }));
    CHECK(app.stop(10ms).cut_off == 1);
    restarter.join();
    return c.read().status == 503;
  }));
}

TEST_CASE("a watch that throws as something begins leaves everything as it was") {
  world w;
  app_instance::phase_of at = app_instance::starting;
  w.app.instance().add_watch("test", [&](std::string_view, const auto&, const app_instance&, const app_instance& now) {
    if (now.phase == at) throw std::runtime_error("on purpose");
  });
  CHECK_THROWS_AS(static_cast<void>(w.app.try_start()), std::runtime_error);
  at = app_instance::stopping;
  w.app.start();
  CHECK_THROWS_AS(static_cast<void>(w.app.try_stop()), std::runtime_error);
  CHECK(w.app.is_running());
  at = app_instance::restarting;
  CHECK_THROWS_AS(static_cast<void>(w.app.try_restart()), std::runtime_error);
  CHECK(w.ask() == "1");
  at = app_instance::none;
  w.app.instance().remove_watch("test");
  w.app.restart();
  CHECK(w.ask() == "2");
  w.app.stop();
  CHECK_FALSE(w.app.is_running());
}

TEST_CASE("the function that makes handlers is called by one at a time, also when a stop comes between") {
  runtime rt({.workers = 2});
  std::atomic<int> makes = 0;
  std::atomic<bool> gate = true;
  app_server app(
      [&] {
        for (++makes; !gate;) std::this_thread::yield();
        return [] { return text("x"); };
      },
      {.port = 0, .in = &rt});
  app.start();
  gate = false;
  std::thread restarter([&] { static_cast<void>(app.try_restart()); });
  REQUIRE(eventually([&] { return makes == 2; }));
  app.stop(infinity);
  CHECK(why(app.try_start()) == app_server_error::busy);
  CHECK(makes == 2);
  gate = true;
  restarter.join();
  app.start();
  CHECK(makes == 3);
}

TEST_CASE("a socket that was given stays the caller's if the start fails") {
  runtime rt({.workers = 2});
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(::listen(fd, 16) == 0);
  std::string folder = "/tmp/coppice_app_server_XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string missing = folder + "/missing";
  app_server app([] { return text("x"); }, {.listen_fd = fd, .take_over = missing + "/door/socket", .in = &rt});
  CHECK(why(app.try_start()) == app_server_error::take_over_failed);
  REQUIRE(::mkdir(missing.c_str(), 0700) == 0);    // now it can have a door
  const int port = app.start();
  CHECK(http_client(static_cast<std::uint16_t>(port)).ask(get_request("/")).body == "x");
  CHECK(::fcntl(fd, F_GETFD) == -1);
  app.stop();
  ::rmdir((missing + "/door").c_str());
  ::rmdir(missing.c_str());
  ::rmdir(folder.c_str());
}

TEST_CASE("starts, restarts and stops of many at once leave it in order") {
  world w;
  std::atomic<bool> stop = false;
  std::vector<std::thread> all;
  for (int i = 0; i < 3; ++i)
    all.emplace_back([&, i] {
      while (!stop) {
        if (i == 0) static_cast<void>(w.app.try_start());
        if (i == 1) static_cast<void>(w.app.try_restart());
        if (i == 2) static_cast<void>(w.app.try_stop(1ms));
      }
    });
  CHECK(eventually([&] { return w.made > testing::rounds(200, 5000); }));
  stop = true;
  for (std::thread& t : all) t.join();
  CHECK(eventually([&] { return w.app.is_running() || w.app.try_start().has_value(); }));  // the last stop may still have the port
  CHECK(std::stoi(w.ask()) <= w.made);             // a restart that was overtaken makes one for nobody
  w.app.restart(infinity);
  CHECK(w.ask() == std::to_string(w.made));
}

TEST_CASE("who watches the atom hears of each phase") {
  world w;
  std::vector<app_instance::phase_of> seen;
  w.app.instance().add_watch("seen", [&](std::string_view, const auto&, const app_instance&, const app_instance& now) { seen.push_back(now.phase); });
  w.app.start();
  w.app.restart();
  w.app.stop();
  CHECK(seen == std::vector{app_instance::starting, app_instance::running, app_instance::restarting, app_instance::running,
                            app_instance::stopping, app_instance::none});
}

TEST_CASE("an app_server that goes stops its server") {
  std::uint16_t port = 0;
  {
    world w;
    port = static_cast<std::uint16_t>(w.app.start());
    CHECK(testing::accepts(port));
  }
  CHECK(eventually([&] { return !testing::accepts(port); }));
}

TEST_CASE("under a supervisor the crash of its process is no outage, and an orderly end is a stop") {
  const testing::report_log no_noise;
  world w;
  const runtime_scope in(w.rt);
  supervisor tree = start_supervisor({.name = "tree", .intensity = 100, .children = {w.app.child(0, 1min)}});
  const int port = w.app.port();
  http_client c(static_cast<std::uint16_t>(port));
  for (int i = 0; i < 10; ++i) {
    const pid now = tree.which_child("app_server").who;
    exit(now, exit_reason::kill);
    CHECK(c.ask(get_request("/")).body == "1");
    CHECK(eventually([&] {
      const pid next = tree.which_child("app_server").who;
      return next && next != now;
    }));
  }
  CHECK(w.app.port() == port);
  CHECK(w.app.server().statistics().accepted == 1);
  stop(tree.id(), exit_reason::shutdown);
  CHECK_FALSE(w.app.is_running());
  CHECK(c.is_closed());
}

TEST_CASE("a child that cannot start says why") {
  const testing::report_log no_noise;
  world w;
  const int port = w.app.start();
  world other;
  const runtime_scope in(other.rt);
  try {
    start_supervisor({.name = "tree", .children = {other.app.child(port)}});
    FAIL("it started");
  } catch (const std::exception& e) {
    CHECK(std::string(e.what()).find("in use") != std::string::npos);
  }
}
