// SPDX-License-Identifier: Apache-2.0
//
// supervisor: the handle's side: specs checked and printed, operations as calls, refusals in words.
#include <coppice/otp/supervisor.hpp>

#include <coppice/process/process.hpp>

#include "otp/dynamic_core.hpp"
#include "otp/supervisor_core.hpp"
#include "runtime/planted.hpp"
#include "runtime/thread_block.hpp"

#include <algorithm>
#include <unordered_set>

namespace coppice {

supervisor_error::supervisor_error(kind what, std::string text, exit_reason reason, pid holder)
    : kind_(what), reason_(std::move(reason)), holder_(holder), text_("supervisor_error: " + std::move(text)) {}

// --- specs -----------------------------------------------------------------------------------------------------------

namespace {

std::string problem_of_flags(const supervisor_spec& spec) {
  if (spec.strategy > simple_one_for_one) return "strategy is invalid: " + std::to_string(static_cast<int>(spec.strategy));
  if (spec.period <= duration{0}) return "period is not positive: " + duration_text(spec.period.count());
  if (spec.auto_shutdown > all_significant) return "auto_shutdown is invalid: " + std::to_string(static_cast<int>(spec.auto_shutdown));
  if (spec.name && spec.name.view().form() != name_view::kind::via && spec.name.view().text().empty()) return "name is empty";
  if (spec.start_in_parallel && spec.strategy != one_for_one) return "start_in_parallel is true, but strategy is " + text_of(spec.strategy) + ": its children depend on one another";
  if (spec.strategy != simple_one_for_one) return {};
  if (spec.auto_shutdown != never) return "auto_shutdown is " + text_of(spec.auto_shutdown) + ", but strategy is simple_one_for_one";
  if (spec.children.size() != 1) return "a simple_one_for_one supervisor has one child, its template; there are " + std::to_string(spec.children.size());
  return {};
}

}  // namespace

std::string problem_of(const supervisor_spec& spec) {
  if (std::string flags = problem_of_flags(spec); !flags.empty()) return flags;
  std::unordered_set<std::string_view> ids;
  for (const child_spec& c : spec.children) {
    if (std::string problem = problem_of(c); !problem.empty()) return problem;
    if (!ids.insert(c.id).second) return "child \"" + c.id + "\": id is there twice";
    if (c.significant && spec.auto_shutdown == never) return "child \"" + c.id + "\": significant is true, but auto_shutdown is never";
  }
  return {};
}

std::string to_text(const supervisor_spec& spec) {
  std::string text = "supervisor";
  if (spec.name) text += " " + to_text(spec.name);
  text += " (" + text_of(spec.strategy) + ", " + std::to_string(spec.intensity) + " restarts in " + duration_text(spec.period.count());
  if (spec.auto_shutdown != never) text += ", auto_shutdown " + text_of(spec.auto_shutdown);
  if (spec.start_in_parallel) text += ", start in parallel";
  text += ")";
  if (spec.children.empty()) return text;
  text += " {";
  for (const child_spec& c : spec.children) {
    std::string one = "\n" + to_text(c);
    for (std::size_t at = 0; (at = one.find('\n', at)) != std::string::npos; at += 3) one.insert(at + 1, "  ");
    text += one;
  }
  return text + "\n}";
}

// --- starting --------------------------------------------------------------------------------------------------------

namespace internal {

namespace {

constexpr detail::class_descriptor named_class(detail::class_descriptor c, std::string_view name) {
  c.name = name;
  return c;
}
constexpr detail::class_descriptor supervisor_class = named_class(detail::class_constant<supervisor_core>, "supervisor");

}  // namespace
}  // namespace internal

namespace detail {

namespace {

result<std::optional<supervisor_spec>, exit_reason> make_from_value(const any_value& from) {
  return std::optional<supervisor_spec>(std::get<0>(*from.as<std::tuple<supervisor_spec>>()));
}

started_child start_supervisor_child(const child_class&, const child_spec& spec, void* given) {
  auto& arguments = *static_cast<std::tuple<supervisor_spec>*>(given);
  return guarded_server_start([&] {
    return start_supervisor_core(source_of(std::move(std::get<0>(arguments))),
                                 {.name = spec.name.view(), .timeout = spec.start_timeout, .label = spec.label}, start_kind::linked);
  });
}

}  // namespace

constinit const child_class supervisor_child{
    .name = "supervisor",
    .key = type_hash<supervisor_spec>(),
    .behaviour = "supervisor",
    .arguments = &value_constant<std::tuple<supervisor_spec>>,
    .start = &start_supervisor_child,
};

supervisor_source source_of(supervisor_spec spec) { return {&make_from_value, any_value(std::tuple<supervisor_spec>(std::move(spec)))}; }

namespace {

[[noreturn]] void refuse_start(const std::string& problem) {
  throw start_error(start_error::failed, exit_reason("bad_supervisor_spec: " + problem), {}, "start_error: bad_supervisor_spec: " + problem);
}

pid start_from_template(const supervisor_spec& spec, const start_options& options, start_kind kind) {
  std::tuple<internal::dynamic_source> arguments;
  internal::dynamic_source& source = std::get<0>(arguments);
  source.flags.name = spec.name;
  source.flags.intensity = spec.intensity;
  source.flags.period = spec.period;
  source.made_from = spec.children.front();
  start_record record;
  internal::prepare_dynamic_start(record, arguments, options, kind);
  start_core(record);
  return record.who;
}

}  // namespace

pid start_supervisor_core(const supervisor_source& source, const start_options& options, start_kind kind) {
  start_options said = options;
  const auto* value = source.from.as<std::tuple<supervisor_spec>>();
  if (value != nullptr) {
    const supervisor_spec& spec = std::get<0>(*value);
    if (std::string problem = problem_of(spec); !problem.empty()) refuse_start(problem);
    if (!said.name) said.name = spec.name.view();
    if (spec.strategy == simple_one_for_one) return start_from_template(spec, said, kind);
  }
  std::tuple<supervisor_source> arguments(source);
  start_record record;
  record.cls = &internal::supervisor_class;
  record.init = &run_init<internal::supervisor_core, supervisor_source>;
  record.arguments = &arguments;
  record.options = &said;
  record.kind = kind;
  start_core(record);
  return record.who;
}

}  // namespace detail

result<supervisor, start_error> try_start_supervisor(const supervisor_spec& spec, const start_options& options) {
  try {
    return start_supervisor(spec, options);
  } catch (start_error& e) {
    return error(std::move(e));
  }
}
result<supervisor, start_error> try_start_supervisor_link(const supervisor_spec& spec, const start_options& options) {
  try {
    return start_supervisor_link(spec, options);
  } catch (start_error& e) {
    return error(std::move(e));
  }
}

child_spec child(const child_options& options, supervisor_spec spec) {
  child_options by_kind{.type = child_type::supervisor};
  child_options of_spec{};
  const owned_name name = spec.name;
  of_spec.name = name.view();
  return detail::make_child_spec(detail::supervisor_child, options, of_spec, any_value(std::tuple<supervisor_spec>(std::move(spec))), by_kind);
}

// --- operations ------------------------------------------------------------------------------------------------------

namespace internal {

namespace {

using detail::supervisor_address;

/// Asks; a supervisor that does not answer is an error like any other.
template <class Q>
result<reply_of<Q>, supervisor_error> ask_supervisor(const supervisor_address& at, Q request, duration timeout) {
  auto answer = try_call(server_ref<supervisor_protocol>(at.find()), std::move(request), timeout);
  if (answer) return std::move(*answer);
  std::string who = at.name() ? to_text(at.name()) + ": " : std::string();
  return error(supervisor_error(supervisor_error::unreachable, who + answer.error().what(), answer.error().reason()));
}
template <class T>
result<T, supervisor_error> flat(result<result<T, supervisor_error>, supervisor_error> answer) {
  if (!answer) return error(std::move(answer.error()));
  return std::move(*answer);
}

std::string_view words_of(supervisor_error::kind what) noexcept {
  switch (what) {
    case supervisor_error::already_present: return "is there already and does not run: restart it or delete it";
    case supervisor_error::not_found: return "is no child of this supervisor";
    case supervisor_error::running: return "runs";
    case supervisor_error::restarting: return "is being restarted";
    case supervisor_error::no_child_ids: return "is named by an id, but the children of a simple_one_for_one or dynamic supervisor have none: name it by its pid";
    default: return "cannot be that";
  }
}

}  // namespace

std::unexpected<supervisor_error> refuse(supervisor_error::kind what, std::string_view id) {
  return error(supervisor_error(what, '"' + std::string(id) + "\" " + std::string(words_of(what))));
}
std::unexpected<supervisor_error> refuse(supervisor_error::kind what, pid who) {
  return error(supervisor_error(what, to_text(who) + " " + std::string(words_of(what))));
}
std::unexpected<supervisor_error> refuse_spec(std::string problem) {
  return error(supervisor_error(supervisor_error::bad_child_spec, std::move(problem)));
}
std::unexpected<supervisor_error> start_failed(const child_spec& spec, const started_child& outcome) {
  if (outcome.is(started_child::already_started))
    return error(supervisor_error(supervisor_error::already_started, "start_child: the name " + to_text(spec.name) + " is taken by " + to_text(outcome.who()), outcome.reason(), outcome.who()));
  return error(supervisor_error(supervisor_error::failed, "start of " + to_text(spec) + " failed: " + to_text(outcome.reason()), outcome.reason()));
}

duration back_off_time(const back_off& b, unsigned failures) noexcept {
  double wait = static_cast<double>(b.min.count());
  const double most = static_cast<double>(b.max.count());
  for (unsigned i = 0; i < failures && wait < most; ++i) wait *= b.factor;
  wait = std::min(wait, most);
  const double chance = static_cast<double>(internal::here().dice()) / 4294967296.0;           // 0 to 1
  return duration(static_cast<std::int64_t>(wait * (1 + b.jitter * (2 * chance - 1))));
}

started_child start_linked(child_spec& spec, const any_value& before, const any_value& after) {
  const bool once = spec.restart == temporary && !before && !after;
  started_child outcome = once ? detail::start_child_once(spec) : detail::start_child(spec, before, after);
  if (outcome.is(started_child::started) && !planted::is(planted::child_not_linked)) link(outcome.who());
  return outcome;
}

}  // namespace internal

namespace detail {

using namespace internal;

result<started_child, supervisor_error> start_child_in(const supervisor_address& at, child_spec&& spec, duration timeout) {
  if (std::string problem = problem_of(spec); !problem.empty()) return refuse_spec(std::move(problem));
  return flat(ask_supervisor(at, start_child_request{std::move(spec)}, timeout));
}
result<started_child, supervisor_error> start_child_from(const supervisor_address& at, any_value more) {
  return flat(ask_supervisor(at, start_from_request{std::move(more)}, infinity));
}
result<void, supervisor_error> terminate_child_in(const supervisor_address& at, std::string_view id, pid who, duration timeout) {
  return flat(ask_supervisor(at, terminate_child_request{std::string(id), who}, timeout));
}
result<started_child, supervisor_error> restart_child_in(const supervisor_address& at, std::string_view id, duration timeout) {
  return flat(ask_supervisor(at, restart_child_request{std::string(id)}, timeout));
}
result<void, supervisor_error> delete_child_in(const supervisor_address& at, std::string_view id, duration timeout) {
  return flat(ask_supervisor(at, delete_child_request{std::string(id)}, timeout));
}
result<std::vector<child_information>, supervisor_error> which_children_in(const supervisor_address& at, duration timeout) {
  return ask_supervisor(at, which_children_request{}, timeout);
}
result<child_information, supervisor_error> which_child_in(const supervisor_address& at, std::string_view id, duration timeout) {
  return flat(ask_supervisor(at, which_child_request{std::string(id)}, timeout));
}
result<child_counts, supervisor_error> count_children_in(const supervisor_address& at, duration timeout) {
  return ask_supervisor(at, count_children_request{}, timeout);
}
result<child_spec, supervisor_error> get_childspec_in(const supervisor_address& at, std::string_view id, pid who, duration timeout) {
  return flat(ask_supervisor(at, get_childspec_request{std::string(id), who}, timeout));
}
result<supervisor_information, supervisor_error> about_supervisor(const supervisor_address& at, duration timeout) {
  return ask_supervisor(at, about_request{}, timeout);
}
result<void, supervisor_error> change_supervisor(const supervisor_address& at, std::optional<supervisor_spec> to, duration timeout) {
  return flat(ask_supervisor(at, change_request{std::move(to)}, timeout));
}

}  // namespace detail
}  // namespace coppice
