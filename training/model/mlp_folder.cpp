#include "training/model/mlp_folder.hpp"

#include "base/ensure.hpp"
#include "training/model/safetensors.hpp"

namespace tequio::training {

base::byte_vector mlp_input_scales(std::span<const float> shifts, std::span<const float> factors) {
    base::ensure(shifts.size() == factors.size(), "a shift and a factor a value");
    const std::vector<std::uint64_t> shape{shifts.size()};
    const std::vector<tensor_spec> tensors{
        {.name = "factor", .shape = shape, .size = shifts.size()},
        {.name = "shift", .shape = shape, .offset = shifts.size(), .size = shifts.size()}};
    std::vector<float> values(factors.begin(), factors.end());
    values.insert(values.end(), shifts.begin(), shifts.end());
    return write_safetensors(tensors, values);
}

std::string mlp_use_text(const model_config& m) {
    return "`hidden.I.weight` and `output.weight` are (out, in), as `torch.nn.Linear` has them. "
           "The "
           "values of an\nexample are shifted and scaled first, as in the data that the model was "
           "trained on:\n`inputs.safetensors` says how.\n\n"
           "```python\nimport torch\nfrom safetensors.torch import load_file\n\n"
           "weights, scale = load_file(\"model.safetensors\"), "
           "load_file(\"inputs.safetensors\")\n\n"
           "def classify(values):  # (examples, " +
           std::to_string(m.inputs) +
           ") float32\n"
           "    x = (values - scale[\"shift\"]) * scale[\"factor\"]\n"
           "    for i in range(" +
           std::to_string(m.layers) +
           "):\n"
           "        x = torch.relu(x @ weights[f\"hidden.{i}.weight\"].T + "
           "weights[f\"hidden.{i}.bias\"])\n"
           "    return (x @ weights[\"output.weight\"].T + "
           "weights[\"output.bias\"]).argmax(1)\n```\n";
}

}  // namespace tequio::training
