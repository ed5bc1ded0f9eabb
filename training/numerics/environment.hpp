#pragma once

/// The floating-point environment that exact arithmetic needs (NUMERICS.md, ground rules 1 and 3):
/// round to nearest even, subnormals kept, no contraction by the compiler.

#include "base/result.hpp"

#ifdef __FAST_MATH__
#error "exact numerics cannot be built with fast-math"
#endif

namespace tequio::training::numerics {

/// Sets this thread's MXCSR or FPCR: round to nearest even, flush-to-zero and denormals-are-zero
/// off, exceptions masked. Each compute thread calls it when it starts.
void set_float_environment();

/// True if this thread's MXCSR or FPCR still is what `set_float_environment` set (sticky exception
/// flags do not count). Asked at the start and end of every lane.
bool float_environment_ok();

/// Computes with run-time values what a wrong build or environment gets wrong: contraction of a * b
/// + c, a fused multiply-add that is not fused, subnormal results and operands, rounding direction.
/// Errors: `errc::bad_environment`, naming the check.
base::result<void> probe_float_environment();

/// What numerics can refuse.
enum class errc {
    bad_environment = 1,  ///< this process or processor does not compute as exact/1 says
};
boost::system::error_code make_error_code(errc e);

}  // namespace tequio::training::numerics

namespace boost::system {
template <>
struct is_error_code_enum<tequio::training::numerics::errc> : std::true_type {};
}  // namespace boost::system
