// SPDX-License-Identifier: Apache-2.0
//
// process_info: what can be known of a process from outside. The owner answers between two messages, so nothing races and
// nothing is stopped for long.
#pragma once

#include <coppice/process/pid.hpp>
#include <coppice/process/priority.hpp>
#include <coppice/process/reference.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace coppice {

class runtime;

enum class process_status : std::uint8_t { running, waiting, suspended, ending };

struct process_information {
  pid who;
  process_status status = process_status::waiting;
  std::string name;                        ///< of its class
  std::vector<std::string> names;
  std::string label;
  std::size_t queue_length = 0;            ///< messages not yet handled
  std::vector<pid> links;
  std::vector<pid> monitors;               ///< whom it watches
  std::vector<pid> monitored_by;
  bool traps_exits = false;
  std::vector<pid> ancestors;              ///< nearest first (PR-6)
  std::vector<pid> callers;
  std::string doing;                       ///< the message it handles, if any
  coppice::priority priority = coppice::priority::normal;
  std::uint64_t work = 0;                  ///< messages handled, calls, casts and sends, since somebody first asked
  std::size_t memory_bytes = 0;            ///< control block, state, links, monitors and the like; not queued messages, nor what the state keeps elsewhere
};

/// Asks `who`. A busy process answers when it next looks at its inbox: then the caller waits.
/// Returns: empty for a dead process.
/// Cost:    from the first time on the process has an extension, some hundred bytes, in which its work is counted.
/// Thread:  any.   Spec: PR-86.
std::optional<process_information> process_info(pid who);

/// The living processes of the caller's runtime.
std::vector<pid> processes();

}  // namespace coppice
