#pragma once

/// A job file: what a submitter types (INTERFACE.md, A job file). TOML in, plain values out; every
/// key is checked, and what this version lacks is refused by name.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "training/dataset.hpp"
#include "training/recipe.hpp"
#include "training/task.hpp"

namespace tequio::training {

inline constexpr std::size_t job_file_size_max_bytes = 256 * 1024;
inline constexpr std::size_t job_files_max = 1024;  ///< data files a job may name

/// A checked job file. Data and weights are not read yet: `model.vocabulary` is that of the folder
/// that `init_from` names, else data.vocabulary or 256, until whoever reads the data sets it to
/// that of `tokenised_data`; `model.init` is for the shell to set.
struct job_file {
    std::string name;
    std::string purpose;
    std::string data_license;
    std::string model_license;
    std::string base_license;  ///< with `init_from` alone
    std::string readers;
    model_config model;
    std::string init_from;           ///< folder of weights to start from; empty: they are drawn
    std::vector<std::string> files;  ///< relative paths, '/' between parts, none of them ".."
    file_kind data_kind = file_kind::text;  ///< of all files; text stands for JSONL too
    /// "bytes", or the relative path of a tokenizer.json; of text and token files.
    std::string tokenizer;
    std::uint64_t vocabulary = 0;  ///< of text and token files; 0: the tokenizer's
    std::string label;             ///< of CSV: name of the label's column; empty: the last
    std::optional<bool> header;    ///< of CSV; empty: look
    bool shuffle = true;           ///< of idx and CSV
    double validation_share = 0;   ///< 0 <= share < 1
    train_config train;
    slices_config slices;
    trust_config trust;
    keep_config keep;
    std::variant<base::duration, base::unix_time> deadline;  ///< from submission, or absolute
    bool operator==(const job_file&) const = default;
};

/// Reads config.json of the folder that a job file names in model.init_from, a path as it stands
/// there (relative to the job file's folder, or absolute).
using folder_reader = std::function<base::result<model_config>(const std::string& folder)>;

/// Reads a job file. `file_name` stands in messages. With model.init_from the model's shape comes
/// from `read_folder`: keys of the shape may be left out, those given must agree (a llama's context
/// may be shorter), and job.base_license is required; without `read_folder` it is a fault.
/// Errors: `errc::bad_job_file`, or `errc::not_in_version` when the first fault is a thing that
/// this version lacks. The sentence has one line a fault, in the order of the file:
///
///     job.toml:31 train.codec: found "mxfp6", allowed: f32, mxint8, mxfp4
///
/// Missing keys take the defaults of `struct recipe`, `task` and 1 % validation, data.tokenizer
/// "bytes", data.shuffle true, a deadline of 7 days, micro_batch = batch, licences NOASSERTION; a
/// llama's those of `fill_model_defaults`; with method synchronous inner_steps 1 and window -46.
/// Without default: job.name, model.family, layers, heads, width, context, data.files,
/// train.lanes, rounds, batch, and with method diloco inner_steps. With method synchronous
/// train.outer and inner.ramp_steps are no keys.
base::result<job_file> parse_job_file(std::string_view text, std::string_view file_name,
                                      const folder_reader& read_folder = {});

/// What a job file may leave out of a model: of a llama kv_heads (as many as heads) and hidden (8/3
/// of the width, rounded up to a multiple of 64), where they are 0; of an mlp the context, and the
/// least inputs and classes until the data is read. Others: nothing.
void fill_model_defaults(model_config& model);

/// The recipe of a job file whose data has been tokenised, with `model.vocabulary` set. Errors:
/// those of `check_recipe`.
base::result<recipe> make_recipe(const job_file& job, const data_config& data);

/// What a task needs beside its job file and recipe.
struct task_seal {
    base::unix_time now;
    base::swarm_id swarm;
    base::public_key submitter;
    std::string nonce;                             ///< 32 hex digits of fresh randomness
    std::string exactness;                         ///< this program's identity
    std::optional<base::blob_ref> companion = {};  ///< see `task`
};

/// The task of a job file and its recipe. Errors: those of `check_task`; `errc::bad_task` when an
/// absolute deadline is not after `seal.now`.
base::result<task> make_task(const job_file& job, const recipe& work, const task_seal& seal);

/// Data files of the example "digits": named as MNIST's.
inline constexpr std::string_view digit_images_file = "train-images-idx3-ubyte";
inline constexpr std::string_view digit_labels_file = "train-labels-idx1-ubyte";

/// The sizes that `job new` has chosen for this machine.
struct job_template_options {
    std::string example = "text";  ///< text | digits
    std::string method{method_diloco};
    std::string name = "my-job";
    std::string data_file = "data.txt";  ///< of the example "text"
    model_config model{"gpt2", 4, 4, 128, 128, 256};
    std::uint64_t lanes = 4;
    std::uint64_t rounds = 10;
    std::uint64_t inner_steps = 20;  ///< of method diloco
    std::uint64_t batch = 8;
};

/// A commented job.toml that `parse_job_file` accepts. Errors: `errc::bad_job_file` for an example
/// or a method that there is not.
base::result<std::string> job_template(const job_template_options& options);

}  // namespace tequio::training
