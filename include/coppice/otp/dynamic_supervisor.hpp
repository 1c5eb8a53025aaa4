// SPDX-License-Identifier: Apache-2.0
//
// dynamic_supervisor: a supervisor that starts empty and whose children come and go by the thousand. Each is restarted alone;
// each is named by its pid; all are stopped at once.
//
//     dynamic_supervisor sessions = start_dynamic_supervisor({.name = "sessions"});
//     sessions.start_child<session>({.name = via(names, user), .restart = temporary}, user);
//
// The restart intensity is shared by all children: many unrelated crashes in one period take all of them down. Where that is
// not wanted, give the children a `limit` of their own (SV-45).
#pragma once

#include <coppice/otp/supervisor.hpp>

#include <cstddef>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

namespace coppice {

/// A supervisor without children, as a value.   Spec: SV-110.
struct dynamic_supervisor_spec {
  owned_name name{};
  unsigned intensity = 3;
  duration period = 5s;
  std::size_t max_children = std::numeric_limits<std::size_t>::max();
  any_value extra_arguments{};      ///< a tuple that is put before each child's own arguments: see start_dynamic_supervisor_with

  friend bool operator==(const dynamic_supervisor_spec&, const dynamic_supervisor_spec&) = default;
};
std::string to_text(const dynamic_supervisor_spec& spec);
/// What is wrong with `spec`; empty if nothing is.
std::string problem_of(const dynamic_supervisor_spec& spec);

namespace detail {
pid start_dynamic_core(const dynamic_supervisor_spec& spec, const start_options& options, start_kind kind);
extern const child_class dynamic_supervisor_child;
}  // namespace detail

/// The handle of a dynamic supervisor. The plain form of an operation throws supervisor_error, `try_` returns it.
/// Thread: any.   Blocks: the calling process or thread.   Spec: SV-110..SV-118.
class dynamic_supervisor {
 public:
  dynamic_supervisor() noexcept = default;
  explicit dynamic_supervisor(pid who) noexcept : at_(who) {}
  explicit dynamic_supervisor(const name_view& name) : at_(name) {}

  pid id() const noexcept { return at_.find(); }
  operator pid() const noexcept { return at_.find(); }
  operator supervisor() const { return at_.name() ? supervisor(at_.name().view()) : supervisor(at_.find()); }

  /// Starts a child. Its id counts for nothing: many may have the same.
  /// Returns: its pid and what it told, or that it said ignore (then nothing is kept).
  /// Fails:   max_children, failed, already_started (its name is taken), bad_child_spec.   Spec: SV-111.
  started_child start_child(child_spec spec, duration timeout = infinity) const { return detail::start_child_in(at_, std::move(spec), timeout).value(); }
  auto try_start_child(child_spec spec, duration timeout = infinity) const { return detail::start_child_in(at_, std::move(spec), timeout); }
  /// The same for a server of class S.   Returns: its address; of one that said ignore: no process.
  template <class S, class... A>
  server_ref<S> start_child(const child_options& options = {}, A&&... arguments) const {
    return server_ref<S>(start_child(child<S>(options, std::forward<A>(arguments)...)).who());
  }
  template <class S, class... A>
  result<server_ref<S>, supervisor_error> try_start_child(const child_options& options = {}, A&&... arguments) const {
    return try_start_child(child<S>(options, std::forward<A>(arguments)...)).transform([](const started_child& c) { return server_ref<S>(c.who()); });
  }

  /// Stops a child, also one that is being restarted.   Fails: not_found.   Spec: SV-114.
  void terminate_child(pid who, duration timeout = infinity) const { detail::terminate_child_in(at_, {}, who, timeout).value(); }
  auto try_terminate_child(pid who, duration timeout = infinity) const { return detail::terminate_child_in(at_, {}, who, timeout); }

  /// In no order. Cost: O(n).
  std::vector<child_information> which_children(duration timeout = infinity) const { return detail::which_children_in(at_, timeout).value(); }
  /// Cost: O(1).   Spec: SV-91.
  child_counts count_children(duration timeout = infinity) const { return detail::count_children_in(at_, timeout).value(); }
  child_spec get_childspec(pid who, duration timeout = infinity) const { return detail::get_childspec_in(at_, {}, who, timeout).value(); }
  supervisor_information about(duration timeout = infinity) const { return detail::about_supervisor(at_, timeout).value(); }

 protected:
  detail::supervisor_address at_;
};

/// A dynamic supervisor that puts arguments of the types `Extra…` before those of each child.   Spec: SV-113.
template <class... Extra>
class dynamic_supervisor_with : public dynamic_supervisor {
 public:
  using dynamic_supervisor::dynamic_supervisor;
  template <class S, class... A>
  server_ref<S> start_child(const child_options& options = {}, A&&... arguments) const {
    if constexpr (detail::check_child_arguments<Extra..., std::decay_t<A>...>() && detail::check_server<S, Extra..., std::decay_t<A>...>())
      return server_ref<S>(dynamic_supervisor::start_child(
          detail::server_child_spec<S, std::tuple<Extra...>, std::tuple<>>(options, std::forward<A>(arguments)...)).who());
    else
      __builtin_unreachable();
  }
};

/// Starts a dynamic supervisor.   Fails: throws start_error.   Spec: SV-110.
inline dynamic_supervisor start_dynamic_supervisor(const dynamic_supervisor_spec& spec = {}, const start_options& options = {}) {
  return dynamic_supervisor(detail::start_dynamic_core(spec, options, detail::start_kind::alone));
}
/// The same, linked to the calling process.
inline dynamic_supervisor start_dynamic_supervisor_link(const dynamic_supervisor_spec& spec = {}, const start_options& options = {}) {
  return dynamic_supervisor(detail::start_dynamic_core(spec, options, detail::start_kind::linked));
}
/// The same with arguments that each child gets first.   Spec: SV-113.
template <class... Extra>
dynamic_supervisor_with<std::decay_t<Extra>...> start_dynamic_supervisor_with(dynamic_supervisor_spec spec, Extra&&... extra) {
  spec.extra_arguments = any_value(std::tuple<std::decay_t<Extra>...>(std::forward<Extra>(extra)...));
  return dynamic_supervisor_with<std::decay_t<Extra>...>(detail::start_dynamic_core(spec, {}, detail::start_kind::alone));
}

/// A dynamic supervisor as a child: type supervisor, shutdown infinity, its name as its id.   Spec: EX-101.
child_spec child(const child_options& options, dynamic_supervisor_spec spec);
inline child_spec child(dynamic_supervisor_spec spec) { return child(child_options{}, std::move(spec)); }

}  // namespace coppice
