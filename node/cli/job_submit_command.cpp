// `tequio job submit JOB.toml`: tokenise, sign, hand to the daemon, say when it is safe to leave.

#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "node/cli/api_client.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/job_input.hpp"
#include "node/cli/job_watch.hpp"
#include "node/cli/submitter.hpp"
#include "p2p/data_dir.hpp"
#include "training/job_file.hpp"

namespace tequio::node {
namespace {

struct submit_options {
    std::string file;
    std::string wait;
    bool yes = false;
};

/// One piece as the API takes it: number of proof hashes (u32, little-endian), the hashes, the
/// bytes.
std::string piece_body(const base::blob_piece& piece) {
    base::byte_vector out;
    base::byte_writer writer(out);
    writer.u32(static_cast<std::uint32_t>(piece.path.size()));
    for (const auto& hash : piece.path) writer.raw(hash.view());
    writer.raw(piece.bytes);
    return std::string(base::as_text(out));
}

base::result<void> hand_over(cli_context& context, api_client& daemon,
                             std::span<const input_blob> blobs) {
    std::uint64_t pieces = 0;
    std::uint64_t handed = 0;
    const bool draws = context.may_draw(STDERR_FILENO) && !context.quiet;
    for (const auto& blob : blobs) pieces += blob.ref.pieces();
    for (const auto& [ref, bytes] : blobs) {
        const auto leaves = base::blob_leaves(bytes);
        for (std::uint64_t i = 0; i < ref.pieces(); ++i) {
            if (interrupted())
                return ends_with(exit_code::interrupted, "interrupted; nothing was submitted");
            const auto part = bytes.subspan(i * base::piece_size_bytes, ref.piece_size(i));
            const base::blob_piece piece{
                i, {part.begin(), part.end()}, base::merkle_path(leaves, i)};
            TEQUIO_TRY(
                const auto answer,
                daemon.request("PUT", "/api/v1/blobs/" + ref.text() + "/" + std::to_string(i),
                               piece_body(piece)));
            (void)answer;
            ++handed;
            if (draws) {
                std::fprintf(stderr, "\rhanding the data to the node: %llu of %llu pieces ",
                             static_cast<unsigned long long>(handed),
                             static_cast<unsigned long long>(pieces));
            }
        }
    }
    if (draws) std::fprintf(stderr, "\n");
    return {};
}

base::result<training::task> seal(const job_input& input, const base::signing_key& submitter,
                                  const boost::json::object& status) {
    const auto field = [&](const char* name) {
        const auto* value = status.if_contains(name);
        return value && value->is_string() ? std::string(value->as_string()) : std::string();
    };
    training::task_seal seal;
    seal.now = {std::chrono::duration_cast<std::chrono::seconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count()};
    TEQUIO_TRY(seal.swarm, base::parse_id<base::swarm_id>(field("swarm")));
    seal.submitter = submitter.public_part();
    seal.nonce = p2p::fresh_entropy().hex().substr(0, 32);
    seal.exactness = field("exactness");
    seal.companion = input.companion_ref();
    return training::make_task(input.file, input.recipe, seal);
}

base::result<void> submit(cli_context& context, const submit_options& options) {
    catch_interrupts();
    TEQUIO_TRY(const auto input, read_job(context, options.file));
    TEQUIO_TRY(auto daemon, api_client::connect(context.data_dir));
    TEQUIO_TRY(const auto status, daemon.request_json("GET", "/api/v1/status"));
    TEQUIO_TRY(const auto submitter, load_or_create_submitter());
    TEQUIO_TRY(const auto task, seal(input, submitter, status.as_object()));
    TEQUIO_TRY(const auto note, training::sign_task(task, submitter));
    context.say("Whoever takes part can read the data (" +
                base::human_size(input.data.config.tokens.size) + ")" +
                (input.init.empty() ? std::string()
                                    : ", the weights to start from (" +
                                          base::human_size(input.init.size()) + ")") +
                " and the trained weights" +
                (task.readers == "everyone" ? "; this job asks everyone." : "."));
    TEQUIO_CHECK(hand_over(context, daemon, input.blobs()));
    TEQUIO_TRY(const auto answer, daemon.request_json("POST", "/api/v1/jobs", note.encode()));
    const auto id = training::task_id_of(note).hex();
    if (context.json) {
        context.print_json("job-submit",
                           {{"task", id}, {"recipe", training::recipe_id_of(task.work).hex()}});
    } else {
        std::printf("%s\n", id.c_str());
        std::fflush(stdout);
    }
    (void)answer;
    if (options.wait == "seeded") return wait_until_safe_to_leave(context, daemon, id);
    if (!options.wait.empty()) return watch_job(context, daemon, id);
    context.say("Leave this node running until `tequio job show " + id.substr(0, 12) +
                "` says safe_to_leave; follow with `tequio job watch " + id.substr(0, 12) + "`.");
    return {};
}

}  // namespace

void add_job_submit_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<submit_options>();
    auto* command = job.add_subcommand("submit", "sign a job and publish it to the swarm");
    command->add_option("JOB.toml", o->file, "the job file")->required();
    command
        ->add_option("--wait", o->wait,
                     "stay until the job ends; --wait=seeded: until this machine may be closed")
        ->may_stand_alone("done")
        ->one_of({"done", "seeded"});
    command->callback([&context, o, command] {
        if (command->given("--wait") && o->wait.empty()) o->wait = "done";
        context.run([&] { return submit(context, *o); });
    });
}

}  // namespace tequio::node
