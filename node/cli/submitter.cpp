#include "node/cli/submitter.hpp"

#include "node/cli/context.hpp"
#include "p2p/data_dir.hpp"

namespace tequio::node {

std::filesystem::path submitter_file() {
    return config_dir() / "submitter.key";
}

base::result<base::signing_key> load_or_create_submitter() {
    return p2p::load_or_create_key_file(submitter_file(), "submitter");
}

}  // namespace tequio::node
