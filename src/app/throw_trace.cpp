// SPDX-License-Identifier: Apache-2.0
//
// throw_trace: __cxa_throw of the whole program is ours (cxa_throw.cpp); it notes where it was called and goes on to the C++
// runtime's.
//
// Between the throw and the catch a stack unwinds; its destructors may throw and catch, and may even wait and go on on another
// thread. So notes are found by the exception object's address, which no two living exceptions share, in a table of the
// program: sets of a few places, an address belongs to one set. A throw overwrites an earlier note of the same address, which is
// of an exception that is gone, else the oldest note of the set, which is then lost; so some throws more than a set has places, all to
// one set, may happen while a stack unwinds. A note is never of another exception than the one that is asked for.
#include <coppice/app/throw_trace.hpp>

#include <coppice/base/detail/sync.hpp>

#include "app/cxa_throw.hpp"
#include "app/frame_text.hpp"
#include "process/throw_recorder.hpp"

#include <unwind.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace coppice::internal {

namespace {

namespace sync = detail::sync;

struct note {
  const void* exception = nullptr;
  std::uint64_t taken = 0;           // when: the number of its set's throw
  std::size_t count = 0;
  void* frames[most_frames];
};

struct note_set {
  static constexpr std::size_t ways = 4;
  sync::spinlock lock;               // guards what follows
  std::uint64_t throws = 0;
  note notes[ways];

  note* find(const void* exception) noexcept {
    for (note& n : notes)
      if (n.exception == exception) return &n;
    return nullptr;
  }
  note& place_for(const void* exception) noexcept {
    if (note* same = find(exception)) return *same;
    return *std::min_element(notes, notes + ways, [](const note& a, const note& b) { return a.taken < b.taken; });
  }
};

constexpr unsigned set_bits = 6;     // exceptions under way at once that are told apart: some 64 times 4
note_set sets[std::size_t{1} << set_bits];
sync::atomic<std::size_t> wanted;    // frames; 0: nothing is noted

note_set& set_of(const void* exception) noexcept {
  const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(exception) * std::uint64_t{0x9E3779B97F4A7C15};
  return sets[mixed >> (64 - set_bits)];
}

struct walk {
  void** into;
  std::size_t count;
  std::size_t skip;
  std::size_t room;
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* raw) {
  auto& w = *static_cast<walk*>(raw);
  if (w.skip > 0) {
    --w.skip;
    return _URC_NO_REASON;
  }
  const auto at = _Unwind_GetIP(context);
  if (at == 0) return _URC_END_OF_STACK;
  w.into[w.count++] = reinterpret_cast<void*>(at);
  return w.count == w.room ? _URC_END_OF_STACK : _URC_NO_REASON;
}

}  // namespace

void take_note(const void* exception, void* site) noexcept {
  const std::size_t room = wanted.load(sync::relaxed);
  if (room == 0) return;
  void* frames[most_frames];
  walk w{frames, 0, 2, room};             // not us, not __cxa_throw
  if (room > 1) _Unwind_Backtrace(&step, &w);
  if (w.count == 0) {
    frames[0] = site;
    w.count = 1;
  }
  note_set& set = set_of(exception);
  const sync::lock_guard held(set.lock);
  note& n = set.place_for(exception);
  n.exception = exception;
  n.taken = ++set.throws;
  n.count = w.count;
  std::copy_n(frames, w.count, n.frames);
}

namespace {

std::size_t noted_frames(const void* exception, void** into, std::size_t room) noexcept {
  note_set& set = set_of(exception);
  const sync::lock_guard held(set.lock);
  const note* const n = set.find(exception);
  if (n == nullptr || wanted.load(sync::relaxed) == 0) return 0;
  const std::size_t count = std::min(n->count, room);
  std::copy_n(n->frames, count, into);
  return count;
}

/// What was noted before the recording stopped may be of exceptions whose addresses have others by now.
void forget_all() noexcept {
  for (note_set& set : sets) {
    const sync::lock_guard held(set.lock);
    for (note& n : set.notes) n.exception = nullptr;
  }
}

constexpr throw_recorder recorder{.frames = &noted_frames, .text = &text_of_frames};

}  // namespace
}  // namespace coppice::internal

namespace coppice {

void trace_throws(const throw_trace_options& options) {
  if (options.frames < 1 || options.frames > internal::most_frames)
    throw std::invalid_argument("trace_throws: " + std::to_string(options.frames) + " frames; expected 1 to " + std::to_string(internal::most_frames));
  internal::find_runtimes_throw();        // the first look-up is slow and may allocate: not at a throw
  if (internal::wanted.load(detail::sync::relaxed) == 0) internal::forget_all();
  internal::wanted.store(options.frames, detail::sync::relaxed);
  internal::set_throw_recorder(&internal::recorder);
}

void stop_tracing_throws() noexcept { internal::wanted.store(0, detail::sync::relaxed); }

}  // namespace coppice
