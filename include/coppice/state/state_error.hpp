// SPDX-License-Identifier: Apache-2.0
//
// state_error: what operations of atoms, refs, agents and futures throw when they are refused. A type for each kind.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace coppice {

/// The base of all of them.
class state_error : public std::exception {
 public:
  explicit state_error(std::string what) : what_(std::move(what)) {}
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

/// A validator answered false.   Spec: VA-1.
class invalid_state : public state_error { using state_error::state_error; };
/// The agent has failed; `cause` is why.   Spec: AG-27.
class needs_restart : public state_error {
 public:
  needs_restart(std::string what, std::exception_ptr cause) : state_error(std::move(what)), cause_(std::move(cause)) {}
  const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  std::exception_ptr cause_;
};
/// Only inside of transact().   Spec: RF-2.
class no_transaction : public state_error { using state_error::state_error; };
/// Not inside of transact().   Spec: TX-16, AG-43.
class in_transaction : public state_error { using state_error::state_error; };
/// Not inside of an agent's action.   Spec: AG-43.
class in_action : public state_error { using state_error::state_error; };
/// A transaction had to begin anew too often.   Spec: TX-14.
class retry_limit : public state_error { using state_error::state_error; };
/// set or alter after commute of the same ref.   Spec: TX-23.
class set_after_commute : public state_error { using state_error::state_error; };
/// The future was cancelled.   Spec: FU-4.
class cancelled : public state_error { using state_error::state_error; };
/// An executor takes no work.   Spec: AG-10.
class rejected : public state_error { using state_error::state_error; };
/// A promise went away undelivered.   Spec: PM-4.
class broken_promise : public state_error { using state_error::state_error; };
/// A delay's function reads the delay.   Spec: DL-4.
class recursive_delay : public state_error { using state_error::state_error; };

}  // namespace coppice
