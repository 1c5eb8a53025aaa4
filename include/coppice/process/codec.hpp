// SPDX-License-Identifier: Apache-2.0
//
// codec: how a message becomes bytes and comes back, for whoever sends it out of the program. A type without a codec stays
// inside.
#pragma once

#include <concepts>
#include <cstddef>
#include <new>
#include <optional>
#include <span>
#include <utility>

namespace coppice {

/// Where encoded bytes go. Borrowed for one call.
/// Thread: as what stands behind it.
struct byte_sink {
  void (*put)(void* context, std::span<const std::byte> bytes);
  void* context;

  void operator()(std::span<const std::byte> bytes) const { put(context, bytes); }
};

/// The codec of `M`, to be specialised beside `M`, before its first use as a message:
///     template <> struct coppice::codec<give_back> {
///       static void encode(const give_back& m, const byte_sink& out);
///       static std::optional<give_back> decode(std::span<const std::byte> bytes);   // nothing: these are not one
///     };
/// Both may throw; who encodes or decodes hears of it.   Spec: C2
template <class M>
struct codec;

/// A type whose codec is complete.
template <class M>
concept encodable = requires(const M& m, const byte_sink& out, std::span<const std::byte> bytes) {
  codec<M>::encode(m, out);
  { codec<M>::decode(bytes) } -> std::same_as<std::optional<M>>;
};

namespace detail {

using encode_function = void (*)(const void* object, const byte_sink& out);
/// Constructs what `bytes` are at `place`. False: they are none.
using decode_function = bool (*)(void* place, std::span<const std::byte> bytes);

template <class M>
constexpr encode_function encoder_of() noexcept {
  if constexpr (encodable<M>) return [](const void* object, const byte_sink& out) { codec<M>::encode(*static_cast<const M*>(object), out); };
  else return nullptr;
}

template <class M>
constexpr decode_function decoder_of() noexcept {
  if constexpr (encodable<M>)
    return [](void* place, std::span<const std::byte> bytes) {
      std::optional<M> m = codec<M>::decode(bytes);
      if (m) ::new (place) M(std::move(*m));
      return m.has_value();
    };
  else return nullptr;
}

}  // namespace detail
}  // namespace coppice
