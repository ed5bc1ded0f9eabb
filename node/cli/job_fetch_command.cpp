// `tequio job fetch ID --out DIR`: the trained model as a Hugging Face style folder.

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <set>

#include "base/blob.hpp"
#include "base/merkle.hpp"
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

/// Files on their way to a folder, each under another name until all are there; what is not
/// finished is removed.
class arriving_folder {
public:
    explicit arriving_folder(std::filesystem::path folder) : folder_(std::move(folder)) {}
    arriving_folder(const arriving_folder&) = delete;
    arriving_folder& operator=(const arriving_folder&) = delete;
    ~arriving_folder() {
        std::error_code ignored;
        for (const auto& [name, size] : sizes_) std::filesystem::remove(part(name), ignored);
    }

    /// Piece by piece to the disk, compared with its name in the end: a model may be larger than
    /// the memory.
    base::result<void> add(api_client& daemon, const std::string& name, const base::blob_ref& ref) {
        std::error_code ec;
        std::filesystem::create_directories(folder_, ec);
        sizes_[name] = ref.size;
        const unique_fd file(
            ::open(part(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
        if (!file) return io_error(part(name), "create", errno);
        std::vector<base::digest> leaves;
        for (std::uint64_t i = 0; i < ref.pieces(); ++i) {
            if (interrupted())
                return ends_with(exit_code::interrupted, "interrupted; nothing was written");
            TEQUIO_TRY(const auto piece, daemon.request("GET", "/api/v1/blobs/" + ref.text() + "/" +
                                                                   std::to_string(i)));
            const auto bytes = base::as_bytes(piece);
            if (bytes.size() != ref.piece_size(i)) return wrong(ref);
            leaves.push_back(base::merkle_leaf(bytes));
            TEQUIO_CHECK(write_at(file.get(), bytes, i * base::piece_size_bytes, part(name)));
        }
        if (base::blob_ref_of(leaves, ref.size) != ref) return wrong(ref);
        if (::fsync(file.get()) != 0) return io_error(part(name), "sync", errno);
        return {};
    }
    base::result<mapped_file> map(const std::string& name) const {
        return mapped_file::open(part(name));
    }
    /// In place of what was to be `name`.
    base::result<void> add(const std::string& name, base::byte_view bytes) {
        sizes_[name] = bytes.size();
        return write_file(part(name), bytes);
    }
    void drop(const std::string& name) {
        std::error_code ignored;
        std::filesystem::remove(part(name), ignored);
        sizes_.erase(name);
    }
    /// Bytes by name.
    const std::map<std::string, std::uint64_t>& files() const { return sizes_; }
    base::result<void> finish() {
        for (const auto& [name, size] : sizes_) {
            const auto path = folder_ / name;
            if (::rename(part(name).c_str(), path.c_str()) != 0) {
                return io_error(path, "rename to", errno);
            }
        }
        sizes_.clear();
        return sync_folder(folder_);
    }

private:
    std::filesystem::path part(const std::string& name) const { return folder_ / (name + ".part"); }
    static base::error wrong(const base::blob_ref& ref) {
        return ends_with(exit_code::verification_failed,
                         "the daemon sent other bytes than " + ref.text());
    }

    std::filesystem::path folder_;
    std::map<std::string, std::uint64_t> sizes_;
};

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

/// The same model with weights of another type, or in several files: in memory, twice.
base::result<void> change_form(training::folder_options form, arriving_folder& files) {
    if (form.type == training::weight_type::f32 && form.shard_max_bytes == 0) return {};
    form.tokenizer_file = files.files().contains(training::tokenizer_file_name);
    TEQUIO_TRY(const auto config, files.map(training::config_file_name));
    TEQUIO_TRY(const auto weights, files.map(training::weights_file_name));
    training::folder_view view;
    view.config = config.bytes();
    view.weights[training::weights_file_name] = weights.bytes();
    TEQUIO_TRY(const auto model, training::load_model_folder(view));
    files.drop(training::weights_file_name);
    for (const auto& [name, bytes] :
         training::write_model_files(model.model, model.parameters, form)) {
        TEQUIO_CHECK(files.add(name, bytes));
    }
    return {};
}

base::result<void> read_files(api_client& daemon, const boost::json::array& list,
                              arriving_folder& files) {
    for (const auto& item : list) {
        const auto& file = item.as_object();
        TEQUIO_TRY(const auto ref, base::parse_blob_ref(std::string(file.at("blob").as_string())));
        TEQUIO_CHECK(files.add(daemon, std::string(file.at("name").as_string()), ref));
    }
    return {};
}

base::result<void> fetch(cli_context& context, const fetch_options& o) {
    catch_interrupts();
    if (!o.round.empty()) {
        return ends_with(exit_code::usage, "--round is not in this version (has: the final model)");
    }
    TEQUIO_TRY(const auto form, form_of(o));
    const std::filesystem::path out(o.out);
    if (!o.force && holds_model(out)) {
        return ends_with(exit_code::usage,
                         out.string() + " holds a model already; --force overwrites it");
    }
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto answer, daemon.request_json("GET", "/api/v1/jobs/" + o.id + "/files"));
    arriving_folder files(out);
    TEQUIO_CHECK(read_files(daemon, answer.as_object().at("files").as_array(), files));
    TEQUIO_CHECK(change_form(form, files));
    boost::json::array names;
    std::set<std::string> kept;
    for (const auto& [name, size] : files.files()) {
        kept.insert(name);
        names.push_back(boost::json::string(name));
        context.say(name + ": " + base::human_size(size));
    }
    TEQUIO_CHECK(files.finish());
    remove_other_weights(out, kept);
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
