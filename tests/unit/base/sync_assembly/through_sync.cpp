// SPDX-License-Identifier: Apache-2.0
//
// One function for each operation of sync, written with sync. bare.cpp has the same functions without it.
#include <coppice/base/detail/sync.hpp>

namespace sync_ = coppice::detail::sync;
using word = sync_::atomic<unsigned long>;
using sync_::acq_rel;
using sync_::acquire;
using sync_::relaxed;
using sync_::release;
using sync_::seq_cst;

extern "C" {
unsigned long load_relaxed(word& w) { return w.load(relaxed); }
unsigned long load_acquire(word& w) { return w.load(acquire); }
unsigned long load_seq_cst(word& w) { return w.load(seq_cst); }
void store_relaxed(word& w, unsigned long v) { w.store(v, relaxed); }
void store_release(word& w, unsigned long v) { w.store(v, release); }
void store_seq_cst(word& w, unsigned long v) { w.store(v, seq_cst); }
unsigned long exchange(word& w, unsigned long v) { return w.exchange(v, acq_rel); }
unsigned long fetch_add(word& w, unsigned long v) { return w.fetch_add(v, relaxed); }
unsigned long fetch_sub(word& w, unsigned long v) { return w.fetch_sub(v, seq_cst); }
void set_bits(word& w, unsigned long v) { w.fetch_or(v, release); }
void clear_bits(word& w, unsigned long v) { w.fetch_and(~v, acquire); }
bool claim(word& w) {
  unsigned long idle = 0;
  return w.cas(idle, 1, acquire);
}
bool replace(word& w, unsigned long& expected, unsigned long v) { return w.cas_weak(expected, v, acq_rel); }
void full_fence() { sync_::fence(seq_cst); }
void pause_once() { sync_::relax(); }
unsigned long plain(sync_::var<unsigned long>& v) {
  v = v + 1;
  return v;
}
int no_fault() { return sync_::fault(3) || sync_::buggify() ? 1 : 2; }
}
