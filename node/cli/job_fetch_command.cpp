// `tequio job fetch ID --out DIR`: the trained model as a Hugging Face style folder.

#include <boost/json.hpp>
#include <cstdio>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

struct fetch_options {
    std::string id;
    std::string out;
    std::string round;
    bool force = false;
};

/// A file's bytes, piece by piece, compared with its name in the end.
base::result<base::byte_vector> read_blob(api_client& daemon, const base::blob_ref& ref) {
    base::byte_vector bytes;
    bytes.reserve(ref.size);
    for (std::uint64_t i = 0; i < ref.pieces(); ++i) {
        if (interrupted())
            return ends_with(exit_code::interrupted, "interrupted; nothing was written");
        TEQUIO_TRY(const auto piece,
                   daemon.request("GET", "/api/v1/blobs/" + ref.text() + "/" + std::to_string(i)));
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    }
    if (base::blob_ref_of(bytes) != ref) {
        return ends_with(exit_code::verification_failed,
                         "the daemon sent other bytes than " + ref.text());
    }
    return bytes;
}

base::result<void> fetch(cli_context& context, const fetch_options& o) {
    catch_interrupts();
    if (!o.round.empty()) {
        return ends_with(exit_code::usage, "--round is not in this version (has: the final model)");
    }
    const std::filesystem::path out(o.out);
    std::error_code ec;
    if (!o.force && std::filesystem::exists(out / "model.safetensors", ec)) {
        return ends_with(exit_code::usage,
                         out.string() + " holds a model already; --force overwrites it");
    }
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto answer, daemon.request_json("GET", "/api/v1/jobs/" + o.id + "/files"));
    std::filesystem::create_directories(out, ec);
    boost::json::array names;
    for (const auto& item : answer.as_object().at("files").as_array()) {
        const auto& file = item.as_object();
        const std::string name(file.at("name").as_string());
        TEQUIO_TRY(const auto ref, base::parse_blob_ref(std::string(file.at("blob").as_string())));
        TEQUIO_TRY(const auto bytes, read_blob(daemon, ref));
        TEQUIO_CHECK(write_file(out / name, bytes));
        names.push_back(boost::json::string(name));
        context.say(name + ": " + base::human_size(bytes.size()));
    }
    const auto digest = answer.as_object().at("state_digest");
    if (context.json) {
        context.print_json("job-fetch",
                           {{"out", out.string()}, {"files", names}, {"state_digest", digest}});
    } else {
        std::printf("%s\n", out.c_str());
    }
    return {};
}

}  // namespace

void add_job_fetch_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<fetch_options>();
    auto* command = job.add_subcommand("fetch", "write the trained model to a folder");
    command->add_option("ID", o->id, "task id, or its first digits")->required();
    command->add_option("--out", o->out, "folder to write")->required();
    command->add_option("--round", o->round, "an earlier round");
    command->add_flag("--force", o->force, "overwrite a model that is there");
    command->callback([&context, o] { context.run([&] { return fetch(context, *o); }); });
}

}  // namespace tequio::node
