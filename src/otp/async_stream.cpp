// SPDX-License-Identifier: Apache-2.0
//
// async_stream: what runs, what is done and not yet taken, and whose time is up.
//
// An entry is *running* (in the list of those with a time limit, oldest first, unless it was killed) or *finished*. Those whose
// results are to be taken form one queue: ordered, all entries in the order of the input; else the finished ones as they came.
#include <coppice/otp/async_stream.hpp>

#include <coppice/base/to_text.hpp>
#include <coppice/process/process.hpp>

#include "otp/task_core.hpp"
#include "otp/task_supervisor.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"

#include <stdexcept>
#include <string>

namespace coppice::detail {

using namespace coppice::internal;

namespace {

constexpr std::uint32_t none = ~std::uint32_t{0};

struct entry {
  result_place* place = nullptr;
  void* kept = nullptr;
  std::int64_t deadline = sync::never;
  std::uint64_t number = 0;                      // counted from 1: of the element in the input
  std::uint32_t before = none;                   // in the list of those that run
  std::uint32_t after = none;
  std::uint32_t behind = none;                   // in the queue; or the next unused entry
  bool finished = false;
  bool expired = false;
};

struct list {
  std::uint32_t first = none;
  std::uint32_t last = none;
};

}  // namespace

struct stream_core : done_list {
  stream_options options;
  std::string label;
  const stream_table* table = nullptr;
  void* stream = nullptr;
  task_link link = task_link::none;
  std::optional<supervisor_address> under;       // the supervisor of the tasks
  pid owner{};                                   // who reads; none yet
  std::size_t most = 0;                          // at once
  std::vector<entry> entries;                    // place->index: which is the place's
  std::uint32_t unused = none;
  list timed;                                    // running, oldest first
  list queue;
  std::size_t running = 0;
  std::size_t held = 0;                          // finished and not taken
  std::uint64_t started = 0;
  bool input_over = false;
};

namespace {

std::uint32_t take_entry(stream_core& s) {
  if (s.unused == none) {
    s.entries.emplace_back();
    return static_cast<std::uint32_t>(s.entries.size() - 1);
  }
  const std::uint32_t i = s.unused;
  s.unused = s.entries[i].behind;
  s.entries[i] = entry{};
  return i;
}

void give_entry(stream_core& s, std::uint32_t i) noexcept {
  s.entries[i].behind = s.unused;
  s.unused = i;
}

void append_timed(stream_core& s, std::uint32_t i) noexcept {
  s.entries[i].before = s.timed.last;
  (s.timed.last != none ? s.entries[s.timed.last].after : s.timed.first) = i;
  s.timed.last = i;
}

void remove_timed(stream_core& s, std::uint32_t i) noexcept {
  const entry& e = s.entries[i];
  (e.before != none ? s.entries[e.before].after : s.timed.first) = e.after;
  (e.after != none ? s.entries[e.after].before : s.timed.last) = e.before;
}

void append_queue(stream_core& s, std::uint32_t i) noexcept {
  (s.queue.last != none ? s.entries[s.queue.last].behind : s.queue.first) = i;
  s.queue.last = i;
}

bool has_next(const stream_core& s) noexcept { return s.queue.first != none && s.entries[s.queue.first].finished; }
bool may_start(const stream_core& s) noexcept { return !s.input_over && s.running < s.most && s.held < s.options.max_held; }

/// A task of the stream has ended.
void note_finished(done_list& raw, result_place& p) noexcept {
  auto& s = static_cast<stream_core&>(raw);
  entry& e = s.entries[p.index];
  if (!e.expired) remove_timed(s, p.index);
  e.finished = true;
  --s.running;
  ++s.held;
  if (!s.options.ordered) append_queue(s, p.index);
}

slot& enter(stream_core& s) {
  if (!s.owner) {
    slot& me = here();
    if (has(me, leaf)) throw exit_error(exit_reason::blocking_in_leaf, "async_stream: a leaf handler must not wait");
    s.owner = pid_of(me);
    system& in = s.options.in != nullptr ? s.options.in->impl() : current_system();
    s.most = s.options.max_concurrency == one_per_scheduler ? in.sched.base_workers() : s.options.max_concurrency;
    return me;
  }
  return owner_only(s.owner, "a stream's results");
}

void start_more(stream_core& s) {
  while (may_start(s)) {
    if (s.table->at_end(s.stream)) s.input_over = true;
    else s.table->start_next(s.stream, s);
  }
}

bool can_go_on(void* raw) {
  const auto& s = *static_cast<const stream_core*>(raw);
  return has_next(s) || may_start(s);
}
bool none_runs(void* raw) { return static_cast<const stream_core*>(raw)->running == 0; }

/// Its task runs from now on.
void enter_running(stream_core& s, std::uint32_t i, result_place* p, void* kept) noexcept {
  entry& e = s.entries[i];
  e.place = p;
  e.kept = kept;
  e.number = ++s.started;
  if (s.options.timeout != infinity) e.deadline = deadline_after(s.options.timeout);
  ++s.running;
  append_timed(s, i);
  if (s.options.ordered) append_queue(s, i);
}

/// Kills what runs, and waits until it has ended. Nothing cuts it short.
void end_all(stream_core& s) noexcept {
  for (std::uint32_t i = s.timed.first; i != none; i = s.entries[i].after) {
    unlink_task(s.owner, s.entries[i].place->task);
    exit(s.entries[i].place->task, exit_reason::kill);
  }
  if (s.running != 0) await_list_regardless(*s.owner.where(), s, sync::never, &none_runs, &s);
}

std::string too_long(const stream_core& s, std::uint64_t number) {
  return "async_stream: element " + std::to_string(number) + " took longer than " + duration_text(s.options.timeout.count());
}

/// EX-43, for all whose time is up.
void expire(stream_core& s) {
  const std::int64_t now = sync::now();
  for (std::uint32_t i = s.timed.first; i != none && s.entries[i].deadline <= now; i = s.timed.first) {
    const pid task = s.entries[i].place->task;
    if (s.options.on_timeout == stream_options::exit) {
      const std::uint64_t number = s.entries[i].number;
      s.input_over = true;
      end_all(s);
      throw task_timeout(task, too_long(s, number));
    }
    remove_timed(s, i);
    s.entries[i].expired = true;
    unlink_task(s.owner, task);
    coppice::exit(task, exit_reason::kill);
  }
}

std::int64_t time_left(const stream_core& s) noexcept {
  if (s.timed.first == none || s.options.timeout == infinity) return sync::never;
  const std::int64_t left = s.entries[s.timed.first].deadline - sync::now();
  return left > 0 ? left : 0;
}

finished_element take_next(slot& me, stream_core& s) {
  const std::uint32_t i = s.queue.first;
  entry& e = s.entries[i];
  if (!e.place->has_value && e.place->linked && !e.expired) take_arrivals(me);   // who does not trap exits ends here (EX-44)
  s.queue.first = e.behind;
  if (s.queue.first == none) s.queue.last = none;
  --s.held;
  const finished_element next{e.place, e.kept, e.expired};
  give_entry(s, i);
  return next;
}

void check(const stream_options& o) {
  if (o.max_concurrency == 0) throw std::invalid_argument("async_stream: max_concurrency is 0; at least one task has to run");
  if (o.max_held == 0) throw std::invalid_argument("async_stream: max_held is 0; at least one result has to wait");
  if (o.timeout < duration{0}) throw std::invalid_argument("async_stream: a negative timeout");
  if (o.on_timeout != stream_options::exit && o.on_timeout != stream_options::kill_task)
    throw std::invalid_argument("async_stream: on_timeout is neither exit nor kill_task");
}

}  // namespace

stream_core* make_stream(const stream_options& options, const stream_table& table, void* stream, task_link link, const supervisor_address* under) {
  check(options);
  auto* s = new stream_core;
  s->note = &note_finished;
  s->options = options;
  s->label = options.label;
  s->table = &table;
  s->stream = stream;
  s->link = link;
  if (under != nullptr) s->under.emplace(*under);
  return s;
}

void end_stream(stream_core* s) noexcept {
  if (s->owner) {
    collect(*s);
    end_all(*s);
  }
  for (std::uint32_t i = s->queue.first; i != none; i = s->entries[i].behind)
    finish_element(*s, {s->entries[i].place, s->entries[i].kept, false});
  delete s;
}

void start_element(stream_core& s, const task_start& what, void* kept) {
  struct keeper {
    const stream_core& s;
    void* kept;
    ~keeper() {
      if (kept != nullptr) s.table->drop_kept(kept);
    }
  } until_entered{s, kept};
  const task_options how{.label = s.label, .in = s.options.in};
  const std::uint32_t i = take_entry(s);
  result_place* p = nullptr;
  try {
    p = new_place(*s.table->type, s.link == task_link::owner);
    p->home = &s;
    p->index = i;
    p->word.store(reinterpret_cast<std::uintptr_t>(static_cast<done_list*>(&s)) | result_place::listed, sync::relaxed);
    task_start start = what;
    start.options = &how;
    s.under ? spawn_under(*s.under, p, start, 5s) : spawn_for(p, start);
  } catch (...) {
    if (p == nullptr || (!s.under && !p->task)) {
      if (p != nullptr) discard_place(p);
      give_entry(s, i);
      throw;
    }
    enter_running(s, i, p, nullptr);             // it has ended: its place comes on the list
    throw;
  }
  enter_running(s, i, p, std::exchange(until_entered.kept, nullptr));
}

finished_element next_result(stream_core& s) {
  slot& me = enter(s);
  for (;;) {
    if (s.has_some()) collect(s);
    start_more(s);
    if (has_next(s)) return take_next(me, s);
    if (s.running == 0 && s.input_over) return {};
    if (!await_list(me, s, time_left(s), &can_go_on, &s)) expire(s);
  }
}

void finish_element(const stream_core& s, const finished_element& e) noexcept {
  if (e.kept != nullptr) s.table->drop_kept(e.kept);
  discard_place(e.place);
}

task_failed failure_of_element(const stream_core& s, const finished_element& e) {
  if (e.expired && e.place->reason.is(exit_reason::killed))
    return {exit_reason::timeout, e.place->task, nullptr,
            "task " + to_text(e.place->task) + " took longer than " + duration_text(s.options.timeout.count())};
  return failure_of(*e.place);
}

std::size_t stack_bytes_of(const stream_core& s) noexcept { return s.options.stack_bytes; }

void throw_not_copyable(std::string_view element) {
  throw std::invalid_argument("async_stream: zip_input_on_exit copies each element, and " + std::string(element) + " cannot be copied");
}

}  // namespace coppice::detail
