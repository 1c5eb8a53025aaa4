// SPDX-License-Identifier: Apache-2.0
//
// load: wrk, which asks as fast as it can, and the servers that are asked.
#pragma once

#include <coppice/app/http_server.hpp>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace app_bench {

struct load_result {
  double rate = 0;           ///< requests a second
  double p99 = 0;            ///< us
  std::uint64_t failed = 0;  ///< not connected, not answered, not 2xx
};

/// `connections` clients that keep their connection, from one thread.   Throws: std::runtime_error.
load_result run_wrk(const std::string& url, int connections, double seconds);

/// Another program. Killed at the end.
class other_program {
 public:
  /// Throws: std::runtime_error when it cannot be started.
  explicit other_program(const std::vector<std::string>& arguments);
  ~other_program();
  other_program(const other_program&) = delete;

  /// The next line of its standard output; empty at its end.
  std::string line();
  /// Of it and its children, in seconds.
  double cpu_seconds() const;
  void end();

 private:
  pid_t pid_;
  std::FILE* output_;
};

/// A folder for as long as the program runs.
class scratch_folder {
 public:
  scratch_folder();
  ~scratch_folder();
  scratch_folder(const scratch_folder&) = delete;
  std::string file(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

/// A certificate for localhost, made once.   Throws: std::runtime_error.
const coppice::tls_certificate& certificate();

/// One worker that answers "hello" itself.   Throws: std::runtime_error when there is no nginx.
class nginx {
 public:
  explicit nginx(bool secure);
  const std::string& url() const { return url_; }
  double cpu_seconds() const { return program_->cpu_seconds(); }

 private:
  scratch_folder folder_;
  std::string url_;
  std::unique_ptr<other_program> program_;
};

void raise_descriptor_limit();
/// How many connections fit into the limit of descriptors, at most `wanted`.
std::size_t affordable_connections(std::size_t wanted);

inline constexpr std::string_view successor_argument = "--successor";
/// A server of its own that takes over at a path, and ends when it is taken over.
int be_successor(int argc, char** argv);
/// Starts one.   Returns: it, when it serves, and its port.
struct running_successor {
  std::unique_ptr<other_program> program;
  int port = 0;
};
running_successor start_successor(const std::string& door, int port);

}  // namespace app_bench
