// SPDX-License-Identifier: Apache-2.0
//
// process: spawning, ending, linking, monitoring, sending. Plain functions; the process they speak of is the one that calls
// them. A plain thread may spawn, send, monitor and receive, too; it cannot link (nothing could end it).
#pragma once

#include <coppice/process/detail/core.hpp>
#include <coppice/process/exit_reason.hpp>
#include <coppice/process/message.hpp>
#include <coppice/process/name.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/process/reference.hpp>
#include <coppice/process/runtime.hpp>

#include <concepts>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coppice {

/// How to spawn. Every field has a default.   Spec: PR-4.
struct spawn_options {
  std::string_view name{};                ///< local name; taken: exit_error
  std::string_view label{};               ///< shown in reports (PR-87)
  bool trap_exit = false;
  std::size_t stack_bytes = 0;            ///< 0: 64 KiB; 16 KiB to 1 MiB
  coppice::priority priority = coppice::priority::normal;
  std::uint32_t mailbox_bound = 0;        ///< messages that may wait, up to 2^30 - 1; 0: any number (PR-56)
  coppice::when_full when_full = coppice::when_full::refuse;
  runtime* in = nullptr;                  ///< null: the running process's, or the thread's, runtime
};

/// A pid and the monitor on it.
struct monitored {
  pid who;
  reference ref;
};

namespace detail {

template <class F>
struct body_of {
  static void destroy(void* state) noexcept { static_cast<F*>(state)->~F(); }
  static void run(void* state) { static_cast<void>((*static_cast<F*>(state))()); }
  static void construct(void* place, void* from) { ::new (place) F(std::move(*static_cast<F*>(from))); }
  static constexpr class_descriptor make(std::uint32_t flags, std::uint32_t stack) {
    return {.name = "process", .key = 0, .state_size = sizeof(F), .state_align = alignof(F), .flags = flags,
            .stack_bytes = stack, .destroy = &destroy, .print = nullptr, .body = &run, .handles = nullptr, .table = nullptr};
  }
  static constexpr class_descriptor plain[4] = {make(0, 0), make(0, 16 * 1024), make(0, 256 * 1024), make(0, 1024 * 1024)};
};

constexpr std::size_t stack_index(std::size_t bytes) noexcept {
  return bytes == 0 || (bytes > 16 * 1024 && bytes <= 64 * 1024) ? 0 : bytes <= 16 * 1024 ? 1 : bytes <= 256 * 1024 ? 2 : 3;
}

template <class F>
spawned spawn_function(F&& f, const spawn_options& o, bool link, bool monitor) {
  using body = std::decay_t<F>;
  body own(static_cast<F&&>(f));
  return spawn_core({.cls = &body_of<body>::plain[stack_index(o.stack_bytes)],
                     .make = {&body_of<body>::construct, &own},
                     .link = link,
                     .monitor = monitor,
                     .trap_exit = o.trap_exit,
                     .label = o.label,
                     .name = o.name,
                     .in = o.in,
                     .level = o.priority,
                     .mailbox_bound = o.mailbox_bound,
                     .when_full = o.when_full});
}

}  // namespace detail

/// What can be the body of a process.
template <class F>
concept process_body = std::move_constructible<std::decay_t<F>> && std::invocable<std::decay_t<F>&>;

/// Starts a process that runs `f()` once and ends with `normal`, or with what escapes from it.
/// Fails:   exit_error: system_limit (too many processes, the runtime stops), name taken.
/// Thread:  any.   Cost: one slot, no stack until it runs.   Spec: PR-2, PR-10, PR-11.
template <process_body F>
pid spawn(F&& f, const spawn_options& options = {}) {
  return detail::spawn_function(static_cast<F&&>(f), options, false, false).who;
}
/// The same, linked to the calling process at once.   Fails: exit_error in a plain thread.   Spec: PR-3.
template <process_body F>
pid spawn_link(F&& f, const spawn_options& options = {}) {
  return detail::spawn_function(static_cast<F&&>(f), options, true, false).who;
}
/// The same, monitored by the caller at once.   Spec: PR-3.
template <process_body F>
monitored spawn_monitor(F&& f, const spawn_options& options = {}) {
  const detail::spawned s = detail::spawn_function(static_cast<F&&>(f), options, false, true);
  return {s.who, s.ref};
}

/// The calling process. In a plain thread: the pid under which that thread gets messages.
pid self();

/// Ends the calling process with `reason`: unwinds its stack, destructors run. Not for plain threads (exit_error).
/// Spec: PR-12.
[[noreturn]] void exit(exit_reason reason);
/// An overload of its own: else `exit(exit_reason::shutdown)` would be the C library's exit(int).
[[noreturn]] inline void exit(exit_reason::code reason) { exit(exit_reason(reason)); }
/// Sends `to` an exit signal. A dead `to` swallows it.   Thread: any.   Spec: PR-20..PR-29.
void exit(pid to, exit_reason reason);

/// Whether `who` lives. False is final; signals that the caller sent to it before are taken into account first, so the
/// caller may wait until a busy `who` looks at its inbox. An ending process counts as dead.   Spec: PR-5, OL-44.
bool alive(pid who);

/// Links the calling process and `to`.
/// Fails:  exit_error{noproc} when `to` is dead and the caller does not trap exits; in a plain thread.   Spec: PR-30..PR-35.
void link(pid to);
/// Removes the link: no EXIT of it is added to the mailbox after this returns.   Spec: PR-33, PR-34.
void unlink(pid to);
/// unlink, and takes an EXIT of `to` that had arrived already out of the mailbox. Returns: whether there was one.
bool unlink_and_flush(pid to);

/// Watches `to`: a `down` with this reference arrives once, when it ends.   Thread: any.   Spec: PR-40..PR-45.
reference monitor(pid to);
/// By name: resolved now; the `down` carries the name.   Spec: PR-43.
reference monitor(const name_view& name);
/// Ends a monitor: no DOWN arrives after this returns; one may be in the mailbox already.
/// Returns: whether the monitor was still active.   Spec: PR-44.
bool demonitor(reference ref);
/// demonitor, and takes a DOWN that had arrived already out of the mailbox. Returns: whether it was still active.
bool demonitor_and_flush(reference ref);

/// How long an alias lives.   Spec: PR-47.
enum class alias_mode { until_unalias, once };
/// A reference that others can send to; what arrives while it is active is an ordinary message of the caller.
struct alias_ref {
  pid owner;
  reference ref;
  friend bool operator==(const alias_ref&, const alias_ref&) = default;
};
alias_ref alias(alias_mode mode = alias_mode::until_unalias);
/// An alias whose messages take the priority lane of its owner, while that is open.   Spec: PR-60.
alias_ref priority_alias(alias_mode mode = alias_mode::until_unalias);
/// Returns: whether it was active. What is sent to it from now on vanishes.   Spec: PR-48.
bool unalias(const alias_ref& a);
/// A monitor whose reference is an alias too, until the monitor fires or is removed.
alias_ref monitor_with_alias(pid to, alias_mode mode = alias_mode::until_unalias);

/// Sets the flag; returns its previous value.   Spec: PR-85.
bool trap_exit(bool on);
/// Opens or closes the calling process's lane for what is urgent: EXIT and DOWN, and what comes through a priority alias, then
/// go before the messages that wait, in their own order. What waits already stays where it is.
/// Returns:  whether it was open.   Fails: exit_error in a plain thread.   Spec: PR-60.
bool priority_lane(bool open);
/// Sets the text that reports show of the calling process; empty: none.   Spec: PR-87.
void label(std::string_view text);

/// Registers `who` under a local name.   Fails: exit_error when taken (what() says by whom) or `who` is dead.   Spec: PR-70.
void register_name(std::string_view name, pid who);
/// Frees a local name.   Fails: exit_error when nobody has it.   Spec: PR-72.
void unregister_name(std::string_view name);
/// Who has it.   Cost: no lock.   Spec: PR-72.
std::optional<pid> whereis(const name_view& name);
/// A process itself, dead or alive; nothing for the null pid.   Spec: EX-103.
inline std::optional<pid> whereis(pid who) noexcept { return who ? std::optional(who) : std::nullopt; }
/// Who has a server's name.   Spec: EX-103.
template <class Server>
std::optional<pid> whereis(const named<Server>& server) { return whereis(server.name()); }

namespace detail {
node* new_alias_node(const message_descriptor& type, const alias_ref& to);
void deliver_to_alias(const alias_ref& to, node* n);
/// Throws exit_error{noproc}: PR-51.
void send_to_name(const name_view& name, node* n);

template <class M, class Node>
Node* construct_in(Node* n, M&& m) {
  construct_at<std::decay_t<M>>(n, payload_of(*n), static_cast<M&&>(m));
  return n;
}
}  // namespace detail

/// Sends a message. To a pid it never fails; the dead swallow it.
/// Thread: any.   Cost: one pooled node; never waits.   Spec: PR-50, PR-57.
template <class M>
  requires message_type<std::decay_t<M>>
void send(pid to, M&& m) {
  detail::send_core(to, detail::construct_in(detail::new_node(descriptor_of<std::decay_t<M>>()), static_cast<M&&>(m)));
}
/// To a name.   Fails: exit_error{noproc} when nobody has it.   Spec: PR-51.
template <class M>
  requires message_type<std::decay_t<M>>
void send(const name_view& to, M&& m) {
  detail::send_to_name(to, detail::construct_in(detail::new_node(descriptor_of<std::decay_t<M>>()), static_cast<M&&>(m)));
}
/// To an alias: vanishes when that is not active.   Spec: PR-48.
template <class M>
  requires message_type<std::decay_t<M>>
void send(const alias_ref& to, M&& m) {
  detail::deliver_to_alias(to, detail::construct_in(detail::new_alias_node(descriptor_of<std::decay_t<M>>(), to), static_cast<M&&>(m)));
}

/// Waits. Only the calling process or thread; signals act meanwhile.
void sleep_for(duration time);
/// Lets others run first.
void yield();

/// Stops the progress of `who` between two messages or at its next wait, until resumed as often; signals still act, kill
/// still ends it.   Returns: false if it is dead.   Spec: PR-90.
bool suspend_process(pid who);
bool resume_process(pid who);

/// Gives back what memory the calling process can spare until its next message.   Spec: PR-89.
void hibernate_process();

namespace detail {
void* dictionary_get(std::uint64_t key) noexcept;
void dictionary_put(std::uint64_t key, void* value, void (*destroy)(void*) noexcept);
}  // namespace detail

/// A value of type T kept with the calling process; it dies with it. One for each type: wrap it in a type of your own.
/// Thread: the calling process's only.   Spec: PR-88.
template <class T>
void put_local(T value) {
  detail::dictionary_put(type_hash<T>(), new T(std::move(value)), [](void* p) noexcept { delete static_cast<T*>(p); });
}
/// The value, or null if none was put.
template <class T>
T* get_local() noexcept { return static_cast<T*>(detail::dictionary_get(type_hash<T>())); }

}  // namespace coppice
