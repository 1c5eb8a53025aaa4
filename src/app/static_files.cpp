// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/static_files.hpp>

#include "app/byte_range.hpp"
#include "app/file_root.hpp"
#include "app/http_date.hpp"
#include "app/http_sender.hpp"
#include "app/http_text.hpp"

#include <coppice/app/response_writer.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace coppice {

namespace internal {

namespace {

constexpr std::uint64_t read_at_once = 64 * 1024;

/// An open file and what is said about it.
struct open_file {
  owned_fd fd;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // seconds since 1970
  std::string tag;
};

std::string tag_of(const struct stat& s) {
  char text[64] = "\"";
  char* end = text + 1;
  const auto append = [&](auto n) { end = std::to_chars(end, text + sizeof text - 2, n, 16).ptr; };
  append(static_cast<std::uint64_t>(s.st_mtim.tv_sec));
  *end++ = '.';
  append(static_cast<std::uint64_t>(s.st_mtim.tv_nsec));
  *end++ = '-';
  append(static_cast<std::uint64_t>(s.st_size));
  *end++ = '"';
  return {text, end};
}

// --- conditions (RFC 9110, 13) ---------------------------------------------------------------------------------------

/// Whether a list of tags has `tag` in it. `weak`: `W/` in front of one does not matter.
bool lists_tag(std::string_view list, std::string_view tag, bool weak) noexcept {
  while (!list.empty()) {
    const std::size_t begin = list.find_first_not_of(" \t,");
    if (begin == std::string_view::npos) return false;
    list.remove_prefix(begin);
    if (list == "*") return true;
    const bool is_weak = list.starts_with("W/");
    if (is_weak) list.remove_prefix(2);
    if (!list.starts_with('"')) return false;
    const std::size_t end = list.find('"', 1);
    if (end == std::string_view::npos) return false;
    if (list.substr(0, end + 1) == tag && (weak || !is_weak)) return true;
    list.remove_prefix(end + 1);
  }
  return false;
}

/// Whether one of the request's lines `name` lists it: several lines are one list.
bool any_lists_tag(const http_request& r, std::string_view name, std::string_view tag, bool weak) noexcept {
  return std::ranges::any_of(r.fields(), [&](const http_field& f) { return equal_ignoring_case(f.name, name) && lists_tag(f.value, tag, weak); });
}

/// 304 or 412 where the request's conditions say so; else 0.
int judge_conditions(const http_request& r, const open_file& f) {
  const auto date = [&](std::string_view name) {
    const auto text = r.header(name);
    return text ? parse_http_date(*text) : std::nullopt;
  };
  if (r.header("If-Match")) {
    if (!any_lists_tag(r, "If-Match", f.tag, false)) return 412;
  } else if (const auto since = date("If-Unmodified-Since")) {
    if (f.modified > *since) return 412;
  }
  if (r.header("If-None-Match")) return any_lists_tag(r, "If-None-Match", f.tag, true) ? 304 : 0;
  const auto since = date("If-Modified-Since");
  return since && f.modified <= *since ? 304 : 0;
}

byte_ranges wanted_ranges(const http_request& r, const open_file& f, std::uint64_t part_cost) {
  const auto text = r.header("Range");
  if (!text || r.method() != http_method::get) return {};
  if (const auto known = r.header("If-Range")) {  // else the parts would be of two different files
    const bool same = known->starts_with('"') ? *known == f.tag : parse_http_date(*known) == f.modified;
    if (!same) return {};
  }
  return parse_byte_ranges(*text, f.size, part_cost);
}

// --- the answer ------------------------------------------------------------------------------------------------------

/// The bytes of a small file. Fewer: it has just become shorter.
std::string read_part(int fd, std::uint64_t first, std::size_t bytes) {
  std::string out(bytes, '\0');
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t n = ::pread(fd, out.data() + have, bytes - have, static_cast<off_t>(first + have));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  out.resize(have);
  return out;
}

/// The bytes of `ranges`, each behind its head, and the tail behind all.
struct file_parts {
  std::vector<std::pair<std::string, byte_range>> all;
  std::string tail;

  std::uint64_t size() const noexcept {
    std::uint64_t sum = tail.size();
    for (const auto& [head, range] : all) sum += head.size() + range.size();
    return sum;
  }
  std::string read(int fd) const {
    std::string out;
    out.reserve(static_cast<std::size_t>(size()));
    for (const auto& [head, range] : all) (out += head) += read_part(fd, range.first, static_cast<std::size_t>(range.size()));
    return out += tail;
  }
  void send(int fd, response_writer& to) const {
    for (const auto& [head, range] : all) {
      to.write(head);
      if (const int problem = sender_of(to).send_file(fd, range.first, range.size()); problem != 0) throw client_gone(problem);
    }
    to.write(tail);
  }
};

std::string content_range(const byte_range& r, std::uint64_t size) {
  return "bytes " + std::to_string(r.first) + '-' + std::to_string(r.last) + '/' + std::to_string(size);
}

constexpr std::size_t boundary_bytes = 16;
/// What a part of several takes beyond its bytes, more or less.
constexpr std::uint64_t part_cost = 128;

/// What separates the parts: a text that no file has in it, as it is another one each time.
std::string new_boundary() {
  unsigned char random[boundary_bytes] = {};
  static_cast<void>(::getrandom(random, sizeof random, 0));
  std::string text;
  for (const unsigned char byte : random) (text += "0123456789abcdef"[byte >> 4]) += "0123456789abcdef"[byte & 15];
  return text;
}

/// Several parts of a file (RFC 9110, 14.6).
file_parts multipart(const std::vector<byte_range>& ranges, const std::string& boundary, std::string_view type, std::uint64_t size) {
  file_parts parts;
  for (const byte_range& r : ranges) {
    std::string head = parts.all.empty() ? "--" : "\r\n--";
    ((head += boundary) += "\r\nContent-Type: ") += type;
    (head += "\r\nContent-Range: ") += content_range(r, size) + "\r\n\r\n";
    parts.all.emplace_back(std::move(head), r);
  }
  parts.tail = "\r\n--" + boundary + "--\r\n";
  return parts;
}

/// What of `f` goes out, in `ranges` or whole; says in `a` what that is.
file_parts chosen_parts(http_response& a, const open_file& f, const byte_ranges& ranges) {
  if (ranges.kind == byte_ranges::whole) {
    file_parts all;
    if (f.size > 0) all.all.emplace_back("", byte_range{0, f.size - 1});
    return all;
  }
  a.status = 206;
  if (ranges.all.size() > 1) {
    const std::string boundary = new_boundary();
    const std::string type = std::exchange(a.content_type, "multipart/byteranges; boundary=" + boundary);
    return multipart(ranges.all, boundary, type, f.size);
  }
  a.headers.push_back({"Content-Range", content_range(ranges.all.front(), f.size)});
  file_parts one;
  one.all.emplace_back("", ranges.all.front());
  return one;
}

http_response answer_with(const http_request& r, open_file&& f, std::string_view name, const file_options& o) {
  http_response a;
  std::string modified;
  append_http_date(modified, std::min<std::int64_t>(f.modified, std::time(nullptr)));  // not later than `Date`
  a.headers = {{"ETag", f.tag}, {"Last-Modified", std::move(modified)}};
  if (!o.cache_control.empty()) a.headers.push_back({"Cache-Control", o.cache_control});
  if (const int verdict = judge_conditions(r, f); verdict != 0) {
    a.status = verdict;
    return a;
  }
  const byte_ranges ranges = wanted_ranges(r, f, part_cost);
  if (ranges.kind == byte_ranges::unsatisfiable) {
    a = plain_answer(416);
    a.headers = {{"Content-Range", "bytes */" + std::to_string(f.size)}};
    return a;
  }
  a.content_type = content_type_of(name);
  a.headers.push_back({"Accept-Ranges", "bytes"});
  a.headers.push_back({"X-Content-Type-Options", "nosniff"});
  file_parts parts = chosen_parts(a, f, ranges);
  const std::uint64_t bytes = parts.size();
  if (bytes <= read_at_once && r.method() != http_method::head) {
    a.body = parts.read(f.fd.get());
    if (a.body.size() < bytes) throw http_error(503, "the file has just changed");
    return a;
  }
  a.stream_length = bytes;
  a.stream = [fd = std::move(f.fd), parts = std::move(parts)](response_writer& out) { parts.send(fd.get(), out); };
  return a;
}

// --- the route -------------------------------------------------------------------------------------------------------

/// Whether `path`, decoded, may be asked for at all.
bool is_proper_path(std::string_view path, bool hidden) noexcept {
  if (path.find('\0') != std::string_view::npos || path.starts_with('/')) return false;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(part.size() < path.size() ? part.size() + 1 : part.size());
    if (part == ".." || (!hidden && part.starts_with('.'))) return false;
  }
  return true;
}

struct folder {
  folder(const std::string& path, file_options o) : root(path), options(std::move(o)) {}
  http_response answer(const http_request& r) const;
  http_response answer_folder(const http_request& r, const std::string& path) const;
  /// Returns: the kind of file (S_IFMT), or 0 with errno set.
  mode_t open(const std::string& path, open_file& f) const;
  file_root root;
  file_options options;
};

mode_t folder::open(const std::string& path, open_file& f) const {
  f.fd = root.open(path);
  struct stat s{};
  if (!f.fd || ::fstat(f.fd.get(), &s) != 0) return 0;
  f.size = static_cast<std::uint64_t>(s.st_size);
  f.modified = s.st_mtim.tv_sec;
  f.tag = tag_of(s);
  return s.st_mode & S_IFMT;
}

http_response folder::answer(const http_request& r) const {
  const std::string path = r.parameter("*");
  if (!is_proper_path(path, options.hidden)) return plain_answer(404);
  open_file f;
  switch (open(path, f)) {
    case 0:
      return plain_answer(errno == EMFILE || errno == ENFILE ? 503 : errno == EACCES ? 403 : 404);
    case S_IFDIR:
      return answer_folder(r, path);
    case S_IFREG:
      return path.ends_with('/') ? plain_answer(404) : answer_with(r, std::move(f), path, options);
    default:
      return plain_answer(404);
  }
}

http_response folder::answer_folder(const http_request& r, const std::string& path) const {
  if (options.index.empty()) return plain_answer(404);
  if (!path.empty() && !path.ends_with('/')) {                 // relative links on the page need the slash
    if (r.path().starts_with("//")) return plain_answer(404);  // would name another host
    http_response moved = status(301);
    moved.headers = {{"Location", std::string(r.path()) + '/' + std::string(r.target().substr(r.path().size()))}};
    return moved;
  }
  const std::string index = path + options.index;
  open_file f;
  return open(index, f) == S_IFREG ? answer_with(r, std::move(f), index, options) : plain_answer(404);
}

}  // namespace

}  // namespace internal

route files(std::string path, const std::string& root, file_options options) {
  if (!path.ends_with("/*")) throw std::invalid_argument("\"" + path + "\" is not a path for files: it ends with /*");
  const auto shared = std::make_shared<const internal::folder>(root, std::move(options));
  return get(std::move(path), [shared](const http_request& r) { return shared->answer(r); });
}

std::string_view content_type_of(std::string_view file_name) noexcept {
  static constexpr std::pair<std::string_view, std::string_view> known[] = {
      {"html", "text/html; charset=utf-8"},
      {"htm", "text/html; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"mjs", "text/javascript; charset=utf-8"},
      {"json", "application/json"},
      {"map", "application/json"},
      {"txt", "text/plain; charset=utf-8"},
      {"md", "text/markdown; charset=utf-8"},
      {"csv", "text/csv; charset=utf-8"},
      {"xml", "application/xml"},
      {"yaml", "application/yaml"},
      {"yml", "application/yaml"},
      {"svg", "image/svg+xml"},
      {"png", "image/png"},
      {"jpg", "image/jpeg"},
      {"jpeg", "image/jpeg"},
      {"gif", "image/gif"},
      {"webp", "image/webp"},
      {"avif", "image/avif"},
      {"ico", "image/x-icon"},
      {"woff", "font/woff"},
      {"woff2", "font/woff2"},
      {"ttf", "font/ttf"},
      {"otf", "font/otf"},
      {"wasm", "application/wasm"},
      {"pdf", "application/pdf"},
      {"zip", "application/zip"},
      {"gz", "application/gzip"},
      {"mp3", "audio/mpeg"},
      {"ogg", "audio/ogg"},
      {"mp4", "video/mp4"},
      {"webm", "video/webm"},
      {"webmanifest", "application/manifest+json"},
  };
  const std::size_t dot = file_name.rfind('.');
  if (dot != std::string_view::npos && file_name.find('/', dot) == std::string_view::npos)
    for (const auto& [extension, type] : known)
      if (internal::equal_ignoring_case(file_name.substr(dot + 1), extension)) return type;
  return "application/octet-stream";
}

}  // namespace coppice
