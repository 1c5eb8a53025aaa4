// SPDX-License-Identifier: Apache-2.0
//
// application_controller: one process for each runtime that has applications, named "application_controller". It knows who runs,
// in which order they were started, and does one thing after another: a *plan* is a list of steps, each starts or stops one
// application; the next begins when the one before is done. The controller itself never waits: what takes time happens in the
// application's own process, its *master*, which is the parent of the top supervisor.
//
//     master: begin -> start(c), supervisor, started(c) -> cast up{} | cast failed{}
//             finish{} -> prep_stop(c), supervisor shutdown … exit_signal -> stop(c) -> ends
//             exit_signal of the supervisor without finish -> stop(c) -> cast fell{} -> ends
//
// Invariants:
//   1. A running application's needs run: they were started before it, and whoever stops one stops those that need it first.
//   2. A master that has ended is in no list: its exit signal is the last that is heard of it.
//   3. After `closing` no plan starts anything.
#pragma once

#include <coppice/otp/application.hpp>
#include <coppice/otp/gen_server.hpp>

#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace coppice::internal {

/// The process of one application.
struct application_master {
  static constexpr server_options options{.trap_exit = true};

  struct begin {};
  struct finish {};

  application app;
  config told;
  pid controller;
  pid top{};
  bool finishing = false;

  auto init(application a, config c, pid up) {
    app = std::move(a);
    told = std::move(c);
    controller = up;
    return ok(continue_with(begin{}));
  }
  outcome<void> handle_continue(begin);
  outcome<void> handle_cast(finish);
  outcome<void> handle_info(exit_signal s);

  auto fields() const { return std::tie(app.name, top, finishing); }
};

struct application_controller {
  static constexpr server_options options{.trap_exit = true};
  static constexpr named<application_controller> server{"application_controller"};

  /// What became of a plan.
  struct verdict {
    std::vector<std::string> done{};
    std::optional<application_error> problem{};
  };
  struct start_all { using reply = verdict; std::vector<application> in_order; std::string main; config told; };
  struct stop_one { using reply = verdict; std::string name; };
  struct stop_all { using reply = verdict; };
  struct list { using reply = std::vector<application_information>; };
  /// How it stands: whether anybody runs still, and what has happened that stops all, if anything has.
  struct standing { bool runs; std::string fatal; };
  struct how_it_stands { using reply = standing; };
  struct kill_all { using reply = std::vector<std::string>; };
  // from masters
  struct up { pid master; pid top; };
  struct failed { pid master; exit_reason why; };
  struct fell { pid master; exit_reason why; };

  struct entry {
    application app;
    config told;
    pid master;
    pid top{};
    bool is_up = false;
    bool is_told = false;                // to finish
    auto fields() const { return std::tie(app.name, master, top, is_up); }
  };
  struct step {
    bool is_start;
    application app;                     // of a stop only the name
    config told{};
    auto fields() const { return std::tie(is_start, app.name); }
  };
  struct plan {
    std::deque<step> steps;
    verdict so_far{};
    std::optional<from<verdict>> asker{};
    auto fields() const { return std::tie(steps); }
  };

  std::vector<entry> entries{};          // in the order of their starts
  std::deque<plan> plans{};              // the first is under way
  std::string fatal{};                   // why all stops
  bool closing = false;

  void handle_call(start_all s, from<verdict> asker);
  void handle_call(stop_one s, from<verdict> asker);
  void handle_call(stop_all, from<verdict> asker);
  std::vector<application_information> handle_call(list) const;
  standing handle_call(how_it_stands) const { return {!entries.empty(), fatal}; }
  std::vector<std::string> handle_call(kill_all);
  void handle_cast(up u);
  void handle_cast(failed f);
  void handle_cast(fell f);
  void handle_info(exit_signal s);

  auto fields() const { return std::tie(entries, plans, fatal, closing); }

 private:
  entry* find(std::string_view name) noexcept;
  entry* find(pid master) noexcept;
  bool needs(const application& who, std::string_view name) const;
  void queue(plan p);
  void go_on();
  bool take_step(plan& p, step& s);
  void roll_back(plan& p);
  void close_down(std::string why);
  void stop_everything(std::optional<from<verdict>> asker);
};

/// The controller of the runtime in use, started if there is none.   Throws: start_error.
void ensure_application_controller();

/// `what`'s needs and itself, each once, needs first.   Fails: application_error, bad_application.
result<std::vector<application>, application_error> in_order_of_needs(const application& what);

}  // namespace coppice::internal
