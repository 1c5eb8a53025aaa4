// SPDX-License-Identifier: Apache-2.0
//
// http_sender: sends a streamed answer: the head with the first piece, each piece as a chunk of its own unless the length is
// known or the client is of HTTP/1.0.
//
// Thread: the borrower of the loan.
#pragma once

#include "app/http_loan.hpp"
#include "app/http_writer.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace coppice::internal {

class http_sender {
 public:
  /// `r` is proper.
  http_sender(http_loan& loan, const http_response& r, const answer_form& form);

  /// Returns: 0 or an errno value.   Throws: std::length_error beyond the length that was said; unwind.
  int write(std::string_view piece);
  int flush();
  /// Sends `bytes` bytes of a file from `first` on. Of a stream whose length was said.
  /// Returns: as write.   Throws: std::length_error when the file has become shorter; unwind.
  int send_file(int fd, std::uint64_t first, std::uint64_t bytes);
  /// The end of the body.   Throws: std::length_error below the length that was said.
  int finish();

  http_loan& loan() noexcept { return loan_; }

 private:
  int send(std::string_view a, std::string_view b = {}, std::string_view c = {});

  http_loan& loan_;
  std::string head_;  // empty once it is sent
  const bool chunked_;
  const bool has_length_;
  std::uint64_t left_;  // of the length that was said
  int error_;
};

}  // namespace coppice::internal
