// SPDX-License-Identifier: Apache-2.0
//
// supervisor_core: the server behind every supervisor with a list of children, and the requests that all kinds of
// supervisors answer. Requests are found by key, so a handle needs to know no class.
#pragma once

#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/supervisor.hpp>

#include "otp/child_set.hpp"
#include "otp/supervisor_report.hpp"

namespace coppice::internal {

using start_result = result<started_child, supervisor_error>;
using done_result = result<void, supervisor_error>;

struct start_child_request { using reply = start_result; child_spec spec; };
struct start_from_request { using reply = start_result; any_value more; };
struct terminate_child_request { using reply = done_result; std::string id; pid who; };
struct restart_child_request { using reply = start_result; std::string id; };
struct delete_child_request { using reply = done_result; std::string id; };
struct which_children_request { using reply = std::vector<child_information>; };
struct which_child_request { using reply = result<child_information, supervisor_error>; std::string id; };
struct count_children_request { using reply = child_counts; };
struct get_childspec_request { using reply = result<child_spec, supervisor_error>; std::string id; pid who; };
struct about_request { using reply = supervisor_information; };
struct change_request { using reply = done_result; std::optional<supervisor_spec> to; };

/// Another attempt to start a child, behind whatever waits already (SV-40).
struct retry {
  std::string id;
  std::uint64_t attempt;
};

using supervisor_protocol = messages<start_child_request, start_from_request, terminate_child_request, restart_child_request,
                                     delete_child_request, which_children_request, which_child_request, count_children_request,
                                     get_childspec_request, about_request, change_request>;

/// What a class answers besides: messages to itself.
template <class List, class M>
struct list_with;
template <class... Q, class M>
struct list_with<messages<Q...>, M> { using type = messages<Q..., M>; };

/// The words in which operations are refused.
std::unexpected<supervisor_error> refuse(supervisor_error::kind what, std::string_view id);
std::unexpected<supervisor_error> refuse(supervisor_error::kind what, pid who);
std::unexpected<supervisor_error> refuse_spec(std::string problem);
/// The failure of a start by hand, with the spec (SV-70, SV-71).
std::unexpected<supervisor_error> start_failed(const child_spec& spec, const started_child& outcome);

/// How long to wait before the next attempt for a child that failed `failures` times in a row.   Spec: SV-45.
duration back_off_time(const back_off& b, unsigned failures) noexcept;
/// Whether a child that ended with `why` is started again.   Spec: SV-20..SV-22.
inline bool comes_back(restart_type restart, const exit_reason& why) noexcept {
  return restart == permanent || (restart == transient && !why.is_quiet());
}
/// Starts `spec` and makes sure of the link.   Spec: SV-6.
started_child start_linked(child_spec& spec, const any_value& before = {}, const any_value& after = {});

class supervisor_core {
 public:
  static constexpr server_options options{.trap_exit = true};
  using protocol = list_with<supervisor_protocol, retry>::type;

  init_outcome<> init(detail::supervisor_source source);
  void terminate(const exit_reason& why);

  outcome<void> handle_info(exit_signal signal);
  outcome<void> handle_info(retry again);

  start_result handle_call(start_child_request request);
  start_result handle_call(start_from_request request);
  done_result handle_call(terminate_child_request request);
  start_result handle_call(restart_child_request request);
  done_result handle_call(delete_child_request request);
  std::vector<child_information> handle_call(which_children_request request) const;
  result<child_information, supervisor_error> handle_call(which_child_request request) const;
  child_counts handle_call(count_children_request) const { return children_.counts(); }
  result<child_spec, supervisor_error> handle_call(get_childspec_request request) const;
  supervisor_information handle_call(about_request);
  done_result handle_call(change_request request);

  friend std::string to_text(const supervisor_core& s);

 private:
  // In the order of supervisor_core.cpp.
  bool start_all(exit_reason& why);
  bool start_all_at_once(exit_reason& why);
  bool started_at_first(supervised& c, started_child outcome, exit_reason& why);
  outcome<void> child_ended(supervised& c, const exit_reason& why);
  outcome<void> restart_soon(supervised& c, pid was, const exit_reason& why);
  outcome<void> restart_now(supervised& c, pid was, const exit_reason& why);
  bool may_restart(supervised& c, restart_count& count);
  supervised* start_again(supervised& c);
  supervised* start_group(supervised& first, supervised& failed);
  outcome<void> does_not_come_back(supervised& c);
  void try_later(supervised& c);
  bool start_one(supervised& c, bool by_hand, started_child& outcome);
  void stop_one(supervised& c);
  void stop_all();
  void forget_if_temporary(supervised& c);
  bool any_significant_left() const;

  detail::supervisor_source source_;
  supervisor_spec flags_;                  // without its children
  restart_intensity intensity_;
  child_set children_;
};

}  // namespace coppice::internal
