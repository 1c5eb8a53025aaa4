// SPDX-License-Identifier: Apache-2.0
//
// observers: validators, watches, taps and metadata behind one pointer. See include/coppice/state/detail/observers.hpp.
#include <coppice/state/detail/observers.hpp>

#include "runtime/thread_block.hpp"
#include "state/wait_list.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace coppice::detail {

namespace {

using internal::holding;

/// A holder of a counted box.
class held_box {
 public:
  explicit held_box(watch_head* b) noexcept : box_(b) {}
  held_box(const held_box& other) noexcept : box_(other.box_) { box_->holders.fetch_add(1, sync::relaxed); }
  held_box(held_box&& other) noexcept : box_(std::exchange(other.box_, nullptr)) {}
  held_box& operator=(held_box other) noexcept {
    std::swap(box_, other.box_);
    return *this;
  }
  ~held_box() {
    if (box_ != nullptr) drop_holder(box_);
  }
  const watch_head& operator*() const noexcept { return *box_; }

 private:
  watch_head* box_;
};

struct named_watch {
  std::string key;
  held_box watch;
};
struct listed_tap {
  pid to;
  const tap_class* how;
  bool keep_open;
};

/// Who hears of changes. Immutable once it can be seen.
struct audience {
  std::vector<named_watch> watches;
  std::vector<listed_tap> taps;
  bool empty() const noexcept { return watches.empty() && taps.empty(); }
};

const audience& audience_in(const box* b) noexcept { return static_cast<const value_box<audience>*>(b)->value; }

}  // namespace

struct observers {
  sync::atomic<box*> validator{nullptr, "validator"};
  sync::atomic<box*> audience{nullptr, "audience"};
  sync::atomic<std::uint32_t> fenced{0, "observers fenced"};  // what changed before they were there is seen by who brought them
  sync::spinlock lock;                           // guards the replacing of `meta`'s value
  internal::state_mutex meta_turn;               // held over the function given to alter_meta
  metadata meta;
};

namespace {

/// The observers of a reference, for who adds to them.
observers& made(observers_cell& cell) {
  observers* x = cell.load(sync::acquire);
  if (x == nullptr) {
    auto* fresh = new observers;
    if (cell.cas(x, fresh, sync::acq_rel)) x = fresh;
    else delete fresh;
  }
  if (x->fenced.load(sync::acquire) == 0) {
    sync::heavy_fence();                         // pairs with observers_of_change
    x->fenced.store(1, sync::release);
  }
  return *x;
}

/// Replaces the audience by one that `change` has made of it. Returns without a change where `change` says false.
template <class Change>
void change_audience(observers& x, Change&& change) {
  for (;;) {
    guard g;
    box* old = g.protect(x.audience);
    audience next = old != nullptr ? audience_in(old) : audience{};
    if (!change(next)) return;
    box* fresh = next.empty() ? nullptr : make_box<audience>([&]() -> audience { return std::move(next); });
    if (x.audience.cas(old, fresh, sync::seq_cst)) {
      if (old != nullptr) retire(old);
      return;
    }
    if (fresh != nullptr) discard(fresh);
  }
}

void call_watches(const audience& who, void* reference, const void* old, const void* now, bool all) {
  std::exception_ptr first;
  for (const named_watch& w : who.watches) {
    try {
      (*w.watch).call(*w.watch, w.key, reference, old, now);
    } catch (const unwind&) {
      throw;
    } catch (...) {
      if (!all) throw;
      if (first == nullptr) first = std::current_exception();
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace

void refuse(const char* what) { throw invalid_state(std::string(what) + ": the validator refused the new value"); }

void replace_validator(observers_cell& cell, validator_head* validator) {
  if (validator == nullptr && cell.load(sync::acquire) == nullptr) return;
  box* old = made(cell).validator.exchange(validator, sync::seq_cst);
  if (old != nullptr) retire(old);
}

bool has_validator(observers_cell& cell) noexcept {
  observers* x = cell.load(sync::acquire);
  return x != nullptr && x->validator.load(sync::acquire) != nullptr;
}

void validate(observers& x, const void* value, const char* what) {
  guard g;
  const auto* v = static_cast<const validator_head*>(g.protect(x.validator));
  if (v != nullptr && !v->accepts(*v, value)) refuse(what);
}

void put_watch(observers_cell& cell, std::string_view key, watch_head* watch) {
  const held_box held(watch);
  change_audience(made(cell), [&](audience& a) {
    for (named_watch& w : a.watches)
      if (w.key == key) {
        w.watch = held;
        return true;
      }
    a.watches.push_back({std::string(key), held});
    return true;
  });
}

void take_watch(observers_cell& cell, std::string_view key) {
  observers* x = cell.load(sync::acquire);
  if (x == nullptr) return;
  change_audience(*x, [&](audience& a) { return std::erase_if(a.watches, [&](const named_watch& w) { return w.key == key; }) != 0; });
}

void put_tap(observers_cell& cell, pid to, const tap_class& how, const tap_options& options) {
  change_audience(made(cell), [&](audience& a) {
    for (listed_tap& t : a.taps)
      if (t.to == to) {
        t.keep_open = options.keep_open;
        return true;
      }
    a.taps.push_back({to, &how, options.keep_open});
    return true;
  });
}

void take_tap(observers_cell& cell, pid to) {
  observers* x = cell.load(sync::acquire);
  if (x == nullptr) return;
  change_audience(*x, [&](audience& a) { return std::erase_if(a.taps, [&](const listed_tap& t) { return t.to == to; }) != 0; });
}

void take_all_taps(observers_cell& cell) {
  observers* x = cell.load(sync::acquire);
  if (x == nullptr) return;
  change_audience(*x, [](audience& a) { return !std::exchange(a.taps, {}).empty(); });
}

bool is_watched(const observers& x) noexcept { return x.audience.load(sync::acquire) != nullptr; }

void notify(observers& x, void* reference, const void* old, const void* now, bool all) {
  guard g;
  const box* b = g.protect(x.audience);
  if (b == nullptr) return;
  const audience& who = audience_in(b);
  // Taps first: a watch that throws keeps the change from no process.
  for (const listed_tap& t : who.taps) t.how->send(t.to, old, now);
  call_watches(who, reference, old, now, all);
}

metadata read_metadata(observers_cell& cell) {
  observers* x = cell.load(sync::acquire);
  if (x == nullptr) return {};
  sync::lock_guard held(x->lock);
  return x->meta;
}

metadata change_metadata(observers_cell& cell, metadata (*change)(void* context, const metadata& old), void* context) {
  observers& x = made(cell);
  const holding turn(x.meta_turn);
  metadata next = change(context, read_metadata(cell));
  metadata kept = next;
  {
    sync::lock_guard held(x.lock);
    std::swap(x.meta, kept);
  }
  return next;
}

void put_metadata(observers_cell& cell, metadata meta) {
  change_metadata(cell, [](void* m, const metadata&) { return *static_cast<metadata*>(m); }, &meta);
}

void drop_observers(observers_cell& cell) noexcept {
  observers* x = cell.exchange(nullptr, sync::acq_rel);
  if (box* b = x->audience.load(sync::acquire); b != nullptr) {
    for (const listed_tap& t : audience_in(b).taps)
      if (!t.keep_open) send(t.to, tap_closed{});
    drop_holder(b);
  }
  if (box* b = x->validator.load(sync::acquire); b != nullptr) drop_holder(b);
  delete x;
}

void note_conflict() noexcept { internal::count(internal::counted::atom_conflicts); }

}  // namespace coppice::detail
