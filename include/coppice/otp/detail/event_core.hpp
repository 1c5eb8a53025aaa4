// SPDX-License-Identifier: Apache-2.0
//
// event_core: an event manager without its types. It keeps the handlers, in the order in which they were added, and does to
// each what an event, a message or a request asks for; a handler is reached through the constant table of its class. The
// templates of gen_event.hpp make these tables. Everything runs in the manager's process.
#pragma once

#include <coppice/base/any_value.hpp>
#include <coppice/otp/call_error.hpp>
#include <coppice/otp/from.hpp>
#include <coppice/otp/outcome.hpp>
#include <coppice/process/message.hpp>
#include <coppice/process/pid.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coppice {

/// Which handler of a manager: its class, and what tells several of one class apart.   Spec: SE-60.
struct handler_id {
  std::string handler{};
  std::string id{};
  friend bool operator==(const handler_id&, const handler_id&) = default;
};
/// `printer`, `printer "second"`.
std::string to_text(const handler_id& id);

/// Why a handler's terminate runs.   Spec: SE-64, SE-67..SE-70.
struct handler_end {
  enum kind : unsigned char { deleted, removed, swapped, stopped, supervisor_ended, error } what;
  exit_reason reason{};                ///< stopped: the manager's; supervisor_ended: its; error: what the handler failed with
  any_value arguments{};               ///< deleted, swapped: what the caller gave
};

/// What who added a handler with add_sup_handler gets when it is gone.   Spec: SE-69.
struct handler_exit {
  pid manager;
  handler_id handler;
  exit_reason reason;                  ///< normal: deleted or removed; else the failure, or the manager's end
  handler_id swapped_to{};             ///< empty: not swapped
};

/// Why a manager did not do what it was asked.   Spec: SE-61, SE-65, SE-67.
class handler_error : public std::exception {
 public:
  enum kind : unsigned char { none, already_present, unknown_handler, failed, not_a_process };
  handler_error() = default;
  handler_error(kind what, exit_reason reason, std::string text) : text_(std::move(text)), reason_(std::move(reason)), kind_(what) {}
  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  /// failed: what the handler failed, or ended, with.
  const exit_reason& reason() const noexcept { return reason_; }
  const char* what() const noexcept override { return text_.c_str(); }
  explicit operator bool() const noexcept { return kind_ != none; }

 private:
  std::string text_;
  exit_reason reason_;
  kind kind_ = none;
};

namespace detail {

/// Something owned whose type only its maker knows.
struct owned_value {
  void* value = nullptr;
  void (*destroy)(void*) noexcept = nullptr;

  owned_value() noexcept = default;
  owned_value(void* v, void (*d)(void*) noexcept) noexcept : value(v), destroy(d) {}
  owned_value(owned_value&& other) noexcept : value(std::exchange(other.value, nullptr)), destroy(other.destroy) {}
  owned_value& operator=(owned_value&& other) noexcept {
    std::swap(value, other.value);
    std::swap(destroy, other.destroy);
    return *this;
  }
  ~owned_value() {
    if (value != nullptr) destroy(value);
  }
};

/// Held by everybody who still has to handle an event of sync_notify; the last one answers.
class event_receipt {
 public:
  event_receipt() noexcept = default;
  explicit event_receipt(from<void>&& caller);
  event_receipt(const event_receipt& other) noexcept;
  event_receipt(event_receipt&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  event_receipt& operator=(event_receipt other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~event_receipt();

 private:
  struct shared;
  shared* shared_ = nullptr;
};

struct handler_class;
/// Ends the old handler (null: there was none) and makes the new one from its result and `arguments`.
/// Returns: the new state, or null with `why`.
using exchange_handler = void* (*)(void* old, const handler_end& end, void* arguments, exit_reason& why) noexcept;

/// One run of one handler, and what it said.
struct handler_turn {
  enum verdict : unsigned char { keep, remove, hibernate, swap, failed, ends } said = keep;   // ends: the process has to
  exit_reason why{};                   // failed
  const handler_class* to = nullptr;   // swap
  exchange_handler exchange = nullptr;
  owned_value arguments{};
};

using handler_run = void (*)(void* state, const void* object, handler_turn& turn) noexcept;
/// Makes a handler from its arguments. Null: it refuses, or fails, with `why`.
using make_handler = void* (*)(void* arguments, exit_reason& why) noexcept;
/// What a handler in a process of its own is asked to do: `job(state, data, turn)`.
using handler_job = void (*)(void* state, void* data, handler_turn& turn) noexcept;
/// A copy of an event. Null: the type cannot be copied.
using copy_event = owned_value (*)(const void* event);

/// What a manager knows of one class of handlers.
struct handler_class {
  std::string_view name;
  std::uint64_t key;
  const handler_run* events;           // one for each of the manager's; null: it ignores that event
  const copy_event* copies;            // of the manager's events
  void (*info)(void* state, message& m, handler_turn& turn) noexcept;
  void (*terminate)(void* state, const handler_end& end) noexcept;   // failures are swallowed; null: it has none
  void (*destroy)(void* state) noexcept;
  void (*print)(text_sink& out, const void* state);
};

struct handler_entry {
  const handler_class* cls;
  std::string id;
  owned_value state;
  pid supervisor{};                    // who added it with add_sup_handler
  pid process{};                       // it runs in a process of its own: `state` is empty
};

class event_core {
 public:
  event_core() noexcept = default;
  event_core(event_core&&) noexcept = default;

  handler_entry* find(std::uint64_t key, std::string_view id) noexcept;
  /// All handlers handle the event at `place` of the list. Returns: whether one asked for hibernation.
  /// `receipt`: whoever has to handle it in a process of its own gets a copy.
  bool handle_event(std::size_t place, const message_descriptor& type, const void* event, const event_receipt& receipt);
  bool handle_info(message& m);
  /// An exit signal: of a supervisor, of a handler's process, or for the handlers.
  bool handle_exit(exit_signal& s);
  /// What is against it; none: nothing.
  handler_error may_add(const handler_class& cls, std::string_view id) const;
  /// Adds a handler in a process of its own, linked to the manager (SE-72).
  handler_error add_process(const handler_class& cls, std::string_view id, pid supervisor, make_handler make, owned_value arguments);
  /// Has the process of a handler do something.
  void order(pid process, handler_job job, owned_value data);
  void add(const handler_class& cls, std::string_view id, owned_value state, pid supervisor, pid process);
  handler_error exchange(handler_entry& e, const handler_class& to, std::string_view id, exchange_handler with, void* arguments, any_value&& given);
  /// After a handler ran for itself alone (a call): what it said. Returns: whether it is still there.
  bool settle(handler_entry& e, handler_turn& turn, std::string_view doing, const message_descriptor& type, const void* object);
  /// Takes it out; its terminate has run, or runs now.
  void remove(handler_entry& e, const handler_end& end, bool terminate);
  void stop(const exit_reason& why);

  /// From now on `supervisor` supervises that handler.
  void supervise(std::uint64_t key, std::string_view id, pid supervisor);

  const std::vector<handler_entry>& handlers() const noexcept { return handlers_; }
  handler_error unknown(std::string_view cls, std::string_view id) const;

 private:
  void leave_supervisor(pid supervisor) noexcept;
  void tell_supervisor(const handler_entry& e, const exit_reason& why, const handler_id& swapped_to = {}) noexcept;
  void report(const handler_entry& e, std::string_view doing, const message_descriptor& type, const void* object, const exit_reason& why) noexcept;

  std::vector<handler_entry> handlers_;
  bool hibernates_ = false;
};

/// A job's mark: the handler's terminate has run.
extern const handler_class turn_is_over;
std::string text_of(const event_core& core);

}  // namespace detail
}  // namespace coppice
