// SPDX-License-Identifier: Apache-2.0
//
// task_supervisor: the owner makes the place and hands the supervisor a *start*: the function, the place, the callers. The
// supervisor spawns and links the process. That does not run before the owner, who has its pid now and has noted the link, permits
// it: so an owner that dies in between leaves no task that computes for nobody (SV-134).
//
// Whoever drops the last share of a start that was never carried out ends its place: the owner need not know how far it came.
#include <coppice/otp/task_supervisor.hpp>

#include "otp/task_supervisor.hpp"
#include "process/system.hpp"

#include <stdexcept>
#include <string>

namespace coppice::internal {

namespace {

using detail::function_operations;

struct supervised_start {
  sync::atomic<std::uint32_t> holders{1};
  result_place* place = nullptr;                 // null: no result, or spawned
  std::vector<pid> callers;
  const detail::class_descriptor* cls = nullptr;
  void (*construct)(void* place, void* function) = nullptr;
  const function_operations* operations = nullptr;
  void* function = nullptr;

  explicit supervised_start(const detail::task_start& what)
      : cls(what.cls), construct(what.make.construct), operations(what.function),
        function(::operator new(what.function->size, std::align_val_t{what.function->align})) {
    try {
      operations->move(function, what.make.context);
    } catch (...) {
      ::operator delete(function, std::align_val_t{operations->align});
      throw;
    }
  }
  ~supervised_start() {
    operations->destroy(function);
    ::operator delete(function, std::align_val_t{operations->align});
    if (place != nullptr) complete_place(*place, exit_reason::noproc);
  }
  supervised_start(const supervised_start&) = delete;
};

}  // namespace

/// A share of a start: what the child's spec holds as its argument.
class start_handle {
 public:
  explicit start_handle(supervised_start* s) noexcept : start_(s) {}
  start_handle(const start_handle& other) noexcept : start_(other.start_) {
    if (start_ != nullptr) start_->holders.fetch_add(1, sync::relaxed);
  }
  start_handle(start_handle&& other) noexcept : start_(std::exchange(other.start_, nullptr)) {}
  start_handle& operator=(start_handle other) noexcept {
    std::swap(start_, other.start_);
    return *this;
  }
  ~start_handle() {
    if (start_ != nullptr && start_->holders.fetch_sub(1, sync::acq_rel) == 1) delete start_;
  }
  supervised_start& operator*() const noexcept { return *start_; }
  friend bool operator==(const start_handle&, const start_handle&) = default;
  friend std::string to_text(const start_handle&) { return "a function"; }

 private:
  supervised_start* start_;
};

namespace {

using detail::child_class;

started_child start_supervised(const child_class&, const child_spec& spec, void* given) {
  supervised_start& start = *std::get<0>(*static_cast<std::tuple<start_handle>*>(given));
  try {
    const detail::spawned made = detail::spawn_core({.cls = start.cls, .make = {start.construct, start.function}, .link = true,
                                                     .label = spec.label, .callers = start.callers, .result = start.place});
    start.place = nullptr;                       // the task's from now on
    return started_child(made.who);
  } catch (...) {
    return detail::caught_start();
  }
}

constexpr child_class supervised_task{
    .name = "task",
    .key = type_hash<start_handle>(),
    .behaviour = "task",
    .arguments = &detail::value_constant<std::tuple<start_handle>>,
    .start = &start_supervised,
};

std::vector<pid> callers_of_here() {
  slot* me = detail::current_slot();
  if (me == nullptr) return {};
  std::vector<pid> callers{detail::pid_of(*me)};
  for (const pid p : callers_of(*me))
    if (callers.size() < detail::lineage::longest) callers.push_back(p);
  return callers;
}

child_spec spec_of(supervised_start* start, std::string_view label, const shutdown_time& shutdown) {
  return {.id = "task", .start = child_start(supervised_task, any_value(std::tuple<start_handle>(start_handle(start)))),
          .restart = temporary, .shutdown = shutdown, .label = std::string(label)};
}

}  // namespace

void spawn_under(const detail::supervisor_address& at, result_place* p, const detail::task_start& what, const shutdown_time& shutdown) {
  struct refuse_unless_permitted {
    result_place* place;
    ~refuse_unless_permitted() {
      if (place != nullptr) refuse_task(*place);
    }
  } refuse{p};
  p->permit.store(result_place::undecided, sync::relaxed);
  supervised_start* start = nullptr;
  try {
    start = new supervised_start(what);
  } catch (...) {
    complete_place(*p, exit_reason::noproc);
    throw;
  }
  start->place = p;
  start->callers = callers_of_here();
  detail::start_child_in(at, spec_of(start, what.options->label, shutdown), infinity).value();
  permit_task(*std::exchange(refuse.place, nullptr));
}

}  // namespace coppice::internal

namespace coppice::detail {

using namespace coppice::internal;

result_place* start_task_under(const supervisor_address& at, const task_start& what, const shutdown_time& shutdown, task_link link) {
  result_place* p = new_place(*what.type, link == task_link::owner);
  try {
    spawn_under(at, p, what, shutdown);
  } catch (...) {
    release_place(p);
    throw;
  }
  return p;
}

result<pid, supervisor_error> start_alone_under(const supervisor_address& at, const task_start& what, const supervised_task_options& options) {
  auto* start = new supervised_start(what);
  start->callers = callers_of_here();
  return start_child_in(at, spec_of(start, options.label, options.shutdown), infinity).transform([](const started_child& c) { return c.who(); });
}

result<pid, supervisor_error> start_again_under(const supervisor_address& at, child_spec spec) {
  return start_child_in(at, std::move(spec), infinity).transform([](const started_child& c) { return c.who(); });
}

void throw_not_restartable(std::string_view function) {
  throw std::invalid_argument("start_child: a task that is started again needs a function that can be copied; " + std::string(function) + " cannot");
}

std::vector<pid> tasks_under(const supervisor_address& at) {
  std::vector<pid> tasks;
  const std::vector<child_information> all = which_children_in(at, infinity).value();   // kept: a range-for keeps no temporary of its expression
  for (const child_information& c : all)
    if (c.state == child_state::running) tasks.push_back(c.who);
  return tasks;
}

}  // namespace coppice::detail

namespace coppice {

namespace {

dynamic_supervisor_spec dynamic(const task_supervisor_spec& spec) {
  return {.name = spec.name, .intensity = spec.intensity, .period = spec.period, .max_children = spec.max_children, .extra_arguments = {}};
}

}  // namespace

task_supervisor start_task_supervisor(const task_supervisor_spec& spec, const start_options& options) {
  return task_supervisor(start_dynamic_supervisor(dynamic(spec), options).id());
}
task_supervisor start_task_supervisor_link(const task_supervisor_spec& spec, const start_options& options) {
  return task_supervisor(start_dynamic_supervisor_link(dynamic(spec), options).id());
}
child_spec child(const child_options& options, const task_supervisor_spec& spec) { return child(options, dynamic(spec)); }

}  // namespace coppice
