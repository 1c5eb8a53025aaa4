// SPDX-License-Identifier: Apache-2.0
#include "otp/supervisor_report.hpp"

#include <coppice/base/log_sink.hpp>

#include "otp/server_data.hpp"
#include "process/class_counts.hpp"

namespace coppice::internal {

namespace {

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

/// `ch3 "ch3" <0.41>`: class, id, process.
std::string child_title(const child_spec& spec, pid who) {
  std::string title(spec.start.name());
  if (title != spec.id) title += " " + quoted(spec.id);
  return who ? title + " " + to_text(who) : title;
}

std::string count_text(const restart_count& c) {
  return std::to_string(c.so_far) + " of " + std::to_string(c.allowed) + " in " + duration_text(c.period.count());
}

/// The part that all reports share: who speaks, what it is about, and the child as its spec says.
report begin(log_level level, std::string_view kind, std::string_view context, const child_spec& spec, pid who, std::string_view what) {
  report r = begin_report(detail::here(), level, kind);
  r.headline += "  child " + child_title(spec, who) + " " + std::string(what);
  r.fields.push_back({"context", std::string(context)});
  return r;
}

void add_child(report& r, const child_spec& spec) { r.fields.push_back({"child", to_text(spec)}); }

/// Runs `make` if somebody listens. Being short of memory must not make a restart fail.
template <class F>
void tell(log_level level, F make) noexcept {
  if (!would_log(level)) return;
  try {
    write_report(make());
  } catch (...) {
  }
}

}  // namespace

void report_child_ended(const child_spec& spec, pid who, const exit_reason& why, const restart_count& count, pid now,
                        std::string_view why_not) noexcept {
  tell(log_level::error, [&] {
    report r = begin(log_level::error, "supervisor", "child_terminated", spec, who, "ended");
    r.fields.push_back({"why", to_text(why)});
    if (now) r.fields.push_back({"restarted as", to_text(now)});
    else r.fields.push_back({"restarted", std::string(why_not)});
    if (spec.restart != temporary) r.fields.push_back({"restarts", count_text(count)});
    add_child(r, spec);
    return r;
  });
}

void report_start_error(const child_spec& spec, const started_child& failed) noexcept {
  tell(log_level::error, [&] {
    report r = begin(log_level::error, "supervisor", "start_error", spec, {}, "did not start");
    r.fields.push_back({"why", to_text(failed.reason())});
    if (failed.is(started_child::already_started)) r.fields.push_back({"name taken by", to_text(failed.who())});
    add_child(r, spec);
    return r;
  });
}

void report_shutdown_error(const child_spec& spec, pid who, const exit_reason& why) noexcept {
  tell(log_level::error, [&] {
    report r = begin(log_level::error, "supervisor", "shutdown_error", spec, who, "was told to end and ended otherwise");
    r.fields.push_back({"why", to_text(why)});
    if (why.is(exit_reason::killed) && !spec.shutdown.is_brutal_kill()) r.fields.push_back({"time", to_text(spec.shutdown)});
    add_child(r, spec);
    return r;
  });
}

void report_gave_up(const child_spec& spec, pid who, const exit_reason& why, const restart_count& count, bool alone) noexcept {
  tell(log_level::error, [&] {
    report r = begin(log_level::error, "supervisor", "shutdown", spec, who,
                     alone ? "failed too often and is given up" : "failed too often: the supervisor ends");
    r.fields.push_back({"why", "reached_max_restart_intensity"});
    r.fields.push_back({"last", to_text(why)});
    r.fields.push_back({"restarts", count_text(count)});
    add_child(r, spec);
    return r;
  });
}

void report_progress(const child_spec& spec, pid who, bool by_hand) noexcept {
  const log_level level = by_hand ? log_level::debug : log_level::info;
  tell(level, [&] {
    report r = begin(level, "progress", "started", spec, who, "started");
    add_child(r, spec);
    return r;
  });
}

void count_restart(const child_spec& spec) noexcept {
  if (const detail::child_class* what = spec.start.what()) counts_of(what->key, what->name).restarted.add_shared(1);
}

}  // namespace coppice::internal
