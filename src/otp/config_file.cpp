// SPDX-License-Identifier: Apache-2.0
//
// config_file: a file's bytes, and which reader its name asks for. The readers are config_formats.cpp, or no_config_formats.cpp in a
// build without them.
#include "otp/config_layers.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace coppice::detail {

namespace {

constexpr std::size_t most_bytes = 16 << 20;

struct open_file {
  explicit open_file(const char* name) noexcept : handle(std::fopen(name, "rbe")) {}
  ~open_file() {
    if (handle != nullptr) std::fclose(handle);
  }
  open_file(const open_file&) = delete;
  std::FILE* handle;
};

[[noreturn]] void refuse(config_error::kind why, const std::string& file, std::string_view what) {
  throw config_error(why, "", file, file + ": " + std::string(what));
}

std::string all_of(const std::string& file) {
  const open_file f(file.c_str());
  if (f.handle == nullptr) refuse(errno == ENOENT ? config_error::no_file : config_error::bad_file, file, std::strerror(errno));
  std::string text;
  char piece[16384];
  while (const std::size_t n = std::fread(piece, 1, sizeof piece, f.handle)) {
    text.append(piece, n);
    if (text.size() > most_bytes) refuse(config_error::bad_file, file, "is larger than 16 MiB");
  }
  if (std::ferror(f.handle) != 0) refuse(config_error::bad_file, file, std::strerror(errno));
  return text;
}

}  // namespace

void read_config_file(const std::string& file, std::size_t layer, config_layers& into) {
  const bool toml = file.ends_with(".toml");
  if (!toml && !file.ends_with(".json")) refuse(config_error::bad_file, file, "is neither a .toml nor a .json file");
  const std::string text = all_of(file);
  (toml ? read_toml : read_json)(text, file, layer, into);
}

}  // namespace coppice::detail
