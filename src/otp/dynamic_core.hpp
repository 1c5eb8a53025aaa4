// SPDX-License-Identifier: Apache-2.0
//
// dynamic_core: the server behind supervisors whose children are many and alike: dynamic supervisors, and simple_one_for_one
// ones, which have a template. Touched by the supervisor alone.
//
// Invariants:
//   1. A child is found by the pid it has or, while it is being restarted, by the last one it had (SV-114).
//   2. Specs that are equal are held once, and of restarts nothing is kept before there is one: a child costs a line of memory.
//   3. No process is two children.
//   4. A child stays where it is in the table until one is added or taken out.
#pragma once

#include <coppice/otp/dynamic_supervisor.hpp>

#include "otp/supervisor_core.hpp"
#include "process/relation_set.hpp"

#include <memory>

namespace coppice::internal {

struct dynamic_source {
  dynamic_supervisor_spec flags;
  std::optional<child_spec> made_from;    // simple_one_for_one: the template
};

/// What is kept of a child that was, or may be, restarted with an eye on the clock.
struct restart_record {
  std::uint64_t attempt = 0;              // the one that is waited for: late retries are recognised
  std::int64_t restarted_at = 0;          // kept with a back-off only; the first life has no failures before it
  restart_intensity own;                  // used with a limit of its own only
  unsigned failures = 0;                  // in a row: for the back-off
};

struct dynamic_child {
  pid who{};
  std::shared_ptr<const child_spec> spec{};
  any_value more{};                       // what was appended to the template's arguments (SV-83)
  std::unique_ptr<restart_record> past{};
  child_state state = child_state::running;

  restart_record& record() {
    if (past == nullptr) past = std::make_unique<restart_record>();
    return *past;
  }
};
inline std::uint64_t relation_key(const dynamic_child& c) noexcept { return c.who.serial(); }

struct retry_dynamic {
  pid was;
  std::uint64_t attempt;
};

class dynamic_core {
 public:
  static constexpr server_options options{.trap_exit = true};
  using protocol = list_with<supervisor_protocol, retry_dynamic>::type;

  init_outcome<> init(dynamic_source source);
  void terminate(const exit_reason& why);
  outcome<void> handle_info(exit_signal signal);
  outcome<void> handle_info(retry_dynamic again);

  start_result handle_call(start_child_request&& request);
  start_result handle_call(start_from_request request);
  done_result handle_call(terminate_child_request request);
  start_result handle_call(restart_child_request request);
  done_result handle_call(delete_child_request request);
  std::vector<child_information> handle_call(which_children_request request) const;
  result<child_information, supervisor_error> handle_call(which_child_request request) const;
  child_counts handle_call(count_children_request request) const;
  result<child_spec, supervisor_error> handle_call(get_childspec_request request) const;
  supervisor_information handle_call(about_request);
  done_result handle_call(change_request request);

  friend std::string to_text(const dynamic_core& s);

 private:
  start_result start_new(child_spec& spec, any_value more);
  std::shared_ptr<const child_spec> shared(child_spec&& spec);
  dynamic_child* find(pid who) noexcept;
  outcome<void> restart_soon(dynamic_child& c, const exit_reason& why);
  outcome<void> restart_now(dynamic_child& c, bool at_first, const exit_reason& why);
  bool may_restart(dynamic_child& c, restart_count& count);
  void try_later(dynamic_child& c);
  void keep(dynamic_child c);
  void forget(const dynamic_child& c) noexcept;
  bool is_template() const noexcept { return made_from_ != nullptr; }
  supervisor_error::kind no_id() const noexcept { return supervisor_error::no_child_ids; }

  dynamic_supervisor_spec flags_;
  std::shared_ptr<const child_spec> made_from_;
  std::shared_ptr<const child_spec> last_spec_;
  restart_intensity intensity_;
  detail::relation_set<dynamic_child> children_;
  std::size_t restarting_ = 0;
  std::size_t supervisors_ = 0;
  std::uint64_t last_attempt_ = 0;
};

/// How a dynamic supervisor is started.
void prepare_dynamic_start(detail::start_record& record, std::tuple<dynamic_source>& arguments, const start_options& options, detail::start_kind kind);

}  // namespace coppice::internal
