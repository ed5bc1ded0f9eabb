#pragma once

/// Counts the instructions of this thread that many processors hand to microcode because a number
/// in them is subnormal: so a processor that computes with subnormals at full speed (AMD's since
/// Zen) shows what one that does not (Intel's: some 150 cycles for each) would pay.
///
/// How: with the exceptions "denormal operand" and "underflow" of MXCSR unmasked, each such
/// instruction traps; the handler counts it, lets it run masked as a single step and unmasks again.
/// Comparisons, minimum, maximum, additions and subtractions are not counted: Intel's processors
/// since Sandy Bridge do those at full speed (Agner Fog, "The microarchitecture of Intel, AMD and
/// VIA CPUs", chapter on Sandy Bridge).
///
/// x86-64 only. One thread at a time, no sanitizer or debugger that wants these signals. A trap takes
/// about 15 microseconds.

#include <cstdint>

namespace tequio::tests {

/// False on other processors than x86-64.
bool assist_meter_works();
/// Starts to count on this thread, from 0; after `most` it stops by itself.
void start_assist_meter(std::uint64_t most);
/// Puts the floating-point environment back.
std::uint64_t stop_assist_meter();

}  // namespace tequio::tests
