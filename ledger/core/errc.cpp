#include "ledger/errc.hpp"

namespace tequio::ledger {
namespace {

class ledger_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.ledger"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::bad_receipt:
                return "a receipt or entry not in its one form";
            case errc::bad_signature:
                return "bad signature or key certificate";
            case errc::bad_message:
                return "malformed co-signing message";
            case errc::conflict:
                return "another text was signed for the same work";
            case errc::full:
                return "limit reached";
            case errc::newer_version:
                return "written by a newer program";
            case errc::wrong_owner:
                return "the ledger of another node";
            case errc::damaged:
                return "the ledger contradicts itself";
            case errc::not_found:
                return "no ledger there";
            case errc::locked:
                return "another process writes this ledger";
            case errc::storage_failed:
                return "storage failed";
        }
        return "unknown error";
    }
};

const ledger_category category;

}  // namespace

boost::system::error_code make_error_code(errc e) {
    return {static_cast<int>(e), category};
}

}  // namespace tequio::ledger
