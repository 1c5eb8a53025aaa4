// SPDX-License-Identifier: Apache-2.0
//
// ws_handover: what goes with a WebSocket from one handler to the next one, which a restart or another OS process has put in its place.
// With it goes the head of the request that began the WebSocket, reduced to what was agreed upon: to the connection it is the next request,
// but one that was answered long ago. Who has this with the next request therefore answers in frames, not in HTTP.
//
// Between two handlers nothing else has to be remembered: it is left between two messages, and no message is compressed by what was in
// another one of the same client.
//
// Thread: its owner.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace coppice::internal {

struct ws_handover {
  static constexpr std::size_t most_passed_on = 4096;
  std::string passed_on{};  // by the handler before
};

/// A close frame: that nobody here goes on with it, and why.
constexpr std::string_view ws_restart_frame{"\x88\x1a\x03\xf4the server was restarted", 28};
constexpr std::string_view ws_stop_frame{"\x88\x12\x03\xe9the server stops", 20};

/// For the way to another OS process, in front of the bytes of the head.
std::string packed(const ws_handover& h);
/// Takes it off `bytes` again. Null: it is none.   Throws: std::bad_alloc.
std::unique_ptr<ws_handover> unpack_handover(std::string_view& bytes);

}  // namespace coppice::internal
