#include "p2p/error.hpp"

namespace tequio::p2p {
namespace {

class p2p_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.p2p"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::bad_message:
                return "malformed message";
            case errc::bad_certificate:
                return "bad role certificate";
            case errc::bad_key_file:
                return "bad key file";
            case errc::key_file_exposed:
                return "key file readable by others";
            case errc::not_found:
                return "not found";
            case errc::data_dir_locked:
                return "data directory in use";
            case errc::io_failure:
                return "input or output failed";
            case errc::bad_address:
                return "bad address";
            case errc::bad_swarm_note:
                return "bad swarm note";
            case errc::bad_invite:
                return "bad invite";
            case errc::invite_expired:
                return "invite expired";
            case errc::not_in_this_version:
                return "not in this version";
            case errc::not_loopback:
                return "not a loopback address";
            case errc::too_large:
                return "too large";
            case errc::full:
                return "table full";
        }
        return "unknown error";
    }
};

// One object in one source file: two would compare unequal (Seastar #3563).
const p2p_category category;

}  // namespace

boost::system::error_code make_error_code(errc e) {
    return {static_cast<int>(e), category};
}

}  // namespace tequio::p2p
