// `tequio job fetch ID --out DIR`: the trained model as a Hugging Face style folder.

#include <boost/json.hpp>
#include <cstdio>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/io/model_files.hpp"

namespace tequio::node {
namespace {

struct fetch_options {
    std::string id;
    std::string out;
    std::string round;
    std::string dtype = "f32";
    std::string max_shard_size;
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

/// How the weights are to be written. Errors end with exit code 2.
base::result<training::folder_options> form_of(const fetch_options& o) {
    training::folder_options out;
    if (o.dtype == "bf16") out.type = training::weight_type::bf16;
    if (o.max_shard_size.empty()) return out;
    const auto size = base::parse_size(o.max_shard_size);
    if (!size || *size == 0) {
        return ends_with(exit_code::usage, "--max-shard-size: found \"" + o.max_shard_size +
                                               "\", allowed: a size like \"2GiB\"");
    }
    out.shard_max_bytes = *size;
    return out;
}

/// The same model with weights of another type, or in several files.
base::result<void> change_form(training::folder_options form, training::folder_files& files) {
    if (form.type == training::weight_type::f32 && form.shard_max_bytes == 0) return {};
    form.tokenizer_file = files.contains(training::tokenizer_file_name);
    training::folder_view view;
    view.config = files[training::config_file_name];
    view.weights[training::weights_file_name] = files[training::weights_file_name];
    TEQUIO_TRY(const auto model, training::load_model_folder(view));
    files.erase(training::weights_file_name);
    for (auto& [name, bytes] : training::write_model_files(model.model, model.parameters, form)) {
        files[name] = std::move(bytes);
    }
    return {};
}

base::result<training::folder_files> read_files(api_client& daemon,
                                                const boost::json::array& list) {
    training::folder_files out;
    for (const auto& item : list) {
        const auto& file = item.as_object();
        TEQUIO_TRY(const auto ref, base::parse_blob_ref(std::string(file.at("blob").as_string())));
        TEQUIO_TRY(out[std::string(file.at("name").as_string())], read_blob(daemon, ref));
    }
    return out;
}

base::result<void> fetch(cli_context& context, const fetch_options& o) {
    catch_interrupts();
    if (!o.round.empty()) {
        return ends_with(exit_code::usage, "--round is not in this version (has: the final model)");
    }
    TEQUIO_TRY(const auto form, form_of(o));
    const std::filesystem::path out(o.out);
    std::error_code ec;
    if (!o.force && holds_model(out)) {
        return ends_with(exit_code::usage,
                         out.string() + " holds a model already; --force overwrites it");
    }
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto answer, daemon.request_json("GET", "/api/v1/jobs/" + o.id + "/files"));
    TEQUIO_TRY(auto files, read_files(daemon, answer.as_object().at("files").as_array()));
    TEQUIO_CHECK(change_form(form, files));
    std::filesystem::create_directories(out, ec);
    boost::json::array names;
    for (const auto& [name, bytes] : files) {
        TEQUIO_CHECK(write_file(out / name, bytes));
        names.push_back(boost::json::string(name));
        context.say(name + ": " + base::human_size(bytes.size()));
    }
    remove_other_weights(out, files);
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
    command->add_option("--dtype", o->dtype, "element type of the weights")
        ->one_of({"f32", "bf16"})
        ->show_default();
    command->add_option("--max-shard-size", o->max_shard_size,
                        "several weight files of at most this size, like 2GiB");
    command->add_flag("--force", o->force, "overwrite a model that is there");
    command->callback([&context, o] { context.run([&] { return fetch(context, *o); }); });
}

}  // namespace tequio::node
