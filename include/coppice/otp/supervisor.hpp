// SPDX-License-Identifier: Apache-2.0
//
// supervisor: a server that starts children, watches them, and starts them again when they fail. What it does is a value:
//
//     supervisor_spec{.name = "channels", .strategy = one_for_one, .children = {
//         child<ch3>({.name = "ch3", .shutdown = 2s}, 8),
//         child(supervisor_spec{.name = "shops", .children = {…}}),       // a tree is a value, too
//     }}
//
// `start_supervisor_link(spec)` makes it real and gives a handle, `supervisor`; a handle is also made from a name or a pid.
// Operations take their turn in the supervisor: while a child starts or stops, everything else there waits. A slow init
// belongs into handle_continue. How it works: docs/internals/supervisor.md.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/otp/child.hpp>
#include <coppice/otp/start.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace coppice {

/// Which children are started again when one has to be.   Spec: SV-23.
enum class strategy : std::uint8_t {
  one_for_one,        ///< only it
  one_for_all,        ///< all: the others are stopped first
  rest_for_one,       ///< it and those that were started after it
  simple_one_for_one  ///< only it; all children are made from one template (SV-80)
};
using enum strategy;

/// When the end of significant children ends their supervisor.   Spec: SV-65..SV-68.
enum class auto_shutdown : std::uint8_t { never, any_significant, all_significant };
using enum auto_shutdown;

/// A supervisor and everything below it, as a value: copied, compared, printed.
/// Thread: as a vector.   Spec: SV-10, SV-11.
struct supervisor_spec {
  owned_name name{};
  coppice::strategy strategy = one_for_one;
  unsigned intensity = 3;                                ///< so many restarts …
  duration period = 5s;                                  ///< … in so much time; one more ends the supervisor
  coppice::auto_shutdown auto_shutdown = never;
  bool start_in_parallel = false;                        ///< one_for_one: the first children do not wait for one another
  std::vector<child_spec> children{};                    ///< in the order in which they are started

  friend bool operator==(const supervisor_spec&, const supervisor_spec&) = default;
};
/// `supervisor "channels" (one_for_one, 3 restarts in 5 s) {…}`, one line a child.
std::string to_text(const supervisor_spec& spec);
/// What is wrong with `spec` as it stands; empty if nothing is.   Spec: SV-4, SV-5, SV-11.
std::string problem_of(const supervisor_spec& spec);

/// An operation of a supervisor that was refused or failed. Thrown by the operations; returned by their `try_` twins.
class supervisor_error : public std::exception {
 public:
  enum kind : unsigned char {
    bad_child_spec,       ///< nothing was changed: what() names field and value
    already_started,      ///< a child of that id runs, or the child's name is taken: see holder()
    already_present,      ///< a child of that id is there and does not run: restart_child, or delete_child first
    not_found,
    running,
    restarting,
    failed,               ///< the child did not start: see reason()
    max_children,
    no_child_ids,         ///< its children are named by their pids: one template made them, or it is dynamic
    bad_supervisor_spec,  ///< of a change
    unreachable           ///< the supervisor did not answer: noproc, timeout, its end: see reason()
  };
  supervisor_error(kind what, std::string text, exit_reason reason = {}, pid holder = {});

  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  const exit_reason& reason() const noexcept { return reason_; }
  pid holder() const noexcept { return holder_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  kind kind_;
  exit_reason reason_;
  pid holder_;
  std::string text_;
};

enum class child_state : std::uint8_t { stopped, running, restarting };

/// What a supervisor tells of one child.   Spec: SV-75.
struct child_information {
  std::string id{};                            ///< empty: one of many from a template, or of a dynamic supervisor
  pid who{};                                   ///< set while it runs
  child_state state = child_state::stopped;
  child_type type = child_type::worker;
  restart_type restart = permanent;
  std::string start{};                         ///< its class or function
};

/// How many.   Spec: SV-76, SV-91.
struct child_counts {
  std::size_t specs = 0;
  std::size_t active = 0;                      ///< alive now
  std::size_t supervisors = 0;                 ///< alive or not
  std::size_t workers = 0;
};

/// What a supervisor is, without its children.
struct supervisor_information {
  std::string name{};
  coppice::strategy strategy = one_for_one;
  unsigned intensity = 0;
  duration period{};
  unsigned restarts = 0;                       ///< in the last period
  bool dynamic = false;
};

namespace detail {

/// A supervisor's name or pid, kept.
class supervisor_address {
 public:
  supervisor_address() noexcept = default;
  supervisor_address(pid who) noexcept : who_(who) {}
  supervisor_address(const name_view& name) : name_(name) {}
  pid find() const noexcept { return name_ ? resolve(name_.view()) : who_; }
  const owned_name& name() const noexcept { return name_; }

 private:
  pid who_{};
  owned_name name_{};
};

result<started_child, supervisor_error> start_child_in(const supervisor_address& at, child_spec&& spec, duration timeout);
result<started_child, supervisor_error> start_child_from(const supervisor_address& at, any_value more);
result<void, supervisor_error> terminate_child_in(const supervisor_address& at, std::string_view id, pid who, duration timeout);
result<started_child, supervisor_error> restart_child_in(const supervisor_address& at, std::string_view id, duration timeout);
result<void, supervisor_error> delete_child_in(const supervisor_address& at, std::string_view id, duration timeout);
result<std::vector<child_information>, supervisor_error> which_children_in(const supervisor_address& at, duration timeout);
result<child_information, supervisor_error> which_child_in(const supervisor_address& at, std::string_view id, duration timeout);
result<child_counts, supervisor_error> count_children_in(const supervisor_address& at, duration timeout);
result<child_spec, supervisor_error> get_childspec_in(const supervisor_address& at, std::string_view id, pid who, duration timeout);
result<supervisor_information, supervisor_error> about_supervisor(const supervisor_address& at, duration timeout);
result<void, supervisor_error> change_supervisor(const supervisor_address& at, std::optional<supervisor_spec> to, duration timeout);

/// Where a supervisor's specification comes from: a value, or a function that makes one (again at a change of code).
struct supervisor_source {
  /// Returns: nothing for ignore.
  result<std::optional<supervisor_spec>, exit_reason> (*make)(const any_value& from) = nullptr;
  any_value from{};
};
supervisor_source source_of(supervisor_spec spec);

pid start_supervisor_core(const supervisor_source& source, const start_options& options, start_kind kind);
extern const child_class supervisor_child;

template <class R>
result<std::optional<supervisor_spec>, exit_reason> as_made(R&& r) {
  using T = std::remove_cvref_t<R>;
  if constexpr (std::is_same_v<T, supervisor_spec>) return std::optional<supervisor_spec>(std::move(r));
  else if constexpr (std::is_same_v<T, std::optional<supervisor_spec>>) return std::move(r);
  else if (r) return std::optional<supervisor_spec>(std::move(*r));
  else return error(exit_reason(std::move(r.error())));
}
template <class R>
concept tells_a_supervisor = requires(R r) { as_made(std::move(r)); };
template <class F, class... A>
concept returns_a_supervisor = tells_a_supervisor<std::invoke_result_t<const F&, A...>>;

template <class F, class... A>
consteval bool check_supervisor_function() {
  static_assert(!holds_something<F>, "coppice: a supervisor is made by a function and its arguments, not by a closure that holds something.");
  static_assert(!!can_be_called<F, A...>, "coppice: the function that makes this supervisor's spec cannot be called with these arguments.");
  if constexpr (can_be_called<F, A...> && !holds_something<F>) {
    static_assert(!!returns_a_supervisor<F, A...>, "coppice: the function that makes a supervisor returns a supervisor_spec, an optional one (none: ignore), or a result of one.");
    return returns_a_supervisor<F, A...>;
  }
  return false;
}
template <class F, class... A>
supervisor_source source_from(F&& make, A&&... arguments) {
  using all = std::tuple<std::decay_t<F>, std::decay_t<A>...>;
  return {[](const any_value& from) {
            return std::apply([](const auto& f, auto... a) { return as_made(f(std::move(a)...)); }, *from.as<all>());
          },
          any_value(all(std::forward<F>(make), std::forward<A>(arguments)...))};
}

}  // namespace detail

/// The handle of a supervisor. Each operation is a call to it, with `infinity` as default timeout: it takes as long as the
/// child does. The plain form throws supervisor_error, `try_` returns it.
/// Thread: any.   Blocks: the calling process or thread.   Spec: SV-70..SV-78.
class supervisor {
 public:
  supervisor() noexcept = default;
  explicit supervisor(pid who) noexcept : at_(who) {}
  explicit supervisor(const name_view& name) : at_(name) {}

  /// Who it is now; none if nobody has the name.
  pid id() const noexcept { return at_.find(); }
  operator pid() const noexcept { return at_.find(); }

  /// Starts a child behind all others.
  /// Returns: its pid and what it told, or that it said ignore (kept without a process; a temporary one is dropped).
  /// Fails:   already_started, already_present, bad_child_spec, failed.   Spec: SV-70, SV-71.
  started_child start_child(child_spec spec, duration timeout = infinity) const { return detail::start_child_in(at_, std::move(spec), timeout).value(); }
  auto try_start_child(child_spec spec, duration timeout = infinity) const { return detail::start_child_in(at_, std::move(spec), timeout); }
  /// The same for a server of class S.   Returns: its address; of one that said ignore: no process.
  template <class S, class... A>
  server_ref<S> start_child(const child_options& options = {}, A&&... arguments) const {
    return server_ref<S>(start_child(child<S>(options, std::forward<A>(arguments)...)).who());
  }
  /// simple_one_for_one: starts a child from the template and `more…`, which must be of the types that it wants.   Spec: SV-80.
  template <class... More>
  started_child start_child_from(More&&... more) const { return try_start_child_from(std::forward<More>(more)...).value(); }
  template <class... More>
  result<started_child, supervisor_error> try_start_child_from(More&&... more) const {
    if constexpr (sizeof...(More) == 0) return detail::start_child_from(at_, {});
    else return detail::start_child_from(at_, any_value(std::tuple<std::decay_t<More>...>(std::forward<More>(more)...)));
  }

  /// Stops a child; its spec stays (a temporary one is dropped), and nothing starts it but restart_child, or a sibling's
  /// restart of a group.   Fails: not_found.   Spec: SV-72, SV-81.
  void terminate_child(std::string_view id, duration timeout = infinity) const { detail::terminate_child_in(at_, id, {}, timeout).value(); }
  auto try_terminate_child(std::string_view id, duration timeout = infinity) const { return detail::terminate_child_in(at_, id, {}, timeout); }
  /// By pid: of children that are made from a template.
  void terminate_child(pid who, duration timeout = infinity) const { detail::terminate_child_in(at_, {}, who, timeout).value(); }
  auto try_terminate_child(pid who, duration timeout = infinity) const { return detail::terminate_child_in(at_, {}, who, timeout); }

  /// Starts a child that was stopped.   Fails: running, restarting, not_found, failed (the spec stays).   Spec: SV-73.
  started_child restart_child(std::string_view id, duration timeout = infinity) const { return detail::restart_child_in(at_, id, timeout).value(); }
  auto try_restart_child(std::string_view id, duration timeout = infinity) const { return detail::restart_child_in(at_, id, timeout); }
  /// Forgets a child that was stopped.   Fails: running, restarting, not_found.   Spec: SV-74.
  void delete_child(std::string_view id, duration timeout = infinity) const { detail::delete_child_in(at_, id, timeout).value(); }
  auto try_delete_child(std::string_view id, duration timeout = infinity) const { return detail::delete_child_in(at_, id, timeout); }

  /// All children, oldest first.   Spec: SV-75.
  std::vector<child_information> which_children(duration timeout = infinity) const { return detail::which_children_in(at_, timeout).value(); }
  auto try_which_children(duration timeout = infinity) const { return detail::which_children_in(at_, timeout); }
  child_information which_child(std::string_view id, duration timeout = infinity) const { return detail::which_child_in(at_, id, timeout).value(); }
  auto try_which_child(std::string_view id, duration timeout = infinity) const { return detail::which_child_in(at_, id, timeout); }
  /// Cost: O(1).   Spec: SV-76.
  child_counts count_children(duration timeout = infinity) const { return detail::count_children_in(at_, timeout).value(); }
  auto try_count_children(duration timeout = infinity) const { return detail::count_children_in(at_, timeout); }
  /// The complete spec; of a temporary child without its arguments.   Spec: SV-77.
  child_spec get_childspec(std::string_view id, duration timeout = infinity) const { return detail::get_childspec_in(at_, id, {}, timeout).value(); }
  auto try_get_childspec(std::string_view id, duration timeout = infinity) const { return detail::get_childspec_in(at_, id, {}, timeout); }
  child_spec get_childspec(pid who, duration timeout = infinity) const { return detail::get_childspec_in(at_, {}, who, timeout).value(); }

  /// Strategy, intensity, restarts so far.
  supervisor_information about(duration timeout = infinity) const { return detail::about_supervisor(at_, timeout).value(); }

  /// Takes over a new specification while it runs: flags at once, specs of known ids (their processes stay as they are), new
  /// ids without starting them; ids that are missing stay. Without `to`: from the function that made the supervisor.
  /// Fails: bad_supervisor_spec, and everything is as before.   Spec: SV-95.
  void change(supervisor_spec to, duration timeout = infinity) const { detail::change_supervisor(at_, std::move(to), timeout).value(); }
  auto try_change(supervisor_spec to, duration timeout = infinity) const { return detail::change_supervisor(at_, std::move(to), timeout); }
  void code_change(duration timeout = infinity) const { detail::change_supervisor(at_, std::nullopt, timeout).value(); }

 private:
  detail::supervisor_address at_;
};

/// Starts a supervisor and its children, one after another.
/// Returns: its handle, when the last child has started.
/// Fails:   throws start_error: a child did not start (those before it are stopped again), an invalid spec, a name taken.
/// Spec: SV-15..SV-18.
inline supervisor start_supervisor(const supervisor_spec& spec, const start_options& options = {}) {
  return supervisor(detail::start_supervisor_core(detail::source_of(spec), options, detail::start_kind::alone));
}
/// The same, linked to the calling process, which is its parent: the parent's end is its end.   Spec: SV-60.
inline supervisor start_supervisor_link(const supervisor_spec& spec, const start_options& options = {}) {
  return supervisor(detail::start_supervisor_core(detail::source_of(spec), options, detail::start_kind::linked));
}
/// The same from a function, which runs in the supervisor and makes its spec from the arguments: a supervisor_spec, an
/// optional one (none: ignore), or a result of one. It runs again at code_change.   Spec: SV-18, SV-95.
template <class F, class... A>
  requires detail::plain_function<std::decay_t<F>>
supervisor start_supervisor_link(const start_options& options, F&& make, A&&... arguments) {
  if constexpr (detail::check_supervisor_function<std::decay_t<F>, std::decay_t<A>...>())
    return supervisor(detail::start_supervisor_core(detail::source_from(std::forward<F>(make), std::forward<A>(arguments)...), options,
                                                    detail::start_kind::linked));
  else
    __builtin_unreachable();
}
template <class F, class... A>
  requires detail::plain_function<std::decay_t<F>>
supervisor start_supervisor(const start_options& options, F&& make, A&&... arguments) {
  if constexpr (detail::check_supervisor_function<std::decay_t<F>, std::decay_t<A>...>())
    return supervisor(detail::start_supervisor_core(detail::source_from(std::forward<F>(make), std::forward<A>(arguments)...), options,
                                                    detail::start_kind::alone));
  else
    __builtin_unreachable();
}
/// With the error as a value.
[[nodiscard]] result<supervisor, start_error> try_start_supervisor(const supervisor_spec& spec, const start_options& options = {});
[[nodiscard]] result<supervisor, start_error> try_start_supervisor_link(const supervisor_spec& spec, const start_options& options = {});

/// A supervisor as a child: type supervisor, shutdown infinity, its name as its id.   Spec: SV-1, EX-101.
child_spec child(const child_options& options, supervisor_spec spec);
inline child_spec child(supervisor_spec spec) { return child(child_options{}, std::move(spec)); }

/// What stands under a supervisor at this moment, down to the leaves.
struct supervision_tree {
  std::string id{};
  pid who{};
  child_state state = child_state::running;
  std::string what{};                            ///< its class, or strategy and limits of a supervisor
  std::vector<supervision_tree> children{};
  std::size_t left_out = 0;                      ///< more children than `most` are counted only
};
/// Asks the supervisors, from the top.   Fails: supervisor_error when the first does not answer.
supervision_tree tree(const supervisor& top, std::size_t most = 50);
/// One line a process, branches drawn.
std::string to_text(const supervision_tree& tree);

}  // namespace coppice
