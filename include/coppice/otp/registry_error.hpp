// SPDX-License-Identifier: Apache-2.0
//
// registry_error: why a registry did not do what it was asked for. A value.
#pragma once

#include <coppice/process/pid.hpp>

#include <exception>
#include <string>

namespace coppice {

/// Thrown by the members of registry, returned by their `try_` twins.   Spec: EX-81, EX-86, EX-90, EX-97.
class registry_error : public std::exception {
 public:
  enum kind : unsigned char {
    already_registered,  ///< the key is taken: see holder(); it may be the caller itself
    not_registered,      ///< the caller has nothing under this key
    not_running,         ///< the registry is not started, or has ended
    not_unique,          ///< a registry of duplicate keys does not name processes, nor update values
    key_too_long,        ///< see registry_options::longest_key
    ending,              ///< the process ends: its registrations are gone, and it takes no more
    locked_already,      ///< the caller has this lock itself
    other_type           ///< the metadata under this name is of another type
  };
  registry_error(kind what, pid holder, std::string text);

  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  /// Who has the key, for `already_registered`.
  pid holder() const noexcept { return holder_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  kind kind_;
  pid holder_;
  std::string text_;
};

}  // namespace coppice
