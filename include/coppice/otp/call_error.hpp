// SPDX-License-Identifier: Apache-2.0
//
// call_error, start_error: why a request or a start failed, as typed errors whose what() a person can act on. Values.
#pragma once

#include <coppice/process/detail/core.hpp>

#include <exception>
#include <string>

namespace coppice {

/// A request that got no answer. Thrown by call, stop, sys::…; returned by their `try_` twins.   Spec: GS-32..GS-37.
class call_error : public std::exception {
 public:
  enum kind : unsigned char {
    noproc,        ///< nobody is there (GS-33)
    timeout,       ///< no answer in time; the server may still be working on it (GS-35)
    ended,         ///< the server ended first: see reason() (GS-34)
    calling_self,  ///< a server asked itself (GS-36)
    cycle,         ///< the call would close a ring of servers that wait for each other (GS-X3)
    full,          ///< the server's mailbox is bounded and full (GS-X2)
    no_reply,      ///< the server dropped the request unanswered (GS-47)
    bad_request,   ///< the server's class does not know this request, or is another class
    unknown,       ///< no such request is waited for: it was consumed or abandoned (GS-55)
    failed         ///< a sys operation failed inside the server: see reason() (GS-161, GS-170)
  };
  call_error(kind what, exit_reason reason, pid server, std::string text);

  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  /// What the server ended with, for `ended`; what went wrong, for `failed`; else the kind as a reason.
  const exit_reason& reason() const noexcept { return reason_; }
  pid server() const noexcept { return server_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  kind kind_;
  exit_reason reason_;
  pid server_;
  std::string text_;
};

/// A server that did not start. Thrown by start*, returned by try_start*.   Spec: GS-4, GS-7, GS-11, GS-20..GS-29.
class start_error : public std::exception {
 public:
  enum kind : unsigned char {
    ignore,           ///< init said so (GS-22)
    already_started,  ///< the name is taken: see holder() (GS-11)
    failed,           ///< init failed: see reason() (GS-23..GS-26)
    timeout,          ///< init took too long; the half-started process is gone (GS-7)
    not_a_process,    ///< start_link in a plain thread
    bad_name,         ///< an empty name (GS-13)
    system_limit      ///< no more processes
  };
  start_error(kind what, exit_reason reason, pid holder, std::string text);

  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  bool ignored() const noexcept { return kind_ == ignore; }
  const exit_reason& reason() const noexcept { return reason_; }
  /// Who has the name, for `already_started`.
  pid holder() const noexcept { return holder_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  kind kind_;
  exit_reason reason_;
  pid holder_;
  std::string text_;
};

}  // namespace coppice
