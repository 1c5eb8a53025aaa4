// SPDX-License-Identifier: Apache-2.0
//
// What the tests of supervisors share: a child whose life is written down, ways to end one, and to see that it came back.
#pragma once

#include <coppice/otp/supervisor.hpp>
#include <coppice/process/process_info.hpp>

#include "spec/otp/own_world.hpp"

#include <chrono>
#include <stdexcept>

namespace coppice::testing {

/// A server that notes its beginning and its end, and does as it is told.
struct worker {
  struct crash { std::string why = "as told"; };
  struct leave { exit_reason why = exit_reason::normal; };
  struct ping { using reply = std::string; };
  struct unlink_from { using reply = void; pid who; };
  struct sleep { duration time; };

  std::string id{};
  journal* notes = nullptr;

  void init(std::string name, journal* j) {
    id = std::move(name);
    notes = j;
    if (notes != nullptr) notes->add("+" + id);
  }
  std::string handle_call(ping) const { return id; }
  void handle_call(unlink_from u) { unlink(u.who); }
  void handle_cast(crash c) { throw std::runtime_error(c.why); }
  outcome<void> handle_cast(leave l) { return stop(l.why); }
  void handle_cast(sleep s) { sleep_for(s.time); }
};
/// The same, trapping exits, so that it notes why it ends; `slow` takes its time.
struct careful_worker {
  static constexpr server_options options{.trap_exit = true};
  std::string id{};
  journal* notes = nullptr;
  duration slow{0};
  std::string handle_call(worker::ping) const { return id; }
  outcome<void> handle_cast(worker::leave l) { return stop(l.why); }
  void terminate(const exit_reason& why) {
    if (slow != duration{0}) sleep_for(slow);
    notes->add("-" + id + " " + to_text(why));
  }
};
/// A server whose init does what a counter in the test says: fails so many times, or says ignore.
struct moody {
  struct plan {
    std::atomic<int> failures{0};
    std::atomic<int> ignores{0};
    std::atomic<int> attempts{0};
  };
  plan* p = nullptr;
  init_outcome<> init(plan* given) {
    p = given;
    ++p->attempts;
    if (p->failures.load() > 0) {
      --p->failures;
      return fail(exit_reason("not in the mood"));
    }
    if (p->ignores.load() > 0) {
      --p->ignores;
      return ignore;
    }
    return ok();
  }
  outcome<void> handle_cast(worker::leave l) { return stop(l.why); }
};

inline child_spec worker_child(std::string id, journal* notes = nullptr, child_options options = {}) {
  options.id = id;
  return child<worker>(options, id, notes);
}
inline child_spec careful_child(std::string id, journal* notes, child_options options = {}, duration slow = {}) {
  options.id = id;
  return child<careful_worker>(options, id, notes, slow);
}

/// Who the child `id` is now.
inline pid pid_of(const supervisor& s, std::string_view id) { return s.which_child(id).who; }

/// Makes a child end and waits until it has; its supervisor handles that before anything that is asked of it afterwards.
inline void kill_child(pid who, exit_reason why = exit_reason::kill) {
  const reference ref = monitor(who);
  exit(who, std::move(why));
  (void)reason_of_end(who, ref);
}
inline void leave_child(pid who, exit_reason why) {
  const reference ref = monitor(who);
  cast(server_cast<worker>(who), worker::leave{std::move(why)});
  (void)reason_of_end(who, ref);
}
inline void crash_child(pid who) {
  const reference ref = monitor(who);
  cast(server_cast<worker>(who), worker::crash{});
  (void)reason_of_end(who, ref);
}

/// A back-off whose first wait is short and whose others are all long.
inline constexpr back_off steep{.min = 1ms, .max = 400ms, .factor = 1e9, .jitter = 0};
constexpr bool is_short(duration wait) { return wait < steep.max * 3 / 4; }

/// Kills the child that `who_now()` says, and waits until there is another.   Returns: for how long there was none, or longer.
template <class WhoNow>
duration time_away(WhoNow&& who_now) {
  const pid who = who_now();
  const auto begun = std::chrono::steady_clock::now();
  kill_child(who);
  REQUIRE(eventually([&] { return bool(who_now()); }));
  return std::chrono::steady_clock::now() - begun;
}
/// Of `steep`: the wait is short again for who has lived for the longest wait since his last restart, and for nobody else.
template <class WhoNow>
void check_reset_of_back_off(WhoNow&& who_now) {
  const auto let_it_live = [] {
    const auto begun = std::chrono::steady_clock::now();
    REQUIRE(eventually([&] { return std::chrono::steady_clock::now() - begun >= steep.max; }));
  };
  // On a slow machine a short wait may look long, and a life that was to be short be a long one: then all of it is tried again.
  const auto is_reset_only_then = [&] {
    let_it_live();
    const auto begun = std::chrono::steady_clock::now();
    if (!is_short(time_away(who_now))) return false;
    if (is_short(time_away(who_now))) {            // this life was short, whatever came before it
      REQUIRE(std::chrono::steady_clock::now() - begun >= steep.max);
      return false;
    }
    let_it_live();
    return is_short(time_away(who_now));
  };
  CHECK(eventually(is_reset_only_then));
}

inline std::vector<std::string> ids_of(const std::vector<child_information>& all) {
  std::vector<std::string> ids;
  for (const auto& c : all) ids.push_back(c.id);
  return ids;
}

/// The error of an operation, which must fail.
template <class T>
supervisor_error error_of(const result<T, supervisor_error>& r) {
  REQUIRE_FALSE(r.has_value());
  return r.error();
}

/// All reports of a supervisor in this context.
inline std::vector<report> reports_in(const caught_reports& reports, std::string_view context) {
  std::vector<report> out;
  for (const report& r : reports.all())
    if (field_of(r, "context") == context) out.push_back(r);
  return out;
}

}  // namespace coppice::testing
