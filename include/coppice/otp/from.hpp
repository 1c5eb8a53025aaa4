// SPDX-License-Identifier: Apache-2.0
//
// from: the right and the duty to answer one call. A handler that takes it by value answers through it, now or later, here
// or in any process it hands it to.
//
// Move-only and one-shot: `std::move(f).reply(v)` uses it up. Destroyed unanswered, the caller gets `no_reply` at once; only
// while an exception leaves the server's own handler it stays open, because then the server ends and its reason is the
// answer. If the server ends while a `from` is kept, the caller gets the server's exit reason (GS-34).
//
// Thread: one at a time.   Spec: GS-45..GS-47.
#pragma once

#include <coppice/process/detail/core.hpp>

#include <exception>
#include <type_traits>
#include <utility>

namespace coppice {

namespace detail {

/// Who waits for an answer: a reply slot, or a mailbox (slot null, serial the number of the request's reference).
struct reply_ticket {
  reply_slot* slot = nullptr;
  std::uint64_t serial = 0;
  pid caller{};
  explicit operator bool() const noexcept { return slot != nullptr || serial != 0; }
};

/// An answer being written.
struct open_answer {
  void* place = nullptr;       // null: nobody waits any more
  node* response = nullptr;
};
/// Where the answer to `to` is constructed, as `type`. A place must be followed by `send_answer`.
open_answer begin_answer(const reply_ticket& to, const message_descriptor& type);
void send_answer(const reply_ticket& to, open_answer answer) noexcept;
/// Nobody will answer. Silent while `server` is ending: then its reason is the answer.
void answer_no_reply(const reply_ticket& to, const slot* server) noexcept;
void answer_died(const reply_ticket& to, const exit_reason& why) noexcept;
pid caller_of(const reply_ticket& to) noexcept;

/// What arrives in the mailbox of who used send_request.
template <class R>
struct response_payload {
  reference ref;
  R value;
};

template <class R>
void answer(const reply_ticket& to, R&& value) {
  using T = std::decay_t<R>;
  if (to.slot != nullptr) {
    if (void* place = claim_reply(to.slot, to.serial)) {
      if constexpr (std::is_nothrow_constructible_v<T, R&&>) {
        ::new (place) T(std::forward<R>(value));
      } else {
        try {
          ::new (place) T(std::forward<R>(value));
        } catch (...) {
          fail_claimed_reply(to.slot, to.serial, exit_reason::from_current_exception());
          throw;
        }
      }
      publish_reply(to.slot, to.serial);
    }
  } else if (open_answer a = begin_answer(to, descriptor_of<response_payload<T>>()); a.place != nullptr) {
    if constexpr (std::is_nothrow_constructible_v<T, R&&>) {
      ::new (a.place) response_payload<T>{reference(to.serial), std::forward<R>(value)};
    } else {
      try {
        ::new (a.place) response_payload<T>{reference(to.serial), std::forward<R>(value)};
      } catch (...) {
        free_node(a.response);
        throw;
      }
    }
    send_answer(to, a);
  }
}

}  // namespace detail

/// The caller of one request, who waits for an R.
template <class R>
class [[nodiscard]] from {
 public:
  from(from&& other) noexcept
      : to_(std::exchange(other.to_, {})), server_(other.server_), unwinding_(other.unwinding_) {}
  from& operator=(from&& other) noexcept {
    if (this != &other) {
      drop();
      to_ = std::exchange(other.to_, {});
      server_ = other.server_;
      unwinding_ = other.unwinding_;
    }
    return *this;
  }
  ~from() { drop(); }

  /// Answers. Always succeeds; if the caller has given up or is dead the value vanishes (GS-41).
  template <class V>
    requires(!std::is_void_v<R> && std::is_convertible_v<V, detail::stored<R>>)
  void reply(V&& value) && {
    detail::answer(std::exchange(to_, {}), detail::stored<R>(std::forward<V>(value)));
  }
  void reply() && requires std::is_void_v<R> { detail::answer(std::exchange(to_, {}), detail::nothing{}); }

  /// Whether an answer is still owed by this object.
  explicit operator bool() const noexcept { return bool(to_); }
  /// Who asks. A plain thread has a pid, too.
  pid caller() const noexcept { return detail::caller_of(to_); }

  /// For the library.
  from(detail::reply_ticket to, detail::slot* server) noexcept
      : to_(to), server_(server), unwinding_(std::uncaught_exceptions()) {}
  detail::reply_ticket release() && noexcept { return std::exchange(to_, {}); }

 private:
  void drop() noexcept {
    if (!to_) return;
    const bool handler_fails = std::uncaught_exceptions() > unwinding_ && detail::current_slot() == server_;
    if (!handler_fails) detail::answer_no_reply(std::exchange(to_, {}), server_);
  }
  detail::reply_ticket to_;
  detail::slot* server_ = nullptr;
  int unwinding_ = 0;
};

/// Answers `to`.   Spec: GS-45.
template <class R, class V>
void reply(from<R>&& to, V&& value) { std::move(to).reply(std::forward<V>(value)); }

}  // namespace coppice
