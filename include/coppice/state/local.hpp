// SPDX-License-Identifier: Apache-2.0
//
// local: a cell that all may read and only its owner, a process or a thread, may write; the owner may pass it on.
//
//     local<int> progress(0);                      // mine
//     progress.reset(10);
//     progress.pass(worker);                       // now the worker's
#pragma once

#include <coppice/process/pid.hpp>
#include <coppice/process/process.hpp>
#include <coppice/state/atom.hpp>
#include <coppice/state/state_error.hpp>

#include <concepts>
#include <utility>

namespace coppice {

/// A local reference belongs to somebody else.   Spec: OR-4.
class not_owner : public state_error { using state_error::state_error; };

/// Thread: any; writing: the owner's.   Spec: OR-4.
template <class T>
class local {
 public:
  using value_type = T;

  /// Belongs to `owner`: the caller, another process, or nobody (`pid{}`): then all may write.
  explicit local(T value, pid owner = self()) : cell_(std::move(value)), owner_(owner) {}
  local(const local&) = delete;
  local& operator=(const local&) = delete;

  /// The value now: itself if it is a word, else a view of it.   Blocks: never.
  look<T> operator*() const { return *cell_; }
  view<T> operator->() const requires(!detail::word_value<T>) { return *cell_; }
  T get() const requires std::copy_constructible<T> { return cell_.get(); }
  pid owner() const { return *owner_; }

  /// Sets the value.   Returns: it, as a look at it.   Fails: not_owner.
  look<T> reset(T value) {
    check_owner();
    return cell_.reset(std::move(value));
  }
  /// Makes `next` the owner; `pid{}`: nobody, all may write.   Fails: not_owner.
  void pass(pid next) {
    check_owner();
    owner_.reset(next);
  }

  /// A new one with the same value, which belongs to the caller.
  friend local clone(const local& of) requires std::copy_constructible<T> { return local(of.get()); }

 private:
  void check_owner() const {
    const pid now = *owner_;
    if (now && now != self()) throw not_owner("local: it belongs to " + to_text(now));
  }

  atom<T> cell_;
  atom<pid> owner_;
};

}  // namespace coppice
