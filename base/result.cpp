#include "base/result.hpp"

#include "base/ensure.hpp"

namespace tequio::base {
namespace {

class base_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.base"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::bad_encoding:
                return "malformed text or bytes";
            case errc::bad_signature:
                return "bad signature";
            case errc::too_large:
                return "too large";
            case errc::io_failure:
                return "input or output failed";
        }
        return "unknown error";
    }
};

// One object in one source file: two would compare unequal (Seastar #3563).
const base_category category;

}  // namespace

boost::system::error_code make_error_code(errc e) {
    return {static_cast<int>(e), category};
}

error error::at(std::string_view place) const {
    return error(code_, std::string(place) + ": " + message());
}

void throw_exception_from_error(const error& e, const boost::source_location& where) {
    fail_ensure(("value taken of a failed result: " + e.message()).c_str(),
                std::source_location::current());
    (void)where;
}

}  // namespace tequio::base
