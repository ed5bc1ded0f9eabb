#include <vector>

#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/job_file.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

// `@name@` marks are replaced by the sizes chosen for this machine.

constexpr std::string_view heading =
    R"(# A Tequio job: one neural network, trained by whoever lends a machine.
# Check it with `tequio job plan`, send it with `tequio job submit`.

)";

constexpr std::string_view text_template =
    R"([job]
name = @name@
purpose = "A small language model of my own text"   # shown to donors before they accept
data_license = "NOASSERTION"     # SPDX expression, for example "CC-BY-4.0"
model_license = "NOASSERTION"
readers = "swarm"                # swarm | everyone: who may read data and weights

[model]
family = @family@                  # gpt2 | llama
layers = @layers@
heads = @heads@
width = @width@                  # a multiple of heads
context = @context@                # tokens a sequence
# init_from = "folder"           # start from its weights (config.json, safetensors): then the keys
                                 # above may be left out, and base_license is asked for in [job]

[data]
files = [@data_file@]         # text, inside this folder; joined in this order
tokenizer = "bytes"              # every byte is a token
validation = 0.05                # the last part of the tokens

)";

constexpr std::string_view digits_template =
    R"([job]
name = @name@
purpose = "Tells drawn digits apart"   # shown to donors before they accept
data_license = "CC0-1.0"         # of what is drawn here; SPDX expression
model_license = "CC0-1.0"
readers = "swarm"                # swarm | everyone: who may read data and weights

[model]
family = "mlp"
layers = @layers@                       # hidden layers
width = @width@                      # of each

# The two files beside this one hold digits that `tequio job new` has drawn: lines along fixed
# points, bent, stretched, slanted and put into noise at random. They are not handwriting, and
# easier. MNIST's four files can be put in their place, unpacked: name the images and labels of
# its training set, then those of its test set, and set shuffle = false and validation =
# 0.142858, which is its 10,000 of 70,000.
[data]
files = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
validation = 0.1666667           # the last part of the examples

)";

constexpr std::string_view diloco_template =
    R"([train]
method = "diloco"                # lanes train apart, rounds bring them together
lanes = @lanes@                        # parts of a round that different machines can take
rounds = @rounds@
inner_steps = @inner_steps@                 # optimizer steps of a lane in a round
batch = @batch@                        # @sequences@ a step
window = -40                     # exponent of the unit in which contributions are added
inner = { optimizer = "adamw", lr = 1e-3, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0, ramp_steps = @ramp_steps@ }
outer = { optimizer = "nesterov", lr = 0.7, momentum = 0.9 }
)";

constexpr std::string_view synchronous_template =
    R"([train]
method = "synchronous"           # each round is one step of all lanes together: for fast networks
lanes = @lanes@                        # parts of a round that different machines can take
rounds = @rounds@
inner_steps = 1
batch = @batch@                        # @sequences@ a lane and step
window = -46                     # exponent of the unit in which gradients are added
inner = { optimizer = "adamw", lr = 1e-3, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0 }
)";

constexpr std::string_view rest_template =
    R"(schedule = { warmup = @warmup@, decay = "cosine", final = 0.1 }
codec = "mxint8"                 # what lanes send: f32 | mxint8 | mxfp4
codec_down = "mxint8"            # what their mean is rounded to
numerics = "exact/1"
seed = 1                         # another seed is another run

[slices]
cuts = []                        # [2, 4]: a lane may be divided before layers 2 and 4; not an mlp
activations = "f32"              # what crosses a cut, used or not: f32 | bf16 | mxint8

[trust]
check = 0.05                     # least share of lanes that another node recomputes
settle = 3                       # rounds that may wait for checks
crew_min = 1
crew_max = 64                    # 1024 at most; above 64 in groups, not with cuts
accept = "swarm"                 # or a list of node ids
deadline = "7d"

[keep]
copies = 3
state_every = 10
days = 30
)";

/// A TOML basic string of printable text.
std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

void replace_mark(std::string& text, std::string_view mark, std::string_view value) {
    const auto at = text.find(mark);
    if (at != std::string::npos) text.replace(at, mark.size(), value);
}

}  // namespace

base::result<std::string> job_template(const job_template_options& options) {
    const bool digits = options.example == "digits";
    if (!digits && options.example != "text") {
        return fail(errc::bad_job_file,
                    "--example: found " + quoted(options.example) + ", allowed: text, digits");
    }
    const bool synchronous = options.method == method_synchronous;
    if (!synchronous && options.method != method_diloco) {
        return fail(errc::bad_job_file,
                    "--method: found " + quoted(options.method) + ", allowed: diloco, synchronous");
    }
    const auto steps = options.rounds * (synchronous ? 1 : options.inner_steps);
    std::string out(heading);
    out += digits ? digits_template : text_template;
    out += synchronous ? synchronous_template : diloco_template;
    out += rest_template;
    replace_mark(out, "@name@", toml_string(options.name));
    replace_mark(out, "@family@", toml_string(options.model.family));
    replace_mark(out, "@data_file@", toml_string(options.data_file));
    replace_mark(out, "@sequences@", digits ? "examples" : "sequences");
    const auto number = [&](std::string_view mark, std::uint64_t value) {
        replace_mark(out, mark, std::to_string(value));
    };
    number("@layers@", options.model.layers);
    number("@heads@", options.model.heads);
    number("@width@", options.model.width);
    number("@context@", options.model.context);
    number("@lanes@", options.lanes);
    number("@rounds@", options.rounds);
    number("@inner_steps@", options.inner_steps);
    number("@batch@", options.batch);
    number("@ramp_steps@", options.inner_steps / 5);
    number("@warmup@", steps / 20);
    // The command that writes the file must not write one that the next command refuses.
    TEQUIO_CHECK(parse_job_file(out, "job.toml"));
    return out;
}

}  // namespace tequio::training
