// SPDX-License-Identifier: Apache-2.0
//
// The whole library: for experiments.
#pragma once

#include <coppice/fwd.hpp>

#include <coppice/app.hpp>
#include <coppice/base.hpp>
#include <coppice/otp.hpp>
#include <coppice/process.hpp>
#include <coppice/runtime.hpp>
#include <coppice/state.hpp>
