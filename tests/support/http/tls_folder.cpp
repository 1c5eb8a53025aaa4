// SPDX-License-Identifier: Apache-2.0
#include "support/http/tls_folder.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

#include <stdlib.h>

namespace coppice::testing {

namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

template <auto Free>
struct freed {
  void operator()(auto* p) const noexcept { Free(p); }
};

void add_extension(X509* to, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, to, to, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, freed<&X509_EXTENSION_free>> e(X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  require(e != nullptr && X509_add_ext(to, e.get(), -1) == 1, "no extension could be made");
}

}  // namespace

tls_folder::tls_folder() : path_("/tmp/coppice_tls_XXXXXX") {
  require(::mkdtemp(path_.data()) != nullptr, "no folder for certificates");
}

tls_folder::~tls_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string tls_folder::file(const std::string& name, std::string_view text) const {
  const std::string path = path_of(name);
  std::ofstream(path) << text;
  return path;
}

tls_certificate tls_folder::make(const std::string& name, int from, int until) const {
  const std::unique_ptr<EVP_PKEY, freed<&EVP_PKEY_free>> key(EVP_EC_gen("P-256"));
  const std::unique_ptr<X509, freed<&X509_free>> made(X509_new());
  require(key != nullptr && made != nullptr, "no key could be made");
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 86400L * from);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 86400L * until);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(made.get(), subject);
  add_extension(made.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(made.get(), NID_subject_alt_name, "DNS:" + name + ",IP:127.0.0.1");
  require(X509_sign(made.get(), key.get(), EVP_sha256()) > 0, "the certificate could not be signed");

  const tls_certificate files{.certificate_file = path_of(name + ".pem"), .key_file = path_of(name + ".key")};
  const std::unique_ptr<std::FILE, freed<&std::fclose>> certificate_file(std::fopen(files.certificate_file.c_str(), "we"));
  const std::unique_ptr<std::FILE, freed<&std::fclose>> key_file(std::fopen(files.key_file.c_str(), "we"));
  require(certificate_file != nullptr && key_file != nullptr && PEM_write_X509(certificate_file.get(), made.get()) == 1 &&
              PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "the certificate could not be written");
  return files;
}

}  // namespace coppice::testing
