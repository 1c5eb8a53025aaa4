// SPDX-License-Identifier: Apache-2.0
//
// config_sources: defaults, files, environment and command line, read in this order into one table, and checked against the
// options of the program.
#include "otp/config_layers.hpp"

#include <coppice/base/to_text.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <unistd.h>

namespace coppice {

using detail::config_layers;
using detail::config_wanted;

namespace {

using setting = config_layers::setting;

[[noreturn]] void misused(std::string key, std::string what) { throw config_error(config_error::bad_usage, std::move(key), "command line", std::move(what)); }

bool begins_with_section(std::string_view key, const std::vector<std::string>& sections) {
  return std::any_of(sections.begin(), sections.end(), [&](const std::string& s) {
    return key.size() > s.size() && key[s.size()] == '.' && detail::same_key(key.substr(0, s.size()), s);
  });
}

/// How many letters differ, at least by the look of it: for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = corner + (a[i - 1] != b[j - 1]);
      corner = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row.back();
}

class loader {
 public:
  explicit loader(const config_sources& s) : sources_(s), made_(std::make_unique<config_layers>()) {}

  config load() {
    for (const config_option& o : sources_.options)
      if (o.fallback.is != config_value::none)
        made_->settings.push_back({.key = o.key, .value = o.fallback, .where = "default", .from = config_layers::fallback});
    const std::vector<setting> told = command_line();      // first, because it may name a file
    files();
    if (sources_.environment) environment();
    made_->settings.insert(made_->settings.end(), told.begin(), told.end());
    check();
    return config_layers::to_config(made_.release());
  }

 private:
  const config_option* option(std::string_view key) const noexcept {
    for (const config_option& o : sources_.options)
      if (detail::same_key(o.key, key)) return &o;
    return nullptr;
  }

  std::string suggestion(std::string_view key) const {
    const config_option* nearest = nullptr;
    std::size_t least = 3;
    for (const config_option& o : sources_.options)
      if (const std::size_t d = distance(o.key, key); d < least) {
        least = d;
        nearest = &o;
      }
    return nearest != nullptr ? "; did you mean " + nearest->key + "?" : std::string();
  }

  bool is_known(std::string_view key) const {
    return sources_.options.empty() || option(key) != nullptr || begins_with_section(key, sources_.sections);
  }

  // --- the command line ------------------------------------------------------------------------------------------------

  std::vector<setting> command_line() {
    std::vector<setting> told;
    std::size_t plain = 0;
    bool only_plain = false;
    for (int i = 1; i < sources_.argc; ++i) {
      const std::string_view word = sources_.argv[i];
      if (only_plain || !word.starts_with('-') || word == "-")
        take_plain(word, plain, told);
      else if (word == "--")
        only_plain = true;
      else if (word.size() > 2 && word.starts_with("--"))
        take_option(word, i, told);
      else if (word != "-h")
        misused(std::string(word), std::string(word) + " is not known; options begin with two dashes");
    }
    return told;
  }

  void take_plain(std::string_view word, std::size_t& taken, std::vector<setting>& told) const {
    std::size_t at = 0;
    for (const config_option& o : sources_.options)
      if (o.positional && at++ == taken) {
        ++taken;
        told.push_back(of_command_line(o.key, word, "argument " + std::to_string(taken) + " (" + o.key + ")"));
        return;
      }
    misused(std::string(word), std::string(word) + " is one argument too many");
  }

  void take_option(std::string_view word, int& i, std::vector<setting>& told) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const std::string key(word.substr(2, equals - 2)), shown(word.substr(0, equals));
    if (key == "help") return;
    if (key != "config" && !is_known(key)) misused(key, shown + " is not known" + suggestion(key));
    const config_option* o = option(key);
    const bool is_flag = o != nullptr && o->fallback.is == config_value::boolean;
    std::string_view value;
    if (equals < word.size()) {
      value = word.substr(equals + 1);
    } else if (is_flag) {
      value = "true";
    } else if (i + 1 < sources_.argc && !std::string_view(sources_.argv[i + 1]).starts_with("--")) {
      value = sources_.argv[++i];
    } else if (o == nullptr && key != "config") {
      value = "true";                                       // nobody said what it is: a flag
    } else {
      misused(key, shown + " needs a value");
    }
    if (key == "config")
      named_files_.emplace_back(value);
    else
      told.push_back(of_command_line(key, value, shown));
  }

  static setting of_command_line(std::string_view key, std::string_view word, std::string where) {
    setting s{.key = std::string(key), .value = config_value(word), .where = std::move(where), .from = config_layers::command_line};
    s.value.is = config_value::word;
    return s;
  }

  // --- files -----------------------------------------------------------------------------------------------------------

  void files() {
    for (const std::string& file : sources_.files)
      if (access(file.c_str(), F_OK) == 0) read(file);
    if (named_files_.empty() && sources_.environment && !sources_.name.empty())
      if (const char* file = std::getenv((detail::environment_name(sources_.name) + "_CONFIG").c_str()); file != nullptr && *file != '\0')
        named_files_.emplace_back(file);
    for (const std::string& file : named_files_) read(file);
  }

  void read(const std::string& file) {
    const std::size_t before = made_->settings.size();
    detail::read_config_file(file, ++layers_, *made_);
    for (std::size_t i = before; i < made_->settings.size(); ++i) check_key(made_->settings[i]);
  }

  /// Keys of a file that nobody will ever read are mistakes.
  void check_key(const setting& s) const {
    std::string_view key = s.key;
    for (;;) {                                              // an item of a list is known by its list
      if (is_known(key)) return;
      const std::size_t dot = key.rfind('.');
      if (dot == std::string_view::npos) break;
      key = key.substr(0, dot);
    }
    throw config_error(config_error::unknown, s.key, s.where, s.where + ": " + s.key + " is not known" + suggestion(s.key));
  }

  // --- the environment -------------------------------------------------------------------------------------------------

  void environment() {
    for (const config_option& o : sources_.options)
      if (const char* value = o.environment.empty() ? nullptr : std::getenv(o.environment.c_str()))
        take_variable(o.environment, detail::environment_name(o.key), value);
    if (sources_.name.empty()) return;
    const std::string prefix = detail::environment_name(sources_.name) + '_';
    for (char** v = environ; v != nullptr && *v != nullptr; ++v) {
      const std::string_view pair = *v;
      const std::size_t equals = pair.find('=');
      if (equals == std::string_view::npos || !pair.starts_with(prefix)) continue;
      const std::string_view name = pair.substr(0, equals);
      if (const std::string_view key = name.substr(prefix.size()); key != "CONFIG") take_variable(name, key, pair.substr(equals + 1));
    }
  }

  void take_variable(std::string_view name, std::string_view key, std::string_view value) {
    if (value.empty()) return;                              // set to nothing: not set
    setting s{.key = std::string(key), .value = config_value(value), .where = '$' + std::string(name), .from = config_layers::environment};
    s.value.is = config_value::word;
    made_->settings.push_back(std::move(s));
  }

  // --- types and ranges ------------------------------------------------------------------------------------------------

  /// So that a mistake is told at the start and not when somebody happens to look.
  void check() const {
    for (const config_option& o : sources_.options) {
      if (o.fallback.is == config_value::none || o.fallback.is == config_value::list) continue;
      const auto found = detail::converted(*made_->find(o.key), o.key, {.is = o.fallback.is, .least = o.least, .most = o.most});
      if (!found) throw found.error();
    }
  }

  const config_sources& sources_;
  std::unique_ptr<config_layers> made_;
  std::vector<std::string> named_files_;
  std::size_t layers_ = 0;
};

std::string fallback_text(const config_value& v) {
  switch (v.is) {
    case config_value::integer: return std::to_string(v.number);
    case config_value::floating: return text_of(v.real);
    case config_value::text: return v.words.empty() ? std::string() : v.words;
    case config_value::time: return duration_text(v.number);
    default: return {};
  }
}

std::string option_line(const config_option& o) {
  std::string left = "  --" + o.key;
  if (o.fallback.is != config_value::boolean) left += o.fallback.is == config_value::time ? " TIME" : o.fallback.is == config_value::integer ? " N" : " VALUE";
  left.append(left.size() < 24 ? 24 - left.size() : 2, ' ');
  left += o.help;
  if (const std::string d = fallback_text(o.fallback); !d.empty()) left += (o.help.empty() ? "default " : "; default ") + d;
  if (!o.environment.empty()) left += "; also $" + o.environment;
  return left + '\n';
}

}  // namespace

config load_config(const config_sources& sources) { return loader(sources).load(); }

config read_config(const std::string& file) {
  auto made = std::make_unique<config_layers>();
  detail::read_config_file(file, 1, *made);
  return config_layers::to_config(made.release());
}

config config_from_toml(std::string_view text, std::string_view name) {
  auto made = std::make_unique<config_layers>();
  detail::read_toml(text, name, 1, *made);
  return config_layers::to_config(made.release());
}

config config_from_json(std::string_view text, std::string_view name) {
  auto made = std::make_unique<config_layers>();
  detail::read_json(text, name, 1, *made);
  return config_layers::to_config(made.release());
}

std::string usage_of(const config_sources& sources) {
  std::string text = "usage: " + (sources.name.empty() ? std::string("program") : sources.name);
  for (const config_option& o : sources.options)
    if (o.positional) text += " [" + o.key + ']';
  text += " [options]\n";
  for (const config_option& o : sources.options) text += option_line(o);
  text += "  --config FILE         a .toml or .json file with the same keys";
  if (!sources.name.empty()) text += "; also $" + detail::environment_name(sources.name) + "_CONFIG";
  text += "\n  --help                this\n";
  if (!sources.name.empty() && sources.environment)
    text += "Each option is also a variable of the environment: $" + detail::environment_name(sources.name) + "_KEY. The command line wins over it, it over the file.\n";
  return text;
}

bool asks_for_help(const config_sources& sources) noexcept {
  for (int i = 1; i < sources.argc; ++i) {
    const std::string_view word = sources.argv[i];
    if (word == "--") return false;
    if (word == "--help" || word == "-h") return true;
  }
  return false;
}

}  // namespace coppice
