#pragma once

/// The one way to carry an error: `result<T>` holds a value or an `error`, which is a code (for
/// programs) and a sentence (for people: what happened, where, and what to do next).
/// boost::system::result with our error type, because an error_code alone cannot name the line, key
/// or peer.

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace tequio::base {

/// A code and a sentence. Copyable; compares by code through `is`.
class error {
public:
    /// Means nothing; boost::system::result needs it to exist.
    error() = default;
    error(boost::system::error_code code, std::string detail)
        : code_(code), detail_(std::move(detail)) {}

    const boost::system::error_code& code() const { return code_; }
    /// The sentence alone; empty when the code says everything.
    const std::string& detail() const { return detail_; }
    /// The sentence, or the code's own message when there is none.
    std::string message() const { return detail_.empty() ? code_.message() : detail_; }
    /// The same code with `place: ` put before the sentence ("job.toml:31: ...").
    error at(std::string_view place) const;

    /// True when the code is `value`, of the errc of any library.
    template <class Enum>
    bool is(Enum value) const {
        return code_ == make_error_code(value);
    }

private:
    boost::system::error_code code_;
    std::string detail_;
};

/// Taking the value of a failed result is our own mistake: it aborts, it never throws.
[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

template <class T>
using result = boost::system::result<T, error>;

/// What base itself can refuse.
enum class errc {
    bad_encoding = 1,  ///< text or bytes that do not have the form they must have
    bad_signature,     ///< a signature that does not verify, or none by a known key
    too_large,         ///< a length above its cap
    io_failure,        ///< the operating system refused; the sentence carries its reason
};

boost::system::error_code make_error_code(errc e);

/// Shorthand for `error(make_error_code(code), detail)`, found for the errc of every library.
template <class Enum>
error fail(Enum code, std::string detail) {
    return error(make_error_code(code), std::move(detail));
}

}  // namespace tequio::base

namespace boost::system {
template <>
struct is_error_code_enum<tequio::base::errc> : std::true_type {};
}  // namespace boost::system

#define TEQUIO_JOIN_INNER(a, b) a##b
#define TEQUIO_JOIN(a, b) TEQUIO_JOIN_INNER(a, b)

/// TEQUIO_TRY(auto x, f()): x = value of f(), or return f()'s error from the enclosing function.
#define TEQUIO_TRY(declaration, expression)                              \
    auto TEQUIO_JOIN(tequio_result_, __LINE__) = (expression);           \
    if (!TEQUIO_JOIN(tequio_result_, __LINE__))                          \
        return std::move(TEQUIO_JOIN(tequio_result_, __LINE__)).error(); \
    declaration = std::move(*TEQUIO_JOIN(tequio_result_, __LINE__))

/// TEQUIO_CHECK(f()): return f()'s error from the enclosing function; f() returns result<void>.
#define TEQUIO_CHECK(expression)                                                 \
    do {                                                                         \
        auto tequio_check_result = (expression);                                 \
        if (!tequio_check_result) return std::move(tequio_check_result).error(); \
    } while (false)
