#include "training/model/run_card.hpp"

#include <string_view>

#include "base/text.hpp"
#include "training/model/mlp_folder.hpp"

namespace tequio::training {
namespace {

/// A text that a stranger wrote, made harmless inside one line of Markdown or YAML.
std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += byte < 0x20 || byte == 0x7f || c == '"' || c == '\\' || c == '`' ? ' ' : c;
    }
    return out;
}

std::string crew_text(const run_card& card) {
    std::string text = "| node | lanes |\n|---|---|\n";
    for (const auto& [node, lanes] : card.crew) {
        text.append("| `").append(node.hex()).append("` | ");
        text.append(std::to_string(lanes)).append(" |\n");
    }
    return text;
}

/// What is counted: "tokens", and one of them, "a token".
std::string figures_text(const run_card& card, const std::string& many, const std::string& one) {
    std::string text = "| | |\n|---|---|\n";
    const auto line = [&](const std::string& name, const std::string& value) {
        text.append("| ").append(name).append(" | ").append(value).append(" |\n");
    };
    const auto id = [](const std::string& hex) { return '`' + hex + '`'; };
    line("task", id(card.task.hex()));
    line("recipe", id(card.recipe.hex()));
    line("state digest", id(card.state.hex()));
    line("rounds", std::to_string(card.rounds_done) + " of " + std::to_string(card.rounds));
    line(many + " trained on", std::to_string(card.tokens));
    line("training loss of the last round, nats " + one, base::shortest(card.loss));
    if (card.validation_loss) {
        line("validation loss, nats " + one, base::shortest(*card.validation_loss));
    }
    line("share of lanes checked by another node", base::shortest(card.checked_share));
    line("data licence, as declared", one_line(card.data_license));
    line("model licence, as declared", one_line(card.model_license));
    if (!card.base_license.empty()) {
        line("licence of the weights started from, as declared", one_line(card.base_license));
    }
    return text;
}

constexpr std::string_view bytes_use =
    "The tokenizer is \"bytes\": token i is the byte i of the text's UTF-8 form, so no tokenizer "
    "file is needed.\n\n"
    "```python\nimport torch\nfrom transformers import AutoModelForCausalLM\n\n"
    "model = AutoModelForCausalLM.from_pretrained(\".\")\n"
    "prompt = torch.tensor([list(\"The \".encode())])\n"
    "text = model.generate(prompt, max_new_tokens=100, do_sample=True)[0]\n"
    "print(bytes(text.tolist()).decode(errors=\"replace\"))\n```\n";
constexpr std::string_view tokenizer_use =
    "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
    "tokenizer = AutoTokenizer.from_pretrained(\".\")\n"
    "model = AutoModelForCausalLM.from_pretrained(\".\")\n"
    "prompt = tokenizer(\"The \", return_tensors=\"pt\").input_ids\n"
    "text = model.generate(prompt, max_new_tokens=100, do_sample=True)[0]\n"
    "print(tokenizer.decode(text))\n```\n";

}  // namespace

std::string card_text(const model_config& model, const run_card& card,
                      const folder_options& options) {
    const bool examples = model.family == "mlp";
    std::string text =
        "---\nlicense: \"" + one_line(card.model_license) + "\"\n" +
        (examples ? "" : "library_name: transformers\npipeline_tag: text-generation\n") +
        "---\n\n# " + one_line(card.name) + "\n\n" + one_line(card.purpose);
    text +=
        "\n\nTrained by a crew of volunteers with Tequio. The weights are a pure function of the "
        "recipe below:\n`tequio job replay` recomputes them and must arrive at the state "
        "digest.\n\n";
    text += figures_text(card, std::string(counted_as(model)), examples ? "an example" : "a token");
    text += "\n## Use\n\n";
    if (examples) {
        text += mlp_use_text(model);
    } else {
        text += options.tokenizer_file ? tokenizer_use : bytes_use;
        text += "\n`tequio job sample . --prompt \"The \"` does the same without Python.\n";
    }
    return text + "\n## Crew\n\n" + crew_text(card) + "\n## Recipe\n\n```\n" + card.recipe_text +
           "```\n";
}

}  // namespace tequio::training
