// SPDX-License-Identifier: Apache-2.0
//
// message: what travels between processes. Any movable type is a message; a message_descriptor tells the compiled core
// what it needs to know of it (one constant per type and module, compared by key, never by address).
//
// The messages that the library itself sends stand here too: down, exit_signal, timeout.
#pragma once

#include <coppice/base/to_text.hpp>
#include <coppice/base/type_name.hpp>
#include <coppice/process/codec.hpp>
#include <coppice/process/exit_reason.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/process/reference.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coppice {

/// What the core knows of a message type (C2). Encode and decode are null for a type without a codec (codec.hpp).
struct message_descriptor {
  std::uint64_t key;       ///< hash of the name and the size
  std::string_view name;   ///< without namespaces: `give_back`
  std::uint32_t size;
  std::uint32_t align;
  void (*destroy)(void* object) noexcept;
  void (*move)(void* to, void* from);                      ///< move-constructs *to from *from
  void (*print)(text_sink& out, const void* object);
  detail::encode_function encode;
  detail::decode_function decode;                          ///< constructs an object
  const message_descriptor* reply;                          ///< null: none is expected
  bool inert;                                               ///< to destroy it does nothing
  bool late;                                                ///< handle it although its caller has given up (GS-X1)
};

/// A message type: an object type that can be moved.
template <class M>
concept message_type = std::is_object_v<M> && std::move_constructible<M> && !std::is_pointer_v<M>;

namespace detail {

template <class M>
struct reply_of_helper { using type = void; static constexpr bool named = false; };
template <class M>
  requires requires { typename M::reply; }
struct reply_of_helper<M> { using type = typename M::reply; static constexpr bool named = true; };

struct nothing {};  // the stored form of `void`
template <class R>
using stored = std::conditional_t<std::is_void_v<R>, nothing, R>;

template <class M>
void destroy_message(void* object) noexcept { static_cast<M*>(object)->~M(); }
template <class M>
void move_message(void* to, void* from) { ::new (to) M(std::move(*static_cast<M*>(from))); }
template <class M>
void print_message(text_sink& out, const void* object) { print(out, *static_cast<const M*>(object)); }

template <class M>
consteval bool handled_late() {
  if constexpr (requires { { M::late } -> std::convertible_to<bool>; }) return M::late;
  else return false;
}

template <class M>
constexpr const message_descriptor* reply_descriptor() noexcept;

template <class M>
inline constexpr message_descriptor descriptor_constant{
    .key = type_hash<M>() ^ (std::uint64_t{sizeof(M)} * 0x9E3779B97F4A7C15u),
    .name = short_type_name<M>(),
    .size = sizeof(M),
    .align = alignof(M),
    .destroy = &destroy_message<M>,
    .move = &move_message<M>,
    .print = &print_message<M>,
    .encode = encoder_of<M>(),
    .decode = decoder_of<M>(),
    .reply = reply_descriptor<M>(),
    .inert = std::is_trivially_destructible_v<M>,
    .late = handled_late<M>(),
};

template <class M>
constexpr const message_descriptor* reply_descriptor() noexcept {
  if constexpr (reply_of_helper<M>::named)
    return &descriptor_constant<stored<typename reply_of_helper<M>::type>>;
  else
    return nullptr;
}

}  // namespace detail

/// The descriptor of `M`.
template <message_type M>
constexpr const message_descriptor& descriptor_of() noexcept { return detail::descriptor_constant<M>; }

/// A received message whose type is not known at compile time: what `handle_info(message&)` and catch-alls get.
/// Thread: only the process that received it, while it handles it.
class message {
 public:
  message(const message_descriptor& type, void* object) noexcept : type_(&type), object_(object) {}
  std::string_view name() const noexcept { return type_->name; }
  const message_descriptor& type() const noexcept { return *type_; }
  /// The message as an `M`, or null if it is none.
  template <message_type M>
  M* as() noexcept { return type_->key == descriptor_of<M>().key ? static_cast<M*>(object_) : nullptr; }
  const void* object() const noexcept { return object_; }

 private:
  const message_descriptor* type_;
  void* object_;
};

void print(text_sink& out, const message& m);

/// A monitored process ended (PR-40). `name` is set when the monitor was made by name (PR-43).
struct down {
  reference ref;
  pid who;
  exit_reason reason;
  std::string name{};
};

/// An exit signal that this process traps (PR-20..PR-27).
struct exit_signal {
  pid who;
  exit_reason reason;
};

/// The plain timeout of a server (GS-90); the TIMEOUT message of start_timer carries its own `ref` (PR-80).
struct timeout {
  reference ref{};
};

}  // namespace coppice
