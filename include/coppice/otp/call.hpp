// SPDX-License-Identifier: Apache-2.0
//
// call: asking a server and waiting (`call`, `try_call`), telling it something without waiting (`cast`, `try_cast`).
//
// The same line works in a thread, in a process and inside another server's handler. An idle server runs on the caller's
// thread: no queue, no allocation, no clock. The design note is docs/internals/call.md.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/otp/call_error.hpp>
#include <coppice/otp/detail/gen.hpp>
#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/otp/server_ref.hpp>

#include <concepts>
#include <utility>

namespace coppice {

/// How long a call waits if nothing is said.
inline constexpr duration call_timeout = 5s;

/// The rarer wishes of a caller.
struct call_options {
  duration timeout = call_timeout;
  /// Never run the server on this thread, even if it is idle: a handler that computes for long then cannot hold up the
  /// caller beyond its timeout.
  bool queued = false;
};

namespace detail {

template <class R>
union reply_room {
  reply_room() noexcept {}
  ~reply_room() {}
  R value;
};
template <class R>
struct reply_taken {
  R& value;
  ~reply_taken() { value.~R(); }
};

inline const name_view* name_in(pid) noexcept { return nullptr; }
inline const name_view* name_in(const name_view& name) noexcept { return &name; }
inline pid find_server(pid who) noexcept { return who; }
inline pid find_server(const name_view& name) noexcept { return resolve(name); }

template <class S, class Q>
void prepare_call(call_record& record, pid to, Q& request, void* place, const call_options& options) noexcept {
  record.to = to;
  record.target = &site_of<S, Q>;
  record.request = __builtin_addressof(request);
  record.place = place;
  record.timeout = options.timeout;
  record.queued = options.queued;
}

template <class S, class Q, class Address>
reply_of<Q> call_at(const Address& to, Q& request, const call_options& options) {
  if constexpr (check_call<S, Q>()) {
    using R = stored<reply_of<Q>>;
    reply_room<R> room;
    call_record record;
    prepare_call<S, Q>(record, find_server(to), request, &room, options);
    call_core(record);
    if (record.status != call_status::replied) [[unlikely]] throw_call_error(record, site_of<S, Q>, name_in(to));
    if constexpr (!std::is_void_v<reply_of<Q>>) {
      const reply_taken<R> taken{room.value};
      return std::move(taken.value);
    }
  } else {
    __builtin_unreachable();
  }
}

template <class S, class Q, class Address>
result<reply_of<Q>, call_error> try_call_at(const Address& to, Q& request, const call_options& options) {
  if constexpr (check_call<S, Q>()) {
    using R = stored<reply_of<Q>>;
    reply_room<R> room;
    call_record record;
    prepare_call<S, Q>(record, find_server(to), request, &room, options);
    call_core(record);
    if (record.status != call_status::replied) [[unlikely]] return error(error_of(record, site_of<S, Q>, name_in(to)));
    const reply_taken<R> taken{room.value};
    if constexpr (std::is_void_v<reply_of<Q>>) return {};
    else return result<reply_of<Q>, call_error>(std::in_place, std::move(taken.value));
  } else {
    __builtin_unreachable();
  }
}

template <class S, class M>
sent cast_at(pid to, M& message) {
  if constexpr (check_cast<S, M>()) {
    const open_node n = new_cast(descriptor_of<M>(), cast_trampoline<S, M>(), key_of_class<S, M>());
    return cast_core(to, construct_at<M>(n.made, n.place, std::move(message)));
  } else {
    __builtin_unreachable();
  }
}

template <class N>
concept number_without_unit = std::is_arithmetic_v<N>;

}  // namespace detail

/// Asks `server` and waits for its reply.
/// Returns:  the reply.
/// Fails:    throws call_error: noproc, timeout, ended with the server's reason, calling_self, cycle, full, no_reply,
///           bad_request. Uncaught in a process, that is its exit reason.
/// Blocks:   the calling process or thread; workers stay free.
/// Late:     a reply after the timeout is dropped; the server is not told (GS-35).
/// Thread:   any.   Cost: 1.4 (leaf) to 1.8 times an uncontended mutex while the server is idle; no allocation then.
/// Spec:     GS-30..GS-42, GS-X1..GS-X4.
template <class S, class Q>
reply_of<Q> call(const server_ref<S>& server, Q request, duration timeout = call_timeout) {
  return detail::call_at<S>(server.id(), request, {.timeout = timeout});
}
template <class S, class Q>
reply_of<Q> call(const named<S>& server, Q request, duration timeout = call_timeout) {
  return detail::call_at<S>(server.name(), request, {.timeout = timeout});
}
template <class S, class Q>
reply_of<Q> call(const server_ref<S>& server, Q request, const call_options& options) {
  return detail::call_at<S>(server.id(), request, options);
}
template <class S, class Q>
reply_of<Q> call(const named<S>& server, Q request, const call_options& options) {
  return detail::call_at<S>(server.name(), request, options);
}

/// As call, with the error as a value.
template <class S, class Q>
[[nodiscard]] result<reply_of<Q>, call_error> try_call(const server_ref<S>& server, Q request, duration timeout = call_timeout) {
  return detail::try_call_at<S>(server.id(), request, {.timeout = timeout});
}
template <class S, class Q>
[[nodiscard]] result<reply_of<Q>, call_error> try_call(const named<S>& server, Q request, duration timeout = call_timeout) {
  return detail::try_call_at<S>(server.name(), request, {.timeout = timeout});
}
template <class S, class Q>
[[nodiscard]] result<reply_of<Q>, call_error> try_call(const server_ref<S>& server, Q request, const call_options& options) {
  return detail::try_call_at<S>(server.id(), request, options);
}
template <class S, class Q>
[[nodiscard]] result<reply_of<Q>, call_error> try_call(const named<S>& server, Q request, const call_options& options) {
  return detail::try_call_at<S>(server.name(), request, options);
}

/// A duration has a unit.
template <class Server, class Q, detail::number_without_unit N>
reply_of<Q> call(const Server&, Q, N) {
  static_assert(!detail::number_without_unit<N>, "coppice: a timeout needs a unit: write 5s or 100ms, not a bare number.");
  __builtin_unreachable();
}
/// A pid does not say what may be asked of it: `call(server_cast<Server>(who), …)`.
template <std::same_as<pid> P, class Q, class... Rest>
reply_of<Q> call(P, Q, Rest...) {
  static_assert(!std::same_as<P, pid>, "coppice: a bare pid does not say what may be asked of it: use server_cast<Server>(pid).");
  __builtin_unreachable();
}

/// Tells `server` something. Always succeeds, at once: the dead and the unknown swallow it (GS-80).
/// Thread:   any.   Cost: one pooled node; waking a sleeping worker costs a system call.   Spec: GS-80, GS-81.
template <class S, class M>
void cast(const server_ref<S>& server, M message) { (void)detail::cast_at<S>(server.id(), message); }
template <class S, class M>
void cast(const named<S>& server, M message) { (void)detail::cast_at<S>(detail::resolve(server.name()), message); }

/// As cast, and says what became of it: `noproc` for the dead and the unknown, `full` for a bounded mailbox that is full.
template <class S, class M>
[[nodiscard]] result<void, call_error> try_cast(const server_ref<S>& server, M message);
template <class S, class M>
[[nodiscard]] result<void, call_error> try_cast(const named<S>& server, M message);

namespace detail {
[[nodiscard]] call_error error_of_cast(sent what, pid to, const message_descriptor& type, std::string_view server, const name_view* name);

template <class S, class M, class Address>
result<void, call_error> try_cast_at(const Address& to, M& message) {
  const pid who = find_server(to);
  const sent what = cast_at<S>(who, message);
  if (what == sent::yes) return {};
  return error(error_of_cast(what, who, descriptor_of<M>(), name_of_class<S>(), name_in(to)));
}
}  // namespace detail

template <class S, class M>
result<void, call_error> try_cast(const server_ref<S>& server, M message) { return detail::try_cast_at<S>(server.id(), message); }
template <class S, class M>
result<void, call_error> try_cast(const named<S>& server, M message) { return detail::try_cast_at<S>(server.name(), message); }

/// Sends a plain message to a server of a known class: its handle_info for that type gets it.   Spec: GS-120.
template <class S, class M>
void send(const server_ref<S>& server, M message) {
  if constexpr (detail::is_machine<S>) {
    if constexpr (detail::check_cast<S, M>()) {
      const detail::open_node n = detail::new_info(descriptor_of<M>(), detail::cast_trampoline<S, M>(), detail::key_of_class<S, M>());
      ::new (n.place) M(std::move(message));
      (void)detail::cast_core(server.id(), n.made);
    }
  } else if constexpr (detail::has_handle_info<S, M>) {
    if constexpr (detail::check_info<S, M>()) {
      constexpr detail::trampoline run = detail::found_by_key<S, M>() ? nullptr : &detail::run_info<S, M>;
      const detail::open_node n = detail::new_info(descriptor_of<M>(), run, detail::key_of_class<S, M>());
      (void)detail::cast_core(server.id(), detail::construct_at<M>(n.made, n.place, std::move(message)));
    }
  } else {
    detail::node* n = detail::new_node(descriptor_of<M>());
    (void)detail::send_core(server.id(), detail::construct_at<M>(n, detail::payload_of(*n), std::move(message)));
  }
}

/// Who sent the call or the cast … that the running callback handles; for a cast or a plain message: no process.
/// Thread: the process that handles it.   Cost: nothing unless it is used.   Spec: GS-45.
inline pid caller() noexcept { return detail::caller_now(); }

}  // namespace coppice
