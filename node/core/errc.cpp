#include "node/core/errc.hpp"

namespace tequio::node {
namespace {

class node_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.node"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::bad_config:
                return "bad configuration";
            case errc::not_found:
                return "not found";
            case errc::refused:
                return "refused";
            case errc::not_in_version:
                return "not in this version";
            case errc::bad_request:
                return "bad request";
            case errc::compute_failed:
                return "the worker failed";
        }
        return "unknown error";
    }
};
const node_category category;

}  // namespace

boost::system::error_code make_error_code(errc e) {
    return {static_cast<int>(e), category};
}

}  // namespace tequio::node
