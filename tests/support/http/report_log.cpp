// SPDX-License-Identifier: Apache-2.0
#include "support/http/report_log.hpp"

#include <coppice/base/log_sink.hpp>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

namespace coppice::testing {

namespace {

struct kept_report {
  std::string kind;
  std::string text;
};

std::mutex lock;
int logs = 0;
std::vector<kept_report> kept;

void keep(void*, const report& r) {
  kept_report now{std::string(r.kind), std::string(r.headline) + '\n'};
  for (const report_field& f : r.fields) now.text += std::string(f.name) + ": " + std::string(f.value) + '\n';
  const std::lock_guard held(lock);
  kept.push_back(std::move(now));
}

constexpr log_sink keeping{&keep, nullptr};

}  // namespace

report_log::report_log() {
  const std::lock_guard held(lock);
  if (logs++ > 0) return;
  kept.clear();
  set_log_sink(&keeping);
}

report_log::~report_log() {
  const std::lock_guard held(lock);
  if (--logs == 0) set_log_sink(nullptr);
}

int report_log::count(std::string_view kind, std::string_view text) {
  const std::lock_guard held(lock);
  return static_cast<int>(std::count_if(kept.begin(), kept.end(), [&](const kept_report& r) {
    return r.kind == kind && r.text.find(text) != std::string::npos;
  }));
}

}  // namespace coppice::testing
