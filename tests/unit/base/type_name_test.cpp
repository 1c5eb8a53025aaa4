// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/type_name.hpp>

#include <doctest/doctest.h>

#include <any>
#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace shop {
struct item {};
enum class colour { red };
template <class T, std::size_t N>
struct shelf {};
template <auto Value>
struct tagged {};
struct till {
  struct want {};
};
template <class T>
struct crate {
  struct lid {};
};
}  // namespace shop

namespace {
struct hidden {};
}  // namespace

using coppice::short_type_name;
using coppice::type_hash;
using coppice::type_name;

// The same text with every compiler, hence the same message keys.
TEST_CASE("type_name: number types have one spelling") {
  CHECK(type_name<int>() == "int");
  CHECK(type_name<unsigned>() == "unsigned int");
  CHECK(type_name<long>() == "long");
  CHECK(type_name<unsigned long>() == "unsigned long");
  CHECK(type_name<long long>() == "long long");
  CHECK(type_name<unsigned long long>() == "unsigned long long");
  CHECK(type_name<short>() == "short");
  CHECK(type_name<unsigned short>() == "unsigned short");
  CHECK(type_name<char>() == "char");
  CHECK(type_name<signed char>() == "signed char");
  CHECK(type_name<unsigned char>() == "unsigned char");
  CHECK(type_name<long double>() == "long double");
  CHECK(type_name<bool>() == "bool");
}

TEST_CASE("type_name: named types keep their namespaces, templates their arguments") {
  CHECK(type_name<shop::item>() == "shop::item");
  CHECK(type_name<shop::till::want>() == "shop::till::want");
  CHECK(type_name<std::vector<std::vector<unsigned short>>>() == "std::vector<std::vector<unsigned short>>");
  CHECK(type_name<std::map<std::string, shop::shelf<shop::item, 3>>>() ==
        "std::map<std::string, shop::shelf<shop::item, 3>>");
  CHECK(type_name<std::array<char, 4>>() == "std::array<char, 4>");
  CHECK(type_name<shop::tagged<3u>>() == "shop::tagged<3>");
  CHECK(type_name<shop::tagged<true>>() == "shop::tagged<true>");
  CHECK(type_name<shop::tagged<shop::colour::red>>() == "shop::tagged<shop::colour::red>");
  CHECK(type_name<shop::crate<int>::lid>() == "shop::crate<int>::lid");
}

TEST_CASE("type_name: inline namespaces of the standard library do not show") {
  CHECK(type_name<std::string>() == "std::string");
  CHECK(type_name<std::string_view>() == "std::string_view");
  CHECK(type_name<std::chrono::system_clock>() == "std::chrono::system_clock");
  CHECK(type_name<std::any>() == "std::any");
  CHECK(type_name<std::unique_ptr<int>>() == "std::unique_ptr<int>");
}

TEST_CASE("type_name: pointers, references, const and functions") {
  CHECK(type_name<const char*>() == "const char*");
  CHECK(type_name<const shop::item&>() == "const shop::item&");
  CHECK(type_name<const hidden&>() == "const {anonymous}::hidden&");
  CHECK(type_name<void (*)(int)>() == "void(*)(int)");
  CHECK(type_name<std::function<void(int, const std::string&)>>() == "std::function<void(int, const std::string&)>");
}

TEST_CASE("type_name: an unnamed namespace has one spelling") { CHECK(type_name<hidden>() == "{anonymous}::hidden"); }

TEST_CASE("type_name: the short name drops namespaces and enclosing classes, in arguments too") {
  struct local {};
  CHECK(short_type_name<shop::till::want>() == "want");
  CHECK(short_type_name<hidden>() == "hidden");
  CHECK(short_type_name<local>() == "local");
  CHECK(short_type_name<std::map<std::string, shop::shelf<shop::item, 3>>>() == "map<string, shelf<item, 3>>");
  CHECK(short_type_name<shop::crate<int>::lid>() == "lid");
  CHECK(short_type_name<shop::tagged<shop::colour::red>>() == "tagged<red>");
  CHECK(short_type_name<std::function<void(int, const std::string&)>>() == "function<void(int, const string&)>");
  CHECK(short_type_name<int>() == "int");
}

TEST_CASE("type_name: names are constants, and the hash is that of the full name") {
  static_assert(type_name<shop::item>() == "shop::item");
  static_assert(short_type_name<shop::item>() == "item");
  static_assert(type_hash<shop::item>() == coppice::hash_of("shop::item"));
  static_assert(type_hash<shop::item>() != type_hash<shop::till>());
}
