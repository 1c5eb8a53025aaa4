// SPDX-License-Identifier: Apache-2.0
//
// crowd: many clients in an OS process of their own, which do one thing and then stay.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "app/load.hpp"

namespace app_bench {

inline constexpr std::string_view crowd_argument = "--crowd";

/// What each client does: asks once; asks once under TLS; speaks WebSocket, and gets one message back; the same compressed; asks,
/// and waits for the answer.
enum class crowd_kind { keep_alive, tls, websocket, deflate, waiting };

/// The crowd's side: says `ready`; with `waiting`, later how many were answered or closed.
int be_crowd(int argc, char** argv);

class crowd {
 public:
  /// Returns when all are there.   Throws: std::runtime_error.
  crowd(int port, crowd_kind kind, std::size_t count);
  /// Of clients that wait: how many have got an answer or a close.
  std::size_t served();

 private:
  other_program program_;
};

}  // namespace app_bench
