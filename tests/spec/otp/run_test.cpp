// SPDX-License-Identifier: Apache-2.0
//
// The whole of `run`, in this program: signals are sent to it, systemd is a socket of the test's own.
#include <coppice/otp/application.hpp>

#include <doctest/doctest.h>

#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/receive.hpp>

#include "spec/otp/own_world.hpp"
#include "support/notify_socket.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct diary {
  static inline std::mutex guard;
  static inline std::vector<std::string> lines;
  static void note(std::string line) {
    const std::lock_guard held(guard);
    lines.push_back(std::move(line));
  }
  static std::vector<std::string> take() {
    const std::lock_guard held(guard);
    return std::exchange(lines, {});
  }
};
using words = std::vector<std::string>;

void signal_us(int signal = SIGTERM) { ::kill(::getpid(), signal); }

struct stubborn {
  static constexpr server_options options{.trap_exit = true};
  void terminate(const exit_reason& why) {
    if (why.is(exit_reason::shutdown)) receive<exit_signal>(1h);   // not where its supervisor was killed before it could tell
  }
};
struct plain {};

application shop(std::vector<application> needs = {}) {
  return {.name = "shop",
          .options = {{.key = "size", .fallback = 8, .least = 1}, {.key = "answer", .fallback = ""}},
          .needs = std::move(needs),
          .start = [](const config& c) {
            diary::note("shop " + std::to_string(c.get<int>("size")));
            return supervisor_spec{.name = "shop", .children = {child<plain>({.id = "plain"})}};
          },
          .started = [](const config&) { signal_us(); },
          .stop = [](const config&) { diary::note("shop stops"); }};
}

application store() {
  return {.name = "store",
          .options = {{.key = "path", .fallback = "here"}},
          .start = [](const config& c) {
            diary::note("store " + c.get<std::string>("path"));
            return supervisor_spec{.name = "store", .children = {child<plain>({.id = "plain"})}};
          },
          .stop = [](const config&) { diary::note("store stops"); }};
}

struct program : own_world {
  program() { diary::take(); }
  int run(const application& what, std::initializer_list<const char*> arguments = {}, duration stop_timeout = 20s) {
    std::vector<const char*> all(arguments);
    all.insert(all.begin(), "program");
    return coppice::run(what, static_cast<int>(all.size()), all.data(), {.stop_timeout = stop_timeout, .in = &r});
  }
  template <class F>
  int run_body(F&& body, duration stop_timeout = 20s) {
    return coppice::run(std::forward<F>(body), {.stop_timeout = stop_timeout, .in = &r});
  }
};

/// stderr and stdout in a pipe until the end of the scope.
class captured {
 public:
  explicit captured(int fd) : fd_(fd), saved_(dup(fd)) {
    std::fflush(nullptr);
    REQUIRE(pipe(ends_) == 0);
    dup2(ends_[1], fd_);
  }
  ~captured() {
    if (saved_ >= 0) (void)take();
  }
  std::string take() {
    std::fflush(nullptr);
    dup2(saved_, fd_);
    close(saved_);
    saved_ = -1;
    close(ends_[1]);
    std::string text;
    char piece[4096];
    for (ssize_t n; (n = read(ends_[0], piece, sizeof piece)) > 0;) text.append(piece, static_cast<std::size_t>(n));
    close(ends_[0]);
    return text;
  }

 private:
  int fd_;
  int saved_;
  int ends_[2];
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

TEST_CASE("EX-124 EX-122 SIGTERM and SIGINT stop all applications in reverse start order; run returns 0") {
  for (const int signal : {SIGTERM, SIGINT}) {
    program p;
    application app = shop({store()});
    if (signal == SIGINT) app.started = [](const config&) { signal_us(SIGINT); };
    CHECK(p.run(app) == 0);
    CHECK(diary::take() == words{"store here", "shop 8", "shop stops", "store stops"});
    CHECK_FALSE(detail::resolve("shop"));
  }
}

TEST_CASE("EX-124 a program goes on when nobody reads what it prints") {
  program p;
  application app = shop();
  app.started = [](const config&) {
    for (int i = 0; i < 3; ++i) {
      std::puts("hello");
      if (std::fflush(stdout) == 0) diary::note("somebody reads");
    }
    diary::note("goes on");
    signal_us();
  };
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  close(ends[0]);
  std::fflush(stdout);
  const int saved = dup(STDOUT_FILENO);
  dup2(ends[1], STDOUT_FILENO);
  close(ends[1]);
  const int status = p.run(app);
  std::clearerr(stdout);
  dup2(saved, STDOUT_FILENO);
  close(saved);
  CHECK(status == 0);
  CHECK(diary::take() == words{"shop 8", "goes on", "shop stops"});
  struct sigaction after{};
  sigaction(SIGPIPE, nullptr, &after);
  const bool is_default = after.sa_handler == SIG_DFL;
  CHECK(is_default);                               // it was ignored only meanwhile
}

TEST_CASE("EX-120 run reads the command line, also for what the application needs") {
  program p;
  CHECK(p.run(shop({store()}), {"--size", "3", "--store.path=there"}) == 0);
  CHECK(diary::take()[0] == "store there");
  CHECK(p.run(shop(), {"--size=3"}) == 0);
  CHECK(diary::take()[0] == "shop 3");
}

TEST_CASE("EX-120 a wrong configuration is told on stderr, and nothing starts: 2") {
  program p;
  for (const auto& [argument, said] : {std::pair{"--size=0", "--size: is \"0\"; expected a whole number of at least 1"}, {"--what", "--what is not known"},
                                       {"--log.form=xml", "expected one of text, single_line, json"}, {"--log.level=x", "notice"}, {"--stop.timeout=5", "like 500ms"}}) {
    captured err(STDERR_FILENO);
    const int status = p.run(shop(), {argument});
    const std::string text = err.take();
    CHECK(status == 2);
    CHECK_MESSAGE(contains(text, said), text);
    CHECK(text.starts_with("shop: "));
  }
  CHECK(diary::take().empty());
  captured out(STDOUT_FILENO);
  const int status = p.run(shop({store()}), {"--help"});
  const std::string text = out.take();
  CHECK(status == 0);
  for (const char* part : {"--size N", "--store.path VALUE", "--log.form VALUE", "--stop.timeout TIME"}) CHECK_MESSAGE(contains(text, part), part);
}

TEST_CASE("EX-120 a start function that finds its configuration wrong ends run with 2, another failure with 1") {
  program p;
  application app = shop();
  app.start = [](const config& c) { return c.get<int>("answer"), supervisor_spec{}; };
  captured err(STDERR_FILENO);
  const int wrong = p.run(app);
  app.start = [](const config&) -> supervisor_spec { throw std::runtime_error("no luck"); };
  const int failed = p.run(app);
  const std::string text = err.take();
  CHECK(wrong == 2);
  CHECK(contains(text, "answer is the text \"\"; expected a whole number"));
  CHECK(failed == 1);
  CHECK(contains(text, "no luck"));
}

TEST_CASE("EX-123 the end of a permanent application ends run with 1 and says why") {
  program p;
  application app = shop({store()});
  app.started = [](const config&) { spawn([] { exit(detail::resolve("store"), exit_reason::kill); }); };
  captured err(STDERR_FILENO);
  const int status = p.run(app);
  const std::string text = err.take();
  CHECK(status == 1);
  CHECK_MESSAGE(contains(text, "shop: store (permanent) ended: killed"), text);
  const words seen = diary::take();
  CHECK(seen == words{"store here", "shop 8", "store stops", "shop stops"});
}

TEST_CASE("EX-123 the end of a permanent application leaves the others as much time as a signal does") {
  program p;
  application app = shop({store()});
  app.start = [](const config&) { return supervisor_spec{.name = "shop", .children = {child<stubborn>({.id = "stubborn", .shutdown = infinity})}}; };
  app.started = [](const config&) {
    spawn([] {
      exit(detail::resolve("store"), exit_reason::kill);
      sleep_for(2min);
      signal_us();                                 // else who waits for ever waits for ever
    });
  };
  captured err(STDERR_FILENO);
  const int status = p.run(app, {"--stop.timeout=50ms"});
  const std::string text = err.take();
  CHECK(status == 1);
  CHECK_MESSAGE(contains(text, "shop: store (permanent) ended: killed"), text);
  CHECK_MESSAGE(contains(text, "shop did not stop within 50 ms and was killed"), text);
}

TEST_CASE("EX-124 what does not stop in time is killed, and named; run returns 1") {
  program p;
  application app = shop();
  app.start = [](const config&) { return supervisor_spec{.name = "shop", .children = {child<stubborn>({.id = "stubborn", .shutdown = infinity})}}; };
  app.started = [](const config&) {
    spawn([] {
      while (running_applications(infinity).empty()) sleep_for(1ms);   // what is killed is the supervisor, once it is known
      signal_us();
    });
  };
  captured err(STDERR_FILENO);
  const int status = p.run(app, {"--stop.timeout=50ms"});
  const std::string text = err.take();
  CHECK(status == 1);
  CHECK(contains(text, "shop did not stop within 50 ms and was killed"));
  CHECK(eventually([&] { return p.r.statistics().processes == 0; }));
}

TEST_CASE("EX-124 a signal while something hangs in its start: it is killed when its time is over") {
  program p;
  application app = shop();
  app.start = [](const config&) -> supervisor_spec {
    signal_us();
    sleep_for(1h);
    return {};
  };
  captured err(STDERR_FILENO);
  CHECK(p.run(app, {}, 50ms) == 1);
}

TEST_CASE("EX-124 the service manager is told: READY when all run, STOPPING when the end begins") {
  const notify_socket manager("@coppice_run_" + std::to_string(::getpid()));
  program p;
  application app = shop();
  app.started = nullptr;
  std::thread outside([&] {
    CHECK(manager.next() == "READY=1");
    signal_us();
  });
  const int status = p.run(app);
  outside.join();
  CHECK(status == 0);
  CHECK(manager.next() == "STOPPING=1");
}

TEST_CASE("EX-124 the watchdog is fed as long as all top supervisors answer") {
  const notify_socket manager("@coppice_run_" + std::to_string(::getpid()));
  ::setenv("WATCHDOG_USEC", "400000", 1);
  program p;
  application app = shop();
  app.started = nullptr;
  std::thread outside([&] {
    CHECK(manager.next() == "READY=1");
    for (int i = 0; i < 3; ++i) CHECK(manager.next() == "WATCHDOG=1");
    {
      const runtime_scope here(p.r);
      const pid top = detail::resolve("shop");
      sys::suspend(top);                     // it answers nothing but sys
      CHECK(eventually([&] {
        const auto seen = p.reports.all();
        return std::any_of(seen.begin(), seen.end(), [](const report& r) { return r.kind == "watchdog" && r.name == "shop"; });
      }));
      while (!manager.next(0).empty()) {}    // from before
      sys::resume(top);
      CHECK(manager.next() == "WATCHDOG=1");
    }
    signal_us();
  });
  const int status = p.run(app);
  outside.join();
  ::unsetenv("WATCHDOG_USEC");
  CHECK(status == 0);
}

TEST_CASE("EX-124 for the watchdog all top supervisors are asked at once: slow ones share the time") {
  const notify_socket manager("@coppice_run_" + std::to_string(::getpid()));
  ::setenv("WATCHDOG_USEC", "400000", 1);
  program p;
  application app = shop({store()});
  app.started = nullptr;
  std::thread outside([&] {
    CHECK(manager.next() == "READY=1");
    {
      const runtime_scope here(p.r);
      const pid tops[] = {detail::resolve("shop"), detail::resolve("store")};
      for (const pid top : tops) sys::suspend(top);
      for (const pid top : tops) CHECK(eventually([&] { return process_info(top)->queue_length != 0; }));  // neither waits for the other's answer
      for (const pid top : tops) sys::resume(top);
      while (!manager.next(0).empty()) {}          // from before
      CHECK(manager.next() == "WATCHDOG=1");
    }
    signal_us();
  });
  const int status = p.run(app);
  outside.join();
  ::unsetenv("WATCHDOG_USEC");
  CHECK(status == 0);
}

TEST_CASE("EX-124 a program that is one process: the signal reaches it as exit_signal, what it returns is the status") {
  program p;
  CHECK(p.run_body([] {}) == 0);
  CHECK(p.run_body([] { return 3; }) == 3);
  CHECK(p.run_body([] {
          signal_us();
          return receive<exit_signal>().reason == exit_reason::shutdown ? 4 : 5;
        }) == 4);
  CHECK(p.run_body([] { throw std::runtime_error("no luck"); }) == 1);
  CHECK(p.run_body([] { exit(exit_reason::shutdown); }) == 0);
}

TEST_CASE("EX-124 one process that does not listen is killed when its time is over; its destructors run") {
  program p;
  struct noisy {
    ~noisy() { diary::note("gone"); }
  };
  captured err(STDERR_FILENO);
  const int status = p.run_body([] {
    const noisy n;
    signal_us();
    sleep_for(1h);
  }, 50ms);
  CHECK(status == 1);
  CHECK(contains(err.take(), "was killed"));
  CHECK(diary::take() == words{"gone"});
}

TEST_CASE("EX-124 run is for a plain thread, one at a time") {
  program p;
  CHECK(p.run_body([] {
          try {
            coppice::run([] {});
          } catch (const std::logic_error&) {
            return 7;
          }
          return 8;
        }) == 7);
}
